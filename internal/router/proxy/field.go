package proxy

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/openslipway/slipway/internal/router/http1"
)

// role is what a field name means to a router, beyond its kind.
type role uint8

const (
	// platform fields are what applications take for a router's word about the client:
	// its address, the scheme and the host that it used, and the path that it asked for.
	// Each is some platform's, none of which is before this router unless it is a trusted
	// peer.
	platform role = 1 << iota
	// proxyField is Proxy, which CGI programs take for the address of their own proxy.
	proxyField
	// early fields must be known with the head, so they may not follow a body: those for
	// framing, routing and authentication.
	early
)

// roles are the names that have one, in lower case, besides those that begin like one of
// platformPrefixes.
var roles = func() map[string]role {
	m := map[string]role{"proxy": proxyField}
	for _, k := range strings.Fields(`
		forwarded x-request-id
		x-real-ip x-real-port x-client-ip client-ip true-client-ip x-true-client-ip
		x-cluster-client-ip x-remote-ip x-remote-addr x-originating-ip remote-addr
		do-connecting-ip fastly-client-ip fastly-ssl fly-client-ip
		x-nf-client-connection-ip wl-proxy-client-ip proxy-client-ip
		x-original-host x-original-proto x-original-for x-host x-scheme x-url-scheme
		x-forwarded forwarded-for front-end-https
		x-original-url x-original-uri x-rewrite-url x-script-name`) {
		m[k] = platform
	}
	for _, k := range strings.Fields(`
		content-length content-type content-encoding content-range host te expect authorization cookie set-cookie
		cache-control max-forwards range location www-authenticate`) {
		m[k] = early
	}
	return m
}()

// platformPrefixes begin the fields of one platform each.
var platformPrefixes = []string{
	"x-forwarded-", "x-original-forwarded-", "x-envoy-", "x-appengine-", "x-azure-", "x-vercel-", "x-arr-", "cf-", "cloudfront-", "fly-forwarded-",
}

// likely has a bit for the length of each name in roles, by its first letter. Most names
// of a request are in none of these places.
var likely = func() (t [26]uint64) {
	for k := range roles {
		t[k[0]-'a'] |= 1 << len(k)
	}
	return t
}()

const maxName = 32 // bytes of the longest name in roles, and of a prefix

// roleOf returns the role of a field name.
func roleOf(name []byte) role {
	c := name[0] | 0x20
	if c < 'a' || c > 'z' {
		return 0
	}
	prefixed := c == 'x' || c == 'c' || c == 'f'
	if !prefixed && (len(name) > maxName || likely[c-'a']&(1<<len(name)) == 0) {
		return 0
	}
	var buf [maxName]byte
	lower := buf[:copy(buf[:], name)]
	for i, c := range lower {
		if 'A' <= c && c <= 'Z' {
			lower[i] = c | 0x20
		}
	}
	if prefixed {
		for _, p := range platformPrefixes {
			if len(lower) >= len(p) && string(lower[:len(p)]) == p {
				return platform
			}
		}
	}
	if len(name) > maxName {
		return 0
	}
	return roles[string(lower)]
}

// isHopByHop reports whether a field concerns a single connection.
func isHopByHop(k http1.Kind) bool {
	switch k {
	case http1.Connection, http1.HopByHop, http1.TransferEncoding, http1.Trailer, http1.Upgrade:
		return true
	}
	return false
}

// allowedInTrailer reports whether a field may follow a body.
func allowedInTrailer(f http1.Field) bool {
	return !isHopByHop(f.Kind) && roleOf(f.Name) == 0 && bytes.IndexByte(f.Name, '_') < 0
}

// ambiguous reports whether an application that does not distinguish underscores from
// hyphens, as with CGI, would take a field for another: one of a router's, of the protocol,
// or one that the request has as well.
func ambiguous(fields []http1.Field, name []byte) bool {
	name = bytes.ReplaceAll(name, []byte("_"), []byte("-"))
	for _, f := range fields {
		if http1.EqualFold(f.Name, name) {
			return true
		}
	}
	return !allowedInTrailer(http1.Field{Name: name, Kind: http1.KindOf(name)})
}

// named reports whether a Connection field lists the name.
func named(fields []http1.Field, name []byte) bool {
	for _, f := range fields {
		if f.Kind == http1.Connection && http1.HasToken(f.Value, name) {
			return true
		}
	}
	return false
}

// appendField appends a line of a head.
func appendField[N, V string | []byte](b []byte, name N, value V) []byte {
	b = append(b, name...)
	b = append(b, ": "...)
	b = append(b, value...)
	return append(b, "\r\n"...)
}

// appendStatus appends the first line of a response.
func appendStatus[R string | []byte](b []byte, status int, reason R) []byte {
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(b, ' ')
	b = append(b, reason...)
	return append(b, "\r\n"...)
}

// appendLength appends a Content-Length field.
func appendLength(b []byte, n int64) []byte {
	b = append(b, "Content-Length: "...)
	b = strconv.AppendInt(b, n, 10)
	return append(b, "\r\n"...)
}

// forwarding is what a router tells an instance about the client.
type forwarding struct {
	peer   *peer
	scheme string
	id     []byte // of the request
	// underscores lets fields pass whose names have underscores, unless they are ambiguous.
	underscores bool
}

// appendRequest appends the head that an instance receives: the line and the fields of the
// client as they came, without hop-by-hop fields and without fields that only a router may
// set, plus the fields that this router sets.
func (w *forwarding) appendRequest(b []byte, r *http1.Request) []byte {
	b = append(b, r.Method...)
	b = append(b, ' ')
	if len(r.Path) == 0 || r.Path[0] == '?' { // of an absolute target
		b = append(b, '/')
	}
	b = append(b, r.Path...)
	b = append(b, " HTTP/1.1\r\n"...)
	b = appendField(b, "Host", r.Host)
	var has forwarded
	for i := range r.Fields {
		f := &r.Fields[i]
		switch f.Kind {
		case http1.Host, http1.ContentLength:
			continue
		case http1.Expect:
			if !r.Continue {
				continue
			}
		case http1.TE:
			if http1.HasToken(f.Value, "trailers") {
				b = appendField(b, f.Name, "trailers")
			}
			continue
		case http1.Trailer:
			if !r.Chunked {
				continue
			}
		case http1.Other:
			if !w.passes(r, f, &has) {
				continue
			}
		default:
			if isHopByHop(f.Kind) {
				continue
			}
			if r.Named && named(r.Fields, f.Name) {
				continue
			}
		}
		b = appendField(b, f.Name, f.Value)
	}
	switch {
	case r.Chunked:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	case r.Length > 0 || hasLength(r.Fields):
		b = appendLength(b, r.Length)
	case len(r.Protocol) > 0:
		b = append(b, "Connection: Upgrade\r\n"...)
		b = appendField(b, "Upgrade", r.Protocol)
	}
	b = w.appendForwarded(b, r, has)
	return append(b, "\r\n"...)
}

// forwarded is which fields a trusted peer has set.
type forwarded struct{ addresses, proto, host, port bool }

// passes reports whether a field without a meaning to HTTP reaches the instance in its
// place.
func (w *forwarding) passes(r *http1.Request, f *http1.Field, has *forwarded) bool {
	if bytes.IndexByte(f.Name, '_') >= 0 {
		return w.underscores && !ambiguous(r.Fields, f.Name)
	}
	switch roleOf(f.Name) {
	case proxyField:
		return false
	case platform:
		if !w.peer.trusted {
			return false
		}
		switch {
		case http1.EqualFold(f.Name, "x-request-id"):
			return false
		case http1.EqualFold(f.Name, "x-forwarded-for"):
			has.addresses = true
			return false
		case http1.EqualFold(f.Name, "x-forwarded-proto"):
			has.proto = true
		case http1.EqualFold(f.Name, "x-forwarded-host"):
			has.host = true
		case http1.EqualFold(f.Name, "x-forwarded-port"):
			has.port = true
		}
		return true
	}
	return !r.Named || !named(r.Fields, f.Name)
}

// appendForwarded appends the fields that describe the client to the application. A
// trusted peer has set them itself: its values are kept, and its address is appended to
// the list.
func (w *forwarding) appendForwarded(b []byte, r *http1.Request, has forwarded) []byte {
	if has.addresses || w.peer.ip != "" {
		b = append(b, "X-Forwarded-For: "...)
		sep := ""
		if has.addresses {
			for _, f := range r.Fields {
				if http1.EqualFold(f.Name, "x-forwarded-for") {
					b = append(append(b, sep...), f.Value...)
					sep = ", "
				}
			}
		}
		if w.peer.ip != "" {
			b = append(append(b, sep...), w.peer.ip...)
		}
		b = append(b, "\r\n"...)
	}
	if !has.proto {
		b = appendField(b, "X-Forwarded-Proto", w.scheme)
	}
	if !has.host {
		b = appendField(b, "X-Forwarded-Host", r.Host)
	}
	if !has.port && w.peer.port != "" {
		b = appendField(b, "X-Forwarded-Port", w.peer.port)
	}
	return appendField(b, "X-Request-Id", w.id)
}

// hasLength reports whether a head has a Content-Length field.
func hasLength(fields []http1.Field) bool {
	for i := range fields {
		if fields[i].Kind == http1.ContentLength {
			return true
		}
	}
	return false
}

// appendResponseFields appends the fields of an instance's response as they came, without
// those that concern its connection.
func appendResponseFields(b []byte, r *http1.Response, trailer bool) []byte {
	for i := range r.Fields {
		f := &r.Fields[i]
		switch {
		case f.Kind == http1.Trailer:
			if !trailer {
				continue
			}
		case isHopByHop(f.Kind), f.Kind == http1.ContentLength:
			continue
		case r.Named && named(r.Fields, f.Name):
			continue
		}
		b = appendField(b, f.Name, f.Value)
	}
	return b
}
