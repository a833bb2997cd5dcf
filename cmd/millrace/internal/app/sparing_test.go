package app

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"millrace/internal/synctest"
)

// TestErrorsOfRequestsAreLoggedSparingly: a line per second, which says how
// many there were.
func TestErrorsOfRequestsAreLoggedSparingly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		tell := sparing(slog.New(slog.NewTextHandler(&out, nil)), "a lookup failed")
		for range 50 {
			tell(errors.New("too late"))
		}
		if lines := strings.Count(out.String(), "\n"); lines != 1 {
			t.Errorf("%d lines at once:\n%s", lines, out.String())
		}
		time.Sleep(sparingEvery)
		tell(errors.New("away"))
		if text := out.String(); strings.Count(text, "\n") != 2 || !strings.Contains(text, "err=away unlogged_before=49") {
			t.Errorf("a second later:\n%s", text)
		}
	})
}
