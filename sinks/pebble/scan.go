package pebble

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"millrace/sinks"
)

// keyCursor is the layout of cursors: the last key given.
const keyCursor = "pebble1"

// keyPage is how many keys a page has at most.
const keyPage = 1000

// EachKey implements sinks.KeyScanner. Rows and tiles are walked side by side,
// so a key comes once. Between pages nothing is open: a slow caller keeps no
// files from being removed, and does not hold up Close.
//
// Progress is the share of bytes on disk that lie before the key. Where the scan
// begins with everything in memory, which is a few megabytes, the keys are
// counted first.
func (s *Store) EachKey(ctx context.Context, entity string, from sinks.KeyCursor, fn func(*sinks.KeyPage) error) error {
	place, begun, err := from.Place(keyCursor)
	if err != nil {
		return err //nolint:wrapcheck // says already what
	}
	k := keyScan{store: s, entity: entity}
	if begun {
		k.last = appendText(nil, string(place))
	}
	if err := k.count(ctx); err != nil {
		return fmt.Errorf("scan keys: %w", err)
	}
	for !k.done {
		page, err := k.page(ctx)
		if err != nil {
			return fmt.Errorf("scan keys: %w", err)
		}
		if len(page.Keys) == 0 {
			return nil
		}
		if err := fn(page); err != nil {
			return err
		}
	}
	return nil
}

// keyTables are the tables that have entity keys.
var keyTables = [...]byte{tableCells, tableTiles}

// keyScan is one call of EachKey. Keys are compared as they stand in the
// tables: their length, then their bytes.
type keyScan struct {
	store    *Store
	entity   string
	last     []byte // the last key given, nil at the beginning
	progress float64
	done     bool

	given, all int // keys, where they were counted
}

// prefix begins the keys of a table's cells of the entity, and those of one
// entity key.
func (k *keyScan) prefix(table byte, key []byte) []byte {
	return append(appendText([]byte{table}, k.entity), key...)
}

// begin opens walks over the tables, behind last; nil is the beginning. The
// caller closes them, also after an error.
func (k *keyScan) begin(ctx context.Context, last []byte) (walks keyWalks, err error) {
	for i, table := range keyTables {
		if err := walks[i].open(ctx, k, table, last); err != nil {
			return walks, fmt.Errorf("%w: %w", sinks.ErrUnavailable, err)
		}
	}
	return walks, nil
}

// page returns the next keys; it has none at the end.
func (k *keyScan) page(ctx context.Context) (*sinks.KeyPage, error) {
	if err := k.store.enter(ctx, "read keys"); err != nil {
		return nil, err
	}
	defer k.store.leave()
	walks, err := k.begin(ctx, k.last)
	defer walks.close()
	if err != nil {
		return nil, err
	}
	page, err := k.fill(ctx, &walks)
	if err != nil {
		return nil, err
	}
	k.given += len(page.Keys)
	if err := k.estimate(); err != nil {
		return nil, err
	}
	page.Progress = k.progress
	return page, nil
}

// count counts the keys, if nothing of them is on disk.
func (k *keyScan) count(ctx context.Context) error {
	if err := k.store.enter(ctx, "count keys"); err != nil {
		return err
	}
	defer k.store.leave()
	if _, onDisk, err := k.diskUsage(); err != nil || onDisk > 0 {
		return err
	}
	walks, err := k.begin(ctx, nil)
	defer walks.close()
	for at := walks.least(); at != nil && err == nil; at = walks.least() {
		if k.all++; bytes.Compare(at, k.last) <= 0 {
			k.given++
		}
		err = errors.Join(walks.pass(bytes.Clone(at)), ctx.Err())
	}
	return err
}

func (k *keyScan) fill(ctx context.Context, walks *keyWalks) (*sinks.KeyPage, error) {
	page := &sinks.KeyPage{}
	for len(page.Keys) < keyPage {
		next := walks.least()
		if next == nil {
			break
		}
		_, n := binary.Uvarint(next)
		k.last = append(k.last[:0], next...)
		page.Keys = append(page.Keys, string(k.last[n:]))
		if err := errors.Join(walks.pass(k.last), ctx.Err()); err != nil {
			return nil, err
		}
	}
	k.done = walks.least() == nil
	if n := len(page.Keys); n > 0 {
		page.Next = sinks.NewKeyCursor(keyCursor, []byte(page.Keys[n-1]))
	}
	return page, nil
}

// keyWalks go over the tables side by side.
type keyWalks [len(keyTables)]keyWalk

// least returns the lowest key that the walks stand at, nil at the end.
func (w *keyWalks) least() []byte {
	var low []byte
	for i := range w {
		if at := w[i].at; at != nil && (low == nil || bytes.Compare(at, low) < 0) {
			low = at
		}
	}
	return low
}

// pass goes on where a walk stands at key.
func (w *keyWalks) pass(key []byte) error {
	for i := range w {
		if !bytes.Equal(w[i].at, key) {
			continue
		}
		if err := w[i].behind(key); err != nil {
			return fmt.Errorf("%w: %w", sinks.ErrUnavailable, err)
		}
	}
	return nil
}

func (w *keyWalks) close() {
	for i := range w {
		if w[i].it != nil {
			_ = w[i].it.Close() // its error was seen when it moved
		}
	}
}

// keyWalk goes over the keys of one table.
type keyWalk struct {
	it     *pebble.Iterator
	prefix []byte // of the entity
	at     []byte // the key that it stands at, within the iterator's; nil at the end
	seek   []byte
}

func (w *keyWalk) open(ctx context.Context, k *keyScan, table byte, last []byte) (err error) {
	w.prefix = k.prefix(table, nil)
	w.it, err = k.store.db.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: w.prefix, UpperBound: successor(w.prefix)})
	if err != nil {
		return err
	}
	if last != nil {
		return w.behind(last)
	}
	return w.stand(w.it.First())
}

func (w *keyWalk) behind(key []byte) error {
	w.seek = append(append(w.seek[:0], w.prefix...), key...)
	return w.stand(w.it.SeekGE(successor(w.seek)))
}

func (w *keyWalk) stand(ok bool) error {
	w.at = nil
	if !ok {
		return w.it.Error()
	}
	rest := w.it.Key()[len(w.prefix):]
	length, n := binary.Uvarint(rest)
	if n <= 0 || length > uint64(len(rest)-n) {
		return errKey
	}
	w.at = rest[:n+int(length)]
	return nil
}

// estimate raises the progress to that of the last key.
func (k *keyScan) estimate() error {
	if k.done {
		k.progress = 1
		return nil
	}
	share := float64(k.given) / float64(max(k.all, 1))
	if k.all == 0 {
		before, all, err := k.diskUsage()
		if err != nil {
			return fmt.Errorf("estimate how far it is: %w", err)
		}
		share = float64(before) / float64(max(all, 1))
	}
	k.progress = max(k.progress, min(share, 1))
	return nil
}

func (k *keyScan) diskUsage() (before, all uint64, err error) {
	for _, table := range keyTables {
		from := k.prefix(table, nil)
		n, err1 := k.store.db.EstimateDiskUsage(from, successor(from))
		m, err2 := k.store.db.EstimateDiskUsage(from, successor(k.prefix(table, k.last)))
		if err := errors.Join(err1, err2); err != nil {
			return 0, 0, err
		}
		before, all = before+m, all+n
	}
	return before, all, nil
}
