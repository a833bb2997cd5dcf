package feature_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"millrace/feature"
)

// setShown adds the value that a documentation page shows, in Go's notation.
func setShown(c *feature.Column, shown string) error {
	row := c.AppendNull()
	switch c.Type.Kind {
	case feature.KindBool:
		v, err := strconv.ParseBool(shown)
		c.SetBool(row, v)
		return err
	case feature.KindInt32, feature.KindInt64:
		v, err := strconv.ParseInt(shown, 10, 64)
		c.SetInt(row, v)
		return err
	case feature.KindTimestamp:
		v, err := time.Parse(time.RFC3339, shown)
		c.SetInt(row, v.UnixMicro())
		return err
	case feature.KindString, feature.KindBytes:
		v, err := strconv.Unquote(shown)
		c.SetString(row, v)
		return err
	default:
		return fmt.Errorf("%s is no join key", c.Type)
	}
}

func TestParseTypeReadsWhatStringWrote(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		typ := types().Draw(t, "type")
		got, err := feature.ParseType(typ.String())
		if err != nil || got != typ {
			t.Fatalf("%s came back as %s, %v", typ, got, err)
		}
	})
}

func FuzzParseType(f *testing.F) {
	for _, s := range []string{"int64", "list<list<json>>", "list<>", "list<int64", "invalid", "list<list<list<list<list<bool>>>>>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		typ, err := feature.ParseType(s)
		if err == nil && (typ.String() != s || typ.Layout() == feature.LayoutNone) {
			t.Fatalf("%q was read as %s", s, typ)
		}
	})
}

func TestElementsAndListsOfTypes(t *testing.T) {
	typ := feature.Type{Kind: feature.KindFloat32, Depth: 1, Length: 3}
	if typ.Elem() != feature.Of(feature.KindFloat32) || feature.ListOf(typ).Elem().Length != 0 || typ.Layout() != feature.LayoutList {
		t.Errorf("element of %s is %+v", typ, typ.Elem())
	}
	if feature.Of(feature.KindInvalid).Layout() != feature.LayoutNone || feature.Kind(200).String() != "kind(200)" {
		t.Error("a kind that is none has a layout or a name")
	}
}
