package http1

import (
	"bytes"
	"strings"
)

// Limits of a request head.
const (
	MaxHead        = 64 << 10 // bytes
	MaxRequestLine = 8 << 10  // bytes in the request line
	MaxFields      = 200      // header fields
)

// Head is what the framing of a message depends on.
type Head struct {
	Length  int64 // of the body; 0 if chunked
	Chunked bool
	Upgrade bool // asks for another protocol: no request follows

	// RawTarget is the request target if its path has a '%' that begins no
	// escape: URL parsers refuse such a target, applications may accept it.
	// Empty otherwise.
	RawTarget string
}

// HeadScanner finds the end of a request head that arrives in pieces. It
// remembers how far it has searched, so that a head sent byte by byte costs no
// more than one sent at once. The zero value is ready for the first byte of a
// head.
type HeadScanner struct {
	pos          int  // bytes already searched
	line         int  // start of the current line
	lines        int  // complete lines, not counting empty ones
	LeadingBlank bool // an empty line came first; set by Find
}

// Find returns the length of the head at the start of b, 0 if it is incomplete,
// or the status to refuse it with. b must begin with the bytes of the previous
// call.
func (s *HeadScanner) Find(b []byte) (end, status int) {
	// Bytes that are no HTTP, such as TLS, may never contain a line end.
	if len(b) > 0 && b[0] != '\r' && b[0] != '\n' && !isToken(b[:1]) {
		return 0, badRequest
	}
	for {
		i := bytes.IndexByte(b[s.pos:], '\n')
		if i < 0 {
			s.pos = len(b)
			return 0, s.tooLong(len(b)-s.line, len(b))
		}
		i += s.pos
		if i == s.line || b[i-1] != '\r' { // a bare LF
			return 0, badRequest
		}
		length := i - 1 - s.line
		s.pos, s.line = i+1, i+1
		if length == 0 && s.lines > 0 {
			return s.pos, s.tooLong(0, s.pos)
		}
		if length == 0 {
			// RFC 9112 2.2: a server should ignore one empty line before the
			// request.
			if s.LeadingBlank {
				return 0, badRequest
			}
			s.LeadingBlank = true
			continue
		}
		if status := s.tooLong(length, s.pos); status != 0 {
			return 0, status
		}
		s.lines++
	}
}

// tooLong checks the length of the current line and of the head so far.
func (s *HeadScanner) tooLong(line, all int) (status int) {
	switch {
	case s.lines == 0 && line > MaxRequestLine:
		return uriTooLong
	case all > MaxHead, s.lines > MaxFields+1: // and the request line
		return headTooLarge
	}
	return 0
}

// headParser collects the facts from the lines of a head.
type headParser struct {
	Head
	method, target string
	minor          byte // of the HTTP version: '0' or '1'

	hosts, lengths, codings, upgrades int // number of header fields of each kind
	host, protocol                    string
	connection                        bool // a Connection field lists "upgrade"
}

// ParseHead parses a complete head, from its request line to its empty line. It
// accepts a subset of RFC 9112 that every HTTP parser understands in the same
// way. Everything else is refused with the returned status, which is 0 if the
// head is accepted.
func ParseHead(b []byte) (Head, int) {
	var p headParser
	line, rest, _ := bytes.Cut(b, crlf)
	if status := p.requestLine(line); status != 0 {
		return Head{}, status
	}
	for {
		line, rest, _ = bytes.Cut(rest, crlf)
		if len(line) == 0 {
			break
		}
		if status := p.field(line); status != 0 {
			return Head{}, status
		}
	}
	if status := p.check(); status != 0 {
		return Head{}, status
	}
	return p.Head, 0
}

var crlf = []byte("\r\n")

func (p *headParser) requestLine(line []byte) (status int) {
	method, rest, ok := bytes.Cut(line, []byte(" "))
	target, version, ok2 := bytes.Cut(rest, []byte(" "))
	if !ok || !ok2 || !isToken(method) || len(target) == 0 {
		return badRequest
	}
	for _, c := range target {
		if c <= ' ' || c == 0x7f {
			return badRequest
		}
	}
	switch string(version) {
	case "HTTP/1.1", "HTTP/1.0":
		p.minor = version[7]
	default:
		if len(version) == 8 && bytes.HasPrefix(version, []byte("HTTP/")) && version[6] == '.' {
			return versionNotSupported
		}
		return badRequest
	}
	p.method, p.target = string(method), string(target)
	if p.method == "CONNECT" {
		return methodNotAllowed
	}
	return 0
}

func (p *headParser) field(line []byte) (status int) {
	colon := bytes.IndexByte(line, ':')
	// A space before the colon and a folded line, which begins with a space,
	// fail as well: a space is no token character.
	if colon < 0 || !isToken(line[:colon]) {
		return badRequest
	}
	name, value := line[:colon], bytes.Trim(line[colon+1:], " \t")
	if !isValue(value) {
		return badRequest
	}
	switch len(name) {
	case len("host"):
		if isName(name, "host") {
			p.hosts++
			p.host = string(value)
		}
	case len("expect"):
		if isName(name, "expect") && !bytes.EqualFold(value, []byte("100-continue")) {
			return expectationFailed
		}
	case len("upgrade"):
		if isName(name, "upgrade") {
			p.upgrades++
			p.protocol = string(value)
		}
	case len("connection"):
		if isName(name, "connection") && HasToken(string(value), "upgrade") {
			p.connection = true
		}
	case len("content-length"):
		if isName(name, "content-length") {
			p.lengths++
			return p.contentLength(value)
		}
	case len("transfer-encoding"):
		if isName(name, "transfer-encoding") {
			p.codings++
			return p.transferEncoding(value)
		}
	}
	return 0
}

func (p *headParser) contentLength(value []byte) (status int) {
	if len(value) == 0 || len(value) > 18 {
		return badRequest
	}
	p.Length = 0
	for _, c := range value {
		if c < '0' || c > '9' {
			return badRequest
		}
		p.Length = p.Length*10 + int64(c-'0')
	}
	return 0
}

func (p *headParser) transferEncoding(value []byte) (status int) {
	if p.minor == '0' {
		return badRequest
	}
	if !bytes.EqualFold(value, []byte("chunked")) {
		return notImplemented
	}
	p.Chunked = true
	return 0
}

// check checks what depends on the whole head.
func (p *headParser) check() (status int) {
	if p.lengths > 1 || p.codings > 1 || p.lengths+p.codings > 1 {
		return badRequest // ambiguous message length
	}
	if p.hosts > 1 || p.hosts == 0 && p.minor != '0' {
		return badRequest
	}
	host, ok := NormalHost(p.host)
	if !ok && p.hosts == 1 {
		return badRequest
	}
	if status := p.checkTarget(host); status != 0 {
		return status
	}
	p.Upgrade = p.minor == '1' && p.connection &&
		Upgradable(p.method, p.upgrades, p.protocol, p.Chunked || p.Length > 0)
	return 0
}

func (p *headParser) checkTarget(host string) (status int) {
	if p.target[0] == '/' {
		if path, _, _ := strings.Cut(p.target, "?"); badEscape(path) {
			p.RawTarget = p.target
		}
		return 0
	}
	if p.target == "*" && p.method == "OPTIONS" {
		return 0
	}
	authority, _, ok := CutAbsolute(p.target)
	if !ok {
		return badRequest
	}
	// The Host header and the target must not name different services.
	if named, ok := NormalHost(authority); !ok || p.hosts == 1 && named != host {
		return badRequest
	}
	return 0
}

// badEscape reports whether path has a '%' that is not followed by two
// hexadecimal digits.
func badEscape(path string) bool {
	for {
		i := strings.IndexByte(path, '%')
		if i < 0 {
			return false
		}
		if path = path[i+1:]; len(path) < 2 || !isHex(path[0]) || !isHex(path[1]) {
			return true
		}
	}
}

// CutAbsolute splits a request target in absolute form into its authority and
// the rest, which is empty or begins with '/' or '?'. ok is false for any other
// target.
func CutAbsolute(target string) (authority, rest string, ok bool) {
	for _, scheme := range []string{"http://", "https://"} {
		if len(target) > len(scheme) && strings.EqualFold(target[:len(scheme)], scheme) {
			rest = target[len(scheme):]
			if i := strings.IndexAny(rest, "/?#"); i >= 0 {
				return rest[:i], rest[i:], rest[i] != '#'
			}
			return rest, "", true
		}
	}
	return "", "", false
}

// Upgradable reports whether a request that lists "upgrade" in its Connection
// field may become a tunnel. fields is the number of its Upgrade fields and
// protocol the value of one. An upgrade to h2c never becomes a tunnel: the
// request is served as HTTP/1.1, as RFC 9110 7.8 allows.
func Upgradable(method string, fields int, protocol string, body bool) bool {
	return method == "GET" && !body && fields == 1 &&
		isToken([]byte(protocol)) && !strings.EqualFold(protocol, "h2c")
}

// HasToken reports whether a comma-separated list contains the token, ignoring
// case.
func HasToken(list, token string) bool {
	for list != "" {
		var item string
		item, list, _ = strings.Cut(list, ",")
		if strings.EqualFold(strings.Trim(item, " \t"), token) {
			return true
		}
	}
	return false
}

// isName compares a field name with one in lower case of the same length,
// ignoring case.
func isName(b []byte, name string) bool {
	for i, c := range b {
		if c|0x20 != name[i] && c != name[i] {
			return false
		}
	}
	return true
}

func isToken(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 || !tokenByte[c] {
			return false
		}
	}
	return len(b) > 0
}

// isValue reports whether b is a valid field value: no control characters
// except tab.
func isValue(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// tokenByte has the characters of a token in RFC 9110.
var tokenByte = func() (t [0x80]bool) {
	for _, c := range "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" {
		t[c] = true
	}
	return t
}()
