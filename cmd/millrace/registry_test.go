package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"
)

const tripSchema = `{"type":"record","name":"trip","fields":[{"name":"driver_id","type":"long"},{"name":"fare","type":"double"}]}`

// TestARegistryThatIsAway: what was applied goes on, and nothing is applied of
// which the schema was never seen.
func TestARegistryThatIsAway(t *testing.T) {
	fake := srfake.NewRegistry()
	fake.SeedSchema("trips-value", 1, 7, sr.Schema{Schema: tripSchema})
	var away atomic.Bool
	fake.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		if away.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return away.Load()
	})
	server := httptest.NewServer(fake.Handler())
	defer server.Close()

	dir := t.TempDir()
	write(t, dir, "millrace.yaml", fmt.Sprintf("definitions: %s\nstore: {type: embedded, data_dir: %s}\nschema_registry: {urls: [\"%s\"]}\n",
		dir+"/d", dir+"/data", server.URL))
	write(t, dir, "d/p.yaml", `project: p
entities: [{name: driver, join_keys: [{name: driver_id, type: int64}]}]
sources: [{name: trips, kafka: {topic: trips}, format: avro, schema: {subject: trips-value}, fields: [{name: driver_id, type: int64}, {name: fare, type: float64}]}]
views: [{name: v, entity: driver, source: trips, features: [{name: last_fare, expr: fare}]}]
`)
	says := func(ok bool, want string, args ...string) {
		t.Helper()
		out, err := command(t, append(args, "--config", dir+"/millrace.yaml")...)
		if text := fmt.Sprint(out, err); (err == nil) != ok || !strings.Contains(text, want) {
			t.Errorf("millrace %s: want %q in\n%s", strings.Join(args, " "), want, text)
		}
	}
	const keeps = "source trips keeps the schema of subject trips-value that was applied with catalog version 1 (id 7)"
	away.Store(true)
	says(true, "source trips is not held against its schema", "check")
	says(false, "find the schema of source trips, subject trips-value: no schema registry answers and none was applied before", "apply", "--topics=false")
	away.Store(false)
	says(true, "catalog version 1", "apply", "--topics=false")
	away.Store(true)
	says(true, keeps, "check")
	says(true, keeps, "plan")
	says(true, "nothing would change", "plan")
	says(true, "nothing changed; catalog version 1 stays", "apply", "--topics=false")
	fake.SeedSchema("trips-value", 2, 9, sr.Schema{Schema: strings.Replace(tripSchema, "double", "string", 1)})
	says(true, "no errors", "check")
	away.Store(false)
	says(false, "p.yaml:3:", "check") // the kind that is declared does not fit
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
