package pipeline

import (
	"context"
	"testing"
	"time"

	"millrace/internal/synctest"
	"millrace/sinks"
	"millrace/sources"
)

const wait = sources.HeaderWait

// soon is within what a commit for which somebody waits is to be made.
const soon = 20 * time.Millisecond

// slowSink takes as long for rows of a key as it is told.
type slowSink struct {
	sinks.Sink
	key  string
	trip time.Duration
}

func (s slowSink) Write(ctx context.Context, rows []sinks.Row) error {
	if rows[0].Key == s.key {
		sleep(ctx, s.trip)
	}
	return s.Sink.Write(ctx, rows)
}

// hourly leaves commits to those who wait.
func hourly(s *Settings) { s.CommitInterval, s.CommitTimeout = time.Hour, time.Minute }

func commits(r *rig) int {
	r.src.mu.Lock()
	defer r.src.mu.Unlock()
	return len(r.src.commits)
}

func TestAMarkIsCommittedSoonForThoseWhoWait(t *testing.T) {
	for name, rec := range map[string]sources.Record{
		"raw":           headed(0, 'a', 1, wait, ""),
		"finished":      headed(0, 'a', 1, flag, "false", wait, "1"),
		"filtered":      headed(0, '?', 1, wait, ""),
		"malformed":     headed(0, '!', 1, wait, ""),
		"a wrong flag":  headed(0, 'a', 1, flag, "maybe", wait, ""),
		"for one of us": headed(0, 'a', 1, sources.HeaderTo, sources.ToOffline, wait, ""),
	} {
		t.Run(name, func(t *testing.T) {
			run(t, hourly, func(r *rig) {
				r.assign(fresh(p0))
				synctest.Wait()
				r.src.h.Deliver(fetch(p0, rec))
				time.Sleep(soon)
				synctest.Wait()
				r.wantCommit(p0, 1)
				r.src.h.Deliver(fetch(p0, record(1, 'a', 1)))
				time.Sleep(time.Minute)
				r.wantCommit(p0, 1) // for which nobody waits
			})
		})
	}
}

// TestThoseWhoWaitGetAMarkThatCoversThem commits neither before a row is
// stored nor before the batches below it are.
func TestThoseWhoWaitGetAMarkThatCoversThem(t *testing.T) {
	const trip = time.Second
	slow := func(s *Settings) {
		hourly(s)
		s.Sink, s.MaxRows = slowSink{s.Sink, "s", trip}, 1
	}
	run(t, slow, func(r *rig) {
		r.assign(fresh(p0))
		synctest.Wait()
		r.src.h.Deliver(fetch(p0, record(0, 's', 1), headed(1, 'a', 1, wait, ""), record(2, 's', 2)))
		time.Sleep(trip - time.Millisecond)
		r.wantCommit(p0, 0)
		time.Sleep(time.Millisecond + soon)
		synctest.Wait()
		if got, _ := r.src.last(p0); got.Offset < 2 {
			t.Errorf("committed %d, want 2 or more", got.Offset)
		}
	})
}

// TestManyWhoWaitShareACommit has somebody wait every millisecond of a second
// on each of two lanes, and nobody longer than is promised.
func TestManyWhoWaitShareACommit(t *testing.T) {
	run(t, hourly, func(r *rig) {
		r.assign(fresh(p0), fresh(p1))
		synctest.Wait()
		before := commits(r)
		const waits = 1000
		for i := range int64(waits) {
			for _, p := range []sources.Partition{p0, p1} {
				r.src.h.Deliver(fetch(p, headed(i, 'a', i, wait, "")))
				late := i + 1 - int64(soon/time.Millisecond)
				if got, _ := r.src.last(p); got.Offset < late {
					t.Fatalf("%s: after %d ms the commit is %d", p.Topic, i, got.Offset)
				}
			}
			time.Sleep(time.Millisecond)
		}
		time.Sleep(soon)
		synctest.Wait()
		r.wantCommit(p0, waits)
		r.wantCommit(p1, waits)
		if n := commits(r) - before; n > 2*waits/10+4 { // a mark of each lane every 10 ms
			t.Errorf("%d marks were committed for %d waits", n, 2*waits)
		}
	})
}

// TestACommitThatFailsIsTriedAgainForThoseWhoWait leaves it to the timer.
func TestACommitThatFailsIsTriedAgainForThoseWhoWait(t *testing.T) {
	run(t, nil, func(r *rig) {
		r.assign(fresh(p0))
		settle()
		r.src.mu.Lock()
		r.src.fail = errDown
		r.src.mu.Unlock()
		r.src.h.Deliver(fetch(p0, headed(0, 'a', 1, wait, "")))
		time.Sleep(soon)
		r.wantCommit(p0, 0)
		r.src.mu.Lock()
		r.src.fail = nil
		r.src.mu.Unlock()
		settle()
		r.wantCommit(p0, 1)
	})
}

func TestTheTopicOfACommit(t *testing.T) {
	id := sources.TopicID{1, 2, 15: 255}
	if got, ok := TopicOf(metadata{Catalog: 3, Topic: id.Hex()}.encode()); !ok || got != id {
		t.Errorf("%x, %v", got, ok)
	}
	for _, text := range []string{"", "{}", "somebody's", `{"topic":"0102"}`, `{"topic":"` + id.Hex()[:31] + `x"}`, `{"topic":"` + id.Hex() + `00"}`} {
		if _, ok := TopicOf(text); ok {
			t.Errorf("%q is taken for a commit of ours", text)
		}
	}
}
