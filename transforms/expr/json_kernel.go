package expr

import (
	"encoding/json"
	"unsafe"
)

func validJSON(s string) bool { return json.Valid(unsafe.Slice(unsafe.StringData(s), len(s))) }

var kernelJSONValid = textToBool("json valid", validJSON)

func textToBool(name string, f func(s string) bool) *kernel {
	return &kernel{name: name, run: func(c *call) {
		for i, s := range c.strings(0) {
			if c.valid(i) {
				c.out.col.Bools[i] = f(s)
			}
		}
	}}
}

// jsonResult stores what a path has found in a row; ok is false when that was
// nothing.
type jsonResult func(c *call, row int, value string, ok bool)

func resultJSON(c *call, row int, value string, ok bool) {
	if !ok {
		c.out.col.SetNull(row)
		return
	}
	c.out.col.Strings[row] = c.minified(value)
}

// resultText is the inside of strings, null for null, and JSON for the rest.
func resultText(c *call, row int, value string, ok bool) {
	if !ok || value == "null" {
		c.out.col.SetNull(row)
		return
	}
	if value[0] == '"' {
		c.out.col.Strings[row] = c.unquoted(value)
		return
	}
	c.out.col.Strings[row] = c.minified(value)
}

// unquoted returns what a JSON string means; it shares its text when it can.
func (c *call) unquoted(v string) string {
	inside := inQuotes(v)
	for i := range len(inside) {
		if inside[i] == '\\' {
			return c.arena.Keep(appendUnquoted(c.arena.Tail(len(inside)), inside))
		}
	}
	return inside
}

func resultExists(c *call, row int, _ string, ok bool) { c.out.col.Bools[row] = ok }

// resultLength is 0 for what is no array.
func resultLength(c *call, row int, value string, ok bool) {
	switch {
	case !ok:
		c.out.col.SetNull(row)
	case value[0] == '[':
		c.out.col.Ints[row] = countElements(value)
	default:
		c.out.col.Ints[row] = 0
	}
}

// pathKernel follows a path that is known at check. The path is part of the name
// because it is part of what the kernel does.
func pathKernel(name string, path *jsonPath, result jsonResult) *kernel {
	return &kernel{name: name + " " + path.text, run: func(c *call) {
		for i, s := range c.strings(0) {
			if c.valid(i) {
				value, ok := follow(s, path.steps)
				result(c, i, value, ok)
			}
		}
	}}
}

// indexKernel takes the element that the second operand says.
func indexKernel(name string, result jsonResult) *kernel {
	return &kernel{name: name + " at", run: func(c *call) {
		at := c.ints(1)
		for i, s := range c.strings(0) {
			if c.valid(i) {
				step := jsonStep{index: at[i], hasIndex: true}
				value, ok := step.of(trimJSON(s))
				result(c, i, value, ok)
			}
		}
	}}
}

var (
	kernelJSONIndex     = indexKernel("json", resultJSON)
	kernelJSONIndexText = indexKernel("json text", resultText)
)
