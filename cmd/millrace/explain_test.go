package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestExplainSaysWhatAReadCosts(t *testing.T) {
	out, err := command(t, "explain", "driver_trips", "--definitions", ridesFolder)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"  driver_id            int64        at driver.id\n",
		"\ncomputed at write\n  last_fare            float64      = fare\n",
		"\ncomputed at read\n  idle_s               float64      = epoch(now()) - epoch(event_time())\n",
		"\nbytes of a stored row\n  header and nulls     37\n  last_fare            8\n",
		"  tier                 4 + its value\n",
		"one store read per entity, shared with its other views; 61 bytes and the values of tier, last_trip_id; 3 steps of the read half\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it lacks %q:\n%s", want, out)
		}
	}
}

// TestExplainOfWindows: a view of windows alone writes no row and takes no
// finished one.
func TestExplainOfWindows(t *testing.T) {
	out, err := command(t, "explain", "driver_activity", "--definitions", ridesFolder)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"\n  15m                  3 states in at most 32904 bytes",
		"; a read takes up to 97 of each partition, and of 20 partitions at most; kept ",
		"\nstored of a row\n  nothing but its tiles; finished rows are refused (windows_only)\n",
		"of the write half, writes of 3 tiles that a micro-batch shares\n",
		"  a read               3 queries of tiles per entity, one per hop; 5 steps of the read half\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it lacks %q:\n%s", want, out)
		}
	}
	for _, not := range []string{"bytes of a stored row", "event_timestamp", "one store read", "36 bytes"} {
		if strings.Contains(out, not) {
			t.Errorf("it says %q:\n%s", not, out)
		}
	}
	var e explanation
	out, err = command(t, "explain", "driver_activity", "--json", "--definitions", ridesFolder)
	if err != nil || json.Unmarshal([]byte(out), &e) != nil || e.Row.FixedBytes != 0 || e.Cost != (readCost{TileReads: 3, Steps: 5}) || e.Finished != "" {
		t.Errorf("%v, explained as %+v", err, e)
	}
}

func TestExplainAsJSON(t *testing.T) {
	out, err := command(t, "explain", "driver_trips", "--json", "--definitions", ridesFolder)
	if err != nil {
		t.Fatal(err)
	}
	var e explanation
	if err := json.Unmarshal([]byte(out), &e); err != nil {
		t.Fatal(err)
	}
	if e.Row.FixedBytes != 61 || e.Row.Header != 37 || len(e.Row.Columns) != 4 || !e.Row.Columns[2].Variable {
		t.Errorf("row %+v", e.Row)
	}
	if e.Cost != (readCost{StoreReads: 1, FixedBytes: 61, Steps: 3}) || e.WriteSteps == 0 || e.Fields[0].Path != "driver.id" {
		t.Errorf("cost %+v, %d steps at write, fields %+v", e.Cost, e.WriteSteps, e.Fields)
	}
}

func TestExplainOnDemand(t *testing.T) {
	out, err := command(t, "explain", "quote", "--definitions", ridesFolder)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"on-demand view quote: features of driver from driver_trips, quote_request; nothing is stored\n",
		"\narrives with the request\n  pickup_km            float64      of quote_request\n",
		"\ncomputed at read\n  expected_fare        float64      = driver_trips.fare_per_km * pickup_km",
		"one store read per entity, of driver_trips, shared with what else is read of it; 3 steps of its own\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it lacks %q:\n%s", want, out)
		}
	}
	out, err = command(t, "explain", "quote", "--json", "--definitions", ridesFolder)
	var e onDemandExplanation
	if err != nil || json.Unmarshal([]byte(out), &e) != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if e.Cost.StoreReads != 1 || e.Cost.Steps != 3 || len(e.Request) != 2 || !e.Request[1].Optional || len(e.Read) != 2 {
		t.Errorf("explained as %+v", e)
	}
}

func TestExplainOfAProject(t *testing.T) {
	out, err := command(t, "explain", "--definitions", ridesFolder)
	const want = `VIEW             ENTITY  SOURCE               AT WRITE  AT READ  ROW
driver_trips     driver  trips                4         1        61 bytes and more
driver_activity  driver  trips                0         6        none, tiles
driver_profile   driver  driver_profile_push  1         0        45 bytes

ON DEMAND  ENTITY  FEATURES  VIEWS         REQUEST DATA
quote      driver  2         driver_trips  pickup_km, coupon

SERVICE  FEATURES  STORE READS  VIEWS
eta_v1   10        2            driver_trips, driver_activity, driver_profile, quote
`
	if err != nil || out != want {
		t.Errorf("%v\n%s", err, out)
	}
	out, err = command(t, "explain", "--json", "--definitions", ridesFolder)
	if err != nil || !strings.Contains(out, `"store_reads": 2`) || !strings.Contains(out, `"on_demand_views": [`) {
		t.Errorf("%v\n%s", err, out)
	}
	if _, err = command(t, "explain", "driver_trip", "--definitions", ridesFolder); err == nil || !strings.Contains(err.Error(), "it has driver_trips") {
		t.Errorf("an unknown view: %v", err)
	}
}
