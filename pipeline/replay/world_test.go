package replay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"millrace/feature"
	"millrace/feature/definition"
	"millrace/pipeline"
	"millrace/sinks"
	"millrace/sinks/memory"
	"millrace/sinks/rowcodec"
	"millrace/sources"
	"millrace/sources/jsonrec"
	"millrace/transforms"
)

// Two catalog versions: the first refuses every fare with a fraction (no view
// at all can be made of the record) and every code that is no number (view
// codes only); the second takes both.
const (
	broken = `
project: p
entities:
  - {name: driver, join_keys: [{name: driver_id, type: int64}]}
sources:
  - name: trips
    kafka: {topic: trips}
    format: json
    fields:
      - {name: driver_id, type: int64}
      - {name: fare, type: int64}
      - {name: code, type: string}
      - {name: at, type: timestamp, unit: ms}
    event_time: at
views:
  - name: codes
    entity: driver
    source: trips
    where: code is distinct from 'none'
    features: [{name: number, expr: cast(code as bigint)}]
  - name: fares
    entity: driver
    source: trips
    features: [{name: amount, expr: fare}]
`
)

var fixed = strings.NewReplacer("name: fare, type: int64", "name: fare, type: float64", "cast(code", "try_cast(code").Replace(broken)

// tester is what *testing.T and *rapid.T have in common here.
type tester interface {
	Helper()
	Fatalf(format string, args ...any)
}

// catalog compiles definitions as a version whose views have revision version.
func catalog(t tester, version int64, text string) *Catalog {
	t.Helper()
	p, err := definition.Load([]definition.File{{Name: "a.yaml", Data: []byte(text)}})
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	src := p.Catalog.Sources[0]
	views := p.Catalog.ViewsOf(src.Name)
	var plans []*transforms.Plan
	for _, v := range views {
		v.Revision, v.Generation = uint16(version), 1
		plans = append(plans, p.Plans[v.Name])
	}
	fields := transforms.Fields(src, plans)
	r := pipeline.Route{Source: src.Name, Topic: src.Topic, Shapes: []pipeline.Shape{{Fields: fields, NewDecoder: func() sources.Decoder {
		d, err := jsonrec.New(src, fields)
		if err != nil {
			t.Fatalf("decoder: %v", err)
		}
		return d
	}}}}
	for i, v := range views {
		r.Views = append(r.Views, pipeline.RouteView{View: v, Windows: plans[i].Windows, NewTransformer: func() pipeline.Transformer {
			w, err := plans[i].NewWriter(fields, transforms.DefaultMaxFutureSkew)
			if err != nil {
				t.Fatalf("writer: %v", err)
			}
			return w
		}})
	}
	return &Catalog{Version: version, Routes: []pipeline.Route{r}}
}

const base = 1_790_000_000_000

// ingest does with records what a lane does: rows and letters.
func ingest(t tester, store *memory.Store, c *Catalog, partition int32, records []sources.Record) {
	t.Helper()
	ctx, route := context.Background(), &c.Routes[0]
	var in feature.Batch
	in.Reset(route.Shapes[0].Fields, partition)
	if err := route.Shapes[0].NewDecoder().Decode(ctx, &in, records); err != nil {
		t.Fatalf("decode: %v", err)
	}
	in.RefuseWhole()
	var letters []sinks.Letter
	letter := func(view string, revision uint16, r *feature.Reject) {
		rec := &records[r.Origin.Record]
		letters = append(letters, sinks.Letter{
			LetterID: sinks.LetterID{
				Source: route.Source, Partition: partition, Day: sinks.DayOf(rec.TimeMillis),
				Position: rec.Offset, Element: r.Origin.Element, View: view,
			},
			Topic: route.Topic, Offset: rec.Offset, RecordMillis: rec.TimeMillis,
			Stage: r.Stage, Reason: r.Reason, Message: r.Message, Revision: revision, CatalogVersion: c.Version,
			RecordKey: rec.Key, RecordValue: rec.Value,
		})
	}
	for i := range in.Rejects {
		letter("", 0, &in.Rejects[i])
	}
	var b sinks.Buffer
	counter := pipeline.NewCounter(route, partition, 1, 0)
	for i := range route.Views {
		var rows feature.Rows
		first := len(b.Rows)
		route.Views[i].NewTransformer().Apply(&in, 0, &rows)
		rowcodec.NewEncoder().Encode(&b, &rows)
		if route.Views[i].Windows != nil {
			keys, offsets := make([]string, len(rows.Origins)), make([]int64, len(rows.Origins))
			for j := range rows.Origins { // the encoder refuses none of these
				keys[j], offsets[j] = b.Rows[first+j].Key, rows.Origins[j].Offset
			}
			if err := counter.Count(ctx, store, i, &rows, keys, offsets); err != nil {
				t.Fatalf("count: %v", err)
			}
		}
		for j := range rows.Rejects {
			letter(route.Views[i].View.Name, route.Views[i].View.Revision, &rows.Rejects[j])
		}
	}
	if err := errors.Join(store.Put(ctx, letters), store.Write(ctx, b.Rows), store.WriteTiles(ctx, counter.Tiles(int64(len(records))))); err != nil {
		t.Fatalf("store: %v", err)
	}
}

func settings(store Store, versions ...*Catalog) Settings {
	return Settings{
		Store: store, NewEncoder: func() sinks.Encoder { return rowcodec.NewEncoder() },
		Catalog: func(_ context.Context, version int64) (*Catalog, error) {
			if version == 0 {
				return versions[len(versions)-1], nil
			}
			return versions[version-1], nil
		},
		Revision: func(_ context.Context, version int64, _ string) (uint16, error) { return uint16(version), nil },
	}
}

var errKilled = errors.New("killed")

// killer is a store whose process dies at a call, before or after it worked,
// and a witness of what a chunk's end must mean.
type killer struct {
	*memory.Store
	left    int // calls; negative never kills
	after   bool
	instead func() // what happens at that call, which then works, instead of its death
	broken  sabotage
	windows *transforms.Windows // of noFence
	seen    []byte              // what it stored as the state of replays
	faults  []string
}

func (k *killer) call(do func() error) error {
	if k.left == 0 && k.instead != nil {
		k.left = -1
		k.instead()
	}
	if k.left == 0 {
		if k.after {
			k.after = false
			if err := do(); err != nil {
				return err
			}
		}
		return errKilled
	}
	k.left--
	return do()
}

func (k *killer) Write(ctx context.Context, rows []sinks.Row) error {
	return k.call(func() error { return k.Store.Write(ctx, rows) })
}

func (k *killer) Sync(ctx context.Context) error {
	return k.call(func() error { return k.Store.Sync(ctx) })
}

func (k *killer) Put(ctx context.Context, letters []sinks.Letter) error {
	return k.call(func() error { return k.Store.Put(ctx, letters) })
}

// MarkLetters may be killed between any two letters, as on a cluster.
func (k *killer) MarkLetters(ctx context.Context, marks []sinks.LetterMark) error {
	for i := range marks {
		if err := k.call(func() error { return k.Store.MarkLetters(ctx, marks[i:i+1]) }); err != nil {
			return err
		}
	}
	return nil
}

func (k *killer) GetLetters(ctx context.Context, ids []sinks.LetterID, fn func(*sinks.Letter) bool) error {
	return k.call(func() error { return k.Store.GetLetters(ctx, ids, fn) })
}

func (k *killer) EachLetter(ctx context.Context, f sinks.LetterFilter, fn func(*sinks.Letter) bool) error {
	return k.call(func() error { return k.Store.EachLetter(ctx, f, fn) })
}

func (k *killer) Get(ctx context.Context, t sinks.MetaTable, id string) (v []byte, err error) {
	if k.broken == noLook && k.seen != nil && t == sinks.MetaReplays {
		return k.seen, nil
	}
	err = k.call(func() error { v, err = k.Store.Get(ctx, t, id); return err })
	return v, err
}

func (k *killer) Swap(ctx context.Context, t sinks.MetaTable, id string, old, value []byte) (swapped bool, err error) {
	err = k.call(func() error { swapped, err = k.Store.Swap(ctx, t, id, old, value); return err })
	if swapped {
		k.seen = value
		k.witness(old, value)
	}
	return swapped, err
}

// witness checks that numbers never go back, and that a chunk is let go only
// when each of its letters is at its end or carries its number.
func (k *killer) witness(old, value []byte) {
	var was, is state
	if len(old) == 0 {
		return
	}
	if err := errors.Join(json.Unmarshal(old, &was), json.Unmarshal(value, &is)); err != nil {
		k.faults = append(k.faults, err.Error())
		return
	}
	if is.Next < was.Next || is.Epoch < was.Epoch || is.Chunk != nil && is.Chunk.First+int64(len(is.Chunk.Letters)) > is.Next {
		k.faults = append(k.faults, fmt.Sprintf("numbers went from %+v to %+v", was, is))
	}
	if was.Chunk == nil || is.Chunk != nil && is.Chunk.First == was.Chunk.First {
		return
	}
	for i, id := range was.Chunk.Letters {
		for _, l := range k.Letters() {
			if l.LetterID == id && l.ReplayNumber != was.Chunk.First+int64(i) {
				k.faults = append(k.faults, fmt.Sprintf("letter %d of a chunk is let go without its end", i))
			}
		}
	}
}
