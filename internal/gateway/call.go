package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/sigv4"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/wire"
)

// call is one request on its way to an answer.
type call struct {
	id     string
	target target
	caller Caller
	began  time.Time
}

// target is an operation and the service it belongs to.
type target struct {
	Operation
	service Service
}

// ServeHTTP answers one call.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := g.cfg.Now()
	c := &call{id: requestID(), began: began, target: target{service: g.cfg.Services[0]}} // for errors before the target is known
	h := w.Header()
	h.Set("X-Amzn-Requestid", c.id)
	// SDKs correct their clock by this header when a signature is refused.
	h.Set("Date", began.UTC().Format(http.TimeFormat))
	body, err := g.answer(r, c)
	status := http.StatusOK
	var e *wire.Exception
	if err != nil {
		e = exception(err, c.target)
		status, body = e.Status, e.Body()
	}
	h.Set("Content-Type", c.target.service.ContentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the caller is gone when it fails
	g.report(r.Context(), c, e, err)
}

// answer does what the request asks and returns the body of the reply. The
// order of the checks is AWS's: target, signature, body.
func (g *Gateway) answer(r *http.Request, c *call) (body []byte, err error) {
	name := r.Header.Get("X-Amz-Target")
	t, ok := g.targets[name]
	if !ok || r.Method != http.MethodPost || r.URL.Path != "/" {
		return nil, wire.NewException("UnknownOperationException", unknown(r, name))
	}
	c.target = t
	defer func() {
		if p := recover(); p != nil {
			body, err = nil, fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	var who Caller
	in, err := g.verifier.Verify(r, t.service.SigningName, g.keys(&who))
	if err != nil {
		return nil, err
	}
	c.caller = who
	out, err := t.serve(r.Context(), c.caller, in)
	if err != nil {
		return nil, err
	}
	return wire.Marshal(out)
}

func unknown(r *http.Request, name string) string {
	if r.Method != http.MethodPost || r.URL.Path != "/" {
		return "This endpoint answers POST / alone."
	}
	return fmt.Sprintf("X-Amz-Target %.100q names no operation that this server answers.", name)
}

// keys returns a lookup of access keys that notes in c whose key it found.
func (g *Gateway) keys(c *Caller) sigv4.Lookup {
	return func(ctx context.Context, id string) (secret string, ok bool, err error) {
		err = g.cfg.Store.View(ctx, func(tx *store.Tx) error {
			k, err := tx.AccessKey(id)
			if errors.Is(err, store.ErrNotFound) {
				return nil
			}
			secret, ok = k.Secret, err == nil
			*c = Caller{User: k.User, KeyID: k.ID}
			return err
		})
		return secret, ok, err
	}
}

// exception words an error for the caller. Our own failures say nothing of
// their cause, which the log holds under the request's id, unless it is one that
// the caller may be able to mend.
func exception(err error, t target) *wire.Exception {
	if x, ok := errors.AsType[*wire.Exception](err); ok {
		return x
	}
	if s, ok := errors.AsType[*sigv4.Error](err); ok {
		return wire.NewException(string(s.Code), s.Message)
	}
	if s, ok := errors.AsType[*slipway.Error](err); ok {
		name := string(s.Code)
		if t.Model != nil && !t.Model.Permits(name) {
			name = string(slipway.InvalidRequest)
		}
		return wire.NewException(name, s.Message)
	}
	if errors.Is(err, context.Canceled) {
		return wire.NewException("RequestAbortedException", "The caller went away.")
	}
	if errors.Is(err, store.ErrFull) {
		return wire.NewException(t.service.Internal, "The server's disk is full. Nothing was changed; try again once there is room.")
	}
	return wire.NewException(t.service.Internal, "An internal error occurred. The server's log tells more under this request's id.")
}

// report writes the call's line in the log and counts it.
func (g *Gateway) report(ctx context.Context, c *call, e *wire.Exception, err error) {
	took := g.cfg.Now().Sub(c.began)
	level, name := slog.LevelDebug, ""
	attrs := []slog.Attr{
		slog.String("request", c.id),
		slog.String("operation", c.target.Name),
		slog.String("user", c.caller.User),
		slog.Duration("took", took),
	}
	if c.target.Changes {
		level = slog.LevelInfo
	}
	if e != nil {
		name = e.Name
		attrs = append(attrs, slog.String("exception", name))
		if e.Status == http.StatusInternalServerError {
			level = slog.LevelError
			attrs = append(attrs, slog.Any("err", err))
		} else {
			attrs = append(attrs, slog.String("message", e.Message))
		}
	}
	g.cfg.Log.LogAttrs(ctx, level, "api call", attrs...)
	if g.cfg.Observe != nil {
		g.cfg.Observe(c.target.Name, name, took)
	}
}

// requestID returns a UUID with dashes.
func requestID() string {
	id := slipway.NewID()
	return strings.Join([]string{id[:8], id[8:12], id[12:16], id[16:20], id[20:]}, "-")
}
