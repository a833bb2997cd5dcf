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
	for args, want := range map[string]string{
		"nobody":                   "project rides has no such view, service or model; it has driver_trips, driver_activity, driver_profile",
		"driver_activity --latest": "--latest is for views without windows and without --entities",
		"driver_trips --latest --entities labels": "--latest is for views without windows and without --entities",
		"eta_v1 --table events":                   "--table names the events of one source, and these are of trips, driver_profile_push",
	} {
		all := append([]string{"sql", "--definitions", ridesFolder}, strings.Fields(args)...)
		if _, err := command(t, all...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("sql %s: %v", args, err)
		}
	}
}

// TestSQLAtMoments: what depends on the time of a read is asked for at the
// times of a table. That it gives what is served is the oracle's to prove.
func TestSQLAtMoments(t *testing.T) {
	for args, wants := range map[string][]string{
		"driver_activity": {
			`from "entities"`, `r."millrace_recorded" <= a."millrace_at"`, `"millrace_event_time" >= "millrace_now" - interval 24 hours`,
			`r."millrace_event_time" >= time_bucket(interval 1 minutes, a."millrace_at" - interval 1 hours) and ` +
				`r."millrace_event_time" < time_bucket(interval 1 minutes, a."millrace_at") + interval 1 minutes`,
			`row_number() over (partition by "millrace_key_0", time_bucket(interval 15 minutes, "millrace_event_time"), ` +
				`"record_partition", "millrace_event_id" order by "record_offset") = 1`,
			`as "last_hour_share"`, "\norder by ",
		},
		"driver_trips --entities labels --table raw": {`from "labels"`, `from "raw"`, `interval 168 hours`, `as "idle_s"`},
		"quote": {`cast("pickup_km" as double)`, `try("driver_trips/served"."fare_per_km" * "millrace_asked"."millrace_input_0") as "expected_fare"`, `"coupon"`},
		"eta_v1": {
			`"quote/computed"."expected_fare" as "quote:expected_fare"`, `"backup/served"."last_fare" as "backup:last_fare"`,
			`r."millrace_key_0" = a."millrace_key_1"`, `"millrace_asked".* exclude`,
		},
	} {
		out, err := command(t, append([]string{"sql", "--definitions", ridesFolder}, strings.Fields(args)...)...)
		if err != nil {
			t.Fatalf("sql %s: %v", args, err)
		}
		for _, want := range wants {
			if !strings.Contains(out, want) {
				t.Errorf("sql %s lacks %q:\n%s", args, want, out)
			}
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

// TestSQLWithModels: predictions are not among the events, and the inputs of a
// model are.
func TestSQLWithModels(t *testing.T) {
	dir := withModels(t)
	const more = `services:
  - {name: mixed, features: ["driver_trips:fare_per_km", "driver_trips:fraud_score", {view: churn, as: other, keys: {driver_id: other_id}}]}
`
	write(t, dir, "mixed.yaml", more)
	out, err := command(t, "sql", "mixed", "--definitions", dir)
	for _, want := range []string{
		"\n-- driver_trips:fraud_score is a prediction, which no event holds, and is left out.\n-- other:risk is a prediction, ",
		"\n-- \"entities\" holds what is asked for: driver_id, event_timestamp,", "select\n  \"millrace_asked\".* exclude",
		`."fare_per_km" as "driver_trips:fare_per_km"` + "\nfrom ",
	} {
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("%v, or it lacks %q:\n%s", err, want, out)
		}
	}
	out, err = command(t, "sql", "fraud", "--definitions", dir)
	const inputs = `."fare_per_km" as "driver_trips:fare_per_km",
  "driver_trips/served"."idle_s" as "driver_trips:idle_s",
  "driver_activity/served"."trips_24h" as "driver_activity:trips_24h",
  "driver_profile/served"."rating" as "driver_profile:rating"
from `
	if err != nil || !strings.Contains(out, inputs) || strings.Contains(out, "prediction") {
		t.Errorf("%v, or it lacks the inputs:\n%s", err, out)
	}
	for name, want := range map[string]string{
		"scores": "write scores as SQL: it serves predictions alone, which no event holds; write its models as SQL",
		"churn":  "which features it takes is not defined",
		"fruad":  "it has driver_trips, driver_activity, driver_profile, quote; models fraud, churn",
	} {
		if _, err := command(t, "sql", name, "--definitions", dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("sql %s: %v", name, err)
		}
	}
}
