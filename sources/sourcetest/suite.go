package sourcetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"millrace/feature"
	"millrace/sources"
)

// Harness is one log with at least two partitions, all empty, and one group
// without offsets.
type Harness struct {
	Topic string
	// Open makes one more member of the group.
	Open func(t *testing.T, start feature.StartAt) sources.Source
	// Append writes records with the given values; "<nil>" is a tombstone. Each
	// has the key "k" and the header "h" with the value "v".
	Append func(t *testing.T, partition int32, values ...string)
	// Committed returns what the group committed, -1 without an offset.
	Committed func(t *testing.T, partition int32) (offset int64, metadata string)
	// Deadline is how long a member may take to leave while the handler takes
	// no time; RevokeTimeout what a handler is given.
	Deadline, RevokeTimeout time.Duration
}

func (h *Harness) partition(n int32) sources.Partition {
	return sources.Partition{Topic: h.Topic, Number: n}
}

// Run runs the suite. open is called for every case; around runs the case and
// may put it in a bubble with its own clock (testing/synctest.Test).
func Run(t *testing.T, around func(*testing.T, func(*testing.T)), open func(*testing.T) Harness) {
	t.Helper()
	for _, c := range cases() {
		t.Run(c.name, func(t *testing.T) {
			around(t, func(t *testing.T) { c.run(t, open(t)) })
		})
	}
}

// Direct runs a case as it is.
func Direct(t *testing.T, f func(*testing.T)) { f(t) }

type testCase struct {
	name string
	run  func(*testing.T, Harness)
}

func cases() []testCase {
	return []testCase{
		{"records come whole and in order", wholeAndInOrder},
		{"a group without offsets begins at the start", beginsEarliest},
		{"a group without offsets begins at the end", beginsLatest},
		{"a group without offsets begins a duration back", beginsBack},
		{"commits carry their metadata to the next member", metadataRoundTrip},
		{"a full partition waits, the others go on", fullWaits},
		{"a resume that races with full is not forgotten", resumeRaces},
		{"a held partition gives nothing until it is resumed at an offset", heldWaits},
		{"a full partition is resumed at an earlier offset", resumeEarlier},
		{"a resume of a partition that flows changes nothing", resumeFlowing},
		{"a resume of a partition that is not ours changes nothing", resumeForeign},
		{"a second member takes its share from the first", sharesOut},
		{"no commit after revoked", noCommitAfterRevoked},
		{"what is committed while being revoked counts", commitWhileRevoked},
		{"a commit without time fails", commitWithoutTime},
		{"leaving is quick and gives everything back", leavesQuickly},
		{"a handler that takes too long is told the deadline", revokedDeadline},
		{"a blocked assignment ends with the source", blockedAssignment},
		{"a handler that refuses an assignment ends the source", refusedAssignment},
		{"a source runs once", runsOnce},
	}
}

// Member is a running source.
type Member struct {
	*Recorder
	Source sources.Source
	stop   context.CancelFunc
	done   chan error
	over   bool
}

// Start runs src with r until Stop, or until the test ends.
func Start(t *testing.T, src sources.Source, r *Recorder) *Member {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	m := &Member{Recorder: r, Source: src, stop: cancel, done: make(chan error, 1)}
	go func() { m.done <- src.Run(ctx, r) }()
	t.Cleanup(func() {
		m.Stop(t)
		r.Check(t)
	})
	return m
}

// Stop ends the member and returns how long it took.
func (m *Member) Stop(t *testing.T) time.Duration {
	t.Helper()
	begun := time.Now()
	m.stop()
	if err := m.End(t); err != nil {
		t.Errorf("run returned %v, want nil", err)
	}
	return time.Since(begun)
}

// End waits for Run to return and returns its error; nil when it was taken.
func (m *Member) End(t *testing.T) error {
	t.Helper()
	if m.over {
		return nil
	}
	m.over = true
	select {
	case err := <-m.done:
		return err
	case <-time.After(2 * patience):
		t.Fatal("run does not return")
		return nil
	}
}

// join starts one more member with r, or with a plain recorder.
func join(t *testing.T, h *Harness, r *Recorder) *Member {
	t.Helper()
	if r == nil {
		r = NewRecorder()
	}
	return Start(t, h.Open(t, feature.StartAt{}), r)
}

// waitOwned returns when m owns n partitions.
func (m *Member) waitOwned(t *testing.T, n int) {
	t.Helper()
	m.Wait(t, fmt.Sprintf("%d partitions", n), func() bool { return len(m.Owned()) == n })
}

// settle gives a source time to do what it must not do.
func settle() { time.Sleep(300 * time.Millisecond) }

func wholeAndInOrder(t *testing.T, h Harness) {
	var want []string
	for i := range 500 {
		want = append(want, fmt.Sprint("v", i))
	}
	h.Append(t, 0, want[:200]...)
	h.Append(t, 1, "x", "<nil>", "")
	m := join(t, &h, nil)
	m.waitOwned(t, 2)
	h.Append(t, 0, want[200:]...)
	m.WaitValues(t, h.partition(0), want...)
	m.WaitValues(t, h.partition(1), "x", "<nil>", "")
	for i, r := range m.Records(h.partition(0)) {
		if r.Offset != int64(i) || string(r.Key) != "k" || r.TimeMillis <= 0 ||
			len(r.Headers) != 1 || r.Headers[0].Key != "h" || string(r.Headers[0].Value) != "v" {
			t.Fatalf("record %d came as %+v", i, r)
		}
	}
}

func beginsEarliest(t *testing.T, h Harness) {
	h.Append(t, 0, "a", "b")
	m := join(t, &h, nil)
	m.WaitValues(t, h.partition(0), "a", "b")
	a := m.Assignments(h.partition(0))[0]
	if a.Committed != -1 || a.Metadata != "" || a.LogStart != 0 || a.LogEnd != 2 || a.Begin != 0 {
		t.Errorf("assigned as %+v", a)
	}
}

func beginsLatest(t *testing.T, h Harness) {
	h.Append(t, 0, "old", "older")
	m := Start(t, h.Open(t, feature.StartAt{Latest: true}), NewRecorder())
	m.waitOwned(t, 2)
	h.Append(t, 0, "new")
	m.WaitValues(t, h.partition(0), "new")
	if a := m.Assignments(h.partition(0))[0]; a.Begin != 2 || a.LogEnd != 2 {
		t.Errorf("assigned as %+v", a)
	}
}

func beginsBack(t *testing.T, h Harness) {
	h.Append(t, 0, "old")
	time.Sleep(3 * time.Second)
	h.Append(t, 0, "young")
	m := Start(t, h.Open(t, feature.StartAt{Back: 2 * time.Second}), NewRecorder())
	m.WaitValues(t, h.partition(0), "young")
	m.waitOwned(t, 2)
	if a := m.Assignments(h.partition(1))[0]; a.Begin != 0 {
		t.Errorf("an empty partition begins at %d", a.Begin)
	}
}

func metadataRoundTrip(t *testing.T, h Harness) {
	h.Append(t, 0, "a", "b", "c")
	m := join(t, &h, nil)
	m.WaitValues(t, h.partition(0), "a", "b", "c")
	marks := []sources.Mark{
		{Partition: h.partition(0), Offset: 2, Metadata: "first"},
		{Partition: h.partition(1), Offset: 0, Metadata: "second"},
	}
	m.waitOwned(t, 2)
	if err := m.Source.Commit(t.Context(), marks); err != nil {
		t.Fatal(err)
	}
	if o, meta := h.Committed(t, 0); o != 2 || meta != "first" {
		t.Errorf("committed %d with %q", o, meta)
	}
	m.Stop(t)
	next := join(t, &h, nil)
	next.WaitValues(t, h.partition(0), "c")
	next.waitOwned(t, 2)
	before, after := m.Assignments(h.partition(0))[0], next.Assignments(h.partition(0))[0]
	if after.Committed != 2 || after.Metadata != "first" || after.TopicID != before.TopicID {
		t.Errorf("assigned as %+v, then %+v", before, after)
	}
	if a := next.Assignments(h.partition(1))[0]; a.Committed != 0 || a.Metadata != "second" {
		t.Errorf("assigned as %+v", a)
	}
}

// fullOn makes a recorder that is full after every delivery of n.
func fullOn(n int32) *Recorder {
	r := NewRecorder()
	r.Full = func(f sources.Fetch) bool { return f.Number == n }
	return r
}

func fullWaits(t *testing.T, h Harness) {
	h.Append(t, 0, "a")
	m := join(t, &h, fullOn(0))
	m.WaitValues(t, h.partition(0), "a")
	h.Append(t, 0, "b")
	h.Append(t, 1, "x")
	m.WaitValues(t, h.partition(1), "x")
	settle() // Check sees a delivery to a full partition
	m.WaitValues(t, h.partition(0), "a")
	m.Resume(m.Source, h.partition(0), sources.KeepPosition)
	m.WaitValues(t, h.partition(0), "a", "b")
}

func resumeRaces(t *testing.T, h Harness) {
	r := NewRecorder()
	m := &Member{}
	r.Full = func(f sources.Fetch) bool {
		go r.Resume(m.Source, f.Partition, sources.KeepPosition)
		return true
	}
	m.Source = h.Open(t, feature.StartAt{})
	running := Start(t, m.Source, r)
	var want []string
	for i := range 60 {
		want = append(want, strconv.Itoa(i))
		h.Append(t, 0, want[i])
	}
	// Resume may come before Deliver noted that it was full; then the recorder
	// believes the partition closed. What counts is that everything comes.
	running.Wait(t, "all records", func() bool { return len(r.Records(h.partition(0))) >= len(want) })
	if got := r.Values(h.partition(0)); !slices.Equal(got, want) {
		t.Errorf("delivered %q", got)
	}
	r.forgive()
}

func heldWaits(t *testing.T, h Harness) {
	h.Append(t, 0, "a", "b", "c", "d")
	r := NewRecorder()
	r.Begin = func(_ context.Context, a sources.Assignment) (sources.Start, error) {
		return sources.Start{Partition: a.Partition, Offset: a.LogEnd, Hold: a.Number == 0}, nil
	}
	m := join(t, &h, r)
	m.waitOwned(t, 2)
	h.Append(t, 1, "x")
	m.WaitValues(t, h.partition(1), "x")
	settle()
	if got := m.Values(h.partition(0)); len(got) > 0 {
		t.Fatalf("a held partition gave %q", got)
	}
	m.Resume(m.Source, h.partition(0), 2)
	m.WaitValues(t, h.partition(0), "c", "d")
}

func resumeEarlier(t *testing.T, h Harness) {
	h.Append(t, 0, "a", "b", "c")
	m := join(t, &h, fullOn(0))
	m.WaitValues(t, h.partition(0), "a", "b", "c")
	m.Resume(m.Source, h.partition(0), 1)
	m.WaitValues(t, h.partition(0), "a", "b", "c", "b", "c")
	m.Resume(m.Source, h.partition(0), 1)
	m.WaitValues(t, h.partition(0), "a", "b", "c", "b", "c", "b", "c")
}

func resumeFlowing(t *testing.T, h Harness) {
	h.Append(t, 0, "a", "b")
	m := join(t, &h, nil)
	m.WaitValues(t, h.partition(0), "a", "b")
	m.Source.Resume(h.partition(0), 0)
	m.Source.Resume(h.partition(0), sources.KeepPosition)
	h.Append(t, 0, "c")
	m.WaitValues(t, h.partition(0), "a", "b", "c")
}

func resumeForeign(t *testing.T, h Harness) {
	m := join(t, &h, nil)
	m.Source.Resume(h.partition(0), 7)
	m.Source.Resume(sources.Partition{Topic: "no such topic"}, 7)
	h.Append(t, 0, "a")
	m.WaitValues(t, h.partition(0), "a")
}

func sharesOut(t *testing.T, h Harness) {
	one := join(t, &h, nil)
	one.waitOwned(t, 2)
	two := join(t, &h, nil)
	one.waitOwned(t, 1)
	two.waitOwned(t, 1)
	mine, theirs := one.Owned()[0], two.Owned()[0]
	if mine == theirs {
		t.Fatalf("both own partition %d", mine)
	}
	h.Append(t, mine, "m")
	h.Append(t, theirs, "t")
	one.WaitValues(t, h.partition(mine), "m")
	two.WaitValues(t, h.partition(theirs), "t")
	if revoked, lost := one.TakenAway(); !slices.Equal(revoked, []sources.Partition{h.partition(theirs)}) || len(lost) > 0 {
		t.Errorf("revoked %v, lost %v", revoked, lost)
	}
	two.Stop(t)
	one.waitOwned(t, 2)
}

func noCommitAfterRevoked(t *testing.T, h Harness) {
	h.Append(t, 0, "a")
	h.Append(t, 1, "a")
	one := join(t, &h, nil)
	one.WaitValues(t, h.partition(0), "a")
	one.WaitValues(t, h.partition(1), "a")
	two := join(t, &h, nil)
	one.waitOwned(t, 1)
	two.waitOwned(t, 1)
	gone := two.Owned()[0]
	if err := one.Source.Commit(t.Context(), []sources.Mark{{Partition: h.partition(gone), Offset: 1}}); err == nil {
		t.Error("a commit of a partition that is gone succeeded")
	}
	if o, _ := h.Committed(t, gone); o != -1 {
		t.Errorf("the commit reached the log: %d", o)
	}
	kept := one.Owned()[0]
	if err := one.Source.Commit(t.Context(), []sources.Mark{{Partition: h.partition(kept), Offset: 1}}); err != nil {
		t.Error(err)
	}
}

func commitWhileRevoked(t *testing.T, h Harness) {
	h.Append(t, 0, "a", "b")
	h.Append(t, 1, "a", "b")
	r := NewRecorder()
	m := &Member{Source: h.Open(t, feature.StartAt{})}
	r.OnRevoked = func(ctx context.Context, ps []sources.Partition) {
		for _, p := range ps {
			if err := m.Source.Commit(ctx, []sources.Mark{{Partition: p, Offset: 1, Metadata: "bye"}}); err != nil {
				t.Errorf("commit while %v is revoked: %v", p, err)
			}
		}
	}
	one := Start(t, m.Source, r)
	one.WaitValues(t, h.partition(0), "a", "b")
	one.WaitValues(t, h.partition(1), "a", "b")
	two := join(t, &h, nil)
	two.waitOwned(t, 1)
	two.WaitValues(t, h.partition(two.Owned()[0]), "b")
	one.Stop(t)
	two.waitOwned(t, 2)
	for n := range int32(2) {
		if o, meta := h.Committed(t, n); o != 1 || meta != "bye" {
			t.Errorf("partition %d: committed %d with %q", n, o, meta)
		}
		two.WaitValues(t, h.partition(n), "b")
	}
}

func commitWithoutTime(t *testing.T, h Harness) {
	h.Append(t, 0, "a")
	m := join(t, &h, nil)
	m.WaitValues(t, h.partition(0), "a")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.Source.Commit(ctx, []sources.Mark{{Partition: h.partition(0), Offset: 1}}); err == nil {
		t.Error("a commit without time succeeded")
	}
	if err := m.Source.Commit(t.Context(), []sources.Mark{{Partition: h.partition(0), Offset: 1}}); err != nil {
		t.Errorf("the next commit: %v", err)
	}
}

func leavesQuickly(t *testing.T, h Harness) {
	h.Append(t, 0, "a")
	m := join(t, &h, nil)
	m.waitOwned(t, 2)
	if took := m.Stop(t); took > h.Deadline {
		t.Errorf("leaving took %v, more than %v", took, h.Deadline)
	}
	if revoked, lost := m.TakenAway(); len(revoked) != 2 || len(lost) > 0 || len(m.Owned()) > 0 {
		t.Errorf("revoked %v, lost %v, kept %v", revoked, lost, m.Owned())
	}
}

func revokedDeadline(t *testing.T, h Harness) {
	r := NewRecorder()
	r.OnRevoked = func(ctx context.Context, _ []sources.Partition) { <-ctx.Done() }
	m := join(t, &h, r)
	m.waitOwned(t, 2)
	if took := m.Stop(t); took < h.RevokeTimeout/2 || took > h.RevokeTimeout+h.Deadline {
		t.Errorf("leaving took %v with a revoke timeout of %v", took, h.RevokeTimeout)
	}
}

func blockedAssignment(t *testing.T, h Harness) {
	entered := make(chan struct{}, 1)
	r := NewRecorder()
	r.Begin = func(ctx context.Context, _ sources.Assignment) (sources.Start, error) {
		entered <- struct{}{}
		<-ctx.Done()
		return sources.Start{}, ctx.Err()
	}
	m := join(t, &h, r)
	<-entered
	if took := m.Stop(t); took > h.Deadline {
		t.Errorf("leaving took %v, more than %v", took, h.Deadline)
	}
	if revoked, lost := m.TakenAway(); len(revoked)+len(lost) > 0 {
		t.Errorf("took away %v and %v, which were never accepted", revoked, lost)
	}
}

func refusedAssignment(t *testing.T, h Harness) {
	refusal := errors.New("refused")
	r := NewRecorder()
	r.Begin = func(context.Context, sources.Assignment) (sources.Start, error) { return sources.Start{}, refusal }
	m := join(t, &h, r)
	if err := m.End(t); !errors.Is(err, refusal) {
		t.Errorf("run returned %v, want the handler's error", err)
	}
}

func runsOnce(t *testing.T, h Harness) {
	m := join(t, &h, nil)
	m.waitOwned(t, 2)
	if err := m.Source.Run(t.Context(), NewRecorder()); err == nil {
		t.Error("a second run was begun")
	}
}
