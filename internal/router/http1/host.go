package http1

import "strings"

// maxHost is the length of the longest host name in DNS.
const maxHost = 253

// NormalHost returns the normal form of the value of a Host header: lower case,
// without port and trailing dot. Services are looked up by it. ok is false if
// the value is no host name or address.
func NormalHost(s string) (host string, ok bool) {
	if strings.HasPrefix(s, "[") {
		return normalLiteral(s)
	}
	if i := strings.IndexByte(s, ':'); i >= 0 {
		if !isPort(s[i+1:]) {
			return "", false
		}
		s = s[:i]
	}
	s = strings.TrimSuffix(s, ".")
	if len(s) == 0 || len(s) > maxHost {
		return "", false
	}
	upper, label := false, 0
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
			label++
		case 'A' <= c && c <= 'Z':
			upper = true
			label++
		case c == '.' && label > 0:
			label = 0
		default:
			return "", false
		}
		if label > 63 {
			return "", false
		}
	}
	if label == 0 {
		return "", false
	}
	if upper {
		s = strings.ToLower(s)
	}
	return s, true
}

// normalLiteral does the same for an IPv6 address in brackets, which it keeps.
// No service has such a name; the check only rejects malformed values.
func normalLiteral(s string) (string, bool) {
	end := strings.IndexByte(s, ']')
	if end < 0 {
		return "", false
	}
	if rest := s[end+1:]; rest != "" && (rest[0] != ':' || !isPort(rest[1:])) {
		return "", false
	}
	s = s[:end+1]
	if len(s) < len("[::]") {
		return "", false
	}
	for i := 1; i < end; i++ {
		c := s[i]
		if !isHex(c) && c != ':' && c != '.' {
			return "", false
		}
	}
	return strings.ToLower(s), true
}

// isPort reports whether s may follow the colon of a host. It may be empty.
func isPort(s string) bool {
	if len(s) > 5 {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}
