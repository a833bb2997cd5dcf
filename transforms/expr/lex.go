package expr

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

type tokenKind uint8

const (
	tokenEnd tokenKind = iota
	tokenWord
	tokenQuoted // a quoted identifier; text is what it names
	tokenInt
	tokenFloat
	tokenString // text is the unescaped content
	tokenSymbol
)

type token struct {
	kind     tokenKind
	text     string // words in lower case, numbers without underscores
	raw      string // as written
	off, end int
}

// symbols, longest first.
var symbols = []string{
	"->>", "->", "::", "<=", ">=", "<>", "!=", "==", "||", "//",
	"+", "-", "*", "/", "%", "=", "<", ">", "(", ")", ",", ".", "[", "]", ":",
}

// lex splits text into tokens; the last one is tokenEnd.
func lex(text string) ([]token, error) {
	l := lexer{text: text}
	var all []token
	for {
		t, err := l.next()
		if err != nil {
			return nil, err
		}
		all = append(all, t)
		if t.kind == tokenEnd {
			return all, nil
		}
	}
}

type lexer struct {
	text string
	at   int
}

func (l *lexer) rest() string { return l.text[l.at:] }

func (l *lexer) next() (token, error) {
	if err := l.skipSpace(); err != nil {
		return token{}, err
	}
	start := l.at
	if start == len(l.text) {
		return token{kind: tokenEnd, off: start, end: start}, nil
	}
	switch c := l.text[start]; {
	case c == '\'':
		return l.quoted('\'', tokenString, "text in quotes")
	case c == '"':
		return l.quoted('"', tokenQuoted, "a quoted name")
	case isDigit(c), c == '.' && start+1 < len(l.text) && isDigit(l.text[start+1]):
		return l.number()
	}
	if n := wordLength(l.rest()); n > 0 {
		l.at += n
		return l.token(tokenWord, start, strings.ToLower(l.text[start:l.at])), nil
	}
	for _, s := range symbols {
		if strings.HasPrefix(l.rest(), s) {
			l.at += len(s)
			return l.token(tokenSymbol, start, s), nil
		}
	}
	r, size := utf8.DecodeRuneInString(l.rest())
	return token{}, errorAt(start, start+size, strangeHint(r), "unexpected character %q", r)
}

func strangeHint(r rune) string {
	switch r {
	case '‘', '’', '“', '”', '`':
		return "write 'text' in straight single quotes and \"names\" in straight double quotes"
	case '&':
		return "write and"
	case '|':
		return "write or, or || to join strings"
	case '!':
		return "write not"
	case '^':
		return "write pow(x, y)"
	}
	return ""
}

func (l *lexer) token(kind tokenKind, start int, text string) token {
	return token{kind: kind, text: text, raw: l.text[start:l.at], off: start, end: l.at}
}

// skipSpace passes white space and the comments of SQL.
func (l *lexer) skipSpace() error {
	for l.at < len(l.text) {
		r, size := utf8.DecodeRuneInString(l.rest())
		switch {
		case unicode.IsSpace(r):
			l.at += size
		case strings.HasPrefix(l.rest(), "--"):
			n := strings.IndexByte(l.rest(), '\n')
			if n < 0 {
				n = len(l.rest())
			}
			l.at += n
		case strings.HasPrefix(l.rest(), "/*"):
			n := strings.Index(l.rest(), "*/")
			if n < 0 {
				return errorAt(l.at, len(l.text), "end it with */", "the comment does not end")
			}
			l.at += n + len("*/")
		default:
			return nil
		}
	}
	return nil
}

// quoted reads up to the closing quote; a doubled quote is one.
func (l *lexer) quoted(quote byte, kind tokenKind, what string) (token, error) {
	start := l.at
	var b strings.Builder
	for i := start + 1; i < len(l.text); i++ {
		if l.text[i] != quote {
			b.WriteByte(l.text[i])
			continue
		}
		if i+1 < len(l.text) && l.text[i+1] == quote {
			b.WriteByte(quote)
			i++
			continue
		}
		l.at = i + 1
		return l.checkQuoted(kind, start, b.String())
	}
	return token{}, errorAt(start, len(l.text), "close it with "+string(quote), "%s does not end", what)
}

func (l *lexer) checkQuoted(kind tokenKind, start int, text string) (token, error) {
	if !utf8.ValidString(text) {
		return token{}, errorAt(start, l.at, "", "the text is not valid UTF-8")
	}
	if kind == tokenQuoted && text == "" {
		return token{}, errorAt(start, l.at, "text goes in single quotes", "an empty name")
	}
	return l.token(kind, start, text), nil
}

func (l *lexer) number() (token, error) {
	start, kind := l.at, tokenInt
	l.digits()
	if l.at < len(l.text) && l.text[l.at] == '.' {
		kind = tokenFloat
		l.at++
		l.digits()
	}
	if n := exponentLength(l.rest()); n > 0 {
		kind = tokenFloat
		l.at += n
	}
	if n := wordLength(l.rest()); n > 0 {
		return token{}, errorAt(start, l.at+n, "a name that begins with a digit goes in double quotes", "%q is not a number", l.text[start:l.at+n])
	}
	return l.token(kind, start, strings.ReplaceAll(l.text[start:l.at], "_", "")), nil
}

// digits passes digits with single underscores between them.
func (l *lexer) digits() {
	for l.at < len(l.text) {
		c := l.text[l.at]
		between := c == '_' && l.at > 0 && isDigit(l.text[l.at-1]) && l.at+1 < len(l.text) && isDigit(l.text[l.at+1])
		if !isDigit(c) && !between {
			return
		}
		l.at++
	}
}

func exponentLength(s string) int {
	if s == "" || (s[0] != 'e' && s[0] != 'E') {
		return 0
	}
	n := 1
	if n < len(s) && (s[n] == '+' || s[n] == '-') {
		n++
	}
	digits := n
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	if n == digits {
		return 0
	}
	return n
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// wordLength returns how many bytes of s are an identifier.
func wordLength(s string) int {
	for i, r := range s {
		letter := r == '_' || unicode.IsLetter(r)
		if !letter && (i == 0 || !unicode.IsDigit(r)) {
			return i
		}
	}
	return len(s)
}
