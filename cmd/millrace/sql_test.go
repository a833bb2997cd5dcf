package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSQLIsTheDefinitionsText(t *testing.T) {
	out, err := command(t, "sql", "driver_trips", "--definitions", ridesFolder)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"  from \"trips\"\n",
		"    cast(coalesce(\"completed_at\", \"record_time\") as timestamp) as \"millrace_event_time\",\n",
		"    \"fare\" / nullif(\"km\", 0) as \"fare_per_km\",\n",
		"    and (\"status\" = 'completed')\n",
		"    try(epoch(cast(getvariable('read_time') as timestamp)) - epoch(\"millrace_event_time\")) as \"idle_s\"\n",
		"  coalesce(\"tier\", cast('NONE' as varchar)) as \"tier\",\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it lacks %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "record_offset") {
		t.Errorf("it asks for offsets without --latest:\n%s", out)
	}
}

func TestSQLOfEventsThatMayFail(t *testing.T) {
	out, err := command(t, "sql", "driver_trips", "--table", "raw trips", "--latest", "--try", "--definitions", ridesFolder)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"  from \"raw trips\"\n",
		"    try(\"fare\" / nullif(\"km\", 0)) as \"fare_per_km\",\n",
		"  partition by \"millrace_key_0\"\n  order by \"millrace_event_time\" desc, \"millrace_now\" desc, \"record_offset\" desc, \"record_partition\" desc\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it lacks %q:\n%s", want, out)
		}
	}
}

func TestSQLOfWhatIsNoView(t *testing.T) {
	for name, want := range map[string]string{
		"nobody": "project rides has no such view; it has driver_trips, driver_activity, driver_profile",
		"quote":  "it is an on-demand view, which joins views and request data; write its views instead",
	} {
		if _, err := command(t, "sql", name, "--definitions", ridesFolder); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("sql %s: %v", name, err)
		}
	}
}

func TestSQLNamesWhatDuckDBLacks(t *testing.T) {
	dir := t.TempDir()
	text := `
project: p
entities: [{name: e, join_keys: [{name: id, type: int64}]}]
sources: [{name: s, kafka: {topic: s}, fields: [{name: id, type: int64}, {name: lat, type: float64}, {name: lon, type: float64}]}]
views: [{name: v, entity: e, source: s, features: [{name: cell, expr: "geohash(lat, lon, 5)"}]}]
`
	if err := os.WriteFile(filepath.Join(dir, "p.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := command(t, "sql", "v", "--definitions", dir)
	if want := "feature cell calls geohash, which DuckDB does not have"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v", err)
	}
}
