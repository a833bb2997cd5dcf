package definition

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// File is one file of definitions.
type File struct {
	Name string
	Data []byte
}

// ReadDir reads the YAML files of a folder, ordered by name.
func ReadDir(dir string) ([]File, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read definitions: %w; name the folder with --definitions DIR", err)
	}
	var files []File
	for _, e := range entries {
		if e.IsDir() || !slices.Contains([]string{".yaml", ".yml"}, filepath.Ext(e.Name())) {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("read definitions: %w", err)
		}
		files = append(files, File{Name: e.Name(), Data: data})
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("read definitions: folder %s holds no .yaml file; see examples/rides for one", dir)
	}
	return files, nil
}

// maxFile bounds what reading a file can cost: the parser recurses into nested
// values. Files that people write are far smaller.
const maxFile = 1 << 20

// read decodes the documents of a file; what is wrong is added to errors. It
// reports whether the file is YAML.
func read(f File, errors *Errors) ([]loadedFile, bool) {
	bodies, readable := parse(f, errors)
	docs := make([]loadedFile, len(bodies))
	for i, b := range bodies {
		docs[i] = loadedFile{b.reader, new(fileDef)}
		b.into(docs[i].def)
	}
	return docs, readable
}

// body is one document of a file, not yet decoded.
type body struct {
	*reader
	node ast.Node
}

// into decodes the document into the struct that v points to.
func (b *body) into(v any) {
	if _, empty := b.node.(*ast.CommentGroupNode); !empty {
		b.decode(b.node, reflect.ValueOf(v).Elem(), "")
	}
}

// parse takes a file apart into its documents. It reports whether the file is
// YAML.
func parse(f File, errors *Errors) ([]body, bool) {
	// Windows' line ends and byte order mark would shift the parser's columns; a
	// lone carriage return ends a line too.
	text := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(strings.TrimPrefix(string(f.Data), "\ufeff"))
	r := newReader(f.Name, strings.Split(text, "\n"), errors)
	if fault := unreadable(text); fault != "" {
		*errors = append(*errors, &Error{File: f.Name, Line: 1, Column: 1, Message: fault, Hint: "definitions are YAML in UTF-8, at most 1 MiB a file"})
		return nil, false
	}
	tree, err := parser.ParseBytes([]byte(text), 0, parser.AllowDuplicateMapKey())
	if err != nil {
		r.syntaxError(err)
		return nil, false
	}
	var docs []body
	for _, doc := range tree.Docs {
		if doc.Body != nil {
			docs = append(docs, body{newReader(f.Name, r.lines, errors), doc.Body})
		}
	}
	return docs, true
}

func unreadable(text string) string {
	switch {
	case len(text) > maxFile:
		return fmt.Sprintf("the file has %d bytes", len(text))
	case !utf8.ValidString(text):
		return "the file is not UTF-8"
	default:
		return ""
	}
}

// syntaxError takes line and column out of the parser's message.
func (r *reader) syntaxError(err error) {
	first, _, _ := strings.Cut(err.Error(), "\n")
	e := &Error{File: r.file, Line: 1, Column: 1, Message: "not YAML: " + first}
	if _, scanErr := fmt.Sscanf(first, "[%d:%d]", &e.Line, &e.Column); scanErr == nil {
		_, rest, _ := strings.Cut(first, "] ")
		e.Message = "not YAML: " + rest
	}
	e.Source, e.Hint = r.line(e.Line), syntaxHint(r.line(e.Line))
	*r.errors = append(*r.errors, e)
}

// syntaxHint recognises what people get wrong in YAML.
func syntaxHint(line string) string {
	switch text := strings.TrimLeft(line, " "); {
	case strings.HasPrefix(text, "\t"):
		return "indent with spaces: YAML knows no tabs"
	case strings.Count(line, ": ") > 1 || strings.ContainsAny(line, "[]{}%@`&*!|>"):
		return "put texts with : # [ ] { } , & * ! | > % @ into quotes"
	default:
		return "compare the indentation with the lines above"
	}
}
