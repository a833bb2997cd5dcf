package sinks

import (
	"context"
	"slices"
)

// Adoption says that a lane runs a catalog version from a letter position on.
type Adoption struct {
	Version  int64 `json:"version"`
	Position int64 `json:"position"`
	// Kept: the letters at or above Position that stood then have been kept.
	// Nothing is decided under the version before.
	Kept bool `json:"kept,omitempty"`
}

// maxAdoptions is how many adoptions a partition remembers: they tell late
// letters from others, and letters are not kept for ever.
const maxAdoptions = 64

// Adopt records that the lane of a partition begins to run a catalog version at
// a position, and returns all adoptions, the last one being that of the version
// unless a greater one has been adopted: then nothing is recorded. One that
// begins at or below position is taken for this one.
func (e *Epochs) Adopt(ctx context.Context, source string, partition int32, version, position int64) ([]Adoption, error) {
	var all []Adoption
	err := e.update(ctx, source, partition, func(x *epochEntry) bool {
		n := len(x.Adopted)
		all = slices.Clone(x.Adopted)
		if n > 0 && (all[n-1].Version > version || all[n-1].Version == version && all[n-1].Position <= position) {
			return false
		}
		all = slices.DeleteFunc(all, func(a Adoption) bool { return !a.Kept }) // nothing was decided under it
		all = append(all, Adoption{Version: version, Position: position})
		x.Adopted = all[max(0, len(all)-maxAdoptions):]
		return true
	})
	return all, err
}

// Kept records that what stood when a version was adopted has been kept. It
// returns all adoptions; the last one is of a greater version when that one was
// adopted meanwhile.
func (e *Epochs) Kept(ctx context.Context, source string, partition int32, version int64) ([]Adoption, error) {
	var all []Adoption
	err := e.update(ctx, source, partition, func(x *epochEntry) bool {
		all = x.Adopted
		last := len(all) - 1
		if last < 0 || all[last].Version != version || all[last].Kept {
			return false
		}
		all = slices.Clone(all)
		all[last].Kept = true
		from := all[last].Position // what begins above it under the same version says nothing more
		all = slices.DeleteFunc(all, func(a Adoption) bool { return a.Version == version && a.Position > from })
		x.Adopted = all
		return true
	})
	return all, err
}

// Adoptions returns what lanes of a partition have adopted.
func (e *Epochs) Adoptions(ctx context.Context, source string, partition int32) ([]Adoption, error) {
	x, _, err := e.load(ctx, source, partition)
	return x.Adopted, err
}
