package feature

import "math/bits"

// Bitmap is one bit per row, least significant bit first. Bits at and above
// the length it was resized to are zero.
type Bitmap []uint64

// Get reports bit i, which must lie below the resized length.
func (b Bitmap) Get(i int) bool { return b[i>>6]&(1<<(uint(i)&63)) != 0 }

// Set sets bit i.
func (b Bitmap) Set(i int) { b[i>>6] |= 1 << (uint(i) & 63) }

// Clear clears bit i.
func (b Bitmap) Clear(i int) { b[i>>6] &^= 1 << (uint(i) & 63) }

// Words returns how many words hold n bits.
func Words(n int) int { return (n + 63) >> 6 }

// Resize returns b with room for n bits, reusing storage; bits that were set
// stay, new ones are zero, bits at and above n are cleared.
func (b Bitmap) Resize(n int) Bitmap {
	w, old := Words(n), len(b)
	for cap(b) < w {
		b = append(b[:cap(b)], 0)
	}
	b = b[:w]
	// Words between the old length and the capacity hold what was there before
	// an earlier, shorter Resize.
	for i := old; i < w; i++ {
		b[i] = 0
	}
	if r := uint(n) & 63; r != 0 {
		b[w-1] &= 1<<r - 1
	}
	return b
}

// Fill sets the first n bits.
func (b Bitmap) Fill(n int) {
	for i := range b {
		b[i] = ^uint64(0)
	}
	if r := uint(n) & 63; r != 0 && len(b) > 0 {
		b[len(b)-1] = 1<<r - 1
	}
}

// Count returns how many bits are set.
func (b Bitmap) Count() int {
	n := 0
	for _, w := range b {
		n += bits.OnesCount64(w)
	}
	return n
}
