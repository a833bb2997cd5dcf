package expr

// choiceFunctions choose one of their operands.
var choiceFunctions = map[string]function{
	"greatest": built("greatest(x, …)", func(c *checker, n *Node, args []*Expr) *Expr { return c.extreme(n, args, false) }),
	"least":    built("least(x, …)", func(c *checker, n *Node, args []*Expr) *Expr { return c.extreme(n, args, true) }),
	"coalesce": built("coalesce(x, …)", (*checker).coalesce),
	"nullif":   built("nullif(x, y)", (*checker).nullif),
}
