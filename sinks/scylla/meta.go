package scylla

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/gocql/gocql"

	"millrace/sinks"
)

// metaStatements are the statements of one table, %s filled in. One project's
// entries are one partition, so that a list is as consistent as a single
// entry; they are few.
type metaStatements struct{ get, list, insert, update, remove map[sinks.MetaTable]string }

func newMetaStatements(keyspace string) metaStatements {
	of := func(format string) map[sinks.MetaTable]string {
		m := make(map[sinks.MetaTable]string)
		for _, t := range sinks.MetaTables() {
			m[t] = fmt.Sprintf(format, keyspace+"."+string(t))
		}
		return m
	}
	return metaStatements{
		get:    of("SELECT v FROM %s WHERE project = ? AND id = ?"),
		list:   of("SELECT id, v FROM %s WHERE project = ?"),
		insert: of("INSERT INTO %s (project, id, v) VALUES (?, ?, ?) IF NOT EXISTS"),
		update: of("UPDATE %s SET v = ? WHERE project = ? AND id = ? IF v = ?"),
		remove: of("DELETE FROM %s WHERE project = ? AND id = ? IF v = ?"),
	}
}

// Get implements sinks.Meta.
func (s *Store) Get(ctx context.Context, t sinks.MetaTable, id string) ([]byte, error) {
	value, err := s.entry(ctx, t, id)
	if err == nil && value == nil {
		err = sinks.ErrNoEntry
	}
	if err != nil {
		return nil, fmt.Errorf("get %s %s: %w", t, id, err)
	}
	return value, nil
}

// entry reads an entry, nil if there is none. Reading at serial consistency
// first finishes, or rules out, swaps that were left half-way.
func (s *Store) entry(ctx context.Context, t sinks.MetaTable, id string) ([]byte, error) {
	var value []byte
	err := s.repeat(ctx, func() error {
		value = nil
		q := s.session.QueryWithContext(ctx, s.meta.get[t], s.set.Keyspace, id)
		return q.Consistency(gocql.LocalSerial).Scan(&value)
	})
	if errors.Is(err, gocql.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return append([]byte{}, value...), nil
}

// List implements sinks.Meta.
func (s *Store) List(ctx context.Context, t sinks.MetaTable) ([]sinks.MetaEntry, error) {
	var all []sinks.MetaEntry
	err := s.repeat(ctx, func() error {
		all = nil
		it := s.session.QueryWithContext(ctx, s.meta.list[t], s.set.Keyspace).Consistency(gocql.LocalSerial).Iter()
		for {
			var e sinks.MetaEntry
			if !it.Scan(&e.ID, &e.Value) {
				return it.Close()
			}
			all = append(all, e)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", t, err)
	}
	return all, nil
}

// Swap implements sinks.Meta. When the database does not say what became of
// the swap, the entry is read: if it is the new value, the swap is taken to
// have happened; if it is still the old one, the swap is tried again; if it is
// a third one, nobody can know, and that is the error.
func (s *Store) Swap(ctx context.Context, t sinks.MetaTable, id string, old, value []byte) (bool, error) {
	done, err := s.swap(ctx, t, id, old, value)
	if err != nil {
		return false, fmt.Errorf("swap %s %s: %w", t, id, err)
	}
	return done, nil
}

var errOutcome = errors.New("the outcome is not known: the entry has changed meanwhile; read it and decide again")

func (s *Store) swap(ctx context.Context, t sinks.MetaTable, id string, old, value []byte) (bool, error) {
	if old == nil && value == nil {
		now, err := s.entry(ctx, t, id)
		return err == nil && now == nil, err
	}
	doubt := false
	var done bool
	err := s.repeat(ctx, func() error {
		var err error
		if doubt {
			var now []byte
			if now, err = s.entry(ctx, t, id); err != nil {
				return err
			}
			if equal(now, value) {
				done = true
				return nil
			}
			if !equal(now, old) {
				return errOutcome
			}
		}
		done, err = s.swapOnce(ctx, t, id, old, value)
		doubt = doubt || err != nil
		if err == nil && !done && doubt {
			return s.settle(ctx, t, id, value, &done)
		}
		return err
	})
	return done, err
}

// settle decides a swap that was refused after an earlier try of it was in
// doubt: the earlier one may be why.
func (s *Store) settle(ctx context.Context, t sinks.MetaTable, id string, value []byte, done *bool) error {
	now, err := s.entry(ctx, t, id)
	if err != nil {
		return err
	}
	if !equal(now, value) {
		return errOutcome
	}
	*done = true
	return nil
}

func equal(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }

func (s *Store) swapOnce(ctx context.Context, t sinks.MetaTable, id string, old, value []byte) (bool, error) {
	var q *gocql.Query
	switch {
	case old == nil:
		q = s.session.QueryWithContext(ctx, s.meta.insert[t], s.set.Keyspace, id, value)
	case value == nil:
		q = s.session.QueryWithContext(ctx, s.meta.remove[t], s.set.Keyspace, id, old)
	default:
		q = s.session.QueryWithContext(ctx, s.meta.update[t], value, s.set.Keyspace, id, old)
	}
	return q.Idempotent(false).MapScanCAS(make(map[string]any))
}

// repeat calls try until it succeeds, is refused, or RetryFor is over.
func (s *Store) repeat(ctx context.Context, try func() error) error {
	giveUp := time.Now().Add(s.set.RetryFor)
	for wait := firstWait; ; wait = min(2*wait, longestWait) {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := try()
		if err == nil || errors.Is(err, gocql.ErrNotFound) || errors.Is(err, errOutcome) {
			return err
		}
		if ctx.Err() != nil || outcomeOf(err) == outcomePermanent || time.Now().Add(wait).After(giveUp) {
			return failure(ctx, err)
		}
		if err := sleep(ctx, wait/2+rand.N(wait/2)); err != nil {
			return err
		}
	}
}
