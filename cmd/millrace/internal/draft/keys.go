package draft

import (
	"strconv"
	"unicode/utf8"

	"github.com/valyala/fastjson"

	"millrace/feature"
	"millrace/sources"
)

// keyForm counts what the keys of records are.
type keyForm struct {
	node

	seen, valid, integers int
}

func (k *keyForm) see(r *sources.Record, parser *fastjson.Parser) {
	if r.Key == nil {
		return
	}
	k.seen++
	if utf8.Valid(r.Key) {
		k.valid++
	}
	if integer.Match(r.Key) {
		if _, err := strconv.ParseInt(string(r.Key), 10, 64); err == nil {
			k.integers++
		}
	}
	if parser == nil || len(r.Key) == 0 || r.Key[0] != '{' {
		return
	}
	if v, err := parser.ParseBytes(r.Key); err == nil && v.Type() == fastjson.TypeObject && utf8.Valid(r.Key) {
		k.node.see(v, r.TimeMillis)
	}
}

// keys adds the fields of the record's key, which deletes need.
func (f *flattener) keys(o *observation) {
	k := &o.keys
	whole := func(kind feature.Kind) {
		x := Field{steady: k.seen == o.total+o.tombstones}
		x.Name, x.Type, x.Key = column("record_key", f.names), feature.Of(kind), true
		f.fields = append(f.fields, x)
	}
	switch {
	case k.seen == 0:
	case k.objects == k.seen:
		at := &k.node
		if p := at.at("payload"); p != nil && p.objects > 0 && o.envelope == feature.EnvelopeDebezium {
			at = p // within {"schema", "payload"}, out of which it is read
		}
		inner := &flattener{s: f.s, names: f.names, total: k.objects, ofKey: true}
		inner.members(at, nil)
		f.fields, f.notes = append(f.fields, inner.fields...), append(f.notes, inner.notes...)
	case k.node.integers == 0 && k.integers == k.seen:
		whole(feature.KindInt64)
	case k.valid == k.seen:
		whole(feature.KindString)
	default:
		whole(feature.KindBytes)
	}
}
