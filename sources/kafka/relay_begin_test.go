package kafka

import (
	"errors"
	"testing"

	"millrace/sources"
)

// TestWhereARelayBegins: the cases that must never copy a record twice, and
// those that must say what they leave out.
func TestWhereARelayBegins(t *testing.T) {
	id := sources.TopicID{1}
	own := relayMeta{Topic: id.Hex(), Into: "to"}
	older, elsewhere, recovered := own, own, own
	older.Topic, elsewhere.Into, recovered.Recovery = "ff", "other", 2
	rec := Recovery{Number: 2, Topic: id.Hex(), Offset: 50}
	for _, c := range []struct {
		name                string
		committed           int64
		meta                string
		start, end, begin   int64
		this, earlier       bool
		rec                 Recovery
		offset              int64
		missed, commit      bool
		expired             int64
		lost, foreign, past bool
	}{
		{name: "new", committed: -1, end: 9, offset: 0, commit: true},
		{name: "new, at the end", committed: -1, end: 9, begin: 9, offset: 9, commit: true, missed: true},
		{name: "new, the log has lost its beginning", committed: -1, start: 4, end: 9, begin: 4, offset: 4, commit: true, missed: true},
		{name: "new topic of the name", committed: -1, end: 9, begin: 9, earlier: true, offset: 0, commit: true},
		{name: "offset lost", committed: -1, end: 9, this: true, lost: true},
		{name: "offset lost, after a topic before", committed: -1, end: 9, this: true, earlier: true, lost: true},
		{name: "set by somebody", committed: 3, end: 9, this: true, foreign: true},
		{name: "set by somebody with words", committed: 3, meta: `{"catalog":3}`, end: 9, foreign: true},
		{name: "goes on", committed: 3, meta: own.encode(), end: 9, this: true, offset: 3},
		{name: "crashed before the ledger knew", committed: 3, meta: own.encode(), end: 9, offset: 3},
		{name: "of another topic", committed: 3, meta: older.encode(), end: 9, this: true, offset: 0, commit: true},
		{name: "of another topic that has lost its beginning", committed: 3, meta: older.encode(), start: 2, end: 9, offset: 2, commit: true, missed: true},
		{name: "expired", committed: 3, meta: own.encode(), start: 5, end: 9, this: true, offset: 5, commit: true, missed: true, expired: 2},
		{name: "copies went to another topic", committed: 3, meta: elsewhere.encode(), end: 9, this: true, offset: 3, commit: true, missed: true},
		{name: "beyond the end", committed: 80, meta: own.encode(), end: 50, this: true, past: true},
		{name: "beyond the end, recovered", committed: 80, meta: own.encode(), end: 50, this: true, rec: rec, offset: 50, commit: true},
		{name: "recovered further on", committed: 20, meta: own.encode(), end: 90, this: true, rec: rec, offset: 50, commit: true, missed: true},
		{name: "a recovery of the lane, which stood earlier", committed: 70, meta: own.encode(), end: 90, this: true, rec: rec, offset: 70, commit: true},
		{name: "a recovery is taken once", committed: 80, meta: recovered.encode(), end: 50, this: true, rec: rec, past: true},
		{name: "a recovery of another topic", committed: 80, meta: own.encode(), end: 50, this: true, rec: Recovery{Number: 2, Topic: "ff", Offset: 9}, past: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := sources.Assignment{TopicID: id, Committed: c.committed, Metadata: c.meta, LogStart: c.start, LogEnd: c.end, Begin: c.begin}
			s, err := decideRelay(&a, "to", c.this, c.earlier, c.rec)
			var ahead *aheadError
			if errors.Is(err, errOffsetsLost) != c.lost || errors.Is(err, errOffsetsForeign) != c.foreign || errors.As(err, &ahead) != c.past {
				t.Fatalf("error %v", err)
			}
			if err != nil {
				return
			}
			if s.offset != c.offset || s.missed != c.missed || s.commit != c.commit || s.expired != c.expired {
				t.Errorf("%+v", s)
			}
			if s.meta.Recovery != c.rec.Number || s.meta.Topic != own.Topic || s.meta.Into != "to" {
				t.Errorf("commits carry %+v", s.meta)
			}
		})
	}
}
