package transforms_test

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"millrace/feature"
	"millrace/transforms"
	"millrace/transforms/fingerprint"
)

// printed is the fingerprint of one view whose rows were read so.
func printed(read uint64, hash byte, tiles ...uint64) []byte {
	b := new(fingerprint.Builder)
	b.Reset(1)
	b.View("v", 1, read, fingerprint.Row{Kind: fingerprint.Present, Hash: [16]byte{hash}})
	b.Tiles("v", 60, tiles)
	return b.Append(nil)
}

const second = int64(time.Second / time.Microsecond)

func TestJudge(t *testing.T) {
	base := feature.Model{Endpoint: "http://m", Version: "7", Cache: true, MaxAge: time.Hour, ServeStaleFor: 10 * time.Minute}
	with := func(change func(m *feature.Model)) *feature.Model {
		m := base
		change(&m)
		return &m
	}
	previous := with(func(m *feature.Model) { m.ServePreviousVersion = true })
	forever := with(func(m *feature.Model) { m.ServePreviousVersion, m.MaxAge, m.ServeStaleFor = true, 0, 0 })
	written := with(func(m *feature.Model) { m.Endpoint, m.ServeStaleFor = "", 0 })
	same := printed(1, 1, 10)
	of := func(version string, printed []byte) transforms.StoredPrediction {
		return transforms.StoredPrediction{Found: true, Version: version, Fingerprint: printed, Catalog: 5}
	}
	stale := func(rule transforms.StaleRule, serve bool) transforms.Judgement {
		return transforms.Judgement{State: transforms.PredictionStale, Rule: rule, Serve: serve}
	}
	input := func(rule transforms.StaleRule, serve bool) transforms.Judgement {
		j := stale(rule, serve)
		j.View = "v"
		return j
	}
	fresh := transforms.Judgement{State: transforms.PredictionFresh, Serve: true}
	client := transforms.Judgement{State: transforms.PredictionClient, Serve: true}
	for _, c := range []struct {
		name   string
		model  *feature.Model
		stored transforms.StoredPrediction
		age    int64 // seconds
		want   transforms.Judgement
	}{
		{"none", &base, transforms.StoredPrediction{}, 0, transforms.Judgement{}},
		{"an output is missing", &base, transforms.StoredPrediction{Version: "7", Fingerprint: same}, 0, transforms.Judgement{}},
		{"fresh", &base, of("7", same), 1, fresh},
		{"from a clock that is ahead", &base, of("7", same), -9, fresh},
		{"as old as it may be", &base, of("7", same), 3600, fresh},
		{"too old", &base, of("7", same), 3601, stale("age", true)},
		{"too old for the time after", &base, of("7", same), 4200, stale("age", true)},
		{"too old to be served", &base, of("7", same), 4201, stale("age", false)},
		{"of any age", forever, of("7", same), 1 << 40, fresh},
		{"a window that slid", &base, of("7", printed(1, 1, 9, 10)), 1, fresh},
		{"another row", &base, of("7", printed(1, 2, 10)), 1, input("row", true)},
		{"another row, for long", &base, of("7", printed(1, 2, 10)), 601, input("row", false)},
		{"new events", &base, of("7", printed(1, 1, 9)), 600, input("events", true)},
		{"read in another way", &base, of("7", printed(2, 1, 10)), 1, input("read", true)},
		{"read in another way, too old", &base, of("7", printed(2, 1, 10)), 3601, input("read", false)},
		{"damaged", &base, of("7", same[:9]), 1, stale("unreadable", false)},
		{"another version", &base, of("6", same), 600, stale("version", true)},
		{"another version, for long", &base, of("6", same), 601, stale("version", false)},
		{"a previous version", previous, of("6", printed(9, 9, 9)), 3600, stale("version", true)},
		{"a previous version, in the time after", previous, of("6", same), 4200, stale("version", true)},
		{"a previous version that is too old", previous, of("6", same), 4201, stale("version", false)},
		{"a previous version of any age", forever, of("6", same), 1 << 40, stale("version", true)},
		{"of a client", &base, of("7", nil), 3600, client},
		{"of a client, too old", &base, of("7", nil), 3601, stale("age", true)},
		{"of a client, another version", written, of("6", nil), 1, stale("version", false)},
		{"of a client alone", written, of("7", nil), 3600, client},
		{"of a client alone, too old", written, of("7", nil), 3601, stale("age", false)},
		{"computed before the endpoint went", written, of("7", printed(3, 3, 3)), 1, fresh},
	} {
		p := &transforms.ModelPlan{Model: c.model}
		if got := p.Judge(&c.stored, same, 5, c.age*second, 0); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
		if c.stored.Found {
			c.want.Newer = true
		}
		if got := p.Judge(&c.stored, same, 4, c.age*second, 0); got != c.want {
			t.Errorf("%s, of a later catalog: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// TestCallersLimitIsHard: beyond the age that a caller wants nothing is served,
// neither as fresh nor as stale; within it the model's own rules hold.
func TestCallersLimitIsHard(t *testing.T) {
	current := printed(1, 1, 10)
	p := &transforms.ModelPlan{Model: &feature.Model{Endpoint: "http://m", Version: "7", MaxAge: time.Hour, ServeStaleFor: time.Hour}}
	stored := transforms.StoredPrediction{Found: true, Version: "7", Fingerprint: current}
	within := p.Judge(&stored, current, 1, 60*second, time.Minute)
	beyond := p.Judge(&stored, current, 1, 61*second, time.Minute)
	if want := (transforms.Judgement{State: transforms.PredictionFresh, Serve: true}); within != want {
		t.Errorf("within: %+v", within)
	}
	if want := (transforms.Judgement{State: transforms.PredictionStale, Rule: transforms.StaleAge}); beyond != want {
		t.Errorf("beyond: %+v", beyond)
	}
}

// TestNothingStaleIsServedForLonger than was asked for, nor ever as fresh:
// wherever times lie.
func TestNothingStaleIsServedForLonger(t *testing.T) {
	current := printed(1, 1, 10)
	ages := rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(1, 100), rapid.Int64Range(1, 1<<31))
	times := rapid.OneOf(rapid.Int64Range(0, 200*second), rapid.SampledFrom([]int64{math.MinInt64, math.MaxInt64, 0}), rapid.Int64())
	rapid.Check(t, func(t *rapid.T) {
		m := &feature.Model{Endpoint: "http://m", Version: "7", ServePreviousVersion: rapid.Bool().Draw(t, "previous")}
		m.MaxAge = time.Duration(ages.Draw(t, "max age")) * time.Second
		if m.MaxAge > 0 {
			m.ServeStaleFor = time.Duration(ages.Draw(t, "stale for")) * time.Second
		}
		stored := transforms.StoredPrediction{Found: true, AtMicros: times.Draw(t, "at"), Version: rapid.SampledFrom([]string{"6", "7"}).Draw(t, "version")}
		stored.Fingerprint = printed(1, byte(rapid.IntRange(1, 2).Draw(t, "row")), rapid.Uint64Range(9, 11).Draw(t, "tile"))
		now := times.Draw(t, "now")
		age := new(big).sub(now, stored.AtMicros)
		j := (&transforms.ModelPlan{Model: m}).Judge(&stored, current, 1, now, 0)
		same := stored.Version == "7" && stored.Fingerprint[34] == 1 && stored.Fingerprint[len(stored.Fingerprint)-8] == 10
		young := m.MaxAge == 0 || age.within(m.MaxAge)
		if (j.State == transforms.PredictionFresh) != (same && young) {
			t.Fatalf("%+v is %+v", stored, j)
		}
		switch {
		case same && young:
		case same, m.ServePreviousVersion && stored.Version == "6":
			if j.Serve != (m.MaxAge == 0 || age.within(m.MaxAge+m.ServeStaleFor)) {
				t.Fatalf("%+v is %+v", stored, j)
			}
		case j.Serve != (m.ServeStaleFor > 0 && age.within(m.ServeStaleFor)):
			t.Fatalf("%+v is %+v", stored, j)
		}
	})
}

// big is a difference of two times that may be beyond 64 bits.
type big struct{ micros float64 }

func (b *big) sub(x, y int64) *big { b.micros = float64(x) - float64(y); return b }

func (b *big) within(d time.Duration) bool { return b.micros <= float64(d.Microseconds()) }
