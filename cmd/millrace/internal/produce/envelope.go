package produce

import (
	"crypto/rand"
	"encoding/json"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/feature"
)

// event is the attributes of a CloudEvent in binary mode.
func (e *Encoder) event() []kgo.RecordHeader {
	media := "application/json"
	switch e.src.Format {
	case feature.FormatAvro:
		media = "application/avro"
	case feature.FormatProtobuf:
		media = "application/protobuf"
	case feature.FormatJSON:
	}
	var all []kgo.RecordHeader
	for _, h := range [][2]string{
		{"ce_specversion", "1.0"},
		{"ce_id", rand.Text()},
		{"ce_source", "/millrace/push"},
		{"ce_type", e.src.Name},
		{"ce_time", e.clock().UTC().Format(time.RFC3339Nano)},
		{"content-type", media},
	} {
		all = append(all, kgo.RecordHeader{Key: h[0], Value: []byte(h[1])})
	}
	return all
}

// change adds what a Debezium change event has beside its row: an insert, now.
func (e *Encoder) change(tree map[string]any) error {
	op := feature.SourceField{Field: feature.Field{Name: "op", Type: feature.Of(feature.KindString)}}
	at := feature.SourceField{Field: feature.Field{Name: "source.ts_ms", Type: feature.Of(feature.KindInt64)}, Path: "source.ts_ms"}
	return fillInto(tree, e.format, []feature.SourceField{op, at}, map[string]any{
		op.Name: "c", at.Name: json.Number(strconv.FormatInt(e.clock().UnixMilli(), 10)),
	}, nil)
}
