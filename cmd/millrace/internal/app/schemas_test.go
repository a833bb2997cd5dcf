package app_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"millrace/cmd/millrace/internal/app"
	"millrace/feature/definition"
)

func loadAvro(t *testing.T, file, fields string) (*definition.Project, error) {
	t.Helper()
	dir := t.TempDir()
	schema := `{"type":"record","name":"trip","fields":[{"name":"fare","type":"double"},{"name":"city","type":"string"}]}`
	if err := os.WriteFile(filepath.Join(dir, "trip.avsc"), []byte(schema), 0o600); err != nil {
		t.Fatal(err)
	}
	text := "project: p\nsources:\n  - {name: s, kafka: {topic: t}, format: avro, schema: {file: " + file + "}" + fields + "}\n"
	return definition.LoadWith([]definition.File{{Name: "a.yaml", Data: []byte(text)}},
		definition.Options{Schemas: app.ReadSchemas(context.Background(), dir, nil)})
}

func TestFieldsOfAnAvroFile(t *testing.T) {
	p, err := loadAvro(t, "trip.avsc", "")
	if err != nil {
		t.Fatal(err)
	}
	if s := p.Catalog.Source("s"); len(s.Fields) != 2 || s.Fields[0].Type.String() != "float64" || len(s.Schema.Text) == 0 {
		t.Errorf("source %+v", s)
	}
	for _, c := range []struct{ file, fields, says string }{
		{"trip.avsc", ", fields: [{name: x, type: int64, path: nowhere}]", "nowhere"},
		{"none.avsc", "", "none.avsc"},
	} {
		if _, err := loadAvro(t, c.file, c.fields); err == nil || !strings.Contains(err.Error(), "a.yaml:3:") || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s%s: %v", c.file, c.fields, err)
		}
	}
}
