package definition

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"millrace/feature"
	"millrace/transforms"
)

// pushedEventTime is the name under which pushes carry their event time.
const pushedEventTime = "event_timestamp"

func (b *builder) source(f loadedFile, d *sourceDef, path string) {
	b.name(f, path, d.Name, "source", "")
	s := &feature.Source{Meta: d.meta(), Name: d.Name, Format: feature.FormatJSON, TransformOnWrite: true, EventTime: d.EventTime, EventID: d.EventID}
	if d.TransformOnWrite != nil {
		s.TransformOnWrite = *d.TransformOnWrite
	}
	b.sourceKind(f, d, s, path)
	b.sourceFormat(f, d, s, path)
	for i := range d.Fields {
		b.field(f, s, &d.Fields[i], fmt.Sprintf("%s.fields[%d]", path, i))
	}
	hidden := len(s.Fields) < len(d.Fields) // by another of the same name
	b.sourceSchema(f, d, s, path)
	if len(s.Fields) == 0 && !f.bad[path] && !f.doubtful(path+".schema") && !f.bad[path+".format"] {
		f.at(path+".fields", 0, fmt.Sprintf("source %s declares no fields", d.Name), "list the fields that views use: {name: fare, type: float64}")
	}
	about := b.doubt(f, d, s, hidden, path)
	b.eventTime(f, s, about, path)
	b.eventID(f, s, about, path)
	b.remember(f, place{"source", d.Name}, path)
	b.project.Catalog.Sources = append(b.project.Catalog.Sources, s)
}

// doubt says what is not known of a source.
func (b *builder) doubt(f loadedFile, d *sourceDef, s *feature.Source, hidden bool, path string) *doubt {
	about := &doubt{names: make(map[string]bool)}
	_, twice := b.doubts[d.Name] // a view may mean either
	nameless := slices.ContainsFunc(d.Fields, func(x fieldDef) bool { return x.Name == "" })
	about.all = twice || nameless || hidden || len(s.Fields) == 0 || f.doubtful(path+".schema") || f.bad[path+".format"]
	for _, x := range s.Fields {
		if x.Type.Kind == feature.KindInvalid {
			about.names[x.Name] = true
		}
	}
	b.doubts[d.Name] = about
	return about
}

func (b *builder) sourceKind(f loadedFile, d *sourceDef, s *feature.Source, path string) {
	given, topic := 0, ""
	if d.Kafka != nil {
		given++
		s.Kind, s.Topic, topic = feature.SourceKafka, d.Kafka.Topic, path+".kafka.topic"
		s.Start = b.start(f, d.Kafka.Start, path+".kafka.start")
	}
	if d.Push != nil && d.Push.Flag == nil {
		given++
		s.Pushed = true
	}
	if given == 1 && d.Kafka == nil {
		s.Kind, s.Topic, topic = feature.SourcePush, d.Push.Topic, path+".push.topic"
		if s.EventTime == "" {
			s.EventTime = pushedEventTime
		}
	}
	if d.Request != nil {
		given++
		s.Kind = feature.SourceRequest
		s.EventTime = ""
		b.requestOnly(f, d, path)
	}
	b.pushFlag(f, d, s, path)
	if given != 1 && !f.bad[path] && !f.bad[path+".push"] {
		hint := "write one of kafka: {topic: …}, push: {topic: …} and request: {}"
		if d.Kafka != nil && d.Push != nil {
			hint = "write push: true, so that rows of the kafka source may come through the API too; or remove one of the two"
		}
		f.at(path, 0, fmt.Sprintf("source %s must be one of kafka, push and request", d.Name), hint)
	}
	b.topic(f, s, topic)
}

// pushFlag takes in push: true, by which a Kafka source can be pushed to as
// well. Any format may say so: pushed rows are JSON of the fields' names, keyed
// by entity, and say in a header that they are.
func (b *builder) pushFlag(f loadedFile, d *sourceDef, s *feature.Source, path string) {
	at := path + ".push"
	switch {
	case d.Push == nil || d.Push.Flag == nil || f.bad[at]:
	case d.Request != nil:
		f.refuse(at, 0, "push is for sources that are stored", "remove it: requests come with a read")
	case d.Kafka == nil:
		f.refuse(at, 0, "push: true and false are for kafka sources", "add kafka: {topic: …}, or write push: {topic: …}: rows then come through the API alone")
	default:
		s.Pushed = *d.Push.Flag
	}
}

// eventID checks the field that carries the producer's id of the event.
func (b *builder) eventID(f loadedFile, s *feature.Source, about *doubt, path string) {
	field, ok := s.Field(s.EventID)
	fault := func(offset int, message, hint string) {
		f.at(path+".event_id", offset, message, hint)
		s.EventID = ""
	}
	switch {
	case f.nodes[path+".event_id"] == nil:
	case s.Kind == feature.SourceRequest:
		fault(0, "event_id is for sources that are stored", "remove it: requests are not counted")
	case s.EventID == "":
		fault(-1, "event_id is empty", "name a field, or remove it: every record is an event then")
	case !ok && !about.all && !about.names[s.EventID]:
		fault(0, fmt.Sprintf("source %s has no field %s", s.Name, s.EventID), didYouMean(s.EventID, fieldNames(s)))
	case ok && field.Type.Kind != feature.KindInvalid && (field.Type.IsList() || !slices.Contains(transforms.EventIDKinds(), field.Type.Kind)):
		fault(0, fmt.Sprintf("event_id names field %s, which is %s", s.EventID, field.Type), "an id is string, bytes, int32 or int64")
	}
}

// requestOnly refuses what has no meaning for values that come with a read.
func (b *builder) requestOnly(f loadedFile, d *sourceDef, path string) {
	if d.EventTime != "" {
		f.at(path+".event_time", 0, "event_time is for sources that are stored", "remove it: requests happen now")
	}
	if d.TransformOnWrite != nil {
		f.at(path+".transform_on_write", 0, "transform_on_write is for sources that are stored", "remove it: requests are not written")
	}
}

// topicName is Kafka's rule.
var topicName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,249}$`)

func (b *builder) topic(f loadedFile, s *feature.Source, path string) {
	if s.Topic == "" {
		return
	}
	if !topicName.MatchString(s.Topic) || s.Topic == "." || s.Topic == ".." {
		f.at(path, 0, fmt.Sprintf("%q cannot be a topic", s.Topic), "topics have letters, digits, dots, dashes and underscores, at most 249")
	}
	if other, taken := b.topics[s.Topic]; taken {
		f.at(path, 0, fmt.Sprintf("sources %s and %s both read topic %s", other, s.Name, s.Topic), "use one source and several views with where:")
		return
	}
	b.topics[s.Topic] = s.Name
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

var unitNames = map[string]time.Duration{"s": time.Second, "ms": time.Millisecond, "us": time.Microsecond, "ns": time.Nanosecond}

// field adds a field, whatever is wrong with it.
func (b *builder) field(f loadedFile, s *feature.Source, d *fieldDef, path string) {
	b.column(f, path, d.Name, "give it another name and its own in path: {name: is_"+d.Name+", path: "+d.Name+"}")
	if _, twice := s.Field(d.Name); twice && d.Name != "" {
		f.at(path+".name", 0, fmt.Sprintf("source %s declares field %s twice", s.Name, d.Name), "remove one of the two")
		return
	}
	out := feature.SourceField{Path: d.Path, Unit: unitNames[d.Unit], Optional: d.Optional}
	out.Name = d.Name
	if out.Path == "" {
		out.Path = d.Name
	}
	b.path(f, out.Path, path)
	if f.nodes[path+".of"] != nil && d.Type == "" {
		d.Type = "list<json>"
	}
	if d.Type == "" && !f.doubtful(path) && s.Format == feature.FormatJSON {
		f.fault(f.nodes[path], path+".type", fmt.Sprintf("field %s has no type", d.Name), "write type: with one of "+strings.Join(feature.KindNames(), ", "))
	}
	out.Type = b.typ(f, path, d.Type, d.Length)
	out.Key, out.Header, out.Quoted = d.Key, d.Header, d.Quoted
	b.place(f, s, d, &out, path)
	for i := range d.Of {
		b.element(f, s, &d.Of[i], &out, fmt.Sprintf("%s.of[%d]", path, i))
	}
	b.fieldKeys(f, s, d, out.Type, path)
	s.Fields = append(s.Fields, out)
}

func (b *builder) path(f loadedFile, text, at string) {
	if strings.HasPrefix(text, ".") || strings.HasSuffix(text, ".") || strings.Contains(text, "..") {
		f.at(at+".path", 0, fmt.Sprintf("path %q has an empty step", text), "write names with dots between them: driver.id")
	}
}

func (b *builder) unit(f loadedFile, unit, name string, t feature.Type, path string) {
	if unit != "" && t != feature.Of(feature.KindTimestamp) && t.Kind != feature.KindInvalid {
		f.at(path+".unit", 0, fmt.Sprintf("unit is for timestamps, and field %s is %s", name, t), "remove it, or make the type timestamp")
	}
}

// fieldKeys refuses keys that have no effect on a field.
func (b *builder) fieldKeys(f loadedFile, s *feature.Source, d *fieldDef, t feature.Type, path string) {
	b.unit(f, d.Unit, d.Name, t, path)
	if d.Path != "" && s.Kind != feature.SourceKafka {
		f.at(path+".path", 0, "path is for fields of kafka sources", "remove it: pushes and requests carry fields by their names")
	}
	if d.Optional && s.Kind != feature.SourceRequest {
		f.at(path+".optional", 0, "optional is for fields of request sources", "remove it: a field that a record lacks is null")
	}
}

// eventTime checks the field that carries the event time, and adds the one
// that pushes carry it in to a push source that names none.
func (b *builder) eventTime(f loadedFile, s *feature.Source, about *doubt, path string) {
	field, ok := s.Field(s.EventTime)
	switch {
	case s.EventTime == "":
	case !ok && f.nodes[path+".event_time"] == nil:
		added := feature.SourceField{Path: s.EventTime, Optional: true}
		added.Name, added.Type = s.EventTime, feature.Of(feature.KindTimestamp)
		s.Fields = append(s.Fields, added)
	case !ok && !about.all && !about.names[s.EventTime]:
		f.at(path+".event_time", 0, fmt.Sprintf("source %s has no field %s", s.Name, s.EventTime), didYouMean(s.EventTime, fieldNames(s)))
	case ok && field.Type != feature.Of(feature.KindTimestamp) && field.Type.Kind != feature.KindInvalid:
		f.at(path+".event_time", 0, fmt.Sprintf("event_time names field %s, which is %s", s.EventTime, field.Type), "declare it {type: timestamp}, with unit: for integers")
	}
}
