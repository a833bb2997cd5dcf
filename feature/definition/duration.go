package definition

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

func (r *reader) decodeDuration(n ast.Node, v reflect.Value, path string) {
	d, err := parseDuration(scalarTextOr(n))
	if err != nil {
		r.fault(n, path, fmt.Sprintf("%s %q is not a duration", last(path), scalarTextOr(n)), "write 90s, 15m, 24h, 7d or 1d12h; up to 36500d")
		return
	}
	v.SetInt(int64(d))
}

func scalarTextOr(n ast.Node) string {
	if isScalar(n) {
		return scalarText(n)
	}
	return shape(n)
}

// maxDuration keeps sums of durations and times inside 64 bits.
const maxDuration = 100 * 365 * 24 * time.Hour

// parseDuration reads Go's durations with weeks and days before them.
func parseDuration(s string) (time.Duration, error) {
	fail := func(why string) (time.Duration, error) { return 0, fmt.Errorf("read duration %q: %s", s, why) }
	total, rest := time.Duration(0), s
	for _, unit := range []struct {
		suffix string
		length time.Duration
	}{{"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour}} {
		number, after, ok := strings.Cut(rest, unit.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil {
			return fail("no whole number before " + unit.suffix)
		}
		if time.Duration(n) > maxDuration/unit.length {
			return fail("more than a hundred years")
		}
		total, rest = total+time.Duration(n)*unit.length, after
	}
	if rest != "" || s == "" {
		d, err := time.ParseDuration(rest)
		if err != nil || strings.ContainsAny(rest, "+-") {
			return fail("not a number with a unit")
		}
		total += min(d, maxDuration)
	}
	if total <= 0 || total > maxDuration {
		return fail("not between 1ns and a hundred years")
	}
	return total, nil
}
