package pipeline

import (
	"fmt"
	"slices"
	"testing"

	"millrace/feature"
	"millrace/internal/synctest"
	"millrace/sources"
)

// headed is a record with headers, name and value by turns.
func headed(offset int64, key byte, at int64, headers ...string) sources.Record {
	r := record(offset, key, at)
	for i := 0; i < len(headers); i += 2 {
		r.Headers = append(r.Headers, sources.Header{Key: headers[i], Value: []byte(headers[i+1])})
	}
	return r
}

const flag, named = sources.HeaderTransformOnWrite, sources.HeaderView

func TestTheCourseOfARecord(t *testing.T) {
	one := []RouteView{fakeView(&feature.View{Name: "v"})}
	two := append(slices.Clone(one), fakeView(&feature.View{Name: "w"}))
	raw, finished := Course{View: EveryView}, Course{Finished: true}
	for _, c := range []struct {
		views    []RouteView
		finished bool // says the source
		headers  []string
		want     Course
		wrong    wrong
	}{
		{one, false, nil, raw, fits},
		{one, true, nil, finished, fits},
		{one, false, []string{flag, "false"}, finished, fits},
		{one, true, []string{flag, "true"}, raw, fits},
		{one, false, []string{flag, "false", named, "v"}, finished, fits},
		{one, false, []string{flag, "false", named, "w"}, raw, viewUnknown},
		{two, true, nil, raw, viewUnnamed},
		{two, true, []string{named, "w"}, Course{Finished: true, View: 1}, fits},
		{two, false, []string{flag, "false", named, "v"}, finished, fits},
		{two, false, []string{named, "w", flag, "false"}, Course{Finished: true, View: 1}, fits},
		{two, false, []string{flag, "false", named, ""}, raw, viewUnknown},
		{two, false, []string{flag, "False"}, raw, wrongFlag},
		{two, false, []string{flag, ""}, raw, wrongFlag},
		{two, true, []string{flag, "1", named, "v"}, raw, wrongFlag},
		{one, false, []string{flag, "true", flag, "false"}, finished, fits}, // the last one counts
		{one, false, []string{"Transform_on_write", "false"}, raw, fits},

		// A raw record may be for one view.
		{two, false, []string{named, "w"}, Course{View: 1}, fits},
		{two, true, []string{named, "w", flag, "true"}, Course{View: 1}, fits},
		{two, false, []string{named, "nope"}, raw, viewUnknown},
		{one, false, []string{named, "v"}, raw, fits},
		{one, false, []string{named, "w"}, raw, viewUnknown},
		{one, false, []string{format, "fields"}, Course{View: EveryView, Fields: true}, fits},
		{one, false, []string{format, "json"}, raw, wrongFormat},
		{one, false, []string{format, "json", format, "fields"}, raw, wrongFormat},
		{one, false, []string{format, ""}, raw, wrongFormat},
		{two, false, []string{format, "fields", named, "v"}, Course{View: 0, Fields: true}, fits},
		{one, false, []string{to, "online"}, raw, fits},
		{one, false, []string{to, "online_and_offline"}, raw, fits},
		{one, false, []string{to, "offline"}, Course{View: EveryView, Offline: true}, fits},
		{one, false, []string{to, "nowhere"}, raw, wrongTo},
		{two, false, []string{to, "offline", named, "w"}, Course{View: 1, Offline: true}, fits},
		{two, true, []string{to, "offline"}, raw, viewUnnamed},
		{one, false, []string{to, "x", flag, "y"}, raw, wrongTo}, // the first that is wrong
		{one, false, []string{sources.HeaderWait, ""}, Course{View: EveryView, awaited: true}, fits},
		{one, false, []string{flag, "maybe", sources.HeaderWait, "1"}, Course{awaited: true}, wrongFlag},
	} {
		r := &Route{Views: c.views, Finished: c.finished, Pushed: true}
		rec := headed(0, 'a', 0, c.headers...)
		got, w := r.courseOf(&rec)
		if w != c.wrong || w == fits && got != c.want || got.awaited != c.want.awaited {
			t.Errorf("%d views, source says finished: %v, headers %q: %+v (%d), want %+v (%d)", len(c.views), c.finished, c.headers, got, w, c.want, c.wrong)
		}
		if _, refused := r.Course(&rec); (refused == nil) != (c.wrong == fits) || refused != nil && refused.Message == "" {
			t.Errorf("headers %q: reject %+v", c.headers, refused)
		}
	}
	for _, value := range []string{"fields", "json"} { // means nothing where nobody pushes
		rec := headed(0, 'a', 0, format, value)
		if got, w := (&Route{Views: one}).courseOf(&rec); w != fits || got != raw {
			t.Errorf("not pushed, %s: %+v (%d)", value, got, w)
		}
	}
}

// twoViews makes the source feed views v and w, and collects what their rows
// came to.
func twoViews(got map[string]*ViewEnds) func(*Settings) {
	return func(s *Settings) {
		s.Routes[0].Views = append(s.Routes[0].Views, fakeView(&feature.View{Name: "w", Entity: "e", Revision: 2}))
		s.Events = Events{BatchDone: func(b *BatchStats) {
			for _, v := range b.Views {
				sum := got[v.View]
				if sum == nil {
					sum = new(ViewEnds)
					got[v.View] = sum
				}
				sum.Received += v.Received
				sum.Stored += v.Stored
				sum.Superseded += v.Superseded
				sum.Filtered += v.Filtered
				sum.DeadLettered += v.DeadLettered
			}
		}}
	}
}

// TestRawAndFinishedInOneBatch mixes both in one micro-batch: every record is
// counted where it belongs, one write per key is left, and letters hold their
// own record.
func TestRawAndFinishedInOneBatch(t *testing.T) {
	got := make(map[string]*ViewEnds)
	run(t, twoViews(got), func(r *rig) {
		r.assign(fresh(p0))
		settle()
		r.src.h.Deliver(fetch(p0,
			record(0, 'a', 5),
			headed(1, 'a', 9, flag, "false", named, "v"), // newer than the raw one
			headed(2, 'a', 1, flag, "false", named, "w"), // older
			headed(3, '!', 5, flag, "false", named, "v"),
			headed(4, '~', 5, flag, "false", named, "w"),
			headed(5, '?', 5, flag, "false", named, "w"),
			headed(6, 'x', 5, flag, "no"),
			headed(7, 'x', 5, flag, "false"),
			headed(8, 'x', 5, flag, "false", named, "nope"),
			record(9, '!', 5),
			headed(10, 'b', 5, flag, "true"),
		))
		settle()
		for view, want := range map[string]ViewEnds{
			// 0, 10 and 1 are stored; 6–9 are refused for all, 3 for v alone.
			"v": {Received: 8, Stored: 3, Superseded: 1, DeadLettered: 5},
			"w": {Received: 9, Stored: 3, Superseded: 1, Filtered: 1, DeadLettered: 5},
		} {
			if e := got[view]; fmt.Sprint(*e) != fmt.Sprint(want) {
				t.Errorf("view %s: %+v, want %+v", view, *e, want)
			}
		}
		at := map[string]int64{}
		for _, row := range r.store.Rows() {
			at[row.View+" "+row.Key] = row.Stamp / 1000
		}
		if want := map[string]int64{"v a": 9, "v b": 5, "w a": 5, "w b": 5}; fmt.Sprint(at) != fmt.Sprint(want) {
			t.Errorf("rows %v, want %v", at, want)
		}
		var letters []string
		for _, l := range r.store.Letters() {
			letters = append(letters, fmt.Sprintf("%02d %s %q %s", l.Offset, l.RecordValue, l.View, l.Reason))
		}
		slices.Sort(letters)
		want := []string{
			`03 ! "v" malformed`, `04 ~ "w" expression`, `06 x "" bad_flag`, `07 x "" unknown_view`,
			`08 x "" unknown_view`, `09 ! "" malformed`,
		}
		if !slices.Equal(letters, want) {
			t.Errorf("letters\n%q, want\n%q", letters, want)
		}
		r.wantCommit(p0, 11)
	})
}

// TestTheSourceDecidesWithoutAHeader takes records of such a source for
// finished rows; a header says otherwise.
func TestTheSourceDecidesWithoutAHeader(t *testing.T) {
	raw, finished := 0, 0
	count := func(s *Settings) {
		r := &s.Routes[0]
		r.Finished = true
		r.Views[0].NewTransformer = func() Transformer { return countingTransformer{fakeTransformer{v: r.Views[0].View}, &raw} }
		r.Views[0].Finished.NewTransformer = func() Transformer { return countingTransformer{fakeTransformer{v: r.Views[0].View}, &finished} }
	}
	run(t, count, func(r *rig) {
		r.assign(fresh(p0))
		settle()
		r.src.h.Deliver(fetch(p0, record(0, 'a', 1), headed(1, 'b', 1, flag, "true"), record(2, 'c', 1), headed(3, 'd', 1, flag, "false")))
		settle()
		if raw != 1 || finished != 3 {
			t.Errorf("%d raw and %d finished rows", raw, finished)
		}
	})
}

type countingTransformer struct {
	Transformer
	rows *int
}

func (c countingTransformer) Apply(in *feature.Batch, now int64, out *feature.Rows) {
	*c.rows += in.Rows()
	c.Transformer.Apply(in, now, out)
}

// TestADecoderOfFinishedRowsIsAskedAgain holds the batch while a decoder of
// finished rows can say nothing, and counts nothing twice.
func TestADecoderOfFinishedRowsIsAskedAgain(t *testing.T) {
	got := make(map[string]*ViewEnds)
	fail := new(faults)
	change := func(s *Settings) {
		twoViews(got)(s)
		s.Routes[0].Views[1].Finished.NewDecoder = func() sources.Decoder { return fakeDecoder{fail} }
	}
	run(t, change, func(r *rig) {
		r.assign(fresh(p0))
		settle()
		fail.set("decode", errDown)
		r.src.h.Deliver(fetch(p0, record(0, 'a', 1), headed(1, '!', 1, flag, "false", named, "w"), headed(2, 'b', 1, flag, "false", named, "w")))
		settle()
		r.wantCommit(p0, 0)
		fail.set("decode", nil)
		synctest.Wait()
		settle()
		settle()
		r.wantCommit(p0, 3)
		if want := (ViewEnds{Received: 3, Stored: 2, DeadLettered: 1}); fmt.Sprint(*got["w"]) != fmt.Sprint(want) {
			t.Errorf("view w: %+v", *got["w"])
		}
	})
}

// A batch of both kinds allocates nothing either, and lets go of its records.
func TestAMixedBatchAllocatesNothingInSteadyState(t *testing.T) {
	settings := benchSettings()
	route := &settings.Routes[0]
	route.Pushed, route.Shapes[0].NewFields = true, route.Shapes[0].NewDecoder
	p, err := New(settings)
	if err != nil {
		t.Fatal(err)
	}
	defer p.cut()
	l := newLane(p, &p.s.Routes[0], fresh(p0))
	const records, rounds = 512, 20
	batch := fetch(p0)
	for i := range int64(records) {
		rec := record(i, byte(i%200)+40, 10)
		if i%3 == 0 {
			rec = headed(i, byte(i%200)+40, 10, flag, "false")
		} else if i%5 == 0 {
			rec = headed(i, byte(i%200)+40, 10, format, sources.FormatFields)
		}
		if len(rec.Value) == 1 && (rec.Value[0] == '?' || rec.Value[0] == '~') {
			rec.Value[0] = 'a' // refusing allocates a letter
		}
		batch.Records = append(batch.Records, rec)
	}
	fetches := make([]sources.Fetch, 2*rounds+10)
	for i := range fetches {
		fetches[i] = fetch(p0, slices.Clone(batch.Records)...)
		for j := range fetches[i].Records {
			fetches[i].Records[j].Offset += int64(i * records)
		}
	}
	s, next := <-l.slots, 0
	allocs := testing.AllocsPerRun(rounds, func() {
		l.deliver(fetches[next])
		next++
		if _, ok := l.fill(s); !ok {
			t.Fatal("nothing was taken")
		}
		l.mu.tracker.finish(s.id, false)
		l.release(s.bytes)
	})
	if allocs > 2 && !raceEnabled { // the queue, now and then
		t.Errorf("%.0f allocations for %d records", allocs, records)
	}
	for _, held := range [][]sources.Record{l.shares.raw.own, l.shares.finished[0].own} {
		for _, rec := range held[:cap(held)] {
			if rec.Value != nil || rec.Headers != nil {
				t.Fatal("a share holds a record of a batch that is done")
			}
		}
	}
}
