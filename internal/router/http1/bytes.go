package http1

import "bytes"

// parseLength parses the value of a Content-Length field: up to 18 digits.
func parseLength(b []byte) (n int64, ok bool) {
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// trim cuts spaces and tabs off both ends.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// cutItem cuts the first item off a comma-separated list.
func cutItem(list []byte) (item, rest []byte) {
	if i := bytes.IndexByte(list, ','); i >= 0 {
		return trim(list[:i]), list[i+1:]
	}
	return trim(list), nil
}

// HasToken reports whether a comma-separated list contains the token, ignoring
// case.
func HasToken[T string | []byte](list []byte, token T) bool {
	for len(list) > 0 {
		var item []byte
		if item, list = cutItem(list); EqualFold(item, token) {
			return true
		}
	}
	return false
}

// EqualFold compares bytes with ASCII letters, ignoring case. Letters beyond ASCII equal
// none of these: a long s or a Kelvin sign would pass for one in Unicode.
func EqualFold[T string | []byte](b []byte, s T) bool {
	if len(b) != len(s) {
		return false
	}
	for i, c := range b {
		if lower(c) != lower(s[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c |= 0x20
	}
	return c
}

func isToken(b []byte) bool {
	for _, c := range b {
		if class[c]&token == 0 {
			return false
		}
	}
	return len(b) > 0
}

// isValue reports whether b is a valid field value: no control characters
// except tab.
func isValue(b []byte) bool {
	for _, c := range b {
		if class[c]&value == 0 {
			return false
		}
	}
	return true
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func hexDigit(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	}
	return c - 'a' + 10
}

// Classes of bytes in RFC 9110.
const (
	token = 1 << iota // may be in a token
	value             // may be in a field value
)

var class = func() (t [256]byte) {
	for c := range t {
		if c >= ' ' && c != 0x7f || c == '\t' {
			t[c] |= value
		}
	}
	for _, c := range []byte("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		t[c] |= token
	}
	return t
}()
