package client

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// BenchmarkDecodeAnswer reads an answer of 100 entities and 200 features, with
// statuses.
func BenchmarkDecodeAnswer(b *testing.B) {
	var text bytes.Buffer
	list := func(n int, format string) string {
		var l bytes.Buffer
		for i := range n {
			if i > 0 {
				l.WriteByte(',')
			}
			fmt.Fprintf(&l, format, i)
		}
		return l.String()
	}
	fmt.Fprintf(&text, `{"features":[%s],"rows":[`, list(200, `"driver_trips:feature_%d"`))
	for i := range 100 {
		if i > 0 {
			text.WriteByte(',')
		}
		fmt.Fprintf(&text, `{"entity":{"driver_id":%d},"values":[%s],"status":[%s]}`, i, list(200, "%d.25"), strings.TrimSuffix(strings.Repeat(`"PRESENT",`, 200), ","))
	}
	text.WriteString("]}")
	body := text.Bytes()
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decodeAnswer(body); err != nil {
			b.Fatal(err)
		}
	}
}
