package proxy

import (
	"net/netip"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/openslipway/slipway/internal/router"
	"github.com/openslipway/slipway/internal/router/http1"
)

// AccessLog takes the lines of services' access logs.
type AccessLog interface {
	// Add takes a copy of a line, which is a JSON object, or drops it. It does not block.
	Add(service string, at time.Time, line []byte)
}

// Limits of what a client sends that is written to the access log, in bytes of the log. A
// line stays below 6 KiB with them.
const (
	maxLoggedPath  = 2048
	maxLoggedField = 512
)

// tally is what is counted of a request. The two numbers of bytes are those of the client's
// connection before the request.
type tally struct {
	read, written int64
	queue         time.Duration // waiting for an instance, in all attempts
	leased        time.Time     // when the last attempt had an instance
	upstream      time.Duration // from then to the head of the response; 0 if none came
}

// count counts the request, which has ended, and writes it to the access log if the service
// has one.
func (x *exchange) count() {
	total := time.Since(x.start)
	x.service.Count(router.Observation{
		Status: x.status, Total: total, Queue: x.counted.queue, Upstream: x.counted.upstream, Shard: x.c.shard,
	})
	if log := x.c.front.cfg.Access; log != nil && x.settings.AccessLog {
		end := x.start.Add(total)
		x.out = x.appendAccess(x.out[:0], end, total)
		log.Add(x.service.ID(), end, x.out)
	}
}

// appendAccess appends the line of the access log: one JSON object, whatever bytes the
// client has sent. Queries are left out, of the path as of the referer: they may hold
// secrets. docs/http.md describes the members.
func (x *exchange) appendAccess(b []byte, end time.Time, total time.Duration) []byte {
	c := x.c
	b = append(b, `{"time":"`...)
	b = end.UTC().AppendFormat(b, "2006-01-02T15:04:05.000Z")
	b = append(b, `","client":"`...)
	b = appendAddr(b, x.clientAddr())
	b = append(b, `","host":`...)
	b = appendJSON(b, c.normal, maxLoggedField)
	b = append(b, `,"method":`...)
	b = appendJSON(b, x.req.Method, maxLoggedField)
	b = append(b, `,"path":`...)
	b = appendJSON(b, withoutQuery(x.req.Path), maxLoggedPath)
	b = append(b, `,"protocol":"HTTP/1.`...)
	b = append(b, '0'+x.req.Minor, '"')
	if x.status == 101 {
		b = append(b, `,"upgrade":`...)
		b = appendJSON(b, x.req.Protocol, maxLoggedField)
	}
	b = append(b, `,"scheme":"`...)
	b = append(b, c.front.scheme...)
	b = append(b, `","route":`...)
	if c.front.listener == "" {
		b = append(b, `"public"`...)
	} else {
		b = appendJSON(b, c.front.listener, maxLoggedField)
	}
	if x.target != nil {
		b = append(b, `,"instance":`...)
		b = appendJSON(b, x.target.Instance, maxLoggedField)
	}
	b = append(b, `,"status":`...)
	b = strconv.AppendInt(b, int64(x.status), 10)
	b = append(b, `,"outcome":"`...)
	b = append(b, x.outcome()...)
	b = append(b, `","bytes_in":`...)
	b = strconv.AppendInt(b, c.socket.in.total-int64(len(c.in))-x.counted.read, 10)
	b = append(b, `,"bytes_out":`...)
	b = strconv.AppendInt(b, c.socket.out.total-x.counted.written, 10)
	b = append(b, `,"queue_ms":`...)
	b = appendMillis(b, x.counted.queue)
	if x.counted.upstream > 0 {
		b = append(b, `,"upstream_ms":`...)
		b = appendMillis(b, x.counted.upstream)
	}
	b = append(b, `,"total_ms":`...)
	b = appendMillis(b, total)
	b = append(b, `,"request_id":`...)
	b = appendJSON(b, x.forward.id, maxLoggedField)
	b = x.appendLoggedField(b, `,"user_agent":`, "user-agent", false)
	b = x.appendLoggedField(b, `,"referer":`, "referer", true)
	return append(b, '}')
}

// outcome says how the request ended: "gone" if its client left before the response, "cut" if
// the response broke off, else "complete".
func (x *exchange) outcome() string {
	switch {
	case x.status == router.StatusGone:
		return "gone"
	case x.aborted:
		return "cut"
	}
	return "complete"
}

// appendLoggedField appends the first field of a name, if there is one.
func (x *exchange) appendLoggedField(b []byte, member, name string, isURL bool) []byte {
	for i := range x.req.Fields {
		if f := &x.req.Fields[i]; http1.EqualFold(f.Name, name) {
			value := f.Value
			if isURL {
				value = withoutQuery(value)
			}
			return appendJSON(append(b, member...), value, maxLoggedField)
		}
	}
	return b
}

// withoutQuery returns what is before the query or fragment of a URL.
func withoutQuery(url []byte) []byte {
	for i, c := range url {
		if c == '?' || c == '#' {
			return url[:i]
		}
	}
	return url
}

// appendAddr appends an address; nothing if it is not known.
func appendAddr(b []byte, a netip.Addr) []byte {
	if !a.IsValid() {
		return b
	}
	return a.AppendTo(b)
}

// appendMillis appends a duration in milliseconds, exact to a microsecond.
func appendMillis(b []byte, d time.Duration) []byte {
	us := d.Microseconds()
	b = strconv.AppendInt(b, us/1000, 10)
	return append(b, '.', byte('0'+us/100%10), byte('0'+us/10%10), byte('0'+us%10))
}

// appendJSON appends a JSON string of at most about limit bytes; "…" stands for the rest.
// What can't be printed is escaped, and bytes that are no UTF-8 become U+FFFD.
func appendJSON[T string | []byte](b []byte, value T, limit int) []byte {
	b = append(b, '"')
	limit += len(b)
	for i := 0; i < len(value); {
		if len(b) >= limit {
			b = append(b, "…"...)
			break
		}
		c := value[i]
		if c < utf8.RuneSelf {
			i++
			switch {
			case c == '"' || c == '\\':
				b = append(b, '\\', c)
			case c < ' ' || c == 0x7f:
				b = appendEscape(b, uint16(c))
			default:
				b = append(b, c)
			}
			continue
		}
		r, n := utf8.DecodeRuneInString(string(value[i:min(i+utf8.UTFMax, len(value))]))
		i += n
		switch {
		case r == utf8.RuneError || unicode.IsPrint(r):
			b = utf8.AppendRune(b, r)
		case r < 0x10000:
			b = appendEscape(b, uint16(r))
		default: // a pair of surrogates
			r -= 0x10000
			b = appendEscape(b, uint16(0xd800+r>>10))
			b = appendEscape(b, uint16(0xdc00+r&0x3ff))
		}
	}
	return append(b, '"')
}

func appendEscape(b []byte, u uint16) []byte {
	const digits = "0123456789abcdef"
	return append(b, '\\', 'u', digits[u>>12], digits[u>>8&15], digits[u>>4&15], digits[u&15])
}
