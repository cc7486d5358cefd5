package outbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"unicode"
)

// maxReason is the longest text that Clean returns, in bytes before the dots.
const maxReason = 200

// Reason says in a few words, for a user, why an exchange with a host failed. It has no
// address of this server or its name servers, no URL, which may hold a token, and nothing
// of what the host answered.
func Reason(err error) string {
	if forbidden, ok := errors.AsType[*ForbiddenError](err); ok {
		return forbidden.Error()
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		if dns.IsNotFound {
			return fmt.Sprintf("no address was found for %s", Clean(dns.Name))
		}
		return fmt.Sprintf("the address of %s could not be looked up", Clean(dns.Name))
	}
	if c, ok := certificateReason(err); ok {
		return c
	}
	var timeout net.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "it took too long"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the connection was refused"
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return "there is no route to it"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection broke off"
	}
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return "the connection failed"
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	return Clean(err.Error())
}

// certificateReason says why a host's certificate was not taken.
func certificateReason(err error) (string, bool) {
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "its certificate is not trusted: " + Clean(e.Err.Error()), true
	}
	if e, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "its certificate is not trusted: " + Clean(e.Error()), true
	}
	if e, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "it does not speak TLS: " + Clean(e.Msg), true
	}
	return "", false
}

// Clean returns a text of foreign origin as one short line: without control characters and
// invalid UTF-8, at most 200 bytes.
func Clean(text string) string {
	text = strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if len(text) <= maxReason {
		return text
	}
	return strings.ToValidUTF8(text[:maxReason], "") + "..."
}
