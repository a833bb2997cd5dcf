package servingtest

import (
	"context"
	"strings"

	"millrace/feature"
)

// WriteRows implements serving.PredictionWriter: of a key's rows the one with the
// greatest event time stays.
func (s *Store) WriteRows(ctx context.Context, rows *feature.Rows) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writeFault != nil {
		if err := s.writeFault(ctx); err != nil {
			return err
		}
	}
	for n := range rows.Origins {
		at := cell{rows.View.StoredName(), strings.Clone(string(feature.AppendKey(nil, rows.Keys, n)))}
		micros := rows.Origins[n].EventMicros
		if old, ok := s.rows[at]; ok && old.origin.EventMicros > micros {
			continue
		}
		values := make(map[string]*feature.Column, len(rows.Columns))
		for i, c := range rows.Stored.Columns {
			values[c.Name] = one(&rows.Columns[i], n)
		}
		s.rows[at] = row{origin: feature.StoredOrigin{EventMicros: micros, Sequence: feature.NewSequence(1, rows.Origins[n])}, values: values}
	}
	return nil
}

// FailWrites makes every WriteRows begin with fault, which must not use the
// store, and return its error; nil ends that.
func (s *Store) FailWrites(fault func(ctx context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writeFault = fault
}

// one is a column of one row, which shares nothing with c.
func one(c *feature.Column, row int) *feature.Column {
	own := new(feature.Column)
	own.Reset(c.Type)
	own.Resize(1)
	own.CopyRow(0, c, row)
	for _, x := range []*feature.Column{own, own.Elems} {
		if x != nil {
			for i := range x.Strings {
				x.Strings[i] = strings.Clone(x.Strings[i])
			}
		}
	}
	return own
}
