package proxy

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"

	"github.com/openslipway/slipway/internal/router/http1"
)

// requestHeader returns the header that an instance receives: the header of the
// client without hop-by-hop fields and without fields that only a router may
// set, plus the fields that this router sets. protocol is the protocol to
// switch to, empty for none. Fields whose names have underscores are dropped unless
// underscores is set.
func requestHeader(req *http.Request, p peer, scheme, id, protocol string, underscores bool) http.Header {
	h := make(http.Header, len(req.Header)+6)
	named := req.Header["Connection"]
	for k, vv := range req.Header {
		switch {
		case isHopByHop(k), k == "Proxy", k == "Expect" && !expectsContinue(req):
		case strings.Contains(k, "_"):
			if underscores && !ambiguous(req.Header, k) {
				h[k] = vv
			}
		case isRouterField(k):
			if p.trusted {
				h[k] = vv
			}
		case k == "Te":
			if listsToken(vv, "trailers") {
				h[k] = []string{"trailers"}
			}
		case named != nil && listsToken(named, k):
		default:
			h[k] = vv
		}
	}
	if protocol != "" {
		h["Connection"], h["Upgrade"] = []string{"Upgrade"}, []string{protocol}
	}
	if _, ok := h["User-Agent"]; !ok {
		h["User-Agent"] = nil // otherwise net/http would set its own
	}
	setForwarded(h, req, p, scheme, id)
	return h
}

// setForwarded sets the fields that describe the client to the application. A
// trusted peer has set them itself: its values are kept, and its address is
// appended to the list.
func setForwarded(h http.Header, req *http.Request, p peer, scheme, id string) {
	v := new([5]string) // one allocation for all values
	set := func(i int, name, value string, keep bool) {
		if keep && len(h[name]) > 0 || value == "" {
			return
		}
		v[i] = value
		h[name] = v[i : i+1 : i+1]
	}
	addr := p.ip
	if before := h["X-Forwarded-For"]; len(before) > 0 && addr != "" {
		addr = strings.Join(before, ", ") + ", " + addr
	}
	set(0, "X-Forwarded-For", addr, false)
	set(1, "X-Forwarded-Proto", scheme, p.trusted)
	set(2, "X-Forwarded-Host", req.Host, p.trusted)
	set(3, "X-Forwarded-Port", p.port, p.trusted)
	set(4, "X-Request-Id", id, false)
}

// requestID returns the id of a request. It is a new UUID, even if the client
// sent an id, as in App Runner; a trusted peer may set it.
func requestID(req *http.Request, p peer) string {
	if p.trusted {
		if v := req.Header["X-Request-Id"]; len(v) == 1 && len(v[0]) > 0 && len(v[0]) <= 128 {
			return v[0]
		}
	}
	return newUUID()
}

// newUUID returns a random (version 4) UUID.
func newUUID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails: crypto/rand aborts the process on an error
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	var s [36]byte
	hex.Encode(s[0:], b[0:4])
	hex.Encode(s[9:], b[4:6])
	hex.Encode(s[14:], b[6:8])
	hex.Encode(s[19:], b[8:10])
	hex.Encode(s[24:], b[10:])
	s[8], s[13], s[18], s[23] = '-', '-', '-', '-'
	return string(s[:])
}

// isHopByHop reports whether a field, in canonical form, concerns a single
// connection. net/http handles Transfer-Encoding and Trailer.
func isHopByHop(k string) bool {
	switch k {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization",
		"Transfer-Encoding", "Trailer", "Upgrade":
		return true
	}
	return false
}

// routerFields are what applications take for a router's word about the client, besides
// those that begin like one of routerPrefixes: its address, the scheme and the host that it
// used, and the path that it asked for. Each is some platform's, none of which is before
// this router unless it is a trusted peer.
var routerFields = map[string]bool{
	"Forwarded": true, "X-Request-Id": true,
	"X-Real-Ip": true, "X-Real-Port": true, "X-Client-Ip": true, "Client-Ip": true, "True-Client-Ip": true, "X-True-Client-Ip": true,
	"X-Cluster-Client-Ip": true, "X-Remote-Ip": true, "X-Remote-Addr": true, "X-Originating-Ip": true, "Remote-Addr": true,
	"Do-Connecting-Ip": true, "Fastly-Client-Ip": true, "Fastly-Ssl": true, "Fly-Client-Ip": true,
	"X-Nf-Client-Connection-Ip": true, "Wl-Proxy-Client-Ip": true, "Proxy-Client-Ip": true,
	"X-Original-Host": true, "X-Original-Proto": true, "X-Original-For": true, "X-Host": true, "X-Scheme": true, "X-Url-Scheme": true,
	"X-Forwarded": true, "Forwarded-For": true, "Front-End-Https": true,
	"X-Original-Url": true, "X-Original-Uri": true, "X-Rewrite-Url": true, "X-Script-Name": true,
}

// routerPrefixes begin the fields of one platform each.
var routerPrefixes = []string{
	"X-Forwarded-", "X-Original-Forwarded-", "X-Envoy-", "X-Appengine-", "X-Azure-", "X-Vercel-", "X-Arr-", "Cf-", "Cloudfront-", "Fly-Forwarded-",
}

// isRouterField reports whether an application may trust a field, in canonical
// form, to come from a router.
func isRouterField(k string) bool {
	switch k[0] {
	case 'C', 'D', 'F', 'P', 'R', 'T', 'W', 'X':
	default:
		return false
	}
	return routerFields[k] || slices.ContainsFunc(routerPrefixes, func(prefix string) bool { return strings.HasPrefix(k, prefix) })
}

// ambiguous reports whether an application that does not distinguish underscores from
// hyphens, as with CGI, would take a field for another: one of a router's, of the protocol,
// or one that the request has as well.
func ambiguous(h http.Header, k string) bool {
	k = http.CanonicalHeaderKey(strings.ReplaceAll(k, "_", "-"))
	_, both := h[k]
	return both || k == "Proxy" || !allowedInTrailer(k)
}

// listsToken reports whether any of the values of a field lists the token.
func listsToken(lists []string, token string) bool {
	for _, l := range lists {
		if http1.HasToken(l, token) {
			return true
		}
	}
	return false
}

func expectsContinue(req *http.Request) bool {
	return req.ProtoAtLeast(1, 1) && req.ContentLength != 0 && strings.EqualFold(req.Header.Get("Expect"), "100-continue")
}

// upgradeOf returns the protocol that a request asks to switch to, or an empty
// string. The guard derives the same answer from the bytes.
func upgradeOf(req *http.Request) string {
	v := req.Header["Upgrade"]
	if len(v) == 0 || !req.ProtoAtLeast(1, 1) || !listsToken(req.Header["Connection"], "upgrade") ||
		!http1.Upgradable(req.Method, len(v), v[0], req.ContentLength != 0) {
		return ""
	}
	return v[0]
}

// copyResponseHeader copies the header of an instance's response to the
// client's response, without hop-by-hop fields.
func copyResponseHeader(to, from http.Header) {
	named := from["Connection"]
	for k, vv := range from {
		if !isHopByHop(k) && (named == nil || !listsToken(named, k)) {
			to[k] = vv
		}
	}
	// The application sent no Content-Type, so none is added: net/http would
	// guess one.
	if _, ok := to["Content-Type"]; !ok {
		to["Content-Type"] = nil
	}
}

// allowedInTrailer reports whether a field, in canonical form, may follow a
// body. Fields for framing, routing or authentication, and those that must be
// known with the head, may not.
func allowedInTrailer(k string) bool {
	if isHopByHop(k) || isRouterField(k) || k == "Proxy" || strings.Contains(k, "_") {
		return false
	}
	switch k {
	case "Content-Length", "Content-Type", "Content-Encoding", "Content-Range", "Host", "Te", "Expect",
		"Authorization", "Cookie", "Set-Cookie", "Cache-Control", "Max-Forwards", "Range", "Location", "Www-Authenticate":
		return false
	}
	return true
}
