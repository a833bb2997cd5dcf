package pipeline

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"millrace/feature"
	"millrace/internal/synctest"
	"millrace/sinks"
	"millrace/sinks/memory"
	"millrace/sources"
)

// sinceNotes remembers what a lane says of aggregates, and whether readers were
// told before that they are counted.
type sinceNotes struct {
	*sinks.Sinces
	epochs *sinks.Epochs
	early  bool
	fails  int
}

var errNoted = errors.New("not noted")

func (n *sinceNotes) Raise(ctx context.Context, view string, partition int32, micros int64, aggregates ...uint64) error {
	now, err := n.epochs.Adopted(ctx)
	n.early = n.early || err != nil || now["trips"] >= 3
	if n.fails > 0 {
		n.fails--
		return errNoted
	}
	return n.Sinces.Raise(ctx, view, partition, micros, aggregates...)
}

// countsTrips makes a pipeline's view count windows; version 3 brought its last
// aggregate.
func countsTrips(notes *sinceNotes) func(*Settings) {
	return func(s *Settings) {
		store, _ := s.Sink.(*memory.Store)
		*notes = sinceNotes{Sinces: sinks.NewSinces(store), epochs: sinks.NewEpochs(store), fails: notes.fails}
		v := simView()
		v.Aggregates[len(v.Aggregates)-1].Version = 3
		s.Routes[0].Views, s.Routes[0].WindowsVersion = []RouteView{v}, 3
		s.Tiles, s.Sinces = store, notes
	}
}

// What a lane begins with decides which aggregates are complete only from now on.
func TestAggregatesAreCompleteFromWhereTheyCountEverything(t *testing.T) {
	of := func(committed, start, end int64, m metadata) sources.Assignment {
		return sources.Assignment{Partition: p0, TopicID: sources.TopicID{1}, Committed: committed, LogStart: start, LogEnd: end, Metadata: m.encode(), Begin: start, Partitions: 1}
	}
	other := metadata{Catalog: 3, Topic: sources.TopicID{2}.Hex()}
	for name, c := range map[string]struct {
		at        sources.Assignment
		recovered int64 // offset of a recovery; 0 for none
		want      string
	}{
		"the first record":                {of(-1, 0, 9, metadata{}), 0, "none"},
		"where the group was":             {of(5, 0, 9, ours(3)), 0, "none"},
		"an older catalog":                {of(5, 0, 9, ours(2)), 0, "last"},
		"after the first record":          {of(-1, 4, 9, metadata{}), 0, "all"},
		"an offset that somebody set":     {of(5, 0, 9, metadata{}), 0, "all"},
		"records expired unread":          {of(5, 7, 9, ours(3)), 0, "all"},
		"nothing expired unread":          {of(5, 5, 9, ours(3)), 0, "none"},
		"a recovery":                      {of(5, 0, 9, ours(3)), 3, "all"},
		"the topic was made again":        {of(5, 0, 9, other), 0, "none"},
		"that one lost its first records": {of(5, 1, 9, other), 0, "all"},
	} {
		t.Run(name, func(t *testing.T) {
			var notes sinceNotes
			run(t, countsTrips(&notes), func(r *rig) {
				if c.recovered > 0 {
					r.recover(c.recovered)
				}
				began := time.Now()
				r.assign(c.at)
				settle()
				r.wantSinces(c.want, began)
			})
		})
	}
}

// wantSinces compares what is noted: of no aggregate, of the last, of all.
func (r *rig) wantSinces(want string, began time.Time) {
	r.t.Helper()
	all, err := sinks.NewSinces(r.store).All(context.Background())
	if err != nil {
		r.t.Fatal(err)
	}
	v := &r.p.s.Routes[0].Views[0]
	number := map[string]int{"none": 0, "last": 1, "all": len(v.Aggregates)}[want]
	if len(all) != number {
		r.t.Errorf("%d aggregates begin anew, want %s", len(all), want)
	}
	last := v.Aggregates[len(v.Aggregates)-1].ID
	if want != "none" && !slices.ContainsFunc(all, func(s feature.Since) bool { return s.Aggregate == last }) {
		r.t.Error("the last aggregate is not among them")
	}
	for _, s := range all {
		// The least time that leaves out whatever was not read.
		at := time.UnixMicro(s.Micros).Sub(began) - 2*r.p.s.MaxFutureSkew
		if s.View != "v@1" || s.Partition != 0 || at < 0 || at > time.Second {
			r.t.Errorf("%+v is %s after what a record could have", s, at)
		}
	}
}

// A lane that moves on after a loss has missed what nobody knows.
func TestALossInMidRunBeginsAggregatesAnew(t *testing.T) {
	var notes sinceNotes
	run(t, countsTrips(&notes), func(r *rig) {
		r.assign(committed(5, ours(3)))
		r.src.h.Deliver(fetch(p0, record(5, 'a', 10)))
		settle()
		r.wantSinces("none", time.Now())
		r.recover(9)
		r.src.h.Deliver(sources.Fetch{Partition: p0, Err: errDown})
		time.Sleep(3 * time.Second)
		r.wantSinces("all", time.Now().Add(-3*time.Second))
	})
}

// Records that expire while a lane is paused were not read either. The lane says
// so before it stores what comes behind them, however often that fails.
func TestRecordsThatExpireInMidRunBeginAggregatesAnew(t *testing.T) {
	var notes sinceNotes
	run(t, countsTrips(&notes), func(r *rig) {
		r.assign(committed(5, ours(3)))
		r.src.h.Deliver(fetch(p0, record(5, 'a', 10)))
		settle()
		r.wantSinces("none", time.Now())
		notes.fails = 3
		f := fetch(p0, record(9, 'b', 10))
		f.Expired = 3
		began := time.Now()
		r.src.h.Deliver(f)
		synctest.Wait()
		if len(r.store.Rows()) != 1 || !r.saw("expired 3") {
			t.Errorf("rows %v, events %v", r.store.Rows(), r.events)
		}
		time.Sleep(time.Second - time.Millisecond)
		r.wantSinces("all", began)
		r.wantCommit(p0, 10)
	})
}

// Readers take an aggregate for counted when the epoch of its version has begun:
// a lane says from when on it is complete before, however often that fails.
func TestAnAggregateIsNotCountedBeforeItsSinceIsKnown(t *testing.T) {
	notes := sinceNotes{fails: 3}
	run(t, countsTrips(&notes), func(r *rig) {
		a := committed(5, ours(2))
		a.Partitions = 1
		r.assign(a)
		time.Sleep(time.Minute)
		if adopted, err := r.epochs.Adopted(context.Background()); adopted["trips"] != 3 || err != nil {
			t.Errorf("adopted %v, %v", adopted, err)
		}
		if notes.early {
			t.Error("readers could take an aggregate for complete that is not")
		}
		r.wantSinces("last", time.Now().Add(-time.Minute))
		r.wantCommit(p0, 5)
	})
}

// Of two partitions one is not assigned: nothing is complete.
func TestPartitionsThatNobodyWorksAreWaitedFor(t *testing.T) {
	var notes sinceNotes
	run(t, countsTrips(&notes), func(r *rig) {
		a := fresh(p0)
		a.Partitions = 2
		r.assign(a)
		settle()
		if adopted, err := r.epochs.Adopted(context.Background()); adopted["trips"] != 0 || err != nil {
			t.Errorf("adopted %v, %v", adopted, err)
		}
		a.Partition = p1
		r.assign(a)
		settle()
		if adopted, err := r.epochs.Adopted(context.Background()); adopted["trips"] != 3 || err != nil {
			t.Errorf("adopted %v, %v", adopted, err)
		}
	})
}

// A new owner died between raising the epoch and committing its version: the
// commit is still the old one's. A process of the old version must not count:
// its tiles, which lack what is new, could win by their offset. It ends, and
// leaves the new windows as they are.
func TestAnOlderVersionDoesNotCountInANewerEpoch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var notes sinceNotes
		r := newRig(t, new(memory.Store), countsTrips(&notes))
		if _, err := r.epochs.Raise(context.Background(), "trips", 0, 4); err != nil {
			t.Fatal(err)
		}
		r.assign(committed(5, ours(2)))
		r.src.h.Deliver(fetch(p0, record(5, 'a', 10)))
		err := <-r.runErr
		var refused *CatalogError
		if !errors.As(err, &refused) || refused.Needs != 4 || refused.Runs != 3 {
			t.Errorf("ended with %v", err)
		}
		if _, moved := r.src.last(p0); moved || len(r.store.Rows()) > 0 {
			t.Errorf("it worked on: %v, %v", r.src.commits, r.store.Rows())
		}
		r.wantSinces("none", time.Now())
	})
}
