package pipeline

import (
	"context"
	"testing"
	"time"

	"millrace/feature"
	"millrace/sinks"
	"millrace/sinks/rowcodec"
	"millrace/sources"
	"millrace/sources/envelope"
	"millrace/sources/jsonrec"
	"millrace/transforms"
)

// deletes is a route as it is in production: a source with keys, whose view is
// stored by rowcodec.
func deletes(t *testing.T, onTombstone feature.TombstonePolicy) (Route, *transforms.Plan) {
	t.Helper()
	id := feature.SourceField{Field: feature.Field{Name: "driver_id", Type: feature.Of(feature.KindInt64)}, Key: true}
	fare := feature.SourceField{Field: feature.Field{Name: "fare", Type: feature.Of(feature.KindFloat64)}}
	src := &feature.Source{Name: "trips", Format: feature.FormatJSON, OnTombstone: onTombstone, Fields: []feature.SourceField{id, fare}}
	v := &feature.View{
		Name: "v", Entity: "driver", Source: "trips", Where: "fare > 0", Revision: 1, Generation: 1,
		Keys: []feature.JoinKeyExpr{{JoinKey: "driver_id", Expr: "driver_id"}}, Features: []feature.Feature{{Name: "fare", Expr: "fare"}},
	}
	p, problems := transforms.Compile(v, src, &feature.Entity{Name: "driver", JoinKeys: []feature.Field{id.Field}})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	p.Stored.ID = 1
	formats := envelope.Formats{Value: func(src *feature.Source, fields []feature.Field) (sources.Decoder, error) {
		return jsonrec.New(src, fields)
	}}
	fields := transforms.Fields(src, []*transforms.Plan{p})
	must := func(d sources.Decoder, err error) sources.Decoder {
		if err != nil {
			t.Error(err)
		}
		return d
	}
	return Route{
		Source: "trips", Topic: p0.Topic,
		Shapes: []Shape{{Fields: fields, NewDecoder: func() sources.Decoder { return must(envelope.New(src, fields, formats)) }}},
		Views: []RouteView{{
			View: v,
			NewTransformer: func() Transformer {
				w, err := p.NewWriter(fields, 5*time.Minute)
				if err != nil {
					t.Error(err)
				}
				return w
			},
			Finished: FinishedRows{
				Fields:         p.FinishedFields(),
				NewTransformer: func() Transformer { return p.NewFinishedWriter(5 * time.Minute) },
				NewDecoder: func() sources.Decoder {
					inner := must(jsonrec.NewFinished(p.Entity.JoinKeys, p.FinishedColumns()))
					return must(envelope.NewFinished(src, p.FinishedFields(), 1, inner, formats))
				},
			},
		}},
	}, p
}

// TestDeletesTakeRowsAway follows entities from stored to deleted and back;
// every record that makes a row or a reject has one end.
func TestDeletesTakeRowsAway(t *testing.T) {
	for _, policy := range []feature.TombstonePolicy{feature.TombstoneDelete, feature.TombstoneIgnore, feature.TombstoneDeadLetter} {
		route, plan := deletes(t, policy)
		change := func(s *Settings) {
			s.Routes = []Route{route}
			s.NewEncoder = func() sinks.Encoder { return rowcodec.NewEncoder() }
		}
		run(t, change, func(r *rig) {
			r.assign(fresh(p0))
			settle()
			found := func(key string) bool {
				q := feature.Query{Entity: "driver", Keys: []string{key}, Views: []feature.ViewQuery{{View: "v@1", Columns: plan.Stored.Columns}}}
				loaded := make([]feature.Loaded, 1)
				if err := rowcodec.NewReader(r.store, schemaOf{plan.Stored}).Read(t.Context(), &q, loaded); err != nil {
					t.Fatal(err)
				}
				return loaded[0].Found.Get(0)
			}
			offset := int64(0)
			publish := func(key, value string, at int64, headers ...string) {
				rec := headed(offset, 0, at, headers...)
				if rec.Value = []byte(value); value == "" {
					rec.Value = nil
				}
				if rec.Key = []byte(key); key == "" {
					rec.Key = nil
				}
				offset++
				r.src.h.Deliver(fetch(p0, rec))
				settle()
			}
			want := func(what, key string, is bool) {
				t.Helper()
				if found(key) != is {
					t.Errorf("policy %d: %s: found %v, want %v", policy, what, !is, is)
				}
			}
			deletes := policy == feature.TombstoneDelete
			publish("7", `{"fare":1}`, 1000)
			publish("8", `{"fare":1}`, 1000)
			want("stored", "7", true)
			publish("7", "", 500)
			want("an older delete", "7", true)
			publish("7", "", 1000)
			want("a delete in the same millisecond", "7", !deletes)
			publish("7", `{"fare":2}`, 1000)
			want("a re-insert in the same millisecond", "7", true)
			publish("7", "", 3000, flag, "false")
			want("a delete of a finished row", "7", !deletes)
			want("another entity", "8", true)
			publish("", "", 4000)
			publish("9", `{"fare":-1}`, 4000)
			letters, stored := 0, 3
			switch policy {
			case feature.TombstoneDelete:
				letters, stored = 1, 6 // no_key
			case feature.TombstoneDeadLetter:
				letters = 4
			case feature.TombstoneIgnore:
			}
			if got := r.ends; got.Stored != stored || got.Filtered != 1 || got.DeadLettered != letters || got.Received != stored+1+letters {
				t.Errorf("policy %d: ends %+v, want %d stored and %d letters", policy, got, stored, letters)
			}
			r.wantCommit(p0, offset)
		})
	}
}

// schemaOf knows one stored schema.
type schemaOf struct{ stored *feature.Stored }

func (s schemaOf) Schema(context.Context, uint32) (*feature.Stored, error) { return s.stored, nil }
