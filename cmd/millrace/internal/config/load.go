package config

import (
	"encoding"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
)

// FileName is looked for in the working directory when no file is named.
const FileName = "millrace.yaml"

// Load reads path over the defaults, then the environment over both. An empty
// path means FileName, which may be absent. Unknown keys are errors.
func Load(path string, lookup func(string) (string, bool)) (Config, error) {
	c := Default()
	text, err := readFile(path)
	if err != nil {
		return c, err
	}
	expanded, err := expand(text, lookup)
	if err != nil {
		return c, fmt.Errorf("read configuration %s: %w", pathOrDefault(path), err)
	}
	if err := decode(expanded, &c); err != nil {
		return c, fmt.Errorf("read configuration %s:\n%s", pathOrDefault(path), yaml.FormatError(err, false, true))
	}
	problems := fromEnvironment(&c, lookup)
	problems = append(problems, c.validate()...)
	return c, problems.errOrNil()
}

// decode reads text over what c holds. The library turns an empty document into
// zero values, so one is passed over.
func decode(text []byte, c *Config) error {
	var probe any
	if err := yaml.Unmarshal(text, &probe); err == nil && probe == nil {
		return nil
	}
	return yaml.UnmarshalWithOptions(text, c, yaml.Strict()) //nolint:wrapcheck // the caller formats it
}

func pathOrDefault(path string) string {
	if path == "" {
		return FileName
	}
	return path
}

func readFile(path string) ([]byte, error) {
	text, err := os.ReadFile(pathOrDefault(path))
	if path == "" && errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return text, nil
}

var (
	reference = regexp.MustCompile(`"?\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)
	plain     = regexp.MustCompile(`^[A-Za-z0-9_./][A-Za-z0-9_./:@,=+-]*$`)
)

// expand replaces ${NAME} outside comment lines. A value that YAML could take
// for something else is quoted.
func expand(text []byte, lookup func(string) (string, bool)) ([]byte, error) {
	var problems Problems
	lines := strings.Split(string(text), "\n")
	for i, line := range lines {
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		lines[i] = reference.ReplaceAllStringFunc(line, func(m string) string {
			inQuotes := strings.HasPrefix(m, `"`)
			name := strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(m, `"`), "${"), "}")
			value, ok := lookup(name)
			if !ok {
				problems = append(problems, Problem{Path: "line " + strconv.Itoa(i+1), Message: "${" + name + "}: " + errNotSet.Error()})
			}
			quoted := strconv.Quote(value)
			switch {
			case inQuotes:
				return strings.TrimSuffix(quoted, `"`)
			case plain.MatchString(value):
				return value
			default:
				return quoted
			}
		})
	}
	return []byte(strings.Join(lines, "\n")), problems.errOrNil()
}

// fromEnvironment lets MILLRACE_<SECTION>_<KEY> override every value; lists
// are separated by commas.
func fromEnvironment(c *Config, lookup func(string) (string, bool)) Problems {
	var problems Problems
	walk(reflect.ValueOf(c).Elem(), "", func(path string, v reflect.Value) {
		name := "MILLRACE_" + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
		text, ok := lookup(name)
		if !ok {
			return
		}
		if err := set(v, text); err != nil {
			problems = append(problems, Problem{Path: path, Message: fmt.Sprintf("from %s: %v", name, err)})
		}
	})
	return problems
}

// walk visits every value that is not itself a section.
func walk(v reflect.Value, path string, visit func(string, reflect.Value)) {
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("yaml")
		if path != "" {
			name = path + "." + name
		}
		if f := v.Field(i); f.Kind() == reflect.Struct {
			walk(f, name, visit)
		} else {
			visit(name, f)
		}
	}
}

func set(v reflect.Value, text string) error {
	if u, ok := reflect.TypeAssert[encoding.TextUnmarshaler](v.Addr()); ok {
		return u.UnmarshalText([]byte(text)) //nolint:wrapcheck // says already what is wrong; the caller adds where
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Slice:
		v.Set(reflect.ValueOf(strings.Split(text, ",")))
	case reflect.Int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
		v.SetInt(int64(n))
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		v.SetBool(b)
	default:
		if err := yaml.Unmarshal([]byte(text), v.Addr().Interface()); err != nil {
			return fmt.Errorf("%q does not fit: %w", text, err)
		}
	}
	return nil
}
