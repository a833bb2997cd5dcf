package draft

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/valyala/fastjson"

	"millrace/feature"
	"millrace/sources"
)

// node counts what stands at one place of the records.
type node struct {
	nulls, bools, integers, decimals, strings, objects, arrays int

	beyond  int    // integers beyond 64 bits
	units   [4]int // integers that are a time of our days in s, ms, us and ns
	near    int    // of these, within a month of their record
	times   int    // strings in RFC 3339
	qInts   int    // strings that are integers
	qFloats int    // strings that are other numbers

	names   []string // of members, in the order in which they were seen
	members map[string]*node
	wide    bool // more members than maxMembers
	elem    *node
	size    int // members of all objects
}

// maxMembers bounds what is remembered of objects that are used as maps.
const maxMembers = 400

func (n *node) present() int {
	return n.bools + n.integers + n.decimals + n.strings + n.objects + n.arrays
}

func (n *node) member(name string) *node {
	m := n.members[name]
	switch {
	case m != nil:
	case len(n.names) >= maxMembers:
		n.wide = true
		return nil
	default:
		if n.members == nil {
			n.members = make(map[string]*node)
		}
		m = &node{}
		n.members[strings.Clone(name)], n.names = m, append(n.names, strings.Clone(name))
	}
	return m
}

func (n *node) at(path ...string) *node {
	for _, name := range path {
		if n == nil {
			return nil
		}
		n = n.members[name]
	}
	return n
}

// see counts a value of a record of that time.
func (n *node) see(v *fastjson.Value, millis int64) {
	switch v.Type() {
	case fastjson.TypeNull:
		n.nulls++
	case fastjson.TypeTrue, fastjson.TypeFalse:
		n.bools++
	case fastjson.TypeNumber:
		n.number(string(v.MarshalTo(nil)), millis)
	case fastjson.TypeString:
		n.text(string(v.GetStringBytes()))
	case fastjson.TypeObject:
		n.objects++
		v.GetObject().Visit(func(name []byte, m *fastjson.Value) {
			n.size++
			if child := n.member(string(name)); child != nil {
				child.see(m, millis)
			}
		})
	case fastjson.TypeArray:
		n.arrays++
		if n.elem == nil {
			n.elem = &node{}
		}
		for _, e := range v.GetArray() {
			n.elem.see(e, millis)
		}
	}
}

var (
	integer = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)
	decimal = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)
)

// Bounds of times of our days, in seconds: 2001 to 2100.
const (
	firstTime = 1_000_000_000
	lastTime  = 4_102_444_800
	month     = 31 * 24 * 3600
)

var unitSteps = [4]time.Duration{time.Second, time.Millisecond, time.Microsecond, time.Nanosecond}

func (n *node) number(text string, millis int64) {
	if !integer.MatchString(text) {
		n.decimals++
		return
	}
	n.integers++
	i, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		n.beyond++
		return
	}
	for u, step := range unitSteps {
		if s := i / int64(time.Second/step); firstTime <= s && s < lastTime {
			n.units[u]++
			if d := s - millis/1000; -month < d && d < month {
				n.near++
			}
		}
	}
}

func (n *node) text(s string) {
	n.strings++
	if _, err := time.Parse(time.RFC3339Nano, s); err == nil {
		n.times++
	}
	switch {
	case integer.MatchString(s):
		if _, err := strconv.ParseInt(s, 10, 64); err == nil {
			n.qInts++
		}
	case decimal.MatchString(s):
		if _, err := strconv.ParseFloat(s, 64); err == nil {
			n.qFloats++
		}
	}
}

// observation is what was seen in records.
type observation struct {
	root       node
	total      int // records with a value
	tombstones int
	envelope   feature.Envelope
	payload    bool // Debezium's events stand in a member of that name
	headers    []string
	keys       keyForm
	data       *node // of CloudEvents in structured mode, nil in binary mode
}

func observe(records []sources.Record) *observation {
	o := &observation{}
	var parser fastjson.Parser
	seen := make(map[string]int)
	for i := range records {
		r := &records[i]
		for _, h := range r.Headers {
			if utf8.ValidString(h.Key) && seen[h.Key] == 0 {
				o.headers = append(o.headers, h.Key)
			}
			seen[h.Key]++
		}
		o.keys.see(r, &parser)
		if r.Value == nil {
			o.tombstones++
			continue
		}
		o.total++
		v, err := parser.ParseBytes(r.Value)
		if err == nil && v.Type() == fastjson.TypeObject && utf8.Valid(r.Value) {
			o.root.see(v, r.TimeMillis)
		}
	}
	o.detect()
	return o
}

// detect finds what surrounds events.
func (o *observation) detect() {
	most := func(n *node) bool { return n != nil && n.present()*2 > o.root.objects }
	at := &o.root
	if p := at.at("payload"); p != nil && p.objects > 0 && at.at("op") == nil {
		at, o.payload = p, true
	}
	switch {
	case most(at.at("op")) && most(at.at("source", "ts_ms")) && (at.at("after") != nil || at.at("before") != nil):
		o.envelope = feature.EnvelopeDebezium
	case o.hasHeader("ce_specversion"):
		o.envelope = feature.EnvelopeCloudEvents
	case most(o.root.at("specversion")) && most(o.root.at("id")) && most(o.root.at("source")) && most(o.root.at("type")) && o.root.at("data") != nil:
		o.envelope, o.data = feature.EnvelopeCloudEvents, o.root.at("data")
	}
	if o.envelope != feature.EnvelopeDebezium {
		o.payload = false
	}
}

func (o *observation) hasHeader(name string) bool {
	return slices.Contains(o.headers, name)
}

// event is what fields are found in.
func (o *observation) event() *node {
	at := &o.root
	switch {
	case o.data != nil:
		return o.data
	case o.envelope != feature.EnvelopeDebezium:
		return at
	case o.payload:
		at = at.at("payload")
	}
	if after := at.at("after"); after != nil && after.objects > 0 {
		return after
	}
	return at.at("before")
}
