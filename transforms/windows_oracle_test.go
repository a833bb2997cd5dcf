package transforms_test

import (
	"fmt"
	"strconv"
)

// answer is every aggregate of the events of a window, computed plainly.
type answer struct {
	rows, long int
	sum        int
	anySum     bool
	most       any
	last       *event
	different  map[any]bool
}

func (a *answer) take(e *event) {
	a.rows++
	if e.qty != nil {
		a.sum, a.anySum = a.sum+2*e.qty.(int), true
	}
	if e.km != nil && e.km.(float64) > 1 {
		a.long++
		if e.fare != nil && (a.most == nil || e.fare.(float64) > a.most.(float64)) {
			a.most = e.fare
		}
	}
	if a.last == nil || after(e, a.last) {
		a.last = e
	}
	if e.status != nil {
		if a.different == nil {
			a.different = make(map[any]bool)
		}
		a.different[e.status] = true
	}
}

// after is the order (event time, record time, offset, partition).
func after(e, f *event) bool {
	switch {
	case e.event != f.event:
		return e.event > f.event
	case e.record != f.record:
		return e.record > f.record
	}
	return e.offset > f.offset
}

func (a *answer) of(name string) string {
	switch name {
	case "long":
		return strconv.Itoa(a.long)
	case "sum_1h", "sum_3h", "before":
		if !a.anySum {
			return "null"
		}
		return strconv.Itoa(a.sum)
	case "max_1d":
		return text(a.most)
	case "last":
		if a.last == nil {
			return "null"
		}
		return text(a.last.status)
	case "different":
		return strconv.Itoa(len(a.different))
	}
	return strconv.Itoa(a.rows)
}

func text(v any) string {
	if v == nil {
		return "null"
	}
	return fmt.Sprint(v)
}

func ratio(a, b string) string {
	x, _ := strconv.ParseFloat(a, 64)
	y, _ := strconv.ParseFloat(b, 64)
	return fmt.Sprint(x / y)
}
