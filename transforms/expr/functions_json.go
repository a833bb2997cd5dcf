package expr

import "millrace/feature"

// jsonFunctions look into JSON. -> is json_extract and ->> json_extract_string.
var jsonFunctions = map[string]function{
	"json_extract":        looking("json_extract(json, path)", "json", feature.Of(feature.KindJSON), resultJSON, kernelJSONIndex),
	"json_extract_string": looking("json_extract_string(json, path)", "json text", feature.Of(feature.KindString), resultText, kernelJSONIndexText),
	"json_exists":         looking("json_exists(json, path)", "json exists", feature.Of(feature.KindBool), resultExists, nil),
	"json_array_length":   built("json_array_length(json[, path])", (*checker).jsonArrayLength),
	"json_valid":          overloaded("json_valid(text)", on(boo, kernelJSONValid, str)),
}

func looking(usage, name string, out feature.Type, result jsonResult, atIndex *kernel) function {
	return built(usage, func(c *checker, n *Node, args []*Expr) *Expr {
		if len(args) != 2 {
			return c.fail(n, "write "+usage, "%s does not take %s", n.text, countOf(len(args)))
		}
		return c.look(n, args[0], args[1], jsonLook{name: name, out: out, result: result, atIndex: atIndex})
	})
}
