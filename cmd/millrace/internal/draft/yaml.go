package draft

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"millrace/feature"
)

// YAML writes the source as a file of definitions has it.
func (s *Source) YAML() []byte {
	var b strings.Builder
	for _, n := range s.Notes {
		fmt.Fprintf(&b, "# %s\n", n)
	}
	fmt.Fprintf(&b, "sources:\n  - name: %s\n    kafka: {topic: %s}\n    format: %s\n", s.Name, scalar(s.Topic), s.Format)
	if s.Subject != "" {
		fmt.Fprintf(&b, "    schema: {subject: %s", scalar(s.Subject))
		if s.Message != "" {
			fmt.Fprintf(&b, ", message: %s", s.Message)
		}
		b.WriteString("}\n")
	}
	if s.Envelope == feature.EnvelopeCloudEvents || s.Envelope == feature.EnvelopeDebezium {
		fmt.Fprintf(&b, "    envelope: %s\n", s.Envelope)
	}
	b.WriteString("    fields:\n")
	for i := range s.Fields {
		s.Fields[i].yaml(&b)
	}
	if s.EventTime != "" {
		fmt.Fprintf(&b, "    event_time: %s\n", s.EventTime)
	}
	return []byte(b.String())
}

func (f *Field) yaml(b *strings.Builder) {
	note := ""
	if f.Note != "" {
		note = "  # " + f.Note
	}
	if len(f.Of) == 0 {
		fmt.Fprintf(b, "      - {%s}%s\n", keysOf(&f.SourceField), note)
		return
	}
	fmt.Fprintf(b, "      - name: %s%s\n", f.Name, note)
	if f.Path != "" {
		fmt.Fprintf(b, "        path: %s\n", scalar(f.Path))
	}
	b.WriteString("        of: # a row per element: unnest in a view\n")
	for i := range f.Of {
		fmt.Fprintf(b, "          - {%s}\n", keysOf(&f.Of[i]))
	}
}

func keysOf(f *feature.SourceField) string {
	text := "name: " + f.Name + ", type: " + f.Type.String()
	if f.Header != "" {
		text += ", header: " + scalar(f.Header)
	}
	if f.Key {
		text += ", key: true"
	}
	if f.Path != "" {
		text += ", path: " + scalar(f.Path)
	}
	if f.Unit != 0 {
		text += ", unit: " + unitNames[f.Unit]
	}
	if f.Quoted {
		text += ", quoted: true"
	}
	return text
}

var (
	plain   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)
	notText = regexp.MustCompile(`(?i)^(true|false|null|yes|no|on|off|y|n)$`)
)

// scalar writes a text so that YAML takes it for that text.
func scalar(s string) string {
	if plain.MatchString(s) && !notText.MatchString(s) {
		return s
	}
	return strconv.Quote(s)
}
