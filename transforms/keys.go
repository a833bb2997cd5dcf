package transforms

import (
	"fmt"
	"slices"

	"millrace/feature"
	"millrace/transforms/expr"
)

// Keyer computes the entity keys of rows, and nothing else of a plan: what a
// row is worth (`where`, its features, its times) does not change whose it is.
// It belongs to one goroutine.
type Keyer struct {
	columns []int         // batch column of each field that the keys read
	slots   []int         // and its slot in input
	machine *expr.Machine // nil when rows come finished, with their join keys first
	input   expr.Input
	keys    []feature.Column // of the latest batch, as the machine has them
	text    []byte
	out     []string
}

// NewKeyer makes a Keyer for batches whose columns are fields, which must
// contain p.Fields.
func (p *Plan) NewKeyer(fields []feature.Field) (*Keyer, error) {
	k := &Keyer{machine: p.keys.NewMachine(), slots: p.keys.Slots(), keys: make([]feature.Column, len(p.Entity.JoinKeys))}
	for _, slot := range k.slots {
		want := p.rows.Fields[slot].Field
		at := slices.Index(fields, want)
		if at < 0 {
			return nil, fmt.Errorf("bind the keys of %s to a batch: it has no column %s of type %s", p.View, want.Name, want.Type)
		}
		k.columns = append(k.columns, at)
	}
	k.input.Columns = make([]*feature.Column, len(p.rows.Fields))
	return k, nil
}

// NewFinishedKeyer makes a Keyer for finished rows in batches of FinishedFields.
func (p *Plan) NewFinishedKeyer() *Keyer {
	return &Keyer{keys: make([]feature.Column, len(p.Entity.JoinKeys))}
}

// Keys returns the entity key of every row of in: "" where a join key is null,
// cannot be computed, or where the key is longer than a store takes. The slice
// is the Keyer's until the next call; the strings are the caller's.
func (k *Keyer) Keys(in *feature.Batch) []string {
	k.run(in)
	k.out = k.out[:0]
	for row := range in.Origins {
		text := ""
		if k.has(row) {
			k.text = feature.AppendKey(k.text[:0], k.keys, row)
			if len(k.text) <= feature.MaxKeyBytes {
				text = string(k.text)
			}
		}
		k.out = append(k.out, text)
	}
	return k.out
}

// run fills keys.
func (k *Keyer) run(in *feature.Batch) {
	if k.machine == nil {
		copy(k.keys, in.Columns)
		return
	}
	setRows(&k.input, in)
	for i, slot := range k.slots {
		k.input.Columns[slot] = &in.Columns[k.columns[i]]
	}
	k.machine.Run(k.input)
	for i := range k.keys {
		k.keys[i] = *k.machine.Out(i)
	}
}

// has reports whether a row has every join key.
func (k *Keyer) has(row int) bool {
	for i := range k.keys {
		if k.keys[i].IsNull(row) {
			return false
		}
		if k.machine != nil && k.machine.AnyFailed(i) {
			if _, failed := k.machine.Failure(i, row); failed {
				return false
			}
		}
	}
	return true
}
