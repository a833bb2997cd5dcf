package transforms

import (
	"unsafe"

	"millrace/feature"
)

// The ways in which predictions come to be stored: PredictionBy.
const (
	ByRead   = "on_read"
	ByWrite  = "on_write"
	ByAll    = "refresh" // millrace refresh --all
	ByClient = "client"
	byOther  = "other" // a release that is newer than this one
)

// knownBy is the way that text names, which outlives text: it becomes a label of
// metrics, and these are kept for ever.
func knownBy(text string) string {
	for _, by := range [...]string{ByRead, ByWrite, ByAll, ByClient} {
		if text == by {
			return by
		}
	}
	return byOther
}

// ResetRows empties dst for predictions of p.
func (p *ModelPlan) ResetRows(dst *feature.Rows) { dst.Reset(p.View, p.Stored, p.Entity.JoinKeys, 0) }

// AppendRow adds a prediction to dst: outputs[:len(p.Model.Outputs)] in a row, for
// the key that keys, parallel to the entity's join keys, have in a row. Strings
// are not copied. Its Origin.Record is its place in dst, so that rejects tell
// which it was. Its event time is the stamp, and its sequence is when the inputs
// were read: milliseconds as the record time, and microseconds of it in the
// offset's place.
func (p *ModelPlan) AppendRow(dst *feature.Rows, keys []feature.Column, key int, outputs []feature.Column, row int, s *StoredPrediction) {
	at := dst.Len()
	millis := max(s.AtMicros/1000, 0)
	dst.Origins = append(dst.Origins, feature.Origin{EventMicros: s.Stamp, RecordMillis: millis, Offset: s.AtMicros - millis*1000, Record: int32(at)})
	for i := range dst.Keys {
		dst.Keys[i].Resize(at + 1)
		dst.Keys[i].CopyRow(at, &keys[i], key)
	}
	n := len(p.Model.Outputs)
	for i := range dst.Columns {
		dst.Columns[i].Resize(at + 1)
		if i < n {
			dst.Columns[i].CopyRow(at, &outputs[i], row)
		}
	}
	dst.Columns[n].SetString(at, s.Version)
	dst.Columns[n+1].SetString(at, string(s.Fingerprint))
	dst.Columns[n+2].SetInt(at, s.Catalog)
	dst.Columns[n+3].SetString(at, s.By)
}

// Prediction reads what is stored beside the outputs of a prediction: l answers
// a query of p.Stored.Columns, and the version and the fingerprint are l's memory.
func (p *ModelPlan) Prediction(l *feature.Loaded, key int) StoredPrediction {
	n := len(p.Model.Outputs)
	o := &l.Origins[key]
	s := StoredPrediction{Found: l.Found.Get(key), Stamp: o.EventMicros, AtMicros: o.Sequence.RecordMillis()*1000 + o.Sequence.Offset()}
	if !s.Found {
		return StoredPrediction{}
	}
	for i := range n {
		s.Found = s.Found && !l.Missing[i].Get(key)
	}
	printed := l.Columns[n+1].Strings[key]
	s.Version, s.Fingerprint = l.Columns[n].Strings[key], unsafe.Slice(unsafe.StringData(printed), len(printed))
	s.By = knownBy(l.Columns[n+3].Strings[key])
	if !l.Missing[n+2].Get(key) { // it counts beside outputs that are missing, too
		s.Catalog = l.Columns[n+2].Ints[key]
	}
	return s
}
