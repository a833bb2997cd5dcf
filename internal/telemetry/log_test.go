package telemetry_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"millrace/internal/telemetry"
)

func logged(level, format string) string {
	var b bytes.Buffer
	log := telemetry.NewLogger(&b, level, format)
	log.Debug("resumed", "lane", 3)
	log.Info("assigned", "lane", 3)
	log.Error("stopped", "lane", 3)
	return b.String()
}

func TestLogFormats(t *testing.T) {
	for format, isJSON := range map[string]bool{"json": true, "auto": true, "text": false} {
		first, _, _ := strings.Cut(logged("info", format), "\n")
		if json.Valid([]byte(first)) != isJSON {
			t.Errorf("format %s away from a terminal wrote %s", format, first)
		}
	}
}

func TestLogLevels(t *testing.T) {
	for level, want := range map[string]int{"debug": 3, "info": 2, "error": 1, "": 2, "loud": 2} {
		if got := strings.Count(logged(level, "text"), "\n"); got != want {
			t.Errorf("level %q wrote %d lines, want %d", level, got, want)
		}
	}
}
