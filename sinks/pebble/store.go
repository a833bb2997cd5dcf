// Package pebble is the embedded store: one process, one folder, the same
// bytes and the same order rule as the distributed store.
//
// Invariant: a row or tile is only ever merged into its cell, never set, and the
// merge keeps the greater (stamp, value). So writes need neither a read nor a lock,
// and any order of any writers gives the same cell.
//
// docs/format/pebble.md draws the keys and values.
package pebble

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Settings are what a Store is opened with; the zero Settings are good.
type Settings struct {
	// CacheBytes is the size of the cache of uncompressed blocks; 0 is 32 MiB.
	CacheBytes int64
	// MemTableBytes is how many bytes of writes are sorted in memory before
	// they become a file; up to four such tables exist at once. 0 is 8 MiB.
	MemTableBytes uint64
	// LetterTTL is how long dead letters are kept; 0 is 30 days.
	LetterTTL time.Duration
	// Now is the clock that expiry is counted by; nil is time.Now.
	Now func() time.Time
	// Logger hears of the store's own troubles; nil discards them.
	Logger *slog.Logger

	files vfs.FS // the machine's, unless a test brings its own
}

const (
	defaultCacheBytes    = 32 << 20
	defaultMemTableBytes = 8 << 20
	memTables            = 4
	defaultLetterTTL     = 30 * 24 * time.Hour
	bloomBits            = 10
)

func (s Settings) filled() Settings {
	if s.CacheBytes == 0 {
		s.CacheBytes = defaultCacheBytes
	}
	if s.MemTableBytes == 0 {
		s.MemTableBytes = defaultMemTableBytes
	}
	if s.LetterTTL == 0 {
		s.LetterTTL = defaultLetterTTL
	}
	if s.Now == nil {
		s.Now = time.Now
	}
	if s.Logger == nil {
		s.Logger = slog.New(slog.DiscardHandler)
	}
	if s.files == nil {
		s.files = vfs.Default
	}
	return s
}

// Store implements every contract of package sinks over one folder. It is
// safe for concurrent use.
//
// Lock order: marking, then closing, then swap or pruning.
type Store struct {
	db   *pebble.DB
	lock *pebble.Lock
	set  Settings

	// closing is held for reading by every call, so that Close waits for them:
	// the database must not be used once it is closed.
	closing struct {
		sync.RWMutex
		closed bool
	}
	// swap makes the read and the write of Meta.Swap one step.
	swap sync.Mutex
	// marking makes the read and the write of a letter's mark one step.
	marking sync.Mutex
	// pruning is held for reading by writers of cells, tiles and letters. Prune holds
	// it while it looks at an expired one and deletes it: a row merged in
	// between would be deleted unseen.
	pruning sync.RWMutex
}

// ErrClosed is returned by calls after Close.
var ErrClosed = errors.New("store is closed")

// Open opens the store in dir, which is created if it is missing. The folder
// belongs to this process until Close.
func Open(dir string, settings Settings) (*Store, error) {
	set := settings.filled()
	if err := set.files.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("open store %s: create folder: %w", dir, err)
	}
	lock, err := pebble.LockDirectory(dir, set.files)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", dir, explainLock(err))
	}
	db, err := pebble.Open(dir, options(set, lock))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open store %s: %w", dir, err), lock.Close())
	}
	s := &Store{db: db, lock: lock, set: set}
	if err := s.claimFormat(); err != nil {
		return nil, errors.Join(fmt.Errorf("open store %s: %w", dir, err), s.Close())
	}
	return s, nil
}

// explainLock says what a lock that is not given means: unless the folder
// itself is at fault, somebody else holds it.
func explainLock(err error) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("lock folder: %w", err)
	}
	return fmt.Errorf("it is in use by another process; stop that process or name another folder: %w", err)
}

func options(set Settings, lock *pebble.Lock) *pebble.Options {
	o := &pebble.Options{
		FS:                          set.files,
		Lock:                        lock,
		Merger:                      merger(),
		FormatMajorVersion:          pebble.FormatWALSyncChunks,
		CacheSize:                   set.CacheBytes,
		MemTableSize:                set.MemTableBytes,
		MemTableStopWritesThreshold: memTables,
		LoggerAndTracer:             logger{set.Logger},
	}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(bloomBits)
	}
	return o
}

// claimFormat writes the version of the layout into a new store and refuses
// the store of a later program.
func (s *Store) claimFormat() error {
	value, closer, err := s.db.Get(formatKey())
	if errors.Is(err, pebble.ErrNotFound) {
		return s.db.Set(formatKey(), []byte(formatVersion), pebble.Sync)
	}
	if err != nil {
		return fmt.Errorf("read format: %w", err)
	}
	found := string(value)
	if err := closer.Close(); err != nil {
		return fmt.Errorf("read format: %w", err)
	}
	if found != formatVersion {
		return fmt.Errorf("its format is %q, this program knows %q; use the program that wrote it", found, formatVersion)
	}
	return nil
}

// enter begins a call: it fails when ctx has ended or the store is closed.
// After success the caller must call leave.
func (s *Store) enter(ctx context.Context, op string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	s.closing.RLock()
	if s.closing.closed {
		s.closing.RUnlock()
		return fmt.Errorf("%s: %w", op, ErrClosed)
	}
	return nil
}

func (s *Store) leave() { s.closing.RUnlock() }

// Sync implements sinks.Sink. One synced entry in the log makes everything
// before it durable, so writers never wait for the disk. It does not stop when
// ctx ends while the disk is at work.
func (s *Store) Sync(ctx context.Context) error {
	if err := s.enter(ctx, "sync store"); err != nil {
		return err
	}
	defer s.leave()
	if err := s.db.LogData(nil, pebble.Sync); err != nil {
		return fmt.Errorf("sync store: %w", err)
	}
	return nil
}

// Ping reports whether the store can be used.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.enter(ctx, "ping store"); err != nil {
		return err
	}
	s.leave()
	return nil
}

// Close waits for calls under way, makes what was written durable and gives
// the folder free. A second call does nothing.
func (s *Store) Close() error {
	s.closing.Lock()
	defer s.closing.Unlock()
	if s.closing.closed {
		return nil
	}
	s.closing.closed = true
	if err := errors.Join(s.db.LogData(nil, pebble.Sync), s.db.Close(), s.lock.Close()); err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

// logger passes the database's messages on. Its routine ones, a line for each
// flush and compaction, are for debugging.
type logger struct{ to *slog.Logger }

func (l logger) Infof(format string, args ...any) { l.to.Debug(fmt.Sprintf(format, args...)) }

func (l logger) Errorf(format string, args ...any) { l.to.Error(fmt.Sprintf(format, args...)) }

// Fatalf must not return: the database calls it when it can no longer keep its
// promises, for instance when its log cannot be written.
func (l logger) Fatalf(format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	l.to.Error(message)
	panic("embedded store cannot go on: " + message)
}

func (l logger) Eventf(context.Context, string, ...any) {}

func (l logger) IsTracingEnabled(context.Context) bool { return false }
