package changelog

import (
	"encoding/hex"
	"errors"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"millrace/sinks"
)

func encode(t interface {
	Helper()
	Fatal(args ...any)
}, c *sinks.Change,
) (key, value []byte) {
	t.Helper()
	key, err := AppendKey(nil, c.Entity, c.Key)
	if err != nil {
		t.Fatal(err)
	}
	value, err = AppendValue(nil, c)
	if err != nil {
		t.Fatal(err)
	}
	return key, value
}

func drawChange(t *rapid.T) sinks.Change {
	c := sinks.Change{
		Entity: rapid.StringMatching(`[a-z][a-z0-9_]{0,20}`).Draw(t, "entity"),
		Key:    rapid.String().Draw(t, "key"),
		More:   rapid.Bool().Draw(t, "more"),
	}
	if rapid.Bool().Draw(t, "zero in the key") {
		c.Key += "\x00" + c.Key
	}
	for range rapid.IntRange(0, sinks.MaxChangedViews).Draw(t, "views") {
		v := sinks.ChangedView{
			View:        rapid.StringMatching(`[a-zé_]{1,60}@[0-9]{1,3}`).Draw(t, "view"),
			EventMicros: rapid.Int64().Draw(t, "event"), Row: rapid.Bool().Draw(t, "row"),
		}
		if v.Row {
			v.RecordMillis = rapid.Int64Range(0, maxRecordMillis).Draw(t, "record")
		}
		c.Views = append(c.Views, v)
	}
	return c
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	got := sinks.Change{Views: []sinks.ChangedView{{View: "old"}}, More: true} // is reused
	rapid.Check(t, func(rt *rapid.T) {
		want := drawChange(rt)
		key, value := encode(rt, &want)
		if err := Decode(key, value, &got); err != nil {
			rt.Fatal(err)
		}
		clear(key) // what was read is its own
		clear(value)
		if got.Entity != want.Entity || got.Key != want.Key || got.More != want.More || !slices.Equal(got.Views, want.Views) {
			rt.Fatalf("%+v is read as %+v", want, got)
		}
	})
}

func TestWhatNoRecordCarriesIsNotWritten(t *testing.T) {
	view := func(v sinks.ChangedView) sinks.Change { return sinks.Change{Views: []sinks.ChangedView{v}} }
	for name, c := range map[string]sinks.Change{
		"too many views":      {Views: make([]sinks.ChangedView, sinks.MaxChangedViews+1)},
		"no name":             view(sinks.ChangedView{Row: true}),
		"a long name":         view(sinks.ChangedView{View: strings.Repeat("v", MaxNameBytes+1)}),
		"a name of no text":   view(sinks.ChangedView{View: "\xff"}),
		"a record time alone": view(sinks.ChangedView{View: "v@1", RecordMillis: 1}),
		"a time below zero":   view(sinks.ChangedView{View: "v@1", Row: true, RecordMillis: -1}),
		"a time too great":    view(sinks.ChangedView{View: "v@1", Row: true, RecordMillis: maxRecordMillis + 1}),
	} {
		if b, err := AppendValue([]byte("x"), &c); err == nil || string(b) != "x" {
			t.Errorf("%s: %x, %v", name, b, err)
		}
	}
	for _, entity := range []string{"", "a\x00b"} {
		if _, err := AppendKey(nil, entity, "1"); err == nil {
			t.Errorf("entity %q is written", entity)
		}
	}
}

func TestOtherBytesAreNotRead(t *testing.T) {
	key, value := encode(t, documented())
	for name, c := range map[string]struct {
		key, value []byte
		want       error
	}{
		"no entity":       {[]byte("\x001001"), value, ErrCorrupt},
		"no zero":         {[]byte("driver"), value, ErrCorrupt},
		"a tombstone":     {key, nil, ErrCorrupt},
		"another format":  {key, append([]byte{2}, value[1:]...), ErrFormat},
		"an unknown flag": {key, slices.Replace(slices.Clone(value), 1, 2, 2), ErrCorrupt},
		"too many views":  {key, slices.Replace(slices.Clone(value), 2, 3, 33), ErrCorrupt},
		"an unknown kind": {key, slices.Replace(slices.Clone(value), 3, 4, 2), ErrCorrupt},
		"more at the end": {key, append(slices.Clone(value), 0), ErrCorrupt},
	} {
		var got sinks.Change
		if err := Decode(c.key, c.value, &got); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for n := range value {
		if err := Decode(key, value[:n], new(sinks.Change)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("the first %d bytes: %v", n, err)
		}
	}
}

// FuzzDecode: whatever the bytes, the reader answers an error of the known
// kinds, or a change which is written as the same bytes.
func FuzzDecode(f *testing.F) {
	key, value := encode(f, documented())
	f.Add(key, value)
	f.Add([]byte("e\x00"), []byte{1, 0, 0})
	f.Add([]byte{}, value[:9])
	f.Fuzz(func(t *testing.T, key, value []byte) {
		var c sinks.Change
		if err := Decode(key, value, &c); err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrFormat) {
				t.Fatalf("an error of no known kind: %v", err)
			}
			return
		}
		if k, v := encode(t, &c); !slices.Equal(k, key) || !slices.Equal(v, value) {
			t.Fatalf("%x %x is read as %+v, and that is written as %x %x", key, value, c, k, v)
		}
	})
}

// documented is the change that docs/format/changelog.md draws.
func documented() *sinks.Change {
	return &sinks.Change{Entity: "driver", Key: "1001", Views: []sinks.ChangedView{
		{View: "driver_trips@1", EventMicros: 1_700_000_000_000_000, RecordMillis: 1_700_000_000_123, Row: true},
		{View: "trips_1h@2", EventMicros: 1_700_000_000_000_000},
	}}
}

// TestDocument compares the drawing with the code.
func TestDocument(t *testing.T) {
	page, err := os.ReadFile("../../docs/format/changelog.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```change\n")
	drawing, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("docs/format/changelog.md has no example")
	}
	parts := map[string][]byte{}
	for line := range strings.Lines(drawing) {
		fields := strings.Fields(line)
		for _, text := range fields[2:] {
			b, err := hex.DecodeString(text)
			if err != nil || len(b) != 1 {
				break // words follow the bytes
			}
			parts[fields[0]] = append(parts[fields[0]], b...)
		}
	}
	key, value := encode(t, documented())
	if want := map[string][]byte{"key": key, "value": value}; !reflect.DeepEqual(parts, want) {
		t.Fatalf("docs/format/changelog.md draws another record than the code writes\n page %x\n code %x", parts, want)
	}
}
