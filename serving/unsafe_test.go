package serving_test

import "unsafe"

// unsafeString shares b, as a transport's parser does.
func unsafeString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
