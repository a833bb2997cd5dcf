package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// ingest measures JSON events → three derived features → store, beside a raw
// poll and a raw upsert of the same rows.
func ingest(ctx context.Context, s settings, r *report) error {
	p, err := newProject(s, "bench_ingest", ingestDefinitions)
	if err != nil {
		return err
	}
	defer p.close()
	if err := p.produce(ctx, s.events); err != nil {
		return err
	}
	if err := p.apply(); err != nil {
		return err
	}
	db, err := openRaw(s.cql, "millrace_"+p.name)
	if err != nil {
		return err
	}
	defer db.close()
	var poll, upsert, whole []usage
	for round := range s.rounds + 1 { // the first warms the servers up
		one, err := ingestRound(ctx, p, db)
		if err != nil {
			return err
		}
		if round > 0 {
			poll, upsert, whole = append(poll, one[0]), append(upsert, one[1]), append(whole, one[2])
		}
	}
	ingestTable(r, s, db, poll, upsert, whole)
	return nil
}

// ingestRound runs the three loops one after the other over the same events.
func ingestRound(ctx context.Context, p *project, db *rawStore) ([3]usage, error) {
	var u [3]usage
	var err error
	if u[0], err = measure(func() error { return rawPoll(ctx, p) }); err != nil {
		return u, fmt.Errorf("raw poll: %w", err)
	}
	if u[2], err = ingestOnce(ctx, p); err != nil {
		return u, fmt.Errorf("millrace ingest: %w", err)
	}
	if db.rows == nil {
		if err := db.sample(ctx, p.s.events); err != nil {
			return u, fmt.Errorf("take the rows that were written: %w", err)
		}
	}
	if u[1], err = measure(func() error { return db.upsertAll(ctx, p.s.events) }); err != nil {
		return u, fmt.Errorf("raw upsert: %w", err)
	}
	return u, nil
}

func ingestTable(r *report, s settings, db *rawStore, poll, upsert, whole []usage) {
	t := r.table("ingest: JSON events → 3 derived features → store", "loop", "rows/s", "client CPU µs/row", "max RSS MiB")
	line := func(name string, us []usage) (rate, cpu float64) {
		rates, cpus, rss := make([]float64, 0, len(us)), make([]float64, 0, len(us)), make([]float64, 0, len(us))
		for _, u := range us {
			rates = append(rates, float64(s.events)/u.wall.Seconds())
			cpus = append(cpus, float64(u.cpu.Microseconds())/float64(s.events))
			rss = append(rss, float64(u.maxRSS)/1024)
		}
		memory := "-"
		if m := median(rss); m > 0 {
			memory = fmt.Sprintf("%.0f", m)
		}
		t.add(name, perSecond(median(rates)), fmt.Sprintf("%.1f", median(cpus)), memory)
		return median(rates), median(cpus)
	}
	line("raw poll (franz-go)", poll)
	rawRate, rawCPU := line("raw upsert (gocql, same statement, table, bytes)", upsert)
	rate, cpu := line("millrace ingest", whole)
	t.notef("%d events of about 200 bytes over %d entities and %d partitions per round; rows of %d bytes; raw upsert with %d in flight.",
		s.events, entities, partitions, db.rowBytes(), rawInFlight)
	t.notef("Ingestion writes %.0f %% of the raw upsert loop's rows per second (goal on Cassandra: 90 %%) at %.2f× its client CPU. "+
		"Wall time of ingestion includes process start, joining the group and the last commit; rows that a newer one of the same batch supersedes are not written.",
		100*rate/rawRate, cpu/rawCPU)
}

func rawPoll(ctx context.Context, p *project) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(p.s.kafka), kgo.ConsumeTopics(p.name),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		return fmt.Errorf("make a consumer: %w", err)
	}
	defer client.Close()
	for n := 0; n < p.s.events; {
		fs := client.PollRecords(ctx, 10_000)
		if err := fs.Err(); err != nil {
			return fmt.Errorf("poll: %w", err)
		}
		n += fs.NumRecords()
	}
	return nil
}

// ingestOnce resets the group to the start, runs `millrace ingest` until all
// is committed, and ends it.
func ingestOnce(ctx context.Context, p *project) (usage, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(p.s.kafka))
	if err != nil {
		return usage{}, fmt.Errorf("make an admin client: %w", err)
	}
	defer client.Close()
	adm, group := kadm.NewClient(client), "millrace-"+p.name
	if err := resetGroup(ctx, adm, group); err != nil {
		return usage{}, err
	}
	cmd := p.command("ingest")
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return usage{}, fmt.Errorf("start: %w", err)
	}
	err = waitCommitted(ctx, adm, group, p.name, int64(p.s.events), cmd)
	wall := time.Since(began)
	_ = cmd.Process.Signal(syscall.SIGTERM)
	if werr := cmd.Wait(); err == nil && werr != nil {
		err = fmt.Errorf("end: %w", werr)
	}
	u := usage{wall: wall}
	if ru, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		u.cpu, u.maxRSS = cpuOf(ru), ru.Maxrss
	}
	return u, err
}

// resetGroup makes the group begin at the topic's start again. A broker that
// has just started has no coordinator yet, and a group may be unknown.
func resetGroup(ctx context.Context, adm *kadm.Client, group string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		resp, err := adm.DeleteGroup(ctx, group)
		if err == nil {
			err = resp.Err
		}
		if err == nil || errors.Is(err, kerr.GroupIDNotFound) {
			return nil
		}
		if !kerr.IsRetriable(err) || ctx.Err() != nil {
			return fmt.Errorf("reset the group: %w", err)
		}
	}
}

const ingestTimeout = 5 * time.Minute

func waitCommitted(ctx context.Context, adm *kadm.Client, group, topic string, want int64, cmd *exec.Cmd) error {
	ctx, cancel := context.WithTimeout(ctx, ingestTimeout)
	defer cancel()
	for {
		at, err := adm.FetchOffsets(ctx, group)
		if err != nil && ctx.Err() != nil {
			return fmt.Errorf("wait for the group: %w", err)
		}
		var sum int64
		for _, o := range at[topic] {
			sum += max(o.At, 0)
		}
		if sum >= want {
			return nil
		}
		if cmd.Process.Signal(syscall.Signal(0)) != nil {
			return fmt.Errorf("the process ended at %s of %s records", strconv.FormatInt(sum, 10), strconv.FormatInt(want, 10))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the group at %d of %d records: %w", sum, want, ctx.Err())
		case <-time.After(20 * time.Millisecond): // the broker tells commits only to those who ask
		}
	}
}
