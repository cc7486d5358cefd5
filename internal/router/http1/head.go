package http1

import "bytes"

// Limits of a request head.
const (
	MaxHead        = 64 << 10 // bytes
	MaxRequestLine = MaxHead  // bytes in the request line: a long target may take all of the head
	MaxFields      = 200      // header fields
)

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

var crlf = []byte("\r\n")
