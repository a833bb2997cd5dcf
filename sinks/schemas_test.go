package sinks_test

import (
	"bytes"
	"context"
	"errors"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"millrace/feature"
	"millrace/sinks"
)

// tableMeta is the smallest Meta: one table, one lock. before, when set, runs
// ahead of each Swap, so a test can let somebody else be faster.
type tableMeta struct {
	mu     sync.Mutex
	rows   map[string][]byte
	gets   int
	before func(id string)
}

func newTableMeta() *tableMeta { return &tableMeta{rows: make(map[string][]byte)} }

func (m *tableMeta) Get(_ context.Context, _ sinks.MetaTable, id string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gets++
	v, ok := m.rows[id]
	if !ok {
		return nil, sinks.ErrNoEntry
	}
	return v, nil
}

func (m *tableMeta) List(context.Context, sinks.MetaTable) ([]sinks.MetaEntry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []sinks.MetaEntry
	for id, v := range m.rows {
		all = append(all, sinks.MetaEntry{ID: id, Value: v})
	}
	slices.SortFunc(all, func(a, b sinks.MetaEntry) int { return strings.Compare(a.ID, b.ID) })
	return all, nil
}

func (m *tableMeta) Swap(_ context.Context, _ sinks.MetaTable, id string, old, value []byte) (bool, error) {
	if m.before != nil {
		m.before(id)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now, ok := m.rows[id]
	if ok != (old != nil) || !bytes.Equal(now, old) {
		return false, nil
	}
	m.rows[id] = bytes.Clone(value)
	return true, nil
}

func schemaNamed(name string) feature.Stored {
	return feature.Stored{Columns: []feature.StoredColumn{{Name: name, Type: feature.Of(feature.KindInt64), Since: 1}}}
}

func hashOf(st feature.Stored) uint32 {
	h := fnv.New32a()
	_, _ = h.Write(st.Canonical())
	return h.Sum32()
}

func idText(id uint32) string { return strconv.FormatUint(uint64(id), 10) }

func TestSchemaIDIsTheHashOfTheCanonicalForm(t *testing.T) {
	meta, st := newTableMeta(), schemaNamed("fare")
	id, err := sinks.NewSchemas(meta).Put(t.Context(), st)
	if err != nil || id != hashOf(st) {
		t.Fatalf("Put = %d, %v, want %d", id, err, hashOf(st))
	}
	if got := meta.rows[idText(id)]; !bytes.Equal(got, st.Canonical()) {
		t.Errorf("entry holds %s", got)
	}
	again, err := sinks.NewSchemas(meta).Put(t.Context(), st)
	if err != nil || again != id || len(meta.rows) != 1 {
		t.Errorf("recorded again by another process: %d, %v, %d entries", again, err, len(meta.rows))
	}
}

func TestCollidingSchemaTakesTheNextFreeID(t *testing.T) {
	meta, st := newTableMeta(), schemaNamed("fare")
	meta.rows[idText(hashOf(st))] = []byte(`{"columns":[]}`)
	for range 2 {
		id, err := sinks.NewSchemas(meta).Put(t.Context(), st)
		if err != nil || id != hashOf(st)+1 {
			t.Fatalf("Put = %d, %v, want %d", id, err, hashOf(st)+1)
		}
	}
	meta.before = nil
	got, err := sinks.NewSchemas(meta).Schema(t.Context(), hashOf(st))
	if err != nil || len(got.Columns) != 0 {
		t.Errorf("the older schema changed: %+v, %v", got, err)
	}
}

func TestSchemaThatLosesTheRaceMovesOn(t *testing.T) {
	meta, st := newTableMeta(), schemaNamed("fare")
	meta.before = func(id string) {
		if id == idText(hashOf(st)) {
			meta.rows[id] = []byte(`{"columns":[]}`)
		}
	}
	id, err := sinks.NewSchemas(meta).Put(t.Context(), st)
	if err != nil || id != hashOf(st)+1 {
		t.Fatalf("Put = %d, %v, want the id after the lost one", id, err)
	}
}

func TestSchemaWithoutAFreeIDIsRefused(t *testing.T) {
	meta, st := newTableMeta(), schemaNamed("fare")
	for i := range uint32(1000) {
		meta.rows[idText(hashOf(st)+i)] = []byte(`{"columns":[]}`)
	}
	if id, err := sinks.NewSchemas(meta).Put(t.Context(), st); err == nil {
		t.Errorf("Put = %d in a full table", id)
	}
}

func TestSchemaIsLoadedOnDemandAndKept(t *testing.T) {
	meta := newTableMeta()
	reader := sinks.NewSchemas(meta)
	if _, err := reader.Schema(t.Context(), 5); !errors.Is(err, sinks.ErrNoEntry) {
		t.Fatalf("unknown id: %v, want ErrNoEntry", err)
	}
	id, err := sinks.NewSchemas(meta).Put(t.Context(), schemaNamed("fare"))
	if err != nil {
		t.Fatal(err)
	}
	first, err := reader.Schema(t.Context(), id)
	if err != nil || first.ID != id || first.Columns[0].Name != "fare" {
		t.Fatalf("Schema = %+v, %v", first, err)
	}
	gets := meta.gets
	second, err := reader.Schema(t.Context(), id)
	if err != nil || second != first || meta.gets != gets {
		t.Errorf("the second look-up went to the store again (%d gets, %v)", meta.gets-gets, err)
	}
}

func TestDamagedSchemaIsAnError(t *testing.T) {
	meta := newTableMeta()
	meta.rows["5"] = []byte(`{"columns":[{"name":"a","type":"float128","since":1}]}`)
	if _, err := sinks.NewSchemas(meta).Schema(t.Context(), 5); !errors.Is(err, feature.ErrStoredSchema) {
		t.Errorf("Schema = %v, want ErrStoredSchema", err)
	}
}

func TestSchemasServeManyAtOnce(t *testing.T) {
	s := sinks.NewSchemas(newTableMeta())
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			st := schemaNamed("column_" + strconv.Itoa(i%3))
			id, err := s.Put(t.Context(), st)
			if err != nil {
				t.Error(err)
				return
			}
			got, err := s.Schema(t.Context(), id)
			if err != nil || got.Columns[0] != st.Columns[0] {
				t.Errorf("Schema(%d) = %+v, %v", id, got, err)
			}
		})
	}
	wg.Wait()
}

func TestNoSchemaHasIDZero(t *testing.T) {
	st := schemaNamed("wjfraoys") // found by search
	if hashOf(st) != 0 {
		t.Fatalf("hash is %d; the canonical form changed", hashOf(st))
	}
	if id, err := sinks.NewSchemas(newTableMeta()).Put(t.Context(), st); err != nil || id != 1 {
		t.Errorf("Put = %d, %v, want 1", id, err)
	}
}
