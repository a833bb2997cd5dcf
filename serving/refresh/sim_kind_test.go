package refresh_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"millrace/feature/definition"
	"millrace/sinks"
	"millrace/sinks/memory"
)

// kind is how the definitions of a simulation are: in two versions, of which
// the second one is applied at some time, or never.
type kind struct {
	entity     string
	inputs     []string // of the model, as a lookup asks for them
	versions   [2]*definition.Project
	onRead     bool
	maxAge     time.Duration
	staleFor   time.Duration
	debounce   time.Duration
	previousOK bool // serve_previous_version
}

const project = `
project: sim
entities:
  - {name: driver, join_keys: [{name: driver_id, type: int64}]}
  - {name: offer, join_keys: [{name: driver_id, type: int64}, {name: item_id, type: int64}]}
sources:
  - name: trips
    push: {}
    fields: [{name: driver_id, type: int64}, {name: item_id, type: int64}, {name: n, type: int64}]
views:
  - {name: a, entity: ENTITY, source: trips, features: [{name: last, expr: n}, {name: shown, expr: "n * 2", at: read, default: 7}]}
  - {name: b, entity: ENTITY, source: trips, features: [{name: latest, expr: n}]}
  - {name: w, entity: ENTITY, source: trips, features: [{name: count, agg: count, windows: [48h], hop: 24h}, {name: total, agg: sum, of: n, windows: [48h], hop: 24h}]}
  - {name: up, entity: driver, source: trips, features: [{name: own, expr: n}]}
on_demand_views:
  - {name: calc, entity: ENTITY, sources: [a, b], features: [{name: both, expr: "a.shown + b.latest", type: int64}]}
models:
  - name: m
    version: "1"
    endpoint: http://m
    entity: ENTITY
    inputs: [INPUTS]
    outputs: [{name: echo, type: string}, {name: noise, type: int64}]
    max_batch: 3
`

// loaded keeps what was compiled, by its text: many simulations have the same.
// The schemas are those of all of them.
var loaded = struct {
	sync.Mutex
	of      map[string]*definition.Project
	meta    memory.Store
	schemas *sinks.Schemas
}{of: make(map[string]*definition.Project)}

func loadProject(text string, version int64) (*definition.Project, error) {
	loaded.Lock()
	defer loaded.Unlock()
	if loaded.schemas == nil {
		loaded.schemas = sinks.NewSchemas(&loaded.meta)
	}
	id := fmt.Sprint(version, text)
	if p := loaded.of[id]; p != nil {
		return p, nil
	}
	p, err := definition.Load([]definition.File{{Name: "p.yaml", Data: []byte(text)}})
	if err != nil {
		return nil, err
	}
	p.Catalog.Version = version
	for _, plan := range p.Plans {
		if plan.Stored.ID, err = loaded.schemas.Put(context.Background(), *plan.Stored); err != nil {
			return nil, err
		}
	}
	for _, m := range p.Models {
		if m.Stored.ID, err = loaded.schemas.Put(context.Background(), *m.Stored); err != nil {
			return nil, err
		}
	}
	loaded.of[id] = p
	return p, nil
}

// drawKind draws definitions.
func drawKind(rng *rand.Rand) (*kind, error) {
	k := &kind{entity: "driver", inputs: []string{"a:last", "a:shown", "b:latest", "w:count_48h", "w:total_48h", "calc:both"}, onRead: rng.IntN(4) > 0}
	if rng.IntN(3) == 0 { // a view whose changes nobody is told of
		k.entity, k.inputs = "offer", append(k.inputs, "up:own")
	}
	text := strings.NewReplacer("ENTITY", k.entity, "INPUTS", `"`+strings.Join(k.inputs, `", "`)+`"`).Replace(project)
	add := func(format string, args ...any) { text += "    " + fmt.Sprintf(format, args...) + "\n" }
	if k.onRead {
		add("refresh: [on_read, on_write]")
	} else {
		add("refresh: [on_write]")
	}
	if k.debounce = []time.Duration{0, 100 * time.Millisecond, 500 * time.Millisecond}[rng.IntN(3)]; k.debounce > 0 {
		add("debounce: %v", k.debounce)
	}
	if k.maxAge = []time.Duration{0, 20 * time.Second, time.Hour}[rng.IntN(3)]; k.maxAge > 0 {
		add("max_age: %v", k.maxAge)
		if k.staleFor = []time.Duration{0, 2 * time.Second, 10 * time.Second}[rng.IntN(3)]; k.staleFor > 0 {
			add("serve_stale_for: %v", k.staleFor)
		}
	}
	add("on_error: %s", []string{"last_value", "null", "error"}[rng.IntN(3)])
	if rng.IntN(3) == 0 {
		add("fingerprint: values")
	}
	if k.previousOK = rng.IntN(4) == 0; k.previousOK {
		add("serve_previous_version: true")
	}
	change := [...][2]string{
		{`version: "1"`, `version: "2"`},
		{"default: 7", "default: 8"},
		{"n * 2", "n * 3"},
		{"a.shown + b.latest", "a.shown - b.latest"},
		{"{name: noise, type: int64}", "{name: loud, type: int64}"},
	}[rng.IntN(5)]
	var err error
	for i, text := range []string{text, strings.Replace(text, change[0], change[1], 1)} {
		if k.versions[i], err = loadProject(text, int64(i+1)); err != nil {
			return nil, err
		}
	}
	return k, nil
}
