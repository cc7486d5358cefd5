package http1

import "strings"

const (
	// maxHost is the length of the longest host name in DNS.
	maxHost = 253
	// maxLiteral is the length of the longest IPv6 address as text, with its brackets.
	maxLiteral = len("[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]")
)

// NormalHost returns the normal form of the value of a Host header: lower case,
// without port and trailing dot. Services are looked up by it. ok is false if
// the value is no host name or address.
func NormalHost(s string) (host string, ok bool) {
	end, upper, ok := scanHost(s)
	if !ok {
		return "", false
	}
	if s = s[:end]; upper {
		s = strings.ToLower(s)
	}
	return s, true
}

// scanHost finds the end of a host without its port and its trailing dot, and whether it
// has capital letters.
func scanHost[T string | []byte](s T) (end int, upper, ok bool) {
	if len(s) > 0 && s[0] == '[' {
		return scanLiteral(s)
	}
	label := 0
scan:
	for end < len(s) {
		switch c := s[end]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
			label++
		case 'A' <= c && c <= 'Z':
			upper = true
			label++
		case c == '.' && label > 0:
			label = 0
		case c == ':':
			if !isPort(s[end+1:]) {
				return 0, false, false
			}
			break scan
		default:
			return 0, false, false
		}
		if label > 63 {
			return 0, false, false
		}
		end++
	}
	if end > 0 && s[end-1] == '.' {
		end--
	}
	return end, upper, end > 0 && end <= maxHost
}

// scanLiteral does the same for an IPv6 address in brackets, which it keeps.
// No service has such a name; the check only rejects malformed values.
func scanLiteral[T string | []byte](s T) (end int, upper, ok bool) {
	for end = 1; end < len(s) && s[end] != ']'; end++ {
		c := s[end]
		if !isHex(c) && c != ':' && c != '.' {
			return 0, false, false
		}
		upper = upper || c >= 'A' && c <= 'F'
	}
	if end == len(s) {
		return 0, false, false
	}
	if end++; end < len("[::]") || end > maxLiteral {
		return 0, false, false
	}
	if rest := s[end:]; len(rest) > 0 && (rest[0] != ':' || !isPort(rest[1:])) {
		return 0, false, false
	}
	return end, upper, true
}

// isPort reports whether s may follow the colon of a host. It may be empty.
func isPort[T string | []byte](s T) bool {
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
