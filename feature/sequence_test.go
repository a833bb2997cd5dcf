package feature_test

import (
	"cmp"
	"encoding/hex"
	"testing"

	"pgregory.net/rapid"

	"millrace/feature"
)

func TestSequenceLayoutIsFrozen(t *testing.T) {
	s := feature.NewSequence(0x0102, feature.Origin{RecordMillis: 0x030405060708, Offset: 0x090a0b0c0d0e0f10, Element: 0x1112})
	if got := hex.EncodeToString(s[:]); got != "0102030405060708090a0b0c0d0e0f101112" {
		t.Errorf("layout changed: %s; rows in every store begin with it", got)
	}
}

func TestSequenceTellsItsParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		revision, o := rapid.Uint16().Draw(t, "revision"), drawOrigin(t, "")
		s := feature.NewSequence(revision, o)
		if s.Revision() != revision || s.RecordMillis() != o.RecordMillis || s.Offset() != o.Offset || s.Element() != int(o.Element) {
			t.Fatalf("%x: %d %d %d %d, want %d %+v", s, s.Revision(), s.RecordMillis(), s.Offset(), s.Element(), revision, o)
		}
	})
}

func TestSequencesOrderByRevisionTimeOffsetElement(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ra, a := rapid.Uint16Max(2).Draw(t, "revision a"), drawOrigin(t, "a")
		rb, b := rapid.Uint16Max(2).Draw(t, "revision b"), drawOrigin(t, "b")
		if rapid.Bool().Draw(t, "same time") {
			b.RecordMillis = a.RecordMillis
		}
		if rapid.Bool().Draw(t, "same offset") {
			b.Offset = a.Offset
		}
		want := cmp.Or(cmp.Compare(ra, rb), cmp.Compare(a.RecordMillis, b.RecordMillis),
			cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.Element, b.Element))
		if got := feature.NewSequence(ra, a).Compare(feature.NewSequence(rb, b)); got != want {
			t.Fatalf("%d %+v against %d %+v: %d, want %d", ra, a, rb, b, got, want)
		}
	})
}

func drawOrigin(t *rapid.T, name string) feature.Origin {
	return feature.Origin{
		RecordMillis: rapid.Int64Range(0, 1<<48-1).Draw(t, "time "+name),
		Offset:       rapid.Int64Min(0).Draw(t, "offset "+name),
		Element:      int32(rapid.Uint16().Draw(t, "element "+name)),
	}
}

func TestRecordTimesBeyondSixBytesDoNotWrap(t *testing.T) {
	last := feature.NewSequence(1, feature.Origin{RecordMillis: 1<<48 - 1})
	if far := feature.NewSequence(1, feature.Origin{RecordMillis: 1 << 48}); far.Compare(last) < 0 {
		t.Errorf("a later record time orders first: %x", far)
	}
	if early := feature.NewSequence(1, feature.Origin{RecordMillis: -1}); early.RecordMillis() != 0 || early.Revision() != 1 {
		t.Errorf("a time before the epoch: %x", early)
	}
}
