package app

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace/cmd/millrace/internal/config"
	"millrace/feature"
	"millrace/feature/definition"
	"millrace/sinks"
	"millrace/sinks/memory"
	"millrace/sources"
)

const rekeyedProject = `project: p
entities:
  - {name: e, join_keys: [{name: id, type: int64}]}
sources:
  - {name: s, kafka: {topic: t, start: latest}, format: json, fields: [{name: id, type: int64}, {name: n, type: int64}]}
  - {name: pushed, push: {}, fields: [{name: id, type: int64}]}
views:
  - {name: plain, entity: e, source: s, features: [{name: n}]}
  - {name: one, entity: e, source: s, rekey: true, features: [{name: c, agg: count, window: 1h}, {name: m, agg: max, of: n, window: 1h}]}
  - {name: two, entity: e, source: s, rekey: true, features: [{name: d, agg: count, window: 1h}]}
  - {name: other, entity: e, source: pushed, features: [{name: x, expr: id}]}
`

func rekeyed(t *testing.T) *definition.Project {
	t.Helper()
	p, err := definition.Load([]definition.File{{Name: "f.yaml", Data: []byte(rekeyedProject)}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestRekeyedViewsHaveRoutesOfTheirOwn(t *testing.T) {
	p, c := rekeyed(t), config.Default()
	rs, topics, err := routes(&c, p, &decoders{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i := range rs {
		r := &rs[i]
		got = append(got, r.Source+" "+r.Topic+" "+r.Views[0].View.Name+" not "+strings.Join(r.Elsewhere, ","))
		if derived := strings.Contains(r.Source, "/"); derived != (r.Copies != nil) || topics[i].Name != r.Topic || topics[i].Start.Latest == derived {
			t.Errorf("route %s has copies: %v, and begins %+v", r.Source, r.Copies != nil, topics[i])
		}
	}
	want := []string{"s t plain not one,two", "s/one millrace.p.rekey.one.g1 one not plain,two", "s/two millrace.p.rekey.two.g1 two not plain,one"}
	if !slices.Equal(got, want) {
		t.Errorf("routes %q, want %q", got, want)
	}
	replays, err := replayRoutes(&c, p)
	if err != nil || len(replays) != 4 || replays[3].Topic != "push/pushed" {
		t.Errorf("%d routes for replays, %v", len(replays), err)
	}
	tried, err := AllRoutes(&c, p)
	if err != nil || len(tried) != 2 || len(tried[0].Views) != 3 || tried[0].Copies != nil {
		t.Errorf("%d routes for trials, %v", len(tried), err)
	}
}

func TestSourcesAreFoundByTheirNames(t *testing.T) {
	k := rekeyed(t).Catalog
	if names := SourceNames(k); !slices.Equal(names, []string{"s", "s/one", "s/two", "pushed"}) {
		t.Errorf("sources %q", names)
	}
	for name, topic := range map[string]string{"s": "t", "s/one": "millrace.p.rekey.one.g1", "s/plain": "", "pushed/one": "", "s/": "", "nope": ""} {
		src := FindSource(k, name)
		if (src == nil) != (topic == "") || src != nil && (src.Topic != topic || src.Name != name) {
			t.Errorf("source %q: %+v", name, src)
		}
	}
	if s := k.Source("s"); s.Name != "s" || s.Topic != "t" || !s.Start.Latest {
		t.Errorf("the source itself became %+v", s)
	}
}

// TestTheLedgerIsKept: what was begun, and since when windows are complete.
func TestTheLedgerIsKept(t *testing.T) {
	p, c, store, ctx := rekeyed(t), config.Default(), new(memory.Store), t.Context()
	rs, _, err := routes(&c, p, &decoders{})
	if err != nil {
		t.Fatal(err)
	}
	l := newLedger(&c, &rs[1], "s", store)
	topic := sources.TopicID{9}
	err = errors.Join(l.Open(ctx, 2, topic), l.Missed(ctx, 2))
	if this, earlier, oerr := newLedger(&c, &rs[1], "s", store).Opened(ctx, 2, topic); err != nil || oerr != nil || !this || earlier {
		t.Errorf("this %v, earlier %v, %v %v", this, earlier, err, oerr)
	}
	if this, _, _ := newLedger(&c, &rs[2], "s", store).Opened(ctx, 2, topic); this {
		t.Error("another view's is taken for this one's")
	}
	all, err := sinks.NewSinces(store).All(ctx)
	if err != nil || len(all) != 2 {
		t.Fatalf("%+v %v", all, err)
	}
	for _, s := range all {
		if ahead := time.Until(time.UnixMicro(s.Micros)); s.View != "one@1" || ahead < 9*time.Minute || ahead > 10*time.Minute {
			t.Errorf("%+v, which is %s ahead: not twice the skew", s, ahead)
		}
	}
	if _, err := sinks.NewEpochs(store).Recover(ctx, "s", 2, topic, 40); err != nil {
		t.Fatal(err)
	}
	if r, err := l.Recovery(ctx, 2); err != nil || r.Number != 1 || r.Offset != 40 || !strings.HasPrefix(r.Topic, "09") {
		t.Errorf("%+v %v", r, err)
	}
	if group := RekeyGroup(&c, "p", &feature.View{Name: "one", Generation: 3}); group != "millrace-p.rekey.one@3" {
		t.Errorf("group %s", group)
	}
}
