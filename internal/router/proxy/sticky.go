package proxy

import (
	"bytes"

	"github.com/openslipway/slipway/internal/router/http1"
)

// stickyCookie names the instance that a client's requests go to.
const stickyCookie = "slipway-sticky"

// stickyMark returns the mark in the cookie of a request, "" if it has none.
func stickyMark(fields []http1.Field) string {
	for i := range fields {
		if !http1.EqualFold(fields[i].Name, "cookie") {
			continue
		}
		for rest := fields[i].Value; len(rest) > 0; {
			var pair []byte
			pair, rest, _ = bytes.Cut(rest, []byte(";"))
			if name, value, ok := bytes.Cut(bytes.TrimSpace(pair), []byte("=")); ok && string(name) == stickyCookie {
				return string(value)
			}
		}
	}
	return ""
}

// appendSticky appends the cookie, unless the client has it already.
func (x *exchange) appendSticky(b []byte) []byte {
	if !x.settings.Sticky || x.target == nil || x.mark == x.target.Mark {
		return b
	}
	b = append(b, "Set-Cookie: "+stickyCookie+"="...)
	b = append(b, x.target.Mark...)
	b = append(b, "; Path=/; HttpOnly; SameSite=Lax"...)
	if x.c.front.scheme == "https" {
		b = append(b, "; Secure"...)
	}
	return append(b, "\r\n"...)
}
