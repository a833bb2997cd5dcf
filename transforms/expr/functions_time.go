package expr

// timeFunctions are the functions of times.
var timeFunctions = map[string]function{
	"now":          built("now()", func(c *checker, n *Node, args []*Expr) *Expr { return c.clock(n, args, Now()) }),
	"event_time":   built("event_time()", (*checker).eventTime),
	"epoch":        overloaded("epoch(time)", on(f64, kernelEpoch, tim)),
	"epoch_ms":     overloaded("epoch_ms(time)", on(i64, timesTo("epoch_ms", func(v int64) int64 { return v / 1000 }), tim), on(tim, kernelFromMillis, i64)),
	"to_timestamp": overloaded("to_timestamp(seconds)", on(tim, kernelToTimestamp, f64)),
	"date_trunc":   built("date_trunc('day', time)", (*checker).dateTrunc),
	"date_part":    built("date_part('hour', time)", (*checker).datePart),
	"datediff":     built("datediff('day', start, end)", (*checker).dateDiff),
	"timezone":     built("timezone('Europe/Berlin', time)", (*checker).timezone),
}
