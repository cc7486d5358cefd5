package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
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

	control *http.ResponseController // of the connection

	body       []byte
	in, out    any
	understood bool     // in is decoded whole
	resources  []string // that its permissions are about
	recorded   bool     // the audit record of its beginning was written
	repeated   bool     // the reply is that of an attempt before
}

// target is an operation and the service it belongs to.
type target struct {
	Operation
	service Service
}

// ServeHTTP answers one call.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := g.cfg.Now()
	c := &call{
		id: slipway.NewUUID(), began: began, control: http.NewResponseController(w),
		target: target{service: g.cfg.Services[0]}, // for errors before the target is known
	}
	h := w.Header()
	h.Set("X-Amzn-Requestid", c.id)
	// SDKs correct their clock by this header when a signature is refused.
	h.Set("Date", began.UTC().Format(http.TimeFormat))
	body, err := g.answer(r, c)
	status := http.StatusOK
	var e *wire.Exception
	if err != nil {
		e = exception(err, c.target)
		status, body = e.Status, c.fault(e)
	}
	if g.watched(c) && !c.repeated {
		record := c.audited()
		record.Exception = e
		if e == nil {
			record.Output = c.out
		}
		g.cfg.Audit.Ended(context.WithoutCancel(r.Context()), record)
	}
	h.Set("Content-Type", c.target.service.ContentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the caller is gone when it fails
	g.report(r.Context(), c, e, err)
}

// answer does what the request asks and returns the body of the reply. The
// order of the checks is AWS's: target, signature, form of the body,
// permission, constraints.
func (g *Gateway) answer(r *http.Request, c *call) (body []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			body, err = nil, fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	// Whoever stops half-way must not hold the connection: neither here nor where
	// net/http passes over a body that was refused. A writer without deadlines is
	// a test's.
	_ = c.control.SetReadDeadline(time.Now().Add(g.cfg.BodyWithin))
	if err := g.receive(r, c); err != nil {
		return nil, err
	}
	_ = c.control.SetReadDeadline(time.Time{}) // what follows may take its time
	c.understood = true
	if err := g.allow(r.Context(), c); err != nil {
		return nil, err
	}
	if c.target.Model != nil {
		if err := c.target.Model.Validate(c.body); err != nil {
			return nil, err
		}
	}
	return g.attempts.do(r, c, func() (body []byte, err error) {
		if c.out, err = c.target.serve(g.withRecord(r.Context(), c), c.caller, c.in); err != nil {
			return nil, err
		}
		return c.encode(c.out)
	})
}

// allow checks that the caller may make the call, and notes what resources it
// is about.
func (g *Gateway) allow(ctx context.Context, c *call) error {
	if c.caller.User == Root && !g.watched(c) {
		return nil
	}
	return g.cfg.Store.View(ctx, func(tx *store.Tx) error {
		required, err := c.required(tx)
		if err != nil {
			if c.caller.User == Root {
				return nil // the operation words what is wrong with its input
			}
			return err
		}
		for _, n := range required {
			if n.Resource != "*" {
				c.resources = append(c.resources, n.Resource)
			}
		}
		if c.caller.User == Root {
			return nil
		}
		return g.permit(tx, c.caller, required)
	})
}

// required returns the permissions that the call needs.
func (c *call) required(tx *store.Tx) ([]Permission, error) {
	required, err := c.target.RequiredPermissions(tx, c.in)
	for i := range required {
		if required[i].Action == "" {
			required[i].Action = c.target.service.SigningName + ":" + c.target.Name
		}
		if required[i].Resource == Self {
			required[i].Resource = c.caller.ARN
		}
	}
	return required, err
}

// lookup returns a lookup of access keys that notes in c whose key it found.
func (g *Gateway) lookup(c *Caller) sigv4.Lookup {
	return func(ctx context.Context, id string) (sigv4.Key, bool, error) {
		who, key, ok, err := g.Caller(ctx, id)
		*c = who
		return key, ok, err
	}
}

// exception words an error for the caller. Our own failures say nothing of
// their cause, which the log holds under the request's id, unless it is one that
// the caller may be able to mend.
func exception(err error, t target) *wire.Exception {
	e := asException(err, t)
	if t.service.query() {
		if name := queryName(e.Name); name != e.Name {
			return wire.NewException(name, e.Message)
		}
	}
	return e
}

func asException(err error, t target) *wire.Exception {
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
	if c.repeated {
		attrs = append(attrs, slog.Bool("repeated", true))
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
