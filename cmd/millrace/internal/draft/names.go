package draft

import (
	"slices"
	"strconv"
	"strings"
	"unicode"

	"millrace/transforms"
)

// Name makes a name of any text: orders.v1-eu becomes orders_v1_eu.
func Name(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r < 0x80 && (r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r)):
			b.WriteRune(r)
		case b.Len() > 0:
			b.WriteByte('_')
		}
	}
	name := strings.TrimRight(b.String(), "_")
	if name == "" || name[0] >= '0' && name[0] <= '9' {
		name = "f_" + name
	}
	const maxName = 100 // a definition's are at most 128, and a number may follow
	return strings.TrimRight(name[:min(len(name), maxName)], "_")
}

// column makes a name that expressions can use and that taken lacks, and takes
// it.
func column(text string, taken map[string]bool) string {
	name := Name(text)
	if !slices.Equal(transforms.Names(name), []string{name}) {
		name += "_value" // a word of the expression language
	}
	unique := name
	for i := 2; taken[strings.ToLower(unique)]; i++ {
		unique = name + "_" + strconv.Itoa(i)
	}
	taken[strings.ToLower(unique)] = true
	return unique
}

// words splits a name: completed_at, completedAt and completed-at are two.
func words(name string) []string {
	var all []string
	var b strings.Builder
	flush := func() {
		if b.Len() > 0 {
			all = append(all, b.String())
			b.Reset()
		}
	}
	lower := false
	for _, r := range name {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			flush()
		case unicode.IsUpper(r) && lower:
			flush()
			b.WriteRune(unicode.ToLower(r))
		default:
			b.WriteRune(unicode.ToLower(r))
		}
		lower = unicode.IsLower(r)
	}
	flush()
	return all
}

var (
	timeWords = []string{
		"at", "time", "timestamp", "ts", "date", "datetime", "epoch", "millis", "ms", "us", "ns", "micros", "nanos",
		"when", "created", "updated", "modified", "occurred", "since", "until", "expires",
	}
	idWords = []string{
		"id", "ids", "key", "code", "zip", "postcode", "phone", "number", "no", "ref", "reference", "sku", "uuid", "isbn", "ean",
		"serial", "account", "iban", "version", "token", "hash",
	}
)

func endsIn(name string, list []string) bool {
	w := words(name)
	return len(w) > 0 && slices.Contains(list, w[len(w)-1])
}
