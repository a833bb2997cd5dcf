package expr

// What a Scope may know beside names. Check looks for these by assertion, so
// that plain scopes stay two methods.

// RowTimes is a Scope over rows of several views, each with an event time of
// its own: there event_time takes the view whose row is meant.
type RowTimes interface {
	// EventTime returns the event time of the row of a view.
	EventTime(view string) (*Expr, bool)
	// TimedViews lists the views that EventTime knows.
	TimedViews() []string
}

// Hinter is a Scope that knows more about names that it does not resolve.
type Hinter interface {
	// Hint returns the next step for a name that no known one is near to; "" if
	// there is none.
	Hint(name string) string
}

// rows is the scope, if it is over rows of several views.
func (c *checker) rows() RowTimes {
	scope, _ := c.scope.(RowTimes)
	return scope
}

func (c *checker) eventTime(n *Node, args []*Expr) *Expr {
	if scope := c.rows(); scope != nil {
		return c.rowTime(n, scope)
	}
	return c.clock(n, args, EventTime())
}

// rowTime is event_time in a scope of several rows.
func (c *checker) rowTime(n *Node, scope RowTimes) *Expr {
	known := scope.TimedViews()
	if len(n.args) != 1 || n.args[0].kind != nodeName {
		hint := "no view is among the sources"
		if len(known) > 0 {
			hint = "write event_time(" + known[0] + ")"
		}
		return c.fail(n, hint, "event_time takes the view whose row is meant")
	}
	view := n.args[0]
	if e, ok := scope.EventTime(view.text); ok {
		return e
	}
	other := "event times are known of rows of views that are sources"
	return c.fail(view, didYouMean(view.text, known, other), "unknown view %s", view.text)
}
