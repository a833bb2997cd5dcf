package push

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Receipt says where the rows of a push are on their topic. All that is known of
// it is in its text: nothing is kept for it.
//
// Its bytes, behind base64url without padding: version (1), length and bytes of
// the source's name, topic id (16), number of rows, and per row, as varints:
// the caller's number of the row less that of the row before and one,
// the partition, the offset less that of the row before in the partition and
// one, the record time less that of the row before.
type Receipt struct {
	Source string
	Rows   []int // the caller's numbers of them, ascending
	At     []Position
}

const (
	receiptVersion  = 1
	maxReceiptBytes = 256 << 10 // of the text
	maxReceiptName  = 1 << 10
	maxReceiptRows  = 1 << 15
)

var errReceipt = errors.New("it is no receipt")

// Encode returns the text of r.
func (r *Receipt) Encode() string {
	b := append([]byte{receiptVersion}, binary.AppendUvarint(nil, uint64(len(r.Source)))...)
	b = append(b, r.Source...)
	var topic [16]byte
	if len(r.At) > 0 {
		topic = r.At[0].TopicID
	}
	b = append(b, topic[:]...)
	b = binary.AppendUvarint(b, uint64(len(r.At)))
	next := make(map[int32]int64)
	row, millis := -1, int64(0)
	for i := range r.At {
		p := &r.At[i]
		b = binary.AppendUvarint(b, uint64(r.Rows[i]-row-1))
		b = binary.AppendUvarint(b, uint64(uint32(p.Partition)))
		b = binary.AppendVarint(b, p.Offset-next[p.Partition])
		b = binary.AppendVarint(b, p.Millis-millis)
		row, millis, next[p.Partition] = r.Rows[i], p.Millis, p.Offset+1
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// ParseReceipt reads the text of a receipt. It is a caller's, so it may be
// anything: what it costs is bounded by its length.
func ParseReceipt(text string) (*Receipt, error) {
	if len(text) > maxReceiptBytes {
		return nil, fmt.Errorf("read a receipt of %d bytes: %w", len(text), errReceipt)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) == 0 || b[0] != receiptVersion {
		return nil, fmt.Errorf("read a receipt: %w", errReceipt)
	}
	d := &receiptReader{b: b[1:]}
	r := d.receipt()
	if d.bad || len(d.b) > 0 {
		return nil, fmt.Errorf("read a receipt: %w", errReceipt)
	}
	return r, nil
}

// receiptReader reads on until something is wrong.
type receiptReader struct {
	b   []byte
	bad bool
}

func (d *receiptReader) receipt() *Receipt {
	r := &Receipt{Source: string(d.take(d.count(maxReceiptName)))}
	var topic [16]byte
	copy(topic[:], d.take(len(topic)))
	n := d.count(maxReceiptRows)
	next := make(map[int32]int64)
	row, millis := -1, int64(0)
	for i := 0; i < n && !d.bad; i++ {
		row += d.count(math.MaxInt32) + 1
		p := Position{TopicID: topic, Partition: int32(d.count(math.MaxInt32))}
		p.Offset = next[p.Partition] + d.signed()
		millis += d.signed()
		p.Millis = millis
		if p.Offset < 0 || p.Offset == math.MaxInt64 || row > math.MaxInt32 {
			d.bad = true
		}
		next[p.Partition] = p.Offset + 1
		r.Rows, r.At = append(r.Rows, row), append(r.At, p)
	}
	return r
}

func (d *receiptReader) take(n int) []byte {
	if d.bad || n > len(d.b) {
		d.bad = true
		return nil
	}
	b := d.b[:n]
	d.b = d.b[n:]
	return b
}

// count reads a number of at most limit.
func (d *receiptReader) count(limit uint64) int {
	v, n := binary.Uvarint(d.b)
	if d.bad || n <= 0 || v > limit {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return int(v)
}

func (d *receiptReader) signed() int64 {
	v, n := binary.Varint(d.b)
	if d.bad || n <= 0 {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return v
}
