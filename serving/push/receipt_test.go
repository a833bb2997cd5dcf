package push

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"millrace/feature"
	"millrace/serving"
)

func genReceipt(t *rapid.T) *Receipt {
	r := &Receipt{Source: rapid.StringMatching(`[a-z_]{0,20}`).Draw(t, "source")}
	var topic [16]byte
	copy(topic[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "topic"))
	row := -1
	for range rapid.IntRange(1, 30).Draw(t, "rows") {
		row += 1 + rapid.IntRange(0, 3).Draw(t, "gap")
		r.Rows = append(r.Rows, row)
		r.At = append(r.At, Position{
			TopicID: topic, Partition: rapid.Int32Range(0, math.MaxInt32).Draw(t, "partition"),
			Offset: rapid.Int64Range(0, math.MaxInt64-1).Draw(t, "offset"), Millis: rapid.Int64().Draw(t, "millis"),
		})
	}
	return r
}

func TestReceiptsComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := genReceipt(t)
		got, err := ParseReceipt(r.Encode())
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, r) {
			t.Fatalf("%+v became %+v", r, got)
		}
	})
}

// TestReceiptsAreSmall: a receipt travels in a header.
func TestReceiptsAreSmall(t *testing.T) {
	r := &Receipt{Source: "trips"}
	for i := range maxReceiptAnswered {
		r.Rows = append(r.Rows, i)
		r.At = append(r.At, Position{Partition: int32(i % 64), Offset: 5_000_000_000 + int64(i/64), Millis: base})
	}
	if n := len(r.Encode()); n > 6<<10 {
		t.Errorf("%d rows take %d bytes", len(r.Rows), n)
	}
}

func TestNoReceipts(t *testing.T) {
	good := (&Receipt{Source: "trips", Rows: []int{0}, At: []Position{{Offset: 5}}}).Encode()
	for _, text := range []string{"", "x", good[:len(good)-1], good + "AA", "Ag" + good[2:], strings.Repeat("A", maxReceiptBytes+1), "AQ", "AX"} {
		if r, err := ParseReceipt(text); !errors.Is(err, errReceipt) {
			t.Errorf("%.20q is %+v, %v", text, r, err)
		}
	}
}

// FuzzReceipt: any text is refused, or is a receipt that means the same when it
// is written again.
func FuzzReceipt(f *testing.F) {
	f.Add((&Receipt{Source: "trips", Rows: []int{0, 2}, At: []Position{{Offset: 5, Millis: base}, {Partition: 3, Offset: 9}}}).Encode())
	f.Add("AQ")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseReceipt(text)
		if err != nil {
			return
		}
		again, err := ParseReceipt(r.Encode())
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("%+v became %+v, %v", r, again, err)
		}
	})
}

func TestWhatBecameOfRows(t *testing.T) {
	id := func(source string) string {
		r := &Receipt{Source: source, Rows: []int{1, 4}, At: []Position{{TopicID: topicID, Offset: 5}, {TopicID: topicID, Offset: 6}}}
		return r.Encode()
	}
	letter := Refusal{At: 1, View: "fares", Reason: feature.ReasonWrongType, Message: "field fare"}
	for name, c := range map[string]struct {
		id     string
		passed int
		fail   error
		lets   []Refusal
		want   string
	}{
		"pending":         {id: id("trips"), passed: 1, lets: []Refusal{letter}, want: "pending 1/2 []"},
		"done":            {id: id("trips"), passed: 2, want: "done 2/2 []"},
		"dead-lettered":   {id: id("trips"), passed: 2, lets: []Refusal{letter}, want: "dead_lettered 2/2 [{4 0 fares wrong_type field fare}]"},
		"another topic":   {id: id("trips"), fail: fmt.Errorf("ask: %w", ErrOtherTopic), want: "not_found: the receipt is of a topic that was deleted since"},
		"brokers away":    {id: id("trips"), fail: errors.New("dial"), want: "unavailable: the receipt cannot be looked up now"},
		"no topic":        {id: id("profiles"), want: "not_found: the receipt is of a source that has no topic here"},
		"no such source":  {id: id("nope"), want: "not_found: the receipt is of a source that has no topic here"},
		"no such receipt": {id: "abc", want: "not_found: there is no such receipt"},
	} {
		w := newWorld(t)
		w.passed, w.failPassed, w.letters = c.passed, c.fail, c.lets
		st, err := w.svc.Receipt(context.Background(), c.id, 0)
		got := fmt.Sprintf("%s %d/%d %v", st.State, st.Finished, st.Rows, st.Errors)
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

var _ serving.Writer = (*Service)(nil)
