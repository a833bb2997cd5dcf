package definition

import "strings"

// remember takes down where a source and its keys are written, for what is
// found out about it later.
func (b *builder) remember(f loadedFile, name, path string) {
	at := make(map[string]Error)
	for p, n := range f.nodes {
		rest, below := strings.CutPrefix(p, path)
		if !below || rest != "" && rest[0] != '.' {
			continue
		}
		line, column := start(n)
		at[strings.TrimPrefix(rest, ".")] = Error{File: f.file, Line: line, Column: column, Path: p, Source: f.line(line)}
	}
	if b.project.places == nil {
		b.project.places = make(map[string]map[string]Error)
	}
	b.project.places[name] = at
}

// SourceFault makes an error at a key of a source, "kafka.topic" for example,
// or at the nearest key above it that is written. It is for what the files
// alone do not show.
func (p *Project) SourceFault(source, key, message, hint string) *Error {
	at := p.places[source]
	e, ok := at[key]
	for !ok && key != "" {
		key = parent(key)
		e, ok = at[key]
	}
	e.Message, e.Hint = message, hint
	return &e
}
