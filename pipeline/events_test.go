package pipeline

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"millrace/feature"
	"millrace/sinks"
	"millrace/sources"
)

// noted returns Events all of whose callbacks write their name down.
func noted(who string, to *[]string) Events {
	var e Events
	for f, v := range reflect.ValueOf(&e).Elem().Fields() {
		v.Set(reflect.MakeFunc(f.Type, func([]reflect.Value) []reflect.Value {
			*to = append(*to, who+" "+f.Name)
			return nil
		}))
	}
	return e
}

// callAll calls every callback with zero arguments.
func callAll(e Events) {
	for f, v := range reflect.ValueOf(e).Fields() {
		var args []reflect.Value
		for in := range f.Type.Ins() {
			args = append(args, reflect.Zero(in))
		}
		v.Call(args)
	}
}

// A callback that is added to Events and forgotten in Tee or fill fails here.
func TestTeeCallsEverybodyInOrder(t *testing.T) {
	var heard, want []string
	callAll(Tee(noted("first", &heard), Events{}, noted("second", &heard)))
	for f := range reflect.TypeFor[Events]().Fields() {
		want = append(want, "first "+f.Name, "second "+f.Name)
	}
	if !slices.Equal(heard, want) {
		t.Errorf("heard %v, want %v", heard, want)
	}
}

func TestNobodyNeedsToListen(t *testing.T) {
	callAll(Events{}.fill())
	heard := []string(nil)
	callAll(noted("one", &heard).fill())
	if len(heard) != reflect.TypeFor[Events]().NumField() {
		t.Errorf("heard %v", heard)
	}
}

func TestSettingsSayWhatIsMissing(t *testing.T) {
	for name, forget := range map[string]func(*Settings){
		"source":      func(s *Settings) { s.Source = nil },
		"encoder":     func(s *Settings) { s.NewEncoder = nil },
		"sink":        func(s *Settings) { s.Sink = nil },
		"dead letter": func(s *Settings) { s.DeadLetter = nil },
		"epochs":      func(s *Settings) { s.Epochs = nil },
		"latest":      func(s *Settings) { s.LatestVersion = nil },
	} {
		s := benchSettings()
		forget(&s)
		if _, err := New(s); err == nil || !strings.Contains(err.Error(), "a part is missing") {
			t.Errorf("without %s: %v", name, err)
		}
	}
	twice := benchSettings()
	other := twice.Routes[0]
	other.Source = "rides"
	twice.Routes = append(twice.Routes, other)
	if _, err := New(twice); err == nil || !strings.Contains(err.Error(), "sources trips and rides both read topic trips") {
		t.Errorf("two sources of a topic: %v", err)
	}
}

func TestAConflictOfCatalogsSaysWhatToDo(t *testing.T) {
	err := error(&CatalogError{Source: "trips", Partition: 4, Needs: 9, Runs: 7})
	if want := "source trips, partition 4 needs catalog version 9, this process runs 7: restart it to load the newest"; err.Error() != want {
		t.Errorf("%q, want %q", err, want)
	}
}

// Anything may stand in a commit's metadata; what is taken for ours survives
// being written again.
func FuzzMetadata(f *testing.F) {
	for _, m := range []metadata{{}, ours(3), {Catalog: 1 << 60, Topic: "x", Recovery: 4}} {
		f.Add(m.encode())
	}
	f.Add("host-1")
	f.Fuzz(func(t *testing.T, text string) {
		m, known := parseMetadata(text)
		if !known {
			return
		}
		if again, ok := parseMetadata(m.encode()); !ok || again != m {
			t.Errorf("%+v comes back as %+v %v", m, again, ok)
		}
	})
}

// The letters of one batch share a header slice that grows; each keeps its own.
func TestLettersKeepTheirHeadersWhileTheSliceGrows(t *testing.T) {
	p, err := New(benchSettings())
	if err != nil {
		t.Fatal(err)
	}
	defer p.cut()
	l, s := newLane(p, &p.s.Routes[0], fresh(p0)), new(slot)
	for i := range 50 {
		r := record(int64(i), '!', 1)
		for h := range i % 4 {
			r.Headers = append(r.Headers, headerOf(i, h))
		}
		s.records = append(s.records, r)
	}
	for i := range s.records {
		s.addLetter(l, "", 0, &feature.Reject{Origin: feature.Origin{Record: int32(i)}})
	}
	for i, letter := range s.letters {
		if len(letter.Headers) != i%4 {
			t.Fatalf("letter %d has %d headers", i, len(letter.Headers))
		}
		for h := range letter.Headers {
			if want := headerOf(i, h); letter.Headers[h].Key != want.Key {
				t.Errorf("letter %d, header %d is %s, want %s", i, h, letter.Headers[h].Key, want.Key)
			}
		}
	}
	s.reset()
	if all := s.headers[:cap(s.headers)]; slices.ContainsFunc(all[:10], func(h sinks.LetterHeader) bool { return h.Key != "" }) {
		t.Error("a slot that waits holds on to a record's headers")
	}
}

func headerOf(record, n int) sources.Header {
	return sources.Header{Key: strings.Repeat("h", record+1) + strings.Repeat("n", n)}
}
