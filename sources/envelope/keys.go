package envelope

import (
	"context"

	"millrace/feature"
	"millrace/sources"
)

// keys decodes the keys of records.
type keys struct {
	decoder sources.Decoder
	connect *peeler
	batch   feature.Batch
	recs    []sources.Record // whose values are the keys
	index   []int            // of each among the records
	rows    []int            // by record: its row in batch, or -1
	faults  []fault          // by record
}

func newKeys(src *feature.Source, fields []feature.SourceField, f Formats) (*keys, error) {
	inKey := &feature.Source{Name: src.Name, Format: src.Format, Fields: fields}
	var layout []feature.Field
	for i := range fields {
		layout = append(layout, fields[i].Field)
	}
	k := new(keys)
	var err error
	if k.decoder, err = f.Key(inKey, layout); err != nil {
		return nil, err //nolint:wrapcheck // says what it could not do
	}
	k.batch.Reset(layout, 0)
	k.connect, err = newConnect(src, f)
	return k, err
}

// decode decodes the keys of recs, or only those of tombstones. What it keeps
// lives in arena.
func (k *keys) decode(ctx context.Context, arena *feature.Arena, recs []sources.Record, tombstones bool) error {
	k.recs, k.index, k.rows, k.faults = k.recs[:0], k.index[:0], k.rows[:0], k.faults[:0]
	for i := range recs {
		k.rows, k.faults = append(k.rows, -1), append(k.faults, fault{})
		if recs[i].Key == nil || tombstones && recs[i].Value != nil {
			continue
		}
		key, f, err := k.connect.connect(ctx, arena, recs[i].Key)
		if err != nil {
			return err
		}
		if f.reason != "" {
			k.refuse(i, f)
			continue
		}
		k.recs, k.index = append(k.recs, sources.Record{Value: key, Offset: recs[i].Offset}), append(k.index, i)
	}
	k.batch.Reset(k.batch.Fields, 0)
	k.batch.Arena = *arena
	err := k.decoder.Decode(ctx, &k.batch, k.recs)
	*arena, k.batch.Arena = k.batch.Arena, feature.Arena{}
	clear(k.recs)
	if err != nil {
		return err //nolint:wrapcheck // says what it could not do
	}
	for row, o := range k.batch.Origins {
		k.rows[k.index[o.Record]] = row
	}
	for i := range k.batch.Rejects {
		r := &k.batch.Rejects[i]
		k.refuse(k.index[r.Origin.Record], fault{r.Reason, r.Message})
	}
	return nil
}

func (k *keys) refuse(record int, f fault) {
	k.faults[record] = fault{f.reason, "the record's key: " + f.message}
}
