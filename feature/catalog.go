package feature

import (
	"fmt"
	"strconv"
)

// Catalog is an immutable, validated snapshot of a project's definitions.
// It is replaced whole and never edited, so it may be shared freely.
type Catalog struct {
	Project       string
	Version       int64 // given by apply; 0 before that
	Entities      []*Entity
	Sources       []*Source
	Views         []*View
	OnDemandViews []*OnDemandView
	Models        []*Model
	Services      []*Service
}

// Entity returns the entity of that name, or nil.
func (c *Catalog) Entity(name string) *Entity {
	return find(c.Entities, func(e *Entity) bool { return e.Name == name })
}

// Source returns the source of that name, or nil.
func (c *Catalog) Source(name string) *Source {
	return find(c.Sources, func(s *Source) bool { return s.Name == name })
}

// View returns the view of that name, or nil.
func (c *Catalog) View(name string) *View {
	return find(c.Views, func(v *View) bool { return v.Name == name })
}

// Service returns the service of that name, or nil.
func (c *Catalog) Service(name string) *Service {
	return find(c.Services, func(s *Service) bool { return s.Name == name })
}

// ViewsOf lists the views fed by the named source, in definition order.
func (c *Catalog) ViewsOf(source string) []*View {
	var vs []*View
	for _, v := range c.Views {
		if v.Source == source {
			vs = append(vs, v)
		}
	}
	return vs
}

func find[T any](all []*T, is func(*T) bool) *T {
	for _, x := range all {
		if is(x) {
			return x
		}
	}
	return nil
}

// StoredName is how tables name a generation of a view: "driver_trips@1".
func StoredName(view string, generation uint32) string {
	return view + "@" + strconv.FormatUint(uint64(generation), 10)
}

// StoredName names the view's current generation in tables.
func (v *View) StoredName() string { return StoredName(v.Name, v.Generation) }

// String describes the view in messages.
func (v *View) String() string {
	return fmt.Sprintf("view %s (revision %d, generation %d)", v.Name, v.Revision, v.Generation)
}
