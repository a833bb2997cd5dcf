package scylla

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/gocql/gocql"
	"github.com/sourcegraph/conc"

	"millrace/sinks"
)

const (
	selectView  = "SELECT feature_view, v FROM latest WHERE entity = ? AND key = ? AND feature_view = ?"
	selectViews = "SELECT feature_view, v FROM latest WHERE entity = ? AND key = ? AND feature_view IN ?"
)

// maxReads is how many requests one ReadCells or ReadWindows has under way.
const maxReads = 64

// ReadCells implements sinks.Cells. Each key is one request to one of its own
// nodes: a request for many keys would make one node ask all the others.
func (s *Store) ReadCells(ctx context.Context, entity string, keys, views []string, dst *sinks.CellSet) error {
	dst.Reset(len(keys), len(views))
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("read cells: %w", err)
	}
	if len(views) == 0 {
		return nil
	}
	r := reader{store: s, entity: entity, keys: keys, views: views, values: dst.Values}
	if err := r.readAll(ctx); err != nil {
		return fmt.Errorf("read cells: %w", err)
	}
	return nil
}

// reader is one call of ReadCells. Workers write to their own keys' values.
type reader struct {
	store       *Store
	entity      string
	keys, views []string
	values      [][]byte
}

func (r *reader) readAll(ctx context.Context) error {
	wanted, same := distinct(r.keys)
	if err := each(ctx, len(wanted), func(ctx context.Context, i int) error { return r.read(ctx, wanted[i]) }); err != nil {
		return err
	}
	for i, j := range same {
		copy(r.row(i), r.row(j))
	}
	return nil
}

// distinct returns the places of the distinct keys, and for every other place
// the one that has its key.
func distinct(keys []string) (wanted []int, same map[int]int) {
	if len(keys) == 1 {
		return []int{0}, nil
	}
	seen := make(map[string]int, len(keys))
	wanted = make([]int, 0, len(keys))
	for i, k := range keys {
		if j, again := seen[k]; again {
			if same == nil {
				same = make(map[int]int)
			}
			same[i] = j
			continue
		}
		seen[k] = i
		wanted = append(wanted, i)
	}
	return wanted, same
}

func (r *reader) row(i int) [][]byte { return r.values[i*len(r.views) : (i+1)*len(r.views)] }

// each calls read for 0 to n-1, many at once, until one fails, and returns the
// first error.
func each(ctx context.Context, n int, read func(ctx context.Context, i int) error) error {
	if n == 1 {
		return read(ctx, 0)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var next atomic.Int64
	var failed sync.Once
	var first error
	var workers conc.WaitGroup
	for range min(n, maxReads) {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := read(ctx, i); err != nil {
					failed.Do(func() { first = err })
					cancel()
					return
				}
			}
		})
	}
	workers.Wait()
	return first
}

// again lets the driver ask another node once when one does not answer: a read
// has a person waiting, and no other chance.
func again() gocql.RetryPolicy { return &gocql.SimpleRetryPolicy{NumRetries: 1} }

func (r *reader) read(ctx context.Context, i int) error {
	var q *gocql.Query
	if len(r.views) == 1 {
		q = r.store.session.QueryWithContext(ctx, selectView, r.entity, r.keys[i], r.views[0])
	} else {
		q = r.store.session.QueryWithContext(ctx, selectViews, r.entity, r.keys[i], r.views)
	}
	defer q.Release()
	it := q.RetryPolicy(again()).Iter()
	for {
		var view string
		var value []byte // a new one each time: the driver writes into what it is given
		if !it.Scan(&view, &value) {
			break
		}
		r.put(i, view, value)
	}
	if err := it.Close(); err != nil {
		return failure(ctx, err)
	}
	return nil
}

// put stores a value at every place that asks for its view.
func (r *reader) put(i int, view string, value []byte) {
	row := r.row(i)
	for j := slices.Index(r.views, view); j >= 0 && j < len(row); j++ {
		if r.views[j] == view {
			row[j] = value
		}
	}
}
