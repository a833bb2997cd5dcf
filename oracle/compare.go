package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"

	"millrace/feature"
)

const (
	perBatch = 200 // expressions
	depths   = 4
)

// oracle compares, in one process and one goroutine.
type oracle struct {
	*tally

	seed uint64
	duck *duck
}

func newOracle(ctx context.Context, seed uint64) (*oracle, error) {
	d, err := openDuck(ctx)
	if err != nil {
		return nil, err
	}
	return &oracle{tally: newTally(), seed: seed, duck: d}, nil
}

// finding is a difference that no entry of the table explains.
type finding struct {
	batch    uint64
	original string
	note     string
	conflict *conflict
}

// conflict is one expression that gives two things on one row, while its
// operands give the same in both engines.
type conflict struct {
	expression   expression
	operands     []expression
	values       []cell // of the operands
	ours, theirs cell
	theirType    string
	refused      error
	whole        bool // none of its parts differs
}

// batch compares perBatch expressions over one row set. Everything in it
// follows from seed and number.
func (o *oracle) batch(ctx context.Context, number uint64) error {
	r := rand.New(rand.NewPCG(o.seed, number))
	rs := drawRowSet(r)
	if err := o.duck.load(ctx, rs); err != nil {
		return err
	}
	all, questions := o.draw(r)
	return o.compare(ctx, r, rs, number, all, questions)
}

// compare asks both engines for all over rs, which is loaded.
func (o *oracle) compare(ctx context.Context, r *rand.Rand, rs *rowSet, number uint64, all []expression, questions []asked) error {
	ours := compute(all, rs.in)
	willFail(questions, ours)
	theirs, err := o.duck.eval(ctx, questions, "")
	if err != nil {
		return err
	}
	for i, e := range all {
		o.count(e, ours[i])
		rows := differentRows(e, ours[i], theirs[i])
		if len(rows) == 0 {
			continue
		}
		row := pick(r, rows)
		f, err := o.explain(ctx, rs, e, questions[i], row, ours[i][row])
		if err != nil {
			return err
		}
		for _, f := range f {
			f.batch, f.original = number, e.text
			o.found(f, o.seed)
		}
	}
	return nil
}

// draw makes the expressions of a batch. One in four is given to DuckDB as its
// text stands, without parentheses that the grammar makes superfluous.
func (o *oracle) draw(r *rand.Rand) ([]expression, []asked) {
	var all []expression
	var questions []asked
	for len(all) < perBatch {
		t := drawTree(r, kinds[r.IntN(len(kinds))], 1+r.IntN(depths))
		if r.IntN(4) == 0 {
			text := t.loose(r)
			if e, err := parse(text); err == nil && verbatim(text) {
				o.Loose++
				all, questions = append(all, e), append(questions, e.askedAs(text))
			}
			continue
		}
		e, err := parse(t.text())
		if err != nil || e.typed.Type() != typeOf[t.kind] && e.typed.Type().Kind != feature.KindInvalid { // nullif(null, x) has no type
			panic(fmt.Sprintf("the form %q makes %q: %v, want %s", t.form, t.text(), err, typeOf[t.kind]))
		}
		all, questions = append(all, e), append(questions, e.asked())
	}
	return all, questions
}

var typeOf = map[byte]feature.Type{
	'i': int32Type, 'k': int32Type, 'b': int64Type, 'f': floatType, 'g': doubType, 's': textType, 'p': boolType, 't': timeType, 'y': bytesType, 'j': jsonType,
	'A': list(int32Type), 'B': list(int64Type), 'F': list(floatType), 'G': list(doubType), 'S': list(textType), 'P': list(boolType), 'T': list(timeType),
	'M': list(list(int64Type)),
}

// spelled is what DuckDB needs another text for.
var spelled = []string{
	".", "now()", "event_time()", "sign(", "to_timestamp",
	"timestamp", "datetime", "timezone", "json_array_length", "bucketize", "hash_bucket", "haversine_km",
}

// verbatim reports whether text means the same to DuckDB as it stands.
func verbatim(text string) bool {
	for _, s := range spelled {
		if strings.Contains(text, s) {
			return false
		}
	}
	return true
}

// differentRows lists the rows on which the engines differ: row 0 when they do
// not agree on the expression itself.
func differentRows(e expression, ours []cell, theirs column) []int {
	early := failsEarly(theirs.refused)
	if !early && (theirs.refused != nil || theirs.typ != duckType(e.typed.Type())) {
		return []int{0}
	}
	var rows []int
	for row := range ours {
		if early && !ours[row].failed || !early && !ours[row].same(theirs.cells[row]) {
			rows = append(rows, row)
		}
	}
	return rows
}

// failsEarly reports whether DuckDB refused an expression because a part without
// columns fails, which it computes before there is a row.
func failsEarly(err error) bool {
	for _, kind := range []string{"Conversion Error", "Out of Range Error", "Invalid Input Error"} {
		if err != nil && strings.HasPrefix(err.Error(), kind) {
			return true
		}
	}
	return false
}
