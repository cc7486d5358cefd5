package http1

import (
	"bytes"
	"errors"
)

// ErrResponse is returned for the head of a response that has no single meaning.
var ErrResponse = errors.New("malformed response head")

// ErrResponseSize is returned for the head of a response that is over MaxHead bytes or
// 1,000 fields.
var ErrResponseSize = errors.New("response head too large")

const maxResponseFields = 1000

// Response is the head of a response. Its slices point into the bytes that were parsed.
//
// What an application means is accepted where it has one meaning only: a bare LF as
// the end of a line, folded values, white space before a colon, repeated equal lengths, the
// coding "identity". docs/http.md lists them.
type Response struct {
	Minor  byte // of the version: 0 or 1
	Status int  // 100 to 999
	Reason []byte
	Fields []Field

	Length  int64 // of Content-Length; -1 if there is none
	Chunked bool
	Close   bool // the application ends the connection after the response

	// KeepAlive is set if the response says that the connection stays open.
	KeepAlive bool
	Protocol  []byte // of the Upgrade field
	Dated     bool   // has a Date field
	Named     bool   // a Connection field names others than close, keep-alive and upgrade
}

// FindResponse returns the length of the head at the start of b, 0 if it is incomplete.
// from is how much of b an earlier call has searched; the returned next is for the next.
// It fails at once for bytes that begin no response.
func FindResponse(b []byte, from int) (end, next int, err error) {
	const start = "HTTP/1."
	if n := min(len(b), len(start)); string(b[:n]) != start[:n] {
		return 0, from, ErrResponse
	}
	for {
		i := bytes.IndexByte(b[from:], '\n')
		if i < 0 {
			if len(b) > MaxHead {
				return 0, from, ErrResponseSize
			}
			return 0, from, nil
		}
		i += from
		// The line after this one begins at i+1; the head ends if it is empty.
		switch rest := b[i+1:]; {
		case len(rest) > 0 && rest[0] == '\n':
			return i + 2, i + 2, tooLarge(i + 2)
		case len(rest) > 1 && rest[0] == '\r' && rest[1] == '\n':
			return i + 3, i + 3, tooLarge(i + 3)
		case len(rest) == 0, len(rest) == 1 && rest[0] == '\r':
			return 0, i, tooLarge(len(b))
		}
		from = i + 1
	}
}

func tooLarge(n int) error {
	if n > MaxHead {
		return ErrResponseSize
	}
	return nil
}

// Parse parses a complete head and replaces all that r held. It writes to b: line ends
// inside folded values become spaces.
func (r *Response) Parse(b []byte) error {
	*r = Response{Fields: r.Fields[:0], Length: -1}
	line, rest := cutLenient(b)
	if !r.statusLine(line) {
		return ErrResponse
	}
	if !unfold(rest) {
		return ErrResponse
	}
	coded := false
	for {
		if line, rest = cutLenient(rest); len(line) == 0 {
			break
		}
		f, ok := responseField(line)
		if !ok {
			return ErrResponse
		}
		if len(r.Fields) == maxResponseFields {
			return ErrResponseSize
		}
		r.Fields = append(r.Fields, f)
		switch f.Kind {
		case ContentLength:
			if !r.contentLength(f.Value) {
				return ErrResponse
			}
		case TransferEncoding:
			if coded || !r.transferEncoding(f.Value) {
				return ErrResponse
			}
			coded = true
		case Connection:
			r.connection(f.Value)
		case Upgrade:
			r.Protocol = f.Value
		case Date:
			r.Dated = true
		}
	}
	if r.Chunked && (r.Length >= 0 || r.Minor == 0) {
		return ErrResponse // either length may be meant
	}
	if r.Minor == 0 && !r.KeepAlive {
		r.Close = true
	}
	return nil
}

// cutLenient cuts the first line off, which ends with CRLF or LF.
func cutLenient(b []byte) (line, rest []byte) {
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		return nil, nil
	}
	line, rest = b[:i], b[i+1:]
	if i > 0 && b[i-1] == '\r' {
		line = b[:i-1]
	}
	return line, rest
}

// unfold joins folded values, the lines of which after the first begin with white space,
// by making their line ends spaces. ok is false if there is nothing to join the first line
// with.
func unfold(fields []byte) (ok bool) {
	isSpace := func(i int) bool { return i < len(fields) && (fields[i] == ' ' || fields[i] == '\t') }
	if isSpace(0) {
		return false
	}
	for from := 0; ; {
		i := bytes.IndexByte(fields[from:], '\n')
		if i < 0 {
			return true
		}
		i += from
		if from = i + 1; !isSpace(from) {
			continue
		}
		if fields[i] = ' '; i > 0 && fields[i-1] == '\r' {
			fields[i-1] = ' '
		}
	}
}

// statusLine parses a status line, whose reason may be missing.
func (r *Response) statusLine(line []byte) bool {
	if len(line) < len("HTTP/1.1 200") || !bytes.HasPrefix(line, []byte("HTTP/1.")) || line[8] != ' ' {
		return false
	}
	switch line[7] {
	case '1':
		r.Minor = 1
	case '0':
	default:
		return false
	}
	for _, c := range line[9:12] {
		if c < '0' || c > '9' {
			return false
		}
		r.Status = r.Status*10 + int(c-'0')
	}
	switch rest := line[12:]; {
	case len(rest) == 0:
	case rest[0] != ' ':
		return false
	default:
		r.Reason = trim(rest)
	}
	return r.Status >= 100 && isReason(r.Reason)
}

// isReason reports whether a reason or a value of a response may be passed on: it has no
// byte that would end a line.
func isReason(b []byte) bool {
	for _, c := range b {
		if c == '\r' || c == '\n' || c == 0 {
			return false
		}
	}
	return true
}

func responseField(line []byte) (Field, bool) {
	colon := bytes.IndexByte(line, ':')
	if colon < 0 {
		return Field{}, false
	}
	name := line[:colon]
	for len(name) > 0 && (name[len(name)-1] == ' ' || name[len(name)-1] == '\t') {
		name = name[:len(name)-1] // RFC 9112 5.1: a proxy removes it
	}
	f := Field{Name: name, Value: trim(line[colon+1:])}
	if !isToken(name) || !isReason(f.Value) {
		return Field{}, false
	}
	f.Kind = KindOf(name)
	return f, true
}

// contentLength reads a length, or several that are equal.
func (r *Response) contentLength(list []byte) bool {
	for {
		var item []byte
		item, list = cutItem(list)
		n, ok := parseLength(item)
		if !ok || r.Length >= 0 && n != r.Length {
			return false
		}
		r.Length = n
		if len(list) == 0 {
			return true
		}
	}
}

// transferEncoding reads the codings: chunked, identity, or both in this order.
func (r *Response) transferEncoding(list []byte) bool {
	for len(list) > 0 {
		var item []byte
		item, list = cutItem(list)
		switch {
		case r.Chunked:
			return false
		case EqualFold(item, "chunked"):
			r.Chunked = true
		case !EqualFold(item, "identity"):
			return false
		}
	}
	return true
}

func (r *Response) connection(list []byte) {
	for len(list) > 0 {
		var item []byte
		item, list = cutItem(list)
		switch {
		case EqualFold(item, "close"):
			r.Close = true
		case EqualFold(item, "keep-alive"):
			r.KeepAlive = true
		case len(item) > 0 && !EqualFold(item, "upgrade"):
			r.Named = true
		}
	}
}

// Bodiless reports whether no body follows a response to a request with the method,
// whatever its fields say.
func (r *Response) Bodiless(method []byte) bool {
	return r.Status < 200 || r.Status == 204 || r.Status == 304 || string(method) == "HEAD"
}
