package expr

// listFunctions are of lists. len, contains and concat, which are of text too,
// hand over to them; list_extract and slices are of text too.
var listFunctions = map[string]function{
	"array_length":                built("array_length(list)", (*checker).arrayLength),
	"list_extract":                built("list_extract(list, i)", (*checker).listExtract),
	"list_slice":                  built("list_slice(list, first, last)", (*checker).listSlice),
	"list_contains":               built("list_contains(list, x)", (*checker).listContains),
	"list_position":               built("list_position(list, x)", (*checker).listPosition),
	"list_concat":                 built("list_concat(list, list, …)", (*checker).listConcat),
	"list_append":                 built("list_append(list, x)", (*checker).listAppend),
	"list_prepend":                built("list_prepend(x, list)", (*checker).listPrepend),
	"list_sum":                    built("list_sum(list)", (*checker).listSum),
	"list_avg":                    built("list_avg(list)", (*checker).listAvg),
	"list_min":                    built("list_min(list)", func(c *checker, n *Node, args []*Expr) *Expr { return c.listExtreme(n, args, true) }),
	"list_max":                    built("list_max(list)", func(c *checker, n *Node, args []*Expr) *Expr { return c.listExtreme(n, args, false) }),
	"list_distance":               vectorPair("list_distance", distance32, distance64),
	"list_inner_product":          vectorPair("list_inner_product", innerProduct32, innerProduct64),
	"list_negative_inner_product": vectorPair("list_negative_inner_product", negativeProduct32, negativeProduct64),
	"list_cosine_similarity":      vectorPair("list_cosine_similarity", similarity32, similarity64),
	"list_cosine_distance":        vectorPair("list_cosine_distance", cosineDistance32, cosineDistance64),
}

func vectorPair(name string, narrow, wide *kernel) function {
	usage := name + "(list, list)"
	return built(usage, func(c *checker, n *Node, args []*Expr) *Expr { return c.vectors(n, args, usage, narrow, wide) })
}
