package pebble

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// A cell's value begins with its stamp and the microsecond at which it
// expires; the row's bytes follow.
const (
	stampBytes  = 8
	expiryBytes = 8
	headBytes   = stampBytes + expiryBytes
	never       = math.MaxUint64
)

// mergerName is written into every store. What greater does can never change
// under this name: files hold the outcome of merges already done.
const mergerName = "millrace.greatest.1"

func merger() *pebble.Merger {
	return &pebble.Merger{
		Name: mergerName,
		Merge: func(_, value []byte) (pebble.ValueMerger, error) {
			g, _ := spare.Get().(*greatest)
			g.kept = g.kept[:0]
			return g, g.see(value)
		},
	}
}

// spare holds mergers that are done: reading a window merges a cell per tile.
var spare = sync.Pool{New: func() any { return new(greatest) }}

// keptBytes is the largest cell whose memory is kept for the next one.
const keptBytes = 64 << 10

// greatest keeps the greatest operand it has seen. Choosing a maximum is
// commutative, associative and idempotent, so the database may merge in any
// grouping, and repeated writes do no harm.
type greatest struct{ kept []byte }

var errOperand = errors.New("damaged cell")

func (g *greatest) see(value []byte) error {
	if len(value) < headBytes {
		return fmt.Errorf("merge %d bytes: %w", len(value), errOperand)
	}
	if len(g.kept) == 0 || compareCells(value, g.kept) > 0 {
		g.kept = append(g.kept[:0], value...)
	}
	return nil
}

// MergeNewer implements pebble.ValueMerger.
func (g *greatest) MergeNewer(value []byte) error { return g.see(value) }

// MergeOlder implements pebble.ValueMerger.
func (g *greatest) MergeOlder(value []byte) error { return g.see(value) }

// Finish implements pebble.ValueMerger. The database closes what it is given
// when the value is not used any more.
func (g *greatest) Finish(bool) ([]byte, io.Closer, error) { return g.kept, g, nil }

// Close gives g back.
func (g *greatest) Close() error {
	if cap(g.kept) <= keptBytes {
		spare.Put(g)
	}
	return nil
}

// compareCells orders by stamp, then by row bytes as sinks.Row.Newer does; a
// row that comes again keeps the later expiry.
func compareCells(a, b []byte) int {
	if c := bytes.Compare(a[:stampBytes], b[:stampBytes]); c != 0 {
		return c
	}
	if c := bytes.Compare(a[headBytes:], b[headBytes:]); c != 0 {
		return c
	}
	return bytes.Compare(a[stampBytes:headBytes], b[stampBytes:headBytes])
}

// putHead fills the first headBytes of a cell.
func putHead(dst []byte, stamp int64, expiry uint64) {
	binary.BigEndian.PutUint64(dst, uint64(stamp)^sign64)
	binary.BigEndian.PutUint64(dst[stampBytes:], expiry)
}

// expiryOf returns the microsecond at which what arrives now expires.
func expiryOf(now time.Time, expire time.Duration) uint64 {
	if expire <= 0 {
		return never
	}
	arrival := now.UnixMicro()
	if arrival < 0 {
		return 0
	}
	return uint64(arrival) + uint64(expire.Microseconds())
}

// liveRow returns the row bytes of a cell, or nil if it is expired or damaged.
func liveRow(cell []byte, now time.Time) []byte {
	if len(cell) < headBytes || expired(cell[stampBytes:], now) {
		return nil
	}
	return cell[headBytes:]
}

// expired reads the expiry that b begins with.
func expired(b []byte, now time.Time) bool {
	expiry := binary.BigEndian.Uint64(b)
	return expiry != never && now.UnixMicro() >= 0 && uint64(now.UnixMicro()) >= expiry
}
