package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/gocql/gocql"
	"github.com/sourcegraph/conc/pool"
)

// rawInFlight is how many statements the raw loops keep in flight: as many as
// the product's default.
const rawInFlight = 256

// rawStore is the cheapest client of the same table.
type rawStore struct {
	session *gocql.Session
	rows    []rawRow
}

// rawRow is one cell as the product wrote it.
type rawRow struct {
	entity, key, view string
	value             []byte
}

func openRaw(addr, keyspace string) (*rawStore, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("read -cql: %w", err)
	}
	c := gocql.NewCluster(host)
	c.Port, _ = strconv.Atoi(port)
	c.Keyspace, c.Timeout, c.Consistency = keyspace, 20*time.Second, gocql.LocalQuorum
	c.WriteCoalesceWaitTime = 0
	session, err := c.CreateSession()
	if err != nil {
		return nil, fmt.Errorf("connect to the store: %w", err)
	}
	return &rawStore{session: session}, nil
}

func (r *rawStore) close() { r.session.Close() }

// sample reads rows back so that the raw loop writes the same bytes.
func (r *rawStore) sample(ctx context.Context, n int) error {
	iter := r.session.Query("SELECT entity, key, feature_view, v FROM latest LIMIT ?", min(n, entities)).WithContext(ctx).Iter()
	var row rawRow
	for iter.Scan(&row.entity, &row.key, &row.view, &row.value) {
		r.rows = append(r.rows, row)
		row = rawRow{}
	}
	if err := iter.Close(); err != nil {
		return fmt.Errorf("read rows: %w", err)
	}
	if len(r.rows) == 0 {
		return errors.New("the store holds no rows")
	}
	return nil
}

func (r *rawStore) rowBytes() int {
	if len(r.rows) == 0 {
		return 0
	}
	return len(r.rows[0].value)
}

// upsertAll writes n rows, rawInFlight at a time.
func (r *rawStore) upsertAll(ctx context.Context, n int) error {
	stamp := time.Now().UnixMicro()
	return r.each(ctx, n, func(i int) error {
		row := &r.rows[i%len(r.rows)]
		return r.session.Query("INSERT INTO latest (entity, key, feature_view, v) VALUES (?, ?, ?, ?) USING TIMESTAMP ?",
			row.entity, row.key, row.view, row.value, stamp-int64(n)).Idempotent(true).WithContext(ctx).Exec()
	})
}

// each runs do for 0 … n-1 with rawInFlight workers.
func (r *rawStore) each(ctx context.Context, n int, do func(i int) error) error {
	var next atomic.Int64
	workers := pool.New().WithContext(ctx).WithCancelOnError().WithFirstError()
	for range min(rawInFlight, n) {
		workers.Go(func(ctx context.Context) error {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return nil
				}
				if err := do(i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return workers.Wait() //nolint:wrapcheck // the caller says what it did
}

// read selects the rows of some keys one by one, concurrently.
func (r *rawStore) read(ctx context.Context, keys []string, view string) error {
	one := func(ctx context.Context, key string) error {
		var v []byte
		return r.session.Query("SELECT v FROM latest WHERE entity = 'driver' AND key = ? AND feature_view = ?", key, view).WithContext(ctx).Scan(&v)
	}
	if len(keys) == 1 {
		return one(ctx, keys[0])
	}
	g := pool.New().WithContext(ctx).WithMaxGoroutines(len(keys))
	for _, k := range keys {
		g.Go(func(ctx context.Context) error { return one(ctx, k) })
	}
	return g.Wait() //nolint:wrapcheck // the caller says what it did
}
