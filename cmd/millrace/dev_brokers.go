package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"millrace/cmd/millrace/internal/app"
	"millrace/feature"
)

// existing reports whether dev reads a cluster that is not its own.
func (f *devFlags) existing() bool { return len(f.cluster.brokers) > 0 }

// check says which flags do not go together, before anything is opened.
func (f *devFlags) check(kafkaGiven bool) error {
	switch {
	case !f.existing() && f.cluster.from != "":
		return errors.New("--from says where to begin on an existing cluster; name it with --brokers host:9092")
	case f.existing() && f.demo:
		return errors.New("--demo writes events and --brokers writes none to the cluster; leave one of the two out")
	case f.existing() && kafkaGiven:
		return errors.New("--kafka is the address of the embedded broker, which --brokers does without; leave one of the two out")
	}
	_, err := f.cluster.start()
	return err
}

// lookOnly makes the configuration one that reads an existing cluster and
// leaves nothing there but the offsets of a new group.
func (d *devProcess) lookOnly() {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	production := app.Group(d.cfg, d.project.Catalog.Project)
	d.cfg.Kafka.Brokers = d.flags.cluster.brokers
	d.cfg.Kafka.Group = "millrace-dev-" + d.project.Catalog.Project + "-" + hex.EncodeToString(b[:])
	d.cfg.DeadLetter.Topic = "" // letters stay in the data folder
	d.spared = production
}

// begin puts the sources where --from says. The project was loaded for this
// process, so nobody else sees the change.
func (d *devProcess) begin() error {
	from, err := d.flags.cluster.start()
	if err != nil || from == nil {
		return err
	}
	for _, s := range d.project.Catalog.Sources {
		s.Start = *from
	}
	return nil
}

// readDirectly has rekeyed views read their sources as others do: tiles of
// several partitions are merged when they are read, so the answers are the same,
// and copies would have to be written to the cluster.
func (d *devProcess) readDirectly() {
	if !d.flags.existing() {
		return
	}
	for _, v := range d.project.Catalog.Views {
		v.Rekey = false
	}
}

// refreshOnRead has models that refresh on write refresh on read alone: changes
// would have to be written to the cluster.
func (d *devProcess) refreshOnRead() {
	if !d.flags.existing() {
		return
	}
	for _, m := range d.project.Catalog.Models {
		if m.RefreshOnWrite {
			m.RefreshOnRead, m.RefreshOnWrite = true, false
			d.onRead = append(d.onRead, m.Name)
		}
	}
}

// promise says what will and will not happen to the cluster.
func (d *devProcess) promise(ctx context.Context, out io.Writer) error {
	var topics []string
	for _, s := range d.project.Catalog.Sources {
		if s.Topic != "" {
			topics = append(topics, s.Topic)
		}
	}
	there, err := app.Partitions(ctx, d.cfg, topics...)
	if err != nil {
		return err //nolint:wrapcheck // says already what and where
	}
	fmt.Fprintf(out, "\nreading Kafka at %s\n", strings.Join(d.cfg.Kafka.Brokers, ", "))
	for _, s := range d.project.Catalog.Sources {
		switch n, is := there[s.Topic]; {
		case s.Topic == "" || len(d.project.Catalog.ViewsOf(s.Name)) == 0:
		case is:
			fmt.Fprintf(out, "  reads      topic %s, %d partitions, from %s\n", s.Topic, n, startText(s.Start))
		default:
			fmt.Fprintf(out, "  waits for  topic %s, which is not there\n", s.Topic)
		}
	}
	fmt.Fprintf(out, "  writes     the offsets of its own group, %s, and nothing else: no topic, no record, no dead letter, no changelog\n", d.cfg.Kafka.Group)
	if len(d.onRead) > 0 {
		fmt.Fprintf(out, "  refreshes  predictions of %s when they are read, not when their inputs change\n", strings.Join(d.onRead, ", "))
	}
	fmt.Fprintf(out, "  leaves     group %s as it is; rows and dead letters go to %s\n", d.spared, d.cfg.Store.DataDir)
	return nil
}

func startText(s feature.StartAt) string {
	switch {
	case s.Latest:
		return "the end"
	case s.Back > 0:
		return s.Back.String() + " ago"
	default:
		return "the start"
	}
}
