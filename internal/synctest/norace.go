//go:build !race || go1.27

package synctest

const sharedContext = false
