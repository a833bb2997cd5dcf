package definition

import "strings"

// place is a source, a view or a model.
type place struct{ kind, name string }

// remember takes down where a source, view or model and its keys are written,
// for what is found out about it later.
func (b *builder) remember(f loadedFile, of place, path string) {
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
		b.project.places = make(map[place]map[string]Error)
	}
	b.project.places[of] = at
}

// SourceFault makes an error at a key of a source, "kafka.topic" for example,
// or at the nearest key above it that is written. It is for what the files
// alone do not show.
func (p *Project) SourceFault(source, key, message, hint string) *Error {
	return p.faultAt(place{"source", source}, key, message, hint)
}

// ViewFault is SourceFault for a view.
func (p *Project) ViewFault(view, key, message, hint string) *Error {
	return p.faultAt(place{"view", view}, key, message, hint)
}

// ModelFault is SourceFault for a model.
func (p *Project) ModelFault(model, key, message, hint string) *Error {
	return p.faultAt(place{"model", model}, key, message, hint)
}

func (p *Project) faultAt(of place, key, message, hint string) *Error {
	at := p.places[of]
	e, ok := at[key]
	for !ok && key != "" {
		key = parent(key)
		e, ok = at[key]
	}
	e.Message, e.Hint = message, hint
	return &e
}
