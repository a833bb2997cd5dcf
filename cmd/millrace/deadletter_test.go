package main

import (
	"strings"
	"testing"

	"millrace/sinks"
)

func TestLettersHaveNames(t *testing.T) {
	l := sinks.Letter{LetterID: sinks.LetterID{Partition: 3, Element: 2, View: "driver_trips"}, Topic: "rides.trips", Offset: 81234}
	const full = "rides.trips/3@81234#2:driver_trips"
	if got := letterName(&l); got != full {
		t.Errorf("it is named %s, want %s", got, full)
	}
	for name, want := range map[string]bool{
		full: true, "rides.trips/3@81234": true, "rides.trips/3@81234#2": true,
		"rides.trips/3@8123": false, "rides.trips/3@81234#1": false, "rides.trips/3@81234:driver_trips": false, "trips/3@81234": false,
	} {
		if names(name, &l) != want {
			t.Errorf("%s names it: %v", name, !want)
		}
		if !letterNameForm.MatchString(name) {
			t.Errorf("%s is refused", name)
		}
	}
	for _, c := range []struct {
		element int32
		view    string
		want    string
	}{
		{-1, "", "rides.trips/3@81234"},
		{0, "", "rides.trips/3@81234#0"},
		{0, "driver_trips", "rides.trips/3@81234:driver_trips"},
		{-1, "driver_trips", "rides.trips/3@81234:driver_trips"},
	} {
		if l.Element, l.View = c.element, c.view; letterName(&l) != c.want {
			t.Errorf("element %d of view %q is named %s, want %s", c.element, c.view, letterName(&l), c.want)
		}
	}
	for _, wrong := range []string{"", "81234", "trips@3", "trips/3@x", full + " "} {
		if letterNameForm.MatchString(wrong) {
			t.Errorf("%q is taken", wrong)
		}
	}
}

// What a record holds must not play with the terminal that shows it.
func TestPayloadsPrintSafely(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`{"a":[1]}`, "{\n  \"a\": [\n    1\n  ]\n}"},
		{"plain", "plain"},
		{"\x1b[2J", "00000000  1b 5b 32 4a"},
		{"\xff", "00000000  ff"},
		{"", ""},
	} {
		if got := readable([]byte(c.in)); got != c.want && (c.want == "" || !strings.HasPrefix(got, c.want)) {
			t.Errorf("%q prints as %q, want %q", c.in, got, c.want)
		}
	}
	if got := readable(nil); got != "(none)" {
		t.Errorf("no value prints as %q", got)
	}
}
