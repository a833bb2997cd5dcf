package transforms_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"millrace/feature"
	"millrace/transforms"
)

var rewrite = flag.Bool("rewrite", false, "accept the results of the scripts in testdata")

// TestOnDemandScript runs testdata/on_demand.txt, a list of blocks:
//
//	== view NAME FIELD TYPE, …            a view and its features
//	== request NAME FIELD TYPE [optional], …
//	== features                           an on-demand view, a line per feature
//	name = expression
//	--
//	inputs and types, or problems
//	== rows NOW                           a line per row, as a JSON object by input
//	{"trip.fare": 1}
//	--
//	a line per row: values; ! is a failure
func TestOnDemandScript(t *testing.T) {
	const name = "testdata/on_demand.txt"
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	head, blocks, _ := strings.Cut(string(text), "\n== ")
	s, out := &onDemandScript{t: t}, head
	for block := range strings.SplitSeq(blocks, "\n== ") {
		body, after, _ := strings.Cut(block, "\n\n")
		asked, want, hasAnswer := strings.Cut(strings.TrimSpace(body), "\n--")
		got := s.run(asked)
		if want = strings.TrimSpace(want); want != got && !*rewrite {
			t.Errorf("%s\ngave\n%s\nnot\n%s", asked, got, want)
		}
		out += "\n== " + asked
		if hasAnswer {
			out += "\n--\n" + got
		}
		out += "\n"
		if after = strings.TrimSpace(after); after != "" {
			out += "\n" + after
		}
	}
	if *rewrite {
		if err := os.WriteFile(name, []byte(strings.TrimRight(out, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

type onDemandScript struct {
	t        *testing.T
	views    []*feature.View
	requests []*feature.Source
	plan     *transforms.OnDemandPlan
}

func (s *onDemandScript) run(block string) string {
	s.t.Helper()
	head, body, _ := strings.Cut(block, "\n")
	kind, rest, _ := strings.Cut(head, " ")
	name, fields, _ := strings.Cut(rest, " ")
	switch kind {
	case "view":
		s.views = append(s.views, kinds(&feature.View{Name: name}, strings.Split(fields, ", ")...))
	case "request":
		s.requests = append(s.requests, requests(name, strings.Split(fields, ", ")...))
	case "features":
		return s.compile(strings.Split(body, "\n"))
	case "rows":
		return s.rows(rest, strings.Split(body, "\n"))
	default:
		s.t.Fatalf("no such block: %s", head)
	}
	return ""
}

func (s *onDemandScript) compile(lines []string) string {
	v := onDemand(lines...)
	v.Sources = nil
	for _, view := range s.views {
		v.Sources = append(v.Sources, view.Name)
	}
	for _, r := range s.requests {
		v.Sources = append(v.Sources, r.Name)
	}
	plan, problems := transforms.CompileOnDemand(v, s.views, s.requests)
	var b strings.Builder
	for _, p := range problems {
		fmt.Fprintf(&b, "%s:%d %s; %s\n", p.Part, p.Offset, p.Message, p.Hint)
	}
	if plan != nil {
		s.plan = plan
		fmt.Fprintf(&b, "inputs %s\n", inputText(plan.Inputs))
		for _, f := range v.Features {
			fmt.Fprintf(&b, "%s %s\n", f.Name, f.Type)
		}
	}
	return strings.TrimSpace(b.String())
}

func (s *onDemandScript) rows(now string, lines []string) string {
	var features []string
	for _, f := range s.plan.View.Features {
		features = append(features, f.Name)
	}
	r, err := s.plan.NewReader(features)
	if err != nil {
		s.t.Fatal(err)
	}
	columns := make([]*feature.Column, len(r.Inputs()))
	for i, in := range r.Inputs() {
		columns[i] = new(feature.Column)
		columns[i].Reset(in.Type)
		columns[i].Resize(len(lines))
		for row, line := range lines {
			s.set(columns[i], row, in.String(), line)
		}
	}
	micros, err := transforms.ParseLiteral(now, feature.Of(feature.KindTimestamp))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Run(columns, len(lines), micros.Ints[0])
	var b strings.Builder
	for row := range lines {
		for i := range features {
			if i > 0 {
				b.WriteString(", ")
			}
			if r.Failed(i, row) {
				b.WriteString("!")
				continue
			}
			b.WriteString(show(r.Column(i), row))
		}
		b.WriteString("\n")
	}
	return strings.TrimSpace(b.String())
}

// set sets a row of an input to its value in a JSON object; null if it is not
// there.
func (s *onDemandScript) set(c *feature.Column, row int, name, line string) {
	var values map[string]json.RawMessage
	if err := json.Unmarshal([]byte(line), &values); err != nil {
		s.t.Fatalf("%s: %v", line, err)
	}
	text, ok := values[name]
	if !ok {
		return
	}
	one, err := transforms.ParseLiteral(strings.Trim(string(text), `"`), c.Type)
	if err != nil {
		s.t.Fatal(err)
	}
	c.CopyRow(row, one, 0)
}
