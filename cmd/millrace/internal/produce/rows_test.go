package produce_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"millrace/cmd/millrace/internal/produce"
)

// TestRows: a row that is none costs no other, in lines; in an array only what
// stands behind a broken one is lost, and that is said.
func TestRows(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"lines", "{\"a\":1}\n\n  {\"a\":2}", "1 a=1; 3 a=2; end"},
		{"a bad line", "{\"a\":1}\n{\"a\":\n{\"a\":3}\n", "1 a=1; 2 is not JSON: it ends too early; 3 a=3; end"},
		{"no object", "7\n{\"a\":2} {}\n", "1 is a number, not an object of fields; 2 has something behind its object: write one row per line; end"},
		{"an array", "\n[{\"a\":1},\n\n {\"a\":2}, 3,\n{\"a\":\n4}]", "2 a=1; 4 a=2; 4 is a number, not an object of fields; 5 a=4; end"},
		{
			"a broken array", "[{\"a\":1},\n{\"a\" 2}, {\"a\":3}]",
			"1 a=1; read rows: after line 1: invalid character '2' after object key; with one row per line the others would have been sent",
		},
		{"no end", "[{\"a\":1}", "1 a=1; read rows: after line 1: the array does not end"},
		{"nothing", " \n", "end"},
		{"too long", `{"a":"` + strings.Repeat("x", 16<<20) + "\"}\n{\"a\":2}", "1 is longer than 16 MiB; 2 a=2; end"},
	} {
		rows := produce.NewRows(strings.NewReader(c.text))
		var got []string
		for {
			row, err := rows.Next()
			if errors.Is(err, io.EOF) {
				got = append(got, "end")
				break
			}
			if err != nil {
				got = append(got, err.Error())
				break
			}
			what := fmt.Sprint("a=", row.Fields["a"])
			if row.Fault != nil {
				what = row.Fault.Error()
			}
			got = append(got, fmt.Sprint(row.Line, " ", what))
		}
		if got := strings.Join(got, "; "); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}
