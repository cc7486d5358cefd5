package hooks

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/outbound"
)

// maxAnswer is how many bytes of a response body are read, so that the connection
// can be reused. A longer body closes it.
const maxAnswer = 64 << 10

// post sends an event once.
func post(ctx context.Context, c *http.Client, to string, e slipway.BusEvent, key []byte, now time.Time) result {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(e.Body))
	if err != nil {
		return result{problem: reason(ctx, err)}
	}
	stamp := strconv.FormatInt(now.Unix(), 10)
	req.Header = http.Header{
		"Content-Type":      {"application/json"},
		"User-Agent":        {"Slipway-Webhook/1"},
		"Webhook-Id":        {e.ID},
		"Webhook-Timestamp": {stamp},
		"Webhook-Signature": {sign(key, e.ID, stamp, e.Body)},
	}
	resp, err := c.Do(req)
	if err != nil {
		return result{problem: reason(ctx, err)}
	}
	defer resp.Body.Close()
	io.CopyN(io.Discard, resp.Body, maxAnswer) // only the status matters
	r := result{status: resp.StatusCode}
	switch {
	case r.status >= 200 && r.status <= 299:
	case r.status >= 300 && r.status <= 399:
		r.problem = fmt.Sprintf("the receiver answered %s: redirects are not followed", status(r.status))
	default:
		r.problem = "the receiver answered " + status(r.status)
		r.gone = r.status == http.StatusGone
		r.retryAfter = retryAfter(resp.Header.Get("Retry-After"), now)
	}
	return r
}

// sign returns the signature of Standard Webhooks, version 1: HMAC-SHA256 over
// the id, the time and the body.
func sign(key []byte, id, stamp string, body []byte) string {
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.", id, stamp)
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// reason says why there was no response. It leaves out the URL, which may hold a
// token.
func reason(ctx context.Context, err error) string {
	if ctx.Err() != nil {
		return "the receiver took too long"
	}
	return outbound.Reason(err)
}

// status is an answer's status in our own words: the receiver's could be anything.
func status(code int) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", code, http.StatusText(code)))
}

// retryAfter reads the header of that name: seconds, or a date.
func retryAfter(text string, now time.Time) time.Duration {
	if n, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}
