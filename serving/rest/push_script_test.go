package rest_test

import (
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"millrace/feature"
	"millrace/serving"
	"millrace/serving/push"
	"millrace/sinks"
	"millrace/sinks/rowcodec"
)

// TestPushScripts runs testdata/push/*.txt. A script is a list of blocks, each
// begun by a line "== …":
//
//	== definitions            YAML of a project
//	== now TIME               what the clock says; on from here
//	== store up|down          how the store answers from here on
//	== topic up|down|silent|other
//	== letter ROW VIEW REASON message   what receipts find on the topic
//	== limits NAME=N …        rows, body, row, bytes, requests
//	== GET|POST PATH [Header:value]
//	body
//	-- 200
//	answer
//	== prediction MODEL KEY
//	-- what is stored of it: outputs, version, fingerprint, catalog, by, time
//	== published
//	-- headers and values of what is on the topic; it is emptied
func TestPushScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/push/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			s := &pushScript{newPushWorld(t)}
			rewriteBlocks(t, name, s.run)
		})
	}
}

// rewriteBlocks runs every block of a script and, when asked for, writes down
// what they came to.
func rewriteBlocks(t *testing.T, name string, run func(string) string) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	head, blocks, _ := strings.Cut("\n"+string(text), "\n== ")
	out := head
	for block := range strings.SplitSeq(blocks, "\n== ") {
		end := len(remarks.ReplaceAllString(block, ""))
		out += "\n== " + run(block[:end]) + block[end:]
	}
	if *rewrite {
		if err := os.WriteFile(name, []byte(strings.TrimPrefix(out, "\n")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

type pushScript struct{ *pushWorld }

// run executes one block and returns it with the answer that was given.
func (s *pushScript) run(block string) string {
	s.t.Helper()
	head, body, _ := strings.Cut(block, "\n")
	words := strings.Fields(head)
	switch words[0] {
	case "definitions":
		s.define(body)
	case "now":
		s.now = must(time.Parse(time.RFC3339Nano, words[1]))(s.t)
	case "store":
		s.store.Fail(nil)
		if words[1] == "down" {
			s.store.Fail(func(string) error { return sinks.ErrUnavailable })
		}
	case "topic":
		s.topic.state = strings.TrimPrefix(words[1], "up")
	case "letter":
		s.topic.letters = append(s.topic.letters, push.Refusal{
			At: must(strconv.Atoi(words[1]))(s.t), View: words[2], Reason: feature.Reason(words[3]), Message: body,
		})
	case "limits":
		s.setLimits(words[1:])
	case "prediction":
		return s.prediction(head, words[1], words[2], body)
	case "published":
		return s.published(head, body)
	case "GET", "POST":
		return head + "\n" + s.request(words, body)
	default:
		s.t.Fatalf("no such block: %s", head)
	}
	return block
}

func (s *pushScript) setLimits(words []string) {
	s.limits = serving.PushLimits{}
	for _, w := range words {
		name, text, _ := strings.Cut(w, "=")
		n := must(strconv.Atoi(text))(s.t)
		switch name {
		case "rows":
			s.limits.MaxRows = n
		case "body":
			s.limits.MaxBodyBytes = int64(n)
		case "row":
			s.limits.MaxRowBytes = n
		case "bytes":
			s.limits.InFlightBytes = int64(n)
		case "requests":
			s.limits.Concurrency = n
		default:
			s.t.Fatalf("no such limit: %s", name)
		}
	}
	s.handler = nil
}

func (s *pushScript) published(head, body string) string {
	var b strings.Builder
	for _, r := range s.topic.rows {
		fmt.Fprintf(&b, "%s:", r.Key)
		for _, h := range r.Headers {
			fmt.Fprintf(&b, " %s=%s", h.Key, h.Value)
		}
		fmt.Fprintf(&b, "\n%s\n", r.Value)
	}
	s.topic.rows = nil
	_, want, _ := strings.Cut("\n"+body, "\n--")
	return head + "\n--\n" + s.compare(head, "", want, b.String())
}

// prediction reads a cell as lookups do.
func (s *pushScript) prediction(head, model, key, body string) string {
	p := s.project.Models[model]
	q := &feature.Query{Entity: p.Entity.Name, Keys: []string{key}, Views: []feature.ViewQuery{{View: p.View.StoredName(), Columns: p.Stored.Columns}}}
	dst := make([]feature.Loaded, 1)
	if err := rowcodec.NewReader(s.store, sinks.NewSchemas(s.store)).Read(s.t.Context(), q, dst); err != nil {
		s.t.Fatal(err)
	}
	got := "none"
	if st := p.Prediction(&dst[0], 0); st.Found {
		got = ""
		for i, out := range p.Model.Outputs {
			got += out.Name + "=" + textOfColumn(&dst[0].Columns[i]) + " "
		}
		got += fmt.Sprintf("version=%q fingerprint=%q catalog=%d by=%s at=%s", st.Version, st.Fingerprint, st.Catalog, st.By, time.UnixMicro(st.AtMicros).UTC().Format(time.RFC3339Nano))
	}
	_, want, _ := strings.Cut("\n"+body, "\n--")
	return head + "\n--\n" + s.compare(head, "", want, got)
}

// textOfColumn is the first value of c.
func textOfColumn(c *feature.Column) string {
	switch {
	case c.IsNull(0):
		return "null"
	case c.Type.IsList():
		return fmt.Sprint(c.Elems.Floats[c.Spans[0].Start:c.Spans[0].End])
	case c.Type.Layout() == feature.LayoutString:
		return c.Strings[0]
	case c.Type.Layout() == feature.LayoutFloat:
		return fmt.Sprint(c.Floats[0])
	}
	return fmt.Sprint(c.Ints[0])
}

func (s *pushScript) compare(what, body, want, got string) string {
	s.t.Helper()
	if strings.TrimSpace(want) != strings.TrimSpace(got) && !*rewrite {
		s.t.Errorf("%s\n%s\nanswered\n%s\nnot\n%s", what, body, got, want)
	}
	return strings.TrimSpace(got)
}

func (s *pushScript) request(words []string, rest string) string {
	body, want, _ := strings.Cut("\n"+rest, "\n-- ")
	body = strings.TrimPrefix(body, "\n")
	r := httptest.NewRequest(words[0], words[1], strings.NewReader(body))
	for _, h := range words[2:] {
		name, value, _ := strings.Cut(h, ":")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	s.serve(w, r)
	got := fmt.Sprint(w.Code)
	for _, h := range []string{"Retry-After", "Allow", "Location", "Preference-Applied"} {
		if v := w.Header().Get(h); v != "" {
			got += " " + h + ":" + v
		}
	}
	got = s.compare(strings.Join(words, " "), body, want, got+"\n"+w.Body.String())
	return strings.TrimPrefix(body+"\n-- "+got, "\n")
}
