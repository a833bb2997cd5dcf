package pipeline

import (
	"millrace/feature"
	"millrace/sources"
)

// A record is raw, and then for every view of its source unless it names one,
// or it is a finished row of one view. Which one its headers say, or the source.

// EveryView is the view of records that are for all of a source.
const EveryView = -1

// Course is what becomes of a record.
type Course struct {
	View     int  // index of the view that it is for alone, or EveryView
	Finished bool // it is a finished row of View; otherwise it is raw
	Fields   bool // of a raw one: its value is JSON of the source's fields by name
	Offline  bool // it is on the log for others: the views that it is for filter it

	awaited bool // somebody waits for it
}

// Course says what a lane makes of rec, or why it is refused.
func (r *Route) Course(rec *sources.Record) (Course, *feature.Reject) {
	c, w := r.courseOf(rec)
	if w == fits {
		return c, nil
	}
	reject := w.reject(rec, 0)
	return c, &reject
}

// wrong is what the headers of a record may say that cannot be used.
type wrong uint8

const (
	fits wrong = iota
	wrongFlag
	wrongFormat
	wrongTo
	viewUnnamed
	viewUnknown
)

// courseOf reads the headers of a record. The last of several of one name
// counts, but for those that are wrong, of which the first does.
func (r *Route) courseOf(rec *sources.Record) (Course, wrong) {
	c, w := Course{View: EveryView, Finished: r.Finished}, fits
	var name []byte
	named := false
	first := func(bad bool, what wrong) {
		if bad && w == fits {
			w = what
		}
	}
	for i := range rec.Headers {
		switch h := &rec.Headers[i]; h.Key {
		case sources.HeaderTransformOnWrite:
			c.Finished = string(h.Value) == "false"
			first(!c.Finished && string(h.Value) != "true", wrongFlag)
		case sources.HeaderView:
			name, named = h.Value, true
		case sources.HeaderFormat:
			c.Fields = r.Pushed
			first(r.Pushed && string(h.Value) != sources.FormatFields, wrongFormat)
		case sources.HeaderTo:
			c.Offline = string(h.Value) == sources.ToOffline
			first(!c.Offline && string(h.Value) != sources.ToOnline && string(h.Value) != sources.ToBoth, wrongTo)
		case sources.HeaderWait:
			c.awaited = true
		}
	}
	switch {
	case named:
		c.View = r.viewNamed(name)
		first(c.View == EveryView, viewUnknown)
	case c.Finished:
		first(len(r.Views) > 1, viewUnnamed)
		c.View = 0
	}
	if !c.Finished && len(r.Views) == 1 {
		c.View = EveryView // the same, and the usual
	}
	return c, w
}

func (r *Route) viewNamed(name []byte) int {
	for i := range r.Views {
		if r.Views[i].View.Name == string(name) {
			return i
		}
	}
	return EveryView
}

// usual reports whether what is said of a record is that it is raw.
func (c Course) usual() bool { return !c.Finished && !c.Fields && !c.Offline && c.View == EveryView }

// reject refuses the record at place i of a batch for its headers.
func (w wrong) reject(rec *sources.Record, i int) feature.Reject {
	reason, message := feature.ReasonBadFlag, ""
	switch w {
	case fits:
	case wrongFlag:
		message = "the header " + sources.HeaderTransformOnWrite + " is neither true nor false"
	case wrongFormat:
		message = "the header " + sources.HeaderFormat + " is not " + sources.FormatFields
	case wrongTo:
		message = "the header " + sources.HeaderTo + " is none of " + sources.ToOnline + ", " + sources.ToOffline + " and " + sources.ToBoth
	case viewUnnamed:
		reason, message = feature.ReasonUnknownView, "the source feeds several views: a finished row has to name one in the header "+sources.HeaderView
	case viewUnknown:
		reason, message = feature.ReasonUnknownView, "the header "+sources.HeaderView+" names no view of the source"
	}
	o := feature.Origin{Offset: rec.Offset, RecordMillis: rec.TimeMillis, Record: int32(i)}
	return feature.Reject{Origin: o, Stage: feature.StageDecode, Reason: reason, Message: message}
}
