package pipeline

import "sync/atomic"

// budget bounds the bytes of delivered records that all lanes hold together.
//
// It cannot deadlock: a partition is only paused while its lane holds bytes or
// the total is spent, and whenever a lane gives bytes back every paused lane
// that holds none is resumed, spent or not. So each lane can always have one
// fetch, the total is exceeded by at most one fetch per lane, and a lane never
// waits for bytes that another lane, waiting itself, holds.
type budget struct {
	limit int64
	used  atomic.Int64
}

func (b *budget) take(n int64)  { b.used.Add(n) }
func (b *budget) give(n int64)  { b.used.Add(-n) }
func (b *budget) spent() bool   { return b.used.Load() >= b.limit }
func (b *budget) relaxed() bool { return b.used.Load() < b.limit-b.limit/4 }
