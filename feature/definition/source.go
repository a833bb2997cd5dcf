package definition

import (
	"fmt"
	"strings"
	"time"

	"millrace/feature"
)

func (b *builder) source(f loadedFile, d *sourceDef, path string) {
	if !b.name(f, path, d.Name, "source") {
		return
	}
	s := &feature.Source{Meta: d.meta(), Name: d.Name, Format: "json", TransformOnWrite: true, EventTime: d.EventTime}
	if d.TransformOnWrite != nil {
		s.TransformOnWrite = *d.TransformOnWrite
	}
	b.sourceKind(f, d, s, path)
	b.sourceFormat(f, d, path)
	for i := range d.Fields {
		b.field(f, s, &d.Fields[i], fmt.Sprintf("%s.fields[%d]", path, i))
	}
	if len(d.Fields) == 0 {
		f.at(path+".fields", 0, fmt.Sprintf("source %s declares no fields", d.Name), "list the fields that views use: {name: fare, type: float64}")
	}
	b.eventTime(f, s, path)
	b.project.Catalog.Sources = append(b.project.Catalog.Sources, s)
}

func (b *builder) sourceKind(f loadedFile, d *sourceDef, s *feature.Source, path string) {
	given := 0
	if d.Kafka != nil {
		given++
		s.Kind, s.Topic = feature.SourceKafka, d.Kafka.Topic
		s.Start = b.start(f, d.Kafka.Start, path+".kafka.start")
	}
	if d.Push != nil {
		given++
		s.Kind, s.Topic = feature.SourcePush, d.Push.Topic
		if s.EventTime == "" && !hasField(d.Fields, "event_timestamp") {
			// The name under which pushes carry their event time, whatever the
			// source calls it (section 11 of the design).
			d.Fields = append(d.Fields, fieldDef{Name: "event_timestamp", Type: "timestamp", Optional: true})
			s.EventTime = "event_timestamp"
		}
	}
	if d.Request != nil {
		given++
		s.Kind = feature.SourceRequest
	}
	if given != 1 {
		f.at(path, 0, fmt.Sprintf("source %s must be one of kafka, push and request", d.Name), "write kafka: {topic: …}, push: {topic: …} or request: {}")
	}
	if s.Topic == "" {
		return
	}
	if other, taken := b.topics[s.Topic]; taken {
		f.at(path, 0, fmt.Sprintf("sources %s and %s both read topic %s", other, d.Name, s.Topic), "use one source and several views with where:")
	}
	b.topics[s.Topic] = d.Name
}

func hasField(fields []fieldDef, name string) bool {
	for i := range fields {
		if fields[i].Name == name {
			return true
		}
	}
	return false
}

func (b *builder) start(f loadedFile, text, path string) feature.StartAt {
	switch text {
	case "", "earliest":
		return feature.StartAt{}
	case "latest":
		return feature.StartAt{Latest: true}
	}
	back, err := parseDuration(text)
	if err != nil {
		f.at(path, 0, fmt.Sprintf("start %q is none of earliest, latest and a duration back", text), "write earliest, latest or, for example, 24h")
	}
	return feature.StartAt{Back: back}
}

func (b *builder) sourceFormat(f loadedFile, d *sourceDef, path string) {
	switch d.Format {
	case "", "json":
	case "avro", "protobuf":
		f.at(path+".format", 0, fmt.Sprintf("format %s is not available in this version", d.Format), "publish JSON; the changelog says when it comes")
	default:
		f.at(path+".format", 0, "unknown format "+d.Format, "write json")
	}
	if d.Format != "" && d.Kafka == nil {
		f.at(path+".format", 0, "format is for kafka sources", "remove it: pushes and requests are JSON")
	}
}

var unitNames = map[string]time.Duration{"s": time.Second, "ms": time.Millisecond, "us": time.Microsecond, "ns": time.Nanosecond}

func (b *builder) field(f loadedFile, s *feature.Source, d *fieldDef, path string) {
	if !b.name(f, path, d.Name, "") {
		return
	}
	if _, twice := s.Field(d.Name); twice {
		f.at(path+".name", 0, fmt.Sprintf("source %s declares field %s twice", s.Name, d.Name), "")
		return
	}
	out := feature.SourceField{Path: d.Path, Unit: unitNames[d.Unit], Optional: d.Optional}
	out.Name = d.Name
	if out.Path == "" {
		out.Path = d.Name
	}
	if strings.HasPrefix(out.Path, ".") || strings.HasSuffix(out.Path, ".") || strings.Contains(out.Path, "..") {
		f.at(path+".path", 0, fmt.Sprintf("path %q has an empty step", d.Path), "write names with dots between them: driver.id")
	}
	if d.Type == "" {
		f.at(path, 0, fmt.Sprintf("field %s has no type", d.Name), "write type: with one of "+strings.Join(feature.KindNames(), ", "))
	} else {
		out.Type = b.typ(f, path, d.Type, d.Length)
	}
	if d.Unit != "" && out.Type != feature.Of(feature.KindTimestamp) && out.Type.Kind != feature.KindInvalid {
		f.at(path+".unit", 0, "unit is for timestamps", "remove it, or make the type timestamp")
	}
	s.Fields = append(s.Fields, out)
}

func (b *builder) eventTime(f loadedFile, s *feature.Source, path string) {
	if s.EventTime == "" {
		return
	}
	field, ok := s.Field(s.EventTime)
	if !ok {
		var all []string
		for _, x := range s.Fields {
			all = append(all, x.Name)
		}
		f.at(path+".event_time", 0, fmt.Sprintf("source %s has no field %s", s.Name, s.EventTime), didYouMean(s.EventTime, all))
		return
	}
	if field.Type != feature.Of(feature.KindTimestamp) && field.Type.Kind != feature.KindInvalid {
		f.at(path+".event_time", 0, fmt.Sprintf("event_time names field %s, which is %s", s.EventTime, field.Type), "declare it {type: timestamp}, with unit: for integers")
	}
}
