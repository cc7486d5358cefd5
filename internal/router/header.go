package router

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"strings"
)

// outgoing returns the header that a client's request has towards an instance:
// without what concerns only the connection it came on and without what only a
// router may say, with what this router says. protocol is what it asks to
// switch to, "" for nothing.
func outgoing(req *http.Request, p peer, scheme, id, protocol string) http.Header {
	h := make(http.Header, len(req.Header)+6)
	named := req.Header["Connection"]
	for k, vv := range req.Header {
		switch {
		case isHop(k), k == "Expect" && !expectsContinue(req):
		case isRouters(k):
			if p.trusted && !strings.Contains(k, "_") {
				h[k] = vv
			}
		case k == "Te":
			if listed(vv, "trailers") {
				h[k] = []string{"trailers"}
			}
		case named != nil && listed(named, k):
		default:
			h[k] = vv
		}
	}
	if protocol != "" {
		h["Connection"], h["Upgrade"] = []string{"Upgrade"}, []string{protocol}
	}
	if _, ok := h["User-Agent"]; !ok {
		h["User-Agent"] = nil // else net/http names itself
	}
	forward(h, req, p, scheme, id)
	return h
}

// forward sets the fields in which the router tells the application of the
// client. A trusted peer has told about the client itself: it is believed and
// only added to the list of addresses.
func forward(h http.Header, req *http.Request, p peer, scheme, id string) {
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

// requestID returns the id of a request: a new UUID, as App Runner gives even
// to those that bring one, or what a trusted peer calls it.
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
	rand.Read(b[:]) // never fails: crypto/rand aborts the process instead
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

// isHop reports whether a field, in canonical form, concerns one connection
// only. Transfer-Encoding and Trailer are in net/http's hands.
func isHop(k string) bool {
	switch k {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization",
		"Transfer-Encoding", "Trailer", "Upgrade":
		return true
	}
	return false
}

// isRouters reports whether an application may take a field, in canonical
// form, for a router's word. Underscores count as hyphens: many applications
// see no difference.
func isRouters(k string) bool {
	if k[0] != 'X' && k[0] != 'F' {
		return false
	}
	k = strings.ToLower(strings.ReplaceAll(k, "_", "-"))
	switch k {
	case "forwarded", "x-real-ip", "x-request-id":
		return true
	}
	return strings.HasPrefix(k, "x-forwarded-")
}

// listed reports whether lists, the values of one field, have the token.
func listed(lists []string, token string) bool {
	for _, l := range lists {
		if hasToken(l, token) {
			return true
		}
	}
	return false
}

func expectsContinue(req *http.Request) bool {
	return req.ProtoAtLeast(1, 1) && req.ContentLength != 0 && strings.EqualFold(req.Header.Get("Expect"), "100-continue")
}

// upgradeOf returns the protocol that a request asks to switch to, "" if none.
// The guard comes to the same answer from the bytes.
func upgradeOf(req *http.Request) string {
	v := req.Header["Upgrade"]
	if len(v) == 0 || !req.ProtoAtLeast(1, 1) || !listed(req.Header["Connection"], "upgrade") ||
		!upgradable(req.Method, len(v), v[0], req.ContentLength != 0) {
		return ""
	}
	return v[0]
}

// incoming copies an instance's response header to the client's, without what
// concerns only the connection it came on.
func incoming(to, from http.Header) {
	named := from["Connection"]
	for k, vv := range from {
		if !isHop(k) && (named == nil || !listed(named, k)) {
			to[k] = vv
		}
	}
	// Where the application is silent, so are we: net/http would guess.
	if _, ok := to["Content-Type"]; !ok {
		to["Content-Type"] = nil
	}
}

// trailable reports whether a field, in canonical form, may come after a body:
// nothing that frames, routes, authenticates or was settled by the head.
func trailable(k string) bool {
	if isHop(k) || isRouters(k) {
		return false
	}
	switch k {
	case "Content-Length", "Content-Type", "Content-Encoding", "Content-Range", "Host", "Te", "Expect",
		"Authorization", "Cookie", "Set-Cookie", "Cache-Control", "Max-Forwards", "Range", "Location", "Www-Authenticate":
		return false
	}
	return true
}
