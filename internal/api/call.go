package api

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

// Caller is who makes a call.
type Caller struct {
	User  string
	KeyID string
}

// protocol is one AWS service as this endpoint speaks it.
type protocol struct {
	signingName string // the service in a signature's scope
	contentType string
	internal    string // name of the exception for our own failures
}

// endpoint is an operation ready to be called with a request's body.
type endpoint struct {
	name     string
	protocol protocol
	model    *wire.Operation // nil when the service has no model here
	changes  bool            // it is worth a line in the log
	serve    func(ctx context.Context, c Caller, body []byte) (any, error)
}

// handle makes an endpoint's function of a handler: it decodes the body and
// checks the model's constraints.
func handle[I, O any](model *wire.Operation, h func(context.Context, Caller, *I) (*O, error)) func(context.Context, Caller, []byte) (any, error) {
	return func(ctx context.Context, c Caller, body []byte) (any, error) {
		in := new(I)
		if err := wire.Unmarshal(body, in); err != nil {
			return nil, err
		}
		if model != nil {
			if err := model.Validate(body); err != nil {
				return nil, err
			}
		}
		return h(ctx, c, in)
	}
}

// call is one request on its way to an answer.
type call struct {
	id       string
	endpoint endpoint
	caller   Caller
	began    time.Time
}

// ServeHTTP answers one call.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := a.cfg.Now()
	c := &call{id: requestID(), began: began}
	h := w.Header()
	h.Set("X-Amzn-Requestid", c.id)
	// SDKs correct their clock by this header when a signature is refused.
	h.Set("Date", began.UTC().Format(http.TimeFormat))
	body, err := a.answer(r, c)
	status := http.StatusOK
	var e *wire.Exception
	if err != nil {
		e = exception(err, c.endpoint)
		status, body = e.Status, e.Body()
	}
	h.Set("Content-Type", c.endpoint.protocol.contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the caller is gone when it fails
	a.report(r.Context(), c, e, err)
}

// answer does what the request asks and returns the body of the reply. The
// order of the checks is AWS's: target, signature, body.
func (a *API) answer(r *http.Request, c *call) (body []byte, err error) {
	c.endpoint.protocol = appRunner // for errors before the target is known
	target := r.Header.Get("X-Amz-Target")
	e, ok := a.endpoints[target]
	if !ok || r.Method != http.MethodPost || r.URL.Path != "/" {
		return nil, wire.NewException("UnknownOperationException", unknown(r, target))
	}
	c.endpoint = e
	defer func() {
		if p := recover(); p != nil {
			body, err = nil, fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	var who Caller
	in, err := a.verifier.Verify(r, e.protocol.signingName, a.keys(&who))
	if err != nil {
		return nil, err
	}
	c.caller = who
	out, err := e.serve(r.Context(), c.caller, in)
	if err != nil {
		return nil, err
	}
	return wire.Marshal(out)
}

func unknown(r *http.Request, target string) string {
	if r.Method != http.MethodPost || r.URL.Path != "/" {
		return "This endpoint answers POST / alone."
	}
	return fmt.Sprintf("X-Amz-Target %.100q names no operation that this server answers.", target)
}

// keys returns a lookup of access keys that notes in c whose key it found.
func (a *API) keys(c *Caller) sigv4.Lookup {
	return func(ctx context.Context, id string) (secret string, ok bool, err error) {
		err = a.cfg.Store.View(ctx, func(tx *store.Tx) error {
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
// their cause, which the log holds under the request's id.
func exception(err error, e endpoint) *wire.Exception {
	if x, ok := errors.AsType[*wire.Exception](err); ok {
		return x
	}
	if s, ok := errors.AsType[*sigv4.Error](err); ok {
		return wire.NewException(string(s.Code), s.Message)
	}
	if s, ok := errors.AsType[*slipway.Error](err); ok {
		name := string(s.Code)
		if e.model != nil && !e.model.Permits(name) {
			name = string(slipway.InvalidRequest)
		}
		return wire.NewException(name, s.Message)
	}
	if errors.Is(err, context.Canceled) {
		return wire.NewException("RequestAbortedException", "The caller went away.")
	}
	return wire.NewException(e.protocol.internal, "An internal error occurred. The server's log tells more under this request's id.")
}

// report writes the call's line in the log and counts it.
func (a *API) report(ctx context.Context, c *call, e *wire.Exception, err error) {
	took := a.cfg.Now().Sub(c.began)
	level, name := slog.LevelDebug, ""
	attrs := []slog.Attr{
		slog.String("request", c.id),
		slog.String("operation", c.endpoint.name),
		slog.String("user", c.caller.User),
		slog.Duration("took", took),
	}
	if c.endpoint.changes {
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
	a.cfg.Log.LogAttrs(ctx, level, "api call", attrs...)
	if a.cfg.Observe != nil {
		a.cfg.Observe(c.endpoint.name, name, took)
	}
}

// requestID returns a UUID with dashes.
func requestID() string {
	id := slipway.NewID()
	return strings.Join([]string{id[:8], id[8:12], id[12:16], id[16:20], id[20:]}, "-")
}
