package feature

// OnDemandView is a set of features that are computed when they are read, from
// features of views of one entity and from data that arrives with the request.
// Nothing of it is stored.
type OnDemandView struct {
	Meta
	Name     string
	Entity   string
	Sources  []string  // views of Entity and request sources, each once
	Features []Feature // all at read
}

// OnDemandView returns the on-demand view of that name, or nil.
func (c *Catalog) OnDemandView(name string) *OnDemandView {
	return find(c.OnDemandViews, func(v *OnDemandView) bool { return v.Name == name })
}

// ViewNames lists everything that has features: views, then on-demand views, in
// definition order. What a read may name is AskedNames.
func (c *Catalog) ViewNames() []string {
	names := make([]string, 0, len(c.Views)+len(c.OnDemandViews))
	for _, v := range c.Views {
		names = append(names, v.Name)
	}
	for _, v := range c.OnDemandViews {
		names = append(names, v.Name)
	}
	return names
}

// SourcesOf splits the sources of an on-demand view into those that are views
// and those that are request sources, in the order in which it names them.
// What is neither is left out.
func (c *Catalog) SourcesOf(v *OnDemandView) (views []*View, requests []*Source) {
	for _, name := range v.Sources {
		if view := c.View(name); view != nil {
			views = append(views, view)
		} else if s := c.Source(name); s != nil && s.Kind == SourceRequest {
			requests = append(requests, s)
		}
	}
	return views, requests
}
