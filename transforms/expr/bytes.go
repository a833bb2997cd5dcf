package expr

import "unicode/utf8"

var (
	kernelByteLength = &kernel{name: "octet_length", run: func(c *call) {
		for i, s := range c.strings(0) {
			if c.valid(i) {
				c.out.col.Ints[i] = int64(len(s))
			}
		}
	}}
	kernelEncode = textTo("encode", func(_ *call, s string) string { return s })
	kernelDecode = parsing("decode", "bytes are not text in UTF-8", func(c *call, row int, s string) bool {
		c.out.col.Strings[row] = s
		return utf8.ValidString(s)
	})
)
