package pipeline

import (
	"math"

	"millrace/feature"
	"millrace/sinks"
	"millrace/sources"
)

// slot is one micro-batch on its way to the store: what was encoded, the
// letters, and the records that letters point into. A lane has InFlight of
// them and reuses them, which bounds what it holds and allocates nothing.
type slot struct {
	records []sources.Record
	bytes   int64
	buffer  sinks.Buffer
	tiles   []sinks.Tile
	states  []byte     // what tiles point into
	held    []*hotTile // parallel to tiles
	changed Changed    // its keys point into buffer
	letters []sinks.Letter
	headers []sinks.LetterHeader
	stats   BatchStats
	id      int64 // of the tracker
	awaited bool  // somebody waits for one of the records

	before   <-chan struct{} // closed: the letters of all batches before are acknowledged
	lettered chan struct{}   // closed: and so are this one's
}

func (s *slot) reset() {
	clear(s.records) // lets go of the client's memory
	s.records, s.bytes, s.awaited = s.records[:0], 0, false
	s.buffer.Reset()
	clear(s.tiles)
	clear(s.held)
	s.tiles, s.held, s.states = s.tiles[:0], s.held[:0], s.states[:0]
	if cap(s.states) > keptStateBytes {
		s.states = nil
	}
	s.changed.Reset()
	clear(s.letters)
	clear(s.headers)
	s.letters, s.headers = s.letters[:0], s.headers[:0]
	views, rejects := s.stats.Views, s.stats.Rejects
	s.stats = BatchStats{Views: views, Rejects: rejects[:0], OldestMs: math.MaxInt64}
}

// keptStateBytes is how much a slot keeps for the tiles of its next batch.
const keptStateBytes = 4 << 20

// acknowledged notes that the store has the slot's tiles.
func (s *slot) acknowledged() {
	for _, h := range s.held {
		h.pending.Add(-1)
	}
}

// resetViews prepares the counters of a route's views.
func (s *slot) resetViews(views []RouteView) {
	for len(s.stats.Views) < len(views) {
		s.stats.Views = append(s.stats.Views, ViewEnds{})
	}
	s.stats.Views = s.stats.Views[:len(views)]
	for i := range views {
		v := &s.stats.Views[i]
		*v = ViewEnds{View: views[i].View.Name, Rejects: v.Rejects[:0], Origins: v.Origins[:0]}
	}
}

// addLetter makes the dead letter of one reject.
func (s *slot) addLetter(l *lane, view string, revision uint16, r *feature.Reject) {
	rec := &s.records[r.Origin.Record]
	value, truncated := rec.Value, false
	if len(value) > sinks.MaxLetterBytes {
		value, truncated = value[:sinks.MaxLetterBytes], true
	}
	offset, topic, first := rec.Offset, l.partition.Topic, len(s.headers)
	for _, h := range rec.Headers {
		s.headers = append(s.headers, sinks.LetterHeader{Key: h.Key, Value: h.Value})
	}
	if c, at := l.copies.copyOf(r.Origin.Record); c != nil {
		offset, topic = at, c.Topic
		s.headers = append(s.headers, sinks.LetterHeader(c.Original()))
	}
	s.letters = append(s.letters, sinks.Letter{
		LetterID: sinks.LetterID{
			Source: l.route.Source, Partition: l.partition.Number, Day: sinks.DayOf(rec.TimeMillis),
			Position: sinks.Position(l.topicNumber, offset), Element: r.Origin.Element, View: view,
		},
		Topic: topic, Offset: rec.Offset, RecordMillis: rec.TimeMillis,
		Stage: r.Stage, Reason: r.Reason, Message: r.Message,
		Revision: revision, CatalogVersion: l.p.s.CatalogVersion,
		RecordKey: rec.Key, RecordValue: value, Headers: s.headers[first:len(s.headers):len(s.headers)],
		ValueBytes: len(rec.Value), Truncated: truncated,
	})
}

// coalescer keeps at most one write per key.
type coalescer struct {
	at  map[string]int
	off bool // somebody else does it
}

// keepNewest compacts the rows of b from index start on, all of one view, to
// the newest per key, and returns how many were superseded.
func (c *coalescer) keepNewest(b *sinks.Buffer, start int) int {
	if c.off {
		return 0
	}
	if c.at == nil {
		c.at = make(map[string]int)
	}
	defer clear(c.at) // its keys are bytes of b, which will be others
	kept := start
	for i := start; i < len(b.Rows); i++ {
		if at, seen := c.at[b.Rows[i].Key]; seen {
			if b.Rows[i].Newer(&b.Rows[at]) {
				b.Rows[at], b.Origins[at] = b.Rows[i], b.Origins[i]
			}
			continue
		}
		c.at[b.Rows[i].Key] = kept
		b.Rows[kept], b.Origins[kept] = b.Rows[i], b.Origins[i]
		kept++
	}
	superseded := len(b.Rows) - kept
	b.Rows, b.Origins = b.Rows[:kept], b.Origins[:kept]
	return superseded
}
