package serving_test

import (
	"fmt"
	"os"
	"regexp"
	"testing"

	"millrace/serving"
)

// docs/api.md explains every code with its HTTP status, and no other.
func TestCodesAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := make(map[string]string)
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| ([0-9]{3}) \\|").FindAllStringSubmatch(string(text), -1) {
		documented[m[1]] = m[2]
	}
	for _, c := range serving.Codes() {
		if documented[string(c)] != fmt.Sprint(c.HTTPStatus()) {
			t.Errorf("code %s (%d) is documented as %q", c, c.HTTPStatus(), documented[string(c)])
		}
		delete(documented, string(c))
	}
	for c := range documented {
		t.Errorf("code %s is documented and does not exist", c)
	}
}
