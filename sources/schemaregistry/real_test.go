//go:build real

package schemaregistry_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/sr"

	"millrace/sources"
	"millrace/sources/avro"
	"millrace/sources/protorec"
	"millrace/sources/schemaregistry"
)

// registered is a writer to, and a reader of, the registry that
// MILLRACE_TEST_REGISTRY names. It may be anybody's, so that subjects are new
// and removed at the end.
type registered struct {
	*schemaregistry.Registry
	t      *testing.T
	writer *sr.Client
	prefix string
}

func openReal(t *testing.T) *registered {
	t.Helper()
	url := os.Getenv("MILLRACE_TEST_REGISTRY")
	if url == "" {
		t.Fatal("set MILLRACE_TEST_REGISTRY to the URL of a schema registry, or run make test-real")
	}
	r, err := schemaregistry.New(schemaregistry.Settings{URLs: []string{url}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	client := &http.Client{Transport: &http.Transport{}, Timeout: 10 * time.Second}
	t.Cleanup(client.CloseIdleConnections)
	writer, err := sr.NewClient(sr.URLs(url), sr.HTTPClient(client))
	if err != nil {
		t.Fatal(err)
	}
	return &registered{r, t, writer, fmt.Sprintf("millrace-test-%d-", time.Now().UnixNano())}
}

// subject is the name of this test's own subject.
func (r *registered) subject(name string) string { return r.prefix + name }

// ref refers to the first version of a subject by the name that a schema says.
func (r *registered) ref(name, subject string) sr.SchemaReference {
	return sr.SchemaReference{Name: name, Subject: r.subject(subject), Version: 1}
}

// put registers the first version of a subject and returns its id.
func (r *registered) put(subject string, s sr.Schema) int32 {
	r.t.Helper()
	made, err := r.writer.CreateSchema(r.t.Context(), r.subject(subject), s)
	if err != nil || made.ID < 1 || made.ID > math.MaxInt32 {
		r.t.Fatalf("register %s: %d %v", subject, made.ID, err)
	}
	r.t.Cleanup(func() { // the last one first, since a schema that is referred to stays
		for _, how := range []sr.DeleteHow{sr.SoftDelete, sr.HardDelete} {
			if _, err := r.writer.DeleteSubject(context.Background(), r.subject(subject), how); err != nil {
				r.t.Logf("delete subject %s: %v", subject, err)
			}
		}
	})
	return int32(made.ID)
}

// both returns a schema that is the same by its id and as its subject's latest.
func (r *registered) both(subject string, id int32) sources.Schema {
	r.t.Helper()
	s, err := r.Schema(r.t.Context(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	latest, version, err := r.Latest(r.t.Context(), r.subject(subject))
	if err != nil || version != 1 || fmt.Sprint(latest) != fmt.Sprint(s) {
		r.t.Errorf("latest is version %d, %v (%v), and by its id %v", version, latest, err, s)
	}
	return s
}

func names(s sources.Schema) string {
	var all []string
	for _, ref := range s.References {
		all = append(all, ref.Name)
	}
	return strings.Join(all, " ")
}

const (
	avroUnit  = `{"type":"enum","name":"geo.Unit","symbols":["KM","MILE"]}`
	avroPoint = `{"type":"record","name":"geo.Point","fields":[{"name":"lat","type":"double"},{"name":"unit","type":"geo.Unit"}]}`
	avroTrip  = `{"type":"record","name":"Trip","fields":[{"name":"fare","type":"double"},{"name":"from","type":"geo.Point"}]}`

	protoUnit  = "syntax = \"proto3\";\npackage geo;\nenum Unit {\n  KM = 0;\n  MILE = 1;\n}\n"
	protoPoint = "syntax = \"proto3\";\npackage geo;\nimport \"geo/unit.proto\";\nmessage Point {\n  double lat = 1;\n  Unit unit = 2;\n}\n"
	protoTrip  = "syntax = \"proto3\";\npackage trips;\nimport \"geo/point.proto\";\nmessage Trip {\n  double fare = 1;\n  geo.Point from = 2;\n}\n"
)

func TestRealAvroWithReferences(t *testing.T) {
	r := openReal(t)
	r.put("unit", sr.Schema{Schema: avroUnit})
	r.put("point", sr.Schema{Schema: avroPoint, References: []sr.SchemaReference{r.ref("geo.Unit", "unit")}})
	s := r.both("trip", r.put("trip", sr.Schema{Schema: avroTrip, References: []sr.SchemaReference{r.ref("geo.Point", "point")}}))
	if s.Type != sources.SchemaAvro || names(s) != "geo.Unit geo.Point" {
		t.Errorf("type %s, references %s", s.Type, names(s))
	}
	fields, err := avro.Fields(s)
	if err != nil || len(fields) != 2 {
		t.Errorf("%v %v", fields, err)
	}
}

func TestRealProtobufWithReferences(t *testing.T) {
	r := openReal(t)
	proto := func(text string, refs ...sr.SchemaReference) sr.Schema {
		return sr.Schema{Type: sr.TypeProtobuf, Schema: text, References: refs}
	}
	r.put("unit", proto(protoUnit))
	r.put("point", proto(protoPoint, r.ref("geo/unit.proto", "unit")))
	s := r.both("trip", r.put("trip", proto(protoTrip, r.ref("geo/point.proto", "point"))))
	if s.Type != sources.SchemaProtobuf || names(s) != "geo/unit.proto geo/point.proto" {
		t.Errorf("type %s, references %s", s.Type, names(s))
	}
	md, err := protorec.Compile(t.Context(), s, "trips.Trip")
	if err != nil {
		t.Fatal(err)
	}
	if from := md.Fields().ByName("from"); from == nil || from.Message().Fields().ByName("unit").Enum().FullName() != "geo.Unit" {
		t.Errorf("field from is %v", from)
	}
}

func TestRealUnknown(t *testing.T) {
	r := openReal(t)
	if _, err := r.Schema(t.Context(), math.MaxInt32); !errors.Is(err, sources.ErrUnknownSchema) {
		t.Errorf("id: %v", err)
	}
	if _, _, err := r.Latest(t.Context(), r.subject("none/such")); !errors.Is(err, sources.ErrUnknownSchema) {
		t.Errorf("subject: %v", err)
	}
	wrong, err := schemaregistry.New(schemaregistry.Settings{URLs: []string{os.Getenv("MILLRACE_TEST_REGISTRY") + "/nowhere"}})
	if err != nil {
		t.Fatal(err)
	}
	defer wrong.Close()
	if _, err := wrong.Schema(t.Context(), 1); err == nil || errors.Is(err, sources.ErrUnknownSchema) {
		t.Errorf("a wrong path: %v", err)
	}
}

func TestRealIncompatibleIsRefused(t *testing.T) {
	r := openReal(t)
	record := func(fields string) sr.Schema {
		return sr.Schema{Schema: `{"type":"record","name":"Trip","fields":[` + fields + `]}`}
	}
	const fare = `{"name":"fare","type":"double"}`
	subject, first := r.subject("evolving"), r.put("evolving", record(fare))
	for _, result := range r.writer.SetCompatibility(t.Context(), sr.SetCompatibility{Level: sr.CompatBackward}, subject) {
		if result.Err != nil {
			t.Fatal(result.Err)
		}
	}
	var answer *sr.ResponseError
	if _, err := r.writer.CreateSchema(t.Context(), subject, record(fare+`,{"name":"tip","type":"double"}`)); !errors.As(err, &answer) || answer.StatusCode != http.StatusConflict {
		t.Errorf("a field without a default: %v", err)
	}
	if s, version, err := r.Latest(t.Context(), subject); err != nil || version != 1 || s.ID != first {
		t.Errorf("after the refusal: version %d, id %d, %v", version, s.ID, err)
	}
	if _, err := r.writer.CreateSchema(t.Context(), subject, record(fare+`,{"name":"tip","type":"double","default":0}`)); err != nil {
		t.Fatal(err)
	}
	s, version, err := r.Latest(t.Context(), subject)
	if err != nil || version != 2 || s.ID == first || !strings.Contains(s.Text, "tip") {
		t.Errorf("after a compatible change: version %d, %v, %v", version, s, err)
	}
	if s, err := r.Schema(t.Context(), first); err != nil || strings.Contains(s.Text, "tip") {
		t.Errorf("the first id: %v %v", s, err)
	}
}
