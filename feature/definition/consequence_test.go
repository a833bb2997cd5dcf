package definition_test

import (
	"strings"
	"testing"

	"millrace/feature/definition"
)

// TestConsequencesAreNotReported changes the base so that one mistake makes
// other parts look wrong, and so that independent mistakes stand in the way of
// each other. Exactly the mistakes are reported.
func TestConsequencesAreNotReported(t *testing.T) {
	for _, c := range []struct {
		name, want string
		change     []string
	}{
		{"type of a field", "10:28", []string{"fare, type: float64", "fare, type: flaot64"}},
		{"type of the key's field", "9:33", []string{"driver_id, type: int64, path", "driver_id, type: int46, path"}},
		{"name of a field", "10:10", []string{"{name: fare, type", "{nme: fare, type"}},
		{"name of a join key", "3:33", []string{"[{name: driver_id, type: int64}]", "[{nme: driver_id, type: int64}]"}},
		{"join keys", "3:20", []string{"join_keys: [", "join_key: ["}},
		{"name of an entity", "3:6", []string{"{name: driver,", "{nam: driver,"}},
		{"name of a view", "16:5", []string{"  - name: driver_trips", "  - nam: driver_trips"}},
		{"name of a feature", "23:10", []string{"{name: rate", "{nam: rate"}},
		{"fields", "8:5", []string{"    fields:\n", "    feilds:\n"}},
		{"source", "18:5", []string{"    source: trips", "    sorce: trips"}},
		{"all sources", "4:1", []string{"sources:\n", "souces:\n"}},
		{"all views", "15:1", []string{"views:\n", "veiws:\n"}},
		{"unnest", "18:21", []string{"    where: km > 0\n", "", "    source: trips\n", "    unnest: {field: items, as: item}\n    source: trips\n", "expr: fare,", "expr: item.sku,"}},
		{"two of a chain at write", "23:36", []string{"nullif(km", "nulif(km"}},
		{"two of a chain at read", "24:31 25:42", []string{"expr: rate * 2, at: read}", "expr: ratee * 2, at: read}\n      - {name: tripled, expr: \"doubled * nulif(3, 1)\"}"}},
		{"a key and a feature at read", "19:23 24:31", []string{"    where: km > 0\n", "    keys: {driver_id: fare}\n", "rate * 2", "ratee * 2"}},
		{"a default and a feature", "22:48 24:31", []string{"default: 1.5", "default: much", "rate * 2", "ratee * 2"}},
		{"a default of what is in doubt", "10:28", []string{"fare, type: float64", "fare, type: flaot64", "default: 1.5", "default: much"}},
		{"two in one expression", "23:29 23:44", []string{"fare / nullif(km, 0)", "farre / nullif(kmm, 0)"}},
		{"syntax and types", "19:16 22:33", []string{"where: km > 0", "where: km >", "expr: fare,", "expr: farre,"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := strings.NewReplacer(c.change...).Replace(base)
			if got := places(t, text); got != c.want {
				_, err := load(text)
				t.Errorf("mistakes at %s, want %s\n%v", got, c.want, err)
			}
		})
	}
}

func TestOneNameOneMeaning(t *testing.T) {
	before, _, _ := strings.Cut(base, "      - driver_trips\n")
	entries := func(lines ...string) string { return before + "      - " + strings.Join(lines, "\n      - ") + "\n" }
	for _, c := range []struct {
		name, want string
		lines      []string
	}{
		{"the same keys, written and not", "", []string{"driver_trips:rate", "{view: driver_trips, keys: {driver_id: driver_id}, features: [doubled]}"}},
		{"the first meaning stays", "29:9", []string{"driver_trips:rate", "{view: driver_trips, keys: {driver_id: other}, features: [doubled]}", "driver_trips:last_fare"}},
		{"two keys under two names", "", []string{"driver_trips:rate", "{view: driver_trips, as: b, keys: {driver_id: other}, features: [rate]}"}},
	} {
		if got := places(t, entries(c.lines...)); got != c.want {
			t.Errorf("%s: mistakes at %q, want %q", c.name, got, c.want)
		}
	}
}

// TestPlacesInScalars puts an unknown name behind what makes text and value
// differ: quotes, escapes, folds and characters of several bytes.
func TestPlacesInScalars(t *testing.T) {
	for _, c := range []struct{ where, want string }{
		{`kmm > 0`, "19:12"},
		{`"kmm > 0"`, "19:13"},
		{`'1 > 0 and ''é'' <> ''a'' and kmm > 0'`, "19:42"},
		{`"\x31 > 0 and \"km\" > 0 and kmm > 0"`, "19:41"},
		{"|\n      km > 0\n      and kmm > 0", "21:11"},
		{">\n      km > 0\n      and kmm > 0", "21:11"},
		{"km > 0\n      and kmm > 0", "20:11"},
		{"\"km > 0\n      and kmm > 0\"", "20:11"},
		{"\"km > 0 \\\n      and kmm > 0\"", "20:11"},
	} {
		if got := places(t, strings.Replace(base, "km > 0", c.where, 1)); got != c.want {
			t.Errorf("where: %s\nmistake at %s, want %s", c.where, got, c.want)
		}
	}
}

func TestWindowsFilesAreRead(t *testing.T) {
	text := "\ufeff" + strings.ReplaceAll(strings.Replace(base, "km > 0", "kmm > 0", 1), "\n", "\r\n")
	if got := places(t, text); got != "19:12" {
		t.Errorf("mistake at %s", got)
	}
}

func TestProjectOfSeveralFiles(t *testing.T) {
	views := strings.Index(base, "views:")
	for _, c := range []struct{ name, one, other, want string }{
		{"order does not matter", base[views:], base[:views], ""},
		{"several documents", base[:views] + "---\n" + base[views:], "", ""},
		{"one name", base, "project: rides", ""},
		{"two names", base, "project: walks", "b.yaml:1:10: project walks is called rides in another file"},
		{"none", strings.Replace(base, "project: rides\n", "", 1), "", "no file names the project"},
		{"a file that is not YAML", base[views:], "sources: [", "b.yaml:1:10: not YAML: sequence end token ']' not found"},
		{"a file that is not UTF-8", base[views:], "\xff", "b.yaml:1:1: the file is not UTF-8"},
		{"a large file", base, strings.Repeat("#", 1<<20+1), "b.yaml:1:1: the file has 1048577 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := definition.Load([]definition.File{{Name: "a.yaml", Data: []byte(c.one)}, {Name: "b.yaml", Data: []byte(c.other)}})
			got := ""
			if err != nil {
				got, _, _ = strings.Cut(err.Error(), "\n")
				if strings.Contains(err.Error(), "\n\n") {
					t.Errorf("more than one error:\n%v", err)
				}
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
