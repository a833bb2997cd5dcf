package feature_test

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"millrace/feature"
)

var keyKinds = []feature.Kind{
	feature.KindInt32, feature.KindInt64, feature.KindString, feature.KindBool, feature.KindTimestamp, feature.KindBytes,
}

// drawKeys draws the join keys of n rows; few distinct values, so that equal
// keys happen.
func drawKeys(t *rapid.T, n int) []feature.Column {
	keys := make([]feature.Column, rapid.IntRange(1, 3).Draw(t, "join keys"))
	for i := range keys {
		c := &keys[i]
		c.Reset(feature.Of(rapid.SampledFrom(keyKinds).Draw(t, "kind")))
		for range n {
			drawKeyValue(t, c, c.AppendNull())
		}
	}
	return keys
}

func drawKeyValue(t *rapid.T, c *feature.Column, row int) {
	switch c.Type.Kind {
	case feature.KindBool:
		c.SetBool(row, rapid.Bool().Draw(t, "bool"))
	case feature.KindInt32:
		c.SetInt(row, int64(rapid.Int32().Draw(t, "int32")))
	case feature.KindInt64, feature.KindTimestamp:
		c.SetInt(row, rapid.Int64().Draw(t, "int64"))
	case feature.KindString:
		c.SetString(row, rapid.StringMatching(`[ab|\\]{0,3}`).Draw(t, "string"))
	case feature.KindBytes:
		c.SetString(row, string(rapid.SliceOfN(rapid.Byte(), 0, 2).Draw(t, "bytes")))
	default:
		t.Fatalf("%s is no join key", c.Type)
	}
}

func sameKey(keys []feature.Column, i, j int) bool {
	for k := range keys {
		c := &keys[k]
		switch c.Type.Layout() {
		case feature.LayoutBool:
			if c.Bools[i] != c.Bools[j] {
				return false
			}
		case feature.LayoutInt:
			if c.Ints[i] != c.Ints[j] {
				return false
			}
		default:
			if c.Strings[i] != c.Strings[j] {
				return false
			}
		}
	}
	return true
}

func TestKeysAreEqualWhenTheirValuesAre(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := drawKeys(t, 2)
		a, b := feature.AppendKey(nil, keys, 0), feature.AppendKey(nil, keys, 1)
		if bytes.Equal(a, b) != sameKey(keys, 0, 1) {
			t.Fatalf("%q and %q", a, b)
		}
	})
}

func TestParseKeyReadsWhatAppendKeyWrote(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := drawKeys(t, 1)
		text := string(feature.AppendKey([]byte("prefix"), keys, 0))[len("prefix"):]
		if err := feature.ParseKey(text, keys); err != nil {
			t.Fatal(err)
		}
		if !sameKey(keys, 0, 1) {
			t.Fatalf("%q came back as %q", text, feature.AppendKey(nil, keys, 1))
		}
	})
}

// FuzzParseKey: text is refused, adding nothing, or is what AppendKey writes.
func FuzzParseKey(f *testing.F) {
	f.Add(`a\|b|7|true|00ff`, []byte{2, 1, 3, 5})
	f.Add(`-9223372036854775808|2147483648`, []byte{4, 0})
	f.Add(`\`, []byte{2})
	f.Fuzz(func(t *testing.T, text string, shape []byte) {
		keys := make([]feature.Column, len(shape))
		for i, b := range shape {
			keys[i].Reset(feature.Of(keyKinds[int(b)%len(keyKinds)]))
		}
		err := feature.ParseKey(text, keys)
		rows := 1
		if err != nil {
			rows = 0
			if !errors.Is(err, feature.ErrKey) {
				t.Fatalf("%v is no ErrKey", err)
			}
		}
		for i := range keys {
			if keys[i].Len() != rows {
				t.Fatalf("%q: join key %d has %d rows after %v", text, i, keys[i].Len(), err)
			}
		}
		if err == nil && string(feature.AppendKey(nil, keys, 0)) != text {
			t.Fatalf("%q is a second way to write %q", text, feature.AppendKey(nil, keys, 0))
		}
	})
}

func TestKeyErrorsDoNotQuoteTheKey(t *testing.T) {
	for _, kind := range keyKinds {
		var c feature.Column
		c.Reset(feature.Of(kind))
		for _, text := range []string{`secret\`, "secret|secret", `se\cret`} {
			if err := feature.ParseKey(text, []feature.Column{c}); err == nil || strings.Contains(err.Error(), "secret") {
				t.Errorf("%s: %v", kind, err)
			}
		}
	}
}

func TestCanBeKey(t *testing.T) {
	for _, name := range feature.KindNames() {
		typ, err := feature.ParseType(name)
		if err != nil {
			t.Fatal(err)
		}
		want := name != "float32" && name != "float64" && name != "json"
		if feature.CanBeKey(typ) != want || feature.CanBeKey(feature.ListOf(typ)) {
			t.Errorf("CanBeKey(%s) = %v", name, !want)
		}
	}
}

func TestAppendKeyAllocatesNothing(t *testing.T) {
	keys := make([]feature.Column, 3)
	for i, kind := range []feature.Kind{feature.KindInt64, feature.KindString, feature.KindBytes} {
		keys[i].Reset(feature.Of(kind))
		keys[i].AppendNull()
	}
	keys[0].SetInt(0, 1001)
	keys[1].SetString(0, "a|b, long enough not to fit a small buffer on the stack")
	keys[2].SetString(0, strings.Repeat("\x00", 100))
	dst := make([]byte, 0, 1000)
	if n := testing.AllocsPerRun(20, func() { feature.AppendKey(dst, keys, 0) }); n > 0 {
		t.Errorf("AppendKey allocates %v times", n)
	}
}

// TestKeyDocument checks the table of docs/format/key.md: each row is types,
// values and the key's text.
func TestKeyDocument(t *testing.T) {
	page, err := os.ReadFile("../docs/format/key.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(strings.Trim(strings.ReplaceAll(line, `\|`, "\x00"), "| \n"), " | ")
		if len(cells) != 3 || !strings.HasPrefix(line, "| `") {
			continue
		}
		for i := range cells {
			cells[i] = strings.ReplaceAll(strings.Trim(strings.TrimSpace(cells[i]), "`"), "\x00", "|")
		}
		checkKeyRow(t, cells[0], cells[1], cells[2])
		rows++
	}
	if rows < 8 {
		t.Errorf("the page shows %d examples", rows)
	}
}

func checkKeyRow(t *testing.T, kinds, values, want string) {
	t.Helper()
	var keys []feature.Column
	parts := strings.Split(values, ", ")
	for i, name := range strings.Split(kinds, ", ") {
		typ, err := feature.ParseType(name)
		if err != nil {
			t.Fatal(err)
		}
		var c feature.Column
		c.Reset(typ)
		if err := setShown(&c, parts[i]); err != nil {
			t.Fatalf("%s %s: %v", name, parts[i], err)
		}
		keys = append(keys, c)
	}
	if got := string(feature.AppendKey(nil, keys, 0)); got != want {
		t.Errorf("%s (%s): key is %s, the page says %s", values, kinds, got, want)
	}
}
