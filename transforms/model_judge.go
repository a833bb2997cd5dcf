package transforms

import (
	"time"

	"millrace/transforms/fingerprint"
)

// StoredPrediction is what is known of a prediction that was read, beside its
// outputs.
type StoredPrediction struct {
	Found       bool  // a row is stored, and has every output
	AtMicros    int64 // when its inputs were read, or what a client says
	Stamp       int64 // what it is stored with: of two of a key the greater stays
	Version     string
	Fingerprint []byte // empty when a client wrote it
	Catalog     int64
	By          string // one of By…
}

// PredictionState says what a stored prediction is for a read.
type PredictionState uint8

// The states.
const (
	PredictionMissing PredictionState = iota // there is none that could be served
	PredictionFresh                          // of the inputs just read, the wanted version, and young enough
	PredictionClient                         // written by a client, of the wanted version and young enough
	PredictionStale
)

// StaleRule is the closed set of reasons for which a prediction is stale: these,
// and the names of fingerprint.Rule.
type StaleRule string

// The rules that are not about inputs.
const (
	StaleVersion    StaleRule = "version"
	StaleAge        StaleRule = "age"
	StaleUnreadable StaleRule = "unreadable" // its fingerprint is damaged, or of a later version of the program
)

// Judgement is what is to become of a stored prediction.
type Judgement struct {
	State PredictionState
	Rule  StaleRule // of a stale one, the first that holds: version, inputs, age
	View  string    // of the input that changed, if one is to blame
	Serve bool      // it may be served: as what State says
	Newer bool      // a process with a greater catalog version wrote it: what is computed now is not to be stored
}

// Judge says what a stored prediction is at nowMicros for inputs of which
// current is the fingerprint; of a model without an endpoint there is none.
// catalog is the version of the catalog that p belongs to. maxAge is what the
// caller wants, 0 nothing: beyond it nothing is served, not even as stale. It
// keeps nothing, and allocates nothing unless the prediction is stale.
//
// A stale prediction may be served for serve_stale_for. When it became stale is
// known of its age alone. What else changed may have changed right after its
// inputs were read, so that it is served only while it is itself no older than
// that: nothing is served that may have been stale for longer.
func (p *ModelPlan) Judge(stored *StoredPrediction, current []byte, catalog, nowMicros int64, maxAge time.Duration) Judgement {
	if !stored.Found { // it may lack an output that newer definitions have no more
		return Judgement{Newer: stored.Catalog > catalog}
	}
	age := ageOf(stored.AtMicros, nowMicros)
	j := p.judge(stored, current, age)
	j.Newer = stored.Catalog > catalog
	if maxAge > 0 && age > maxAge {
		j.Serve = false
		if j.State != PredictionStale {
			j.State, j.Rule = PredictionStale, StaleAge
		}
	}
	return j
}

// judge is Judge without regard to the caller.
func (p *ModelPlan) judge(stored *StoredPrediction, current []byte, age time.Duration) Judgement {
	m := p.Model
	old := m.MaxAge > 0 && age > m.MaxAge
	j := Judgement{State: PredictionStale}
	lenient := m.ServeStaleFor > 0 && age <= m.ServeStaleFor
	switch {
	case stored.Version != m.Version:
		j.Rule = StaleVersion
		j.Serve = lenient || m.ServePreviousVersion && (m.MaxAge == 0 || age-m.ServeStaleFor <= m.MaxAge)
		return j
	case len(stored.Fingerprint) > 0 && m.Endpoint != "":
		v, err := fingerprint.Compare(stored.Fingerprint, current)
		if err != nil {
			j.Rule = StaleUnreadable
			return j
		}
		if v.Stale() {
			j.Rule, j.View, j.Serve = StaleRule(v.Rule.String()), v.View, lenient
			return j
		}
	}
	if old {
		j.Rule, j.Serve = StaleAge, age-m.ServeStaleFor <= m.MaxAge
		return j
	}
	j.Serve, j.State = true, PredictionFresh
	if len(stored.Fingerprint) == 0 {
		j.State = PredictionClient
	}
	return j
}

// ageOf does not overflow, wherever the times lie. What was read by a process
// whose clock is ahead is new.
func ageOf(at, now int64) time.Duration {
	const most = int64(200*365*24*time.Hour) / 1000
	switch age := now - at; {
	case at >= now:
		return 0
	case age < 0 || age > most:
		return time.Duration(most * 1000)
	default:
		return time.Duration(age) * time.Microsecond
	}
}
