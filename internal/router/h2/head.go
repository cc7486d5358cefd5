package h2

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// onHeaders reads a whole block of fields: the head of a request, or what follows its body.
func (s *Session) onHeaders(f *http2.HeadersFrame) error {
	id, ends := f.StreamID, f.StreamEnded()
	self := f.HasPriority() && f.Priority.StreamDep == id
	block := f.HeaderBlockFragment()
	if !f.HeadersEnded() {
		var err error
		if block, err = s.rest(slices.Clone(block)); err != nil {
			return err
		}
	}
	list, malformed, err := s.decode(block)
	if err != nil {
		return err
	}
	if id%2 == 0 {
		return connError(http2.ErrCodeProtocol)
	}
	if self {
		return streamError(id, http2.ErrCodeProtocol)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if id <= s.last {
		return s.onTrailer(id, list, ends, malformed)
	}
	s.last = id
	switch {
	case s.final:
		return nil // it was told that this is not served
	case malformed:
		return streamError(id, http2.ErrCodeProtocol)
	case s.serving >= s.cfg.MaxStreams:
		return streamError(id, http2.ErrCodeRefusedStream)
	}
	st := &Stream{s: s, id: id, window: s.initial, received: streamWindow, ended: ends, wakeRead: make(chan struct{}, 1), wakeWrite: make(chan struct{}, 1)}
	head, err := st.head(list)
	if err != nil {
		return streamError(id, http2.ErrCodeProtocol)
	}
	s.streams[id] = st
	s.serving++
	s.all.Go(func() { s.serve(st, head) })
	return nil
}

// serve has the engine serve a stream.
func (s *Session) serve(st *Stream, head []byte) {
	s.cfg.Serve(st, head)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serving--
}

// rest reads the frames that go on with a block.
func (s *Session) rest(block []byte) ([]byte, error) {
	for range maxBlocks {
		f, err := s.in.ReadFrame()
		if err != nil {
			return nil, err
		}
		c := f.(*http2.ContinuationFrame) // the framer takes nothing else here
		if block = append(block, c.HeaderBlockFragment()...); len(block) > maxBlock {
			break
		}
		if c.HeadersEnded() {
			return block, nil
		}
	}
	return nil, connError(http2.ErrCodeEnhanceYourCalm)
}

// decode returns the fields of a block. They are malformed if there is one that can't be sent
// on: its name has a capital letter, or its value a line break.
func (s *Session) decode(block []byte) (list []hpack.HeaderField, malformed bool, err error) {
	size := 0
	s.fields.SetMaxStringLength(maxFields)
	s.fields.SetEmitFunc(func(f hpack.HeaderField) {
		if size += int(f.Size()); size <= maxFields {
			list = append(list, f)
			malformed = malformed || !isName(f.Name) || !isValue(f.Value)
		}
	})
	if _, err := s.fields.Write(block); err != nil {
		return nil, false, connError(http2.ErrCodeCompression)
	}
	if s.fields.Close() != nil {
		return nil, false, connError(http2.ErrCodeCompression)
	}
	if size > maxFields {
		return nil, false, connError(http2.ErrCodeEnhanceYourCalm)
	}
	return list, malformed, nil
}

// isName reports whether a field may have a name: a token in lower case, after a colon for one
// of the protocol.
func isName(s string) bool {
	s = strings.TrimPrefix(s, ":")
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7f || 'A' <= c && c <= 'Z' || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}

// isValue reports whether a field may have a value. Spaces around it are none of it.
func isValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return s == "" || !isSpace(s[0]) && !isSpace(s[len(s)-1])
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' }

var errMalformed = errors.New("malformed request")

// pseudo are the fields of a request line.
type pseudo struct{ method, scheme, authority, path, protocol string }

// take takes one of them from a field. There may be one of each.
func (p *pseudo) take(f hpack.HeaderField) bool {
	to := map[string]*string{":method": &p.method, ":scheme": &p.scheme, ":authority": &p.authority, ":path": &p.path, ":protocol": &p.protocol}[f.Name]
	if to == nil || *to != "" || f.Value == "" || strings.ContainsAny(f.Value, " \t") {
		return false
	}
	*to = f.Value
	return true
}

// check reports whether they are a request.
func (p *pseudo) check() bool {
	switch {
	case p.method == "CONNECT" && p.protocol == "":
		return p.authority != "" && p.scheme == "" && p.path == ""
	case p.method == "" || p.path == "" || p.scheme != "http" && p.scheme != "https":
		return false
	case p.protocol != "" && p.method != "CONNECT":
		return false
	}
	return p.path[0] == '/' || p.path == "*" && p.method == "OPTIONS"
}

// head returns the head of the request in the form of HTTP/1.1. What can be told of a head alone
// by HTTP/2's rules is checked here; the rest is the engine's.
func (st *Stream) head(list []hpack.HeaderField) ([]byte, error) {
	var p pseudo
	n := 0
	for n < len(list) && list[n].IsPseudo() {
		if !p.take(list[n]) {
			return nil, errMalformed
		}
		n++
	}
	if !p.check() {
		return nil, errMalformed
	}
	st.method, st.upgrade = p.method, p.protocol
	b := make([]byte, 0, 1024)
	switch {
	case p.protocol != "":
		b = append(append(b, "GET "...), p.path...)
		st.method = "GET"
	case p.method == "CONNECT":
		b = append(append(b, "CONNECT "...), p.authority...)
	default:
		b = append(append(append(b, p.method...), ' '), p.path...)
	}
	b = append(b, " HTTP/1.1\r\n"...)
	return st.appendFields(b, list[n:], p.authority)
}

// appendFields appends the fields of the head and its end.
func (st *Stream) appendFields(b []byte, list []hpack.HeaderField, host string) ([]byte, error) {
	length, cookies := -1, ""
	for _, f := range list {
		switch f.Name {
		case "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade":
			return nil, errMalformed
		case "te":
			if f.Value != "trailers" {
				return nil, errMalformed
			}
		case "host":
			if host == "" {
				host = f.Value
			}
			if f.Value != host {
				return nil, errMalformed
			}
			continue
		case "content-length":
			n, err := strconv.Atoi(f.Value)
			if err != nil || n < 0 || strconv.Itoa(n) != f.Value || length >= 0 && length != n {
				return nil, errMalformed
			}
			length = n
			continue
		case "cookie":
			if cookies != "" {
				cookies += "; "
			}
			cookies += f.Value
			continue
		case "http2-settings":
			continue
		}
		if f.IsPseudo() {
			return nil, errMalformed
		}
		b = appendField(b, f.Name, f.Value)
	}
	if cookies != "" {
		b = appendField(b, "cookie", cookies)
	}
	if host != "" {
		b = appendField(b, "Host", host)
	}
	return st.appendFraming(b, length)
}

// appendFraming appends how long the body is.
func (st *Stream) appendFraming(b []byte, length int) ([]byte, error) {
	switch {
	case st.upgrade != "":
		if st.ended || length > 0 {
			return nil, errMalformed
		}
		st.tunnel = true
		b = appendField(b, "Connection", "Upgrade")
		b = appendField(b, "Upgrade", st.upgrade)
		if st.upgrade == "websocket" {
			b = appendField(b, "Sec-WebSocket-Key", newKey()) // RFC 8441 has none, RFC 6455 wants one
		}
	case st.ended && length > 0:
		return nil, errMalformed
	case st.ended && (length == 0 || st.method == "POST" || st.method == "PUT" || st.method == "PATCH"):
		b = appendField(b, "Content-Length", "0")
	case st.ended:
	case length >= 0:
		st.left, st.framed = int64(length), length > 0
		st.ends = length == 0 // what follows may only be its end
		b = appendField(b, "Content-Length", strconv.Itoa(length))
	default:
		st.chunked, st.framed = true, true
		b = appendField(b, "Transfer-Encoding", "chunked")
	}
	return append(b, "\r\n"...), nil
}

// newKey returns a key as a client of a WebSocket sends.
func newKey() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return base64.StdEncoding.EncodeToString(b[:])
}

func appendField(b []byte, name, value string) []byte {
	b = append(append(b, name...), ": "...)
	return append(append(b, value...), "\r\n"...)
}

// onTrailer takes what follows the body of a request. mu is held.
func (s *Session) onTrailer(id uint32, list []hpack.HeaderField, ends, malformed bool) error {
	st := s.streams[id]
	switch {
	case st == nil || st.ended:
		return connError(http2.ErrCodeStreamClosed)
	case !ends || malformed || slices.ContainsFunc(list, hpack.HeaderField.IsPseudo):
		return streamError(id, http2.ErrCodeProtocol)
	}
	if st.chunked {
		var b bytes.Buffer
		for _, f := range list {
			b.Write(appendField(nil, f.Name, f.Value))
		}
		st.trailer = b.Bytes()
	}
	return st.receive(nil, true)
}
