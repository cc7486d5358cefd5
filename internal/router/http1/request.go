package http1

import "bytes"

// Field is one line of a head or of a trailer. Both parts point into the bytes that were
// parsed.
type Field struct {
	Name  []byte // as it was sent
	Value []byte // without the white space around it
	Kind  Kind   // of a name that framing or forwarding depends on
}

// Kind is what a field means to the connection that it is sent on.
type Kind uint8

const (
	Other            Kind = iota // nothing
	Host                         // Host
	ContentLength                // Content-Length
	TransferEncoding             // Transfer-Encoding
	Connection                   // Connection
	Upgrade                      // Upgrade
	Expect                       // Expect
	Trailer                      // Trailer
	TE                           // TE
	Date                         // Date
	Accept                       // Accept
	HopByHop                     // any other that ends at the next server: Keep-Alive, Proxy-Connection, Proxy-Authenticate, Proxy-Authorization
)

// KindOf returns the kind of a field name.
func KindOf(name []byte) Kind {
	switch len(name) {
	case len("te"):
		return known(name, "te", TE)
	case len("host"):
		if name[0]|0x20 == 'd' {
			return known(name, "date", Date)
		}
		return known(name, "host", Host)
	case len("expect"):
		if name[0]|0x20 == 'a' {
			return known(name, "accept", Accept)
		}
		return known(name, "expect", Expect)
	case len("upgrade"):
		if name[0]|0x20 == 't' {
			return known(name, "trailer", Trailer)
		}
		return known(name, "upgrade", Upgrade)
	case len("connection"):
		if name[0]|0x20 == 'k' {
			return known(name, "keep-alive", HopByHop)
		}
		return known(name, "connection", Connection)
	case len("content-length"):
		return known(name, "content-length", ContentLength)
	case len("proxy-connection"):
		return known(name, "proxy-connection", HopByHop)
	case len("transfer-encoding"):
		return known(name, "transfer-encoding", TransferEncoding)
	case len("proxy-authenticate"):
		return known(name, "proxy-authenticate", HopByHop)
	case len("proxy-authorization"):
		return known(name, "proxy-authorization", HopByHop)
	}
	return Other
}

func known(name []byte, lower string, k Kind) Kind {
	if EqualFold(name, lower) {
		return k
	}
	return Other
}

// Request is the head of a request. Its slices point into the bytes that were parsed.
type Request struct {
	Method, Target []byte
	Minor          byte // of the version: 0 or 1
	Fields         []Field

	Host    []byte // of the absolute target, else of the Host field; empty if there is none
	Path    []byte // the target in origin form, without the leading slash that an absolute target may lack; "*" for OPTIONS *
	Length  int64  // of the body; 0 if chunked
	Chunked bool

	// Protocol is what the client asks to switch to; empty if it does not, or may not.
	// No request follows on the connection before the answer.
	Protocol []byte

	Close     bool // the client ends the connection after the response
	KeepAlive bool // it asks not to, as a client of version 1.0 must
	Continue  bool // it sends no body before a 100 response
	Named     bool // a Connection field names others than close, keep-alive, upgrade and TE

	hosts, lengths, codings, upgrades int // number of fields of each kind
	upgrade                           bool
}

// HasBody reports whether bytes of a body follow the head.
func (r *Request) HasBody() bool { return r.Chunked || r.Length > 0 }

// Parse parses a complete head, from its request line to its empty line, and replaces all
// that r held. It accepts a subset of RFC 9112 that every HTTP parser understands in the
// same way. Everything else is refused with the returned status, which is 0 if the head
// is accepted.
func (r *Request) Parse(b []byte) (status int) {
	*r = Request{Fields: r.Fields[:0]}
	line, rest := cutLine(b)
	if status := r.requestLine(line); status != 0 {
		return status
	}
	for {
		line, rest = cutLine(rest)
		if len(line) == 0 {
			break
		}
		if status := r.field(line); status != 0 {
			return status
		}
	}
	return r.check()
}

// cutLine cuts the first line, which ends with CRLF, off.
func cutLine(b []byte) (line, rest []byte) {
	i := bytes.IndexByte(b, '\n')
	if i < 1 {
		return nil, nil
	}
	return b[:i-1], b[i+1:]
}

func (r *Request) requestLine(line []byte) (status int) {
	i := bytes.IndexByte(line, ' ')
	if i < 0 || !isToken(line[:i]) {
		return badRequest
	}
	method, rest := line[:i], line[i+1:]
	i = bytes.IndexByte(rest, ' ')
	if i <= 0 {
		return badRequest
	}
	target, version := rest[:i], rest[i+1:]
	for _, c := range target {
		if c <= ' ' || c == 0x7f {
			return badRequest
		}
	}
	switch string(version) {
	case "HTTP/1.1":
		r.Minor = 1
	case "HTTP/1.0":
	default:
		if len(version) == 8 && bytes.HasPrefix(version, []byte("HTTP/")) && version[6] == '.' {
			return versionNotSupported
		}
		return badRequest
	}
	r.Method, r.Target = method, target
	if string(method) == "CONNECT" {
		return methodNotAllowed
	}
	return 0
}

func (r *Request) field(line []byte) (status int) {
	colon := bytes.IndexByte(line, ':')
	// A space before the colon and a folded line, which begins with a space,
	// fail as well: a space is no token character.
	if colon < 0 || !isToken(line[:colon]) {
		return badRequest
	}
	f := Field{Name: line[:colon], Value: trim(line[colon+1:]), Kind: KindOf(line[:colon])}
	if !isValue(f.Value) {
		return badRequest
	}
	r.Fields = append(r.Fields, f)
	switch f.Kind {
	case Host:
		r.hosts++
		r.Host = f.Value
	case Expect:
		if !EqualFold(f.Value, "100-continue") {
			return expectationFailed
		}
		r.Continue = true
	case Upgrade:
		r.upgrades++
		r.Protocol = f.Value
	case Connection:
		r.connection(f.Value)
	case ContentLength:
		r.lengths++
		var ok bool
		if r.Length, ok = parseLength(f.Value); !ok {
			return badRequest
		}
	case TransferEncoding:
		r.codings++
		return r.transferEncoding(f.Value)
	}
	return 0
}

// connection reads the options of a Connection field.
func (r *Request) connection(list []byte) {
	for len(list) > 0 {
		var item []byte
		item, list = cutItem(list)
		switch {
		case EqualFold(item, "close"):
			r.Close = true
		case EqualFold(item, "keep-alive"):
			r.KeepAlive = true
		case EqualFold(item, "upgrade"):
			r.upgrade = true
		case len(item) > 0 && !EqualFold(item, "te"):
			r.Named = true
		}
	}
}

func (r *Request) transferEncoding(value []byte) (status int) {
	if r.Minor == 0 {
		return badRequest
	}
	if !EqualFold(value, "chunked") {
		return notImplemented
	}
	r.Chunked = true
	return 0
}

// check checks what depends on the whole head.
func (r *Request) check() (status int) {
	if r.lengths > 1 || r.codings > 1 || r.lengths+r.codings > 1 {
		return badRequest // ambiguous message length
	}
	if r.hosts > 1 || r.hosts == 0 && r.Minor != 0 {
		return badRequest
	}
	if r.hosts == 1 && !validHost(r.Host) {
		return badRequest
	}
	if status := r.checkTarget(); status != 0 {
		return status
	}
	if r.Minor != 1 || !r.upgrade || r.upgrades != 1 || !upgradable(r.Method, r.Protocol, r.HasBody()) {
		r.Protocol = nil
	}
	r.Continue = r.Continue && r.Minor == 1 && r.HasBody()
	return 0
}

// checkTarget finds the path and, in an absolute target, the host.
func (r *Request) checkTarget() (status int) {
	r.Path = r.Target
	if r.Target[0] == '/' || len(r.Target) == 1 && r.Target[0] == '*' && string(r.Method) == "OPTIONS" {
		return 0
	}
	authority, path, ok := cutAbsolute(r.Target)
	// The Host field and the target must not name different services.
	if !ok || !validHost(authority) || r.hosts == 1 && !sameHost(authority, r.Host) {
		return badRequest
	}
	r.Host, r.Path = authority, path
	return 0
}

// cutAbsolute splits a request target in absolute form into its authority and the rest,
// which is empty or begins with '/' or '?'. ok is false for any other target.
func cutAbsolute(target []byte) (authority, rest []byte, ok bool) {
	for _, scheme := range [...]string{"http://", "https://"} {
		if len(target) > len(scheme) && EqualFold(target[:len(scheme)], scheme) {
			rest = target[len(scheme):]
			if i := bytes.IndexAny(rest, "/?#"); i >= 0 {
				return rest[:i], rest[i:], rest[i] != '#'
			}
			return rest, nil, true
		}
	}
	return nil, nil, false
}

// upgradable reports whether a request that asks to may become a tunnel. An upgrade to h2c
// never does: the request is served as HTTP/1.1, as RFC 9110 7.8 allows.
func upgradable(method, protocol []byte, body bool) bool {
	return string(method) == "GET" && !body && isToken(protocol) && !EqualFold(protocol, "h2c")
}

// validHost reports whether the value of a Host field names a host.
func validHost(b []byte) bool {
	_, _, ok := scanHost(b)
	return ok
}

// sameHost reports whether two hosts have one normal form.
func sameHost(a, b []byte) bool {
	x, _ := NormalHost(string(a))
	y, _ := NormalHost(string(b))
	return x == y
}
