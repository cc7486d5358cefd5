package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"runtime/debug"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/wire"
)

// Request is a call as a transport hands it over.
type Request struct {
	ID     string    // told to the caller and kept in records; drawn when empty
	At     time.Time // when it came; now when zero
	Caller Caller

	Operation string // by service and name: "apprunner:CreateService"

	// Input is a pointer to the operation's input, which the call then owns, or
	// JSON as []byte, or another struct with members of the same names, or nil.
	Input any

	// Around, if not nil, runs the handler and makes the reply of its output, or
	// finds that an earlier attempt at the same call did so: then it returns true
	// without running the handler. Permissions and constraints were checked
	// before. An error that it returns is the call's.
	Around func(ctx context.Context, handler func() (output any, err error)) (repeated bool, err error)
}

// Invoke makes one call for a caller within the process and returns the
// operation's output. The operation is named as in IAM: "apprunner:CreateService".
// The input is as in [Request]. Errors are *wire.Exception: what a client on the
// network would be told.
func (g *Gateway) Invoke(ctx context.Context, caller Caller, operation string, input any) (any, error) {
	output, e := g.Do(ctx, Request{Caller: caller, Operation: operation, Input: input})
	if e != nil {
		return nil, e
	}
	return output, nil
}

// Do makes one call. The order of the checks is AWS's: operation, form of the
// input, permission, constraints.
func (g *Gateway) Do(ctx context.Context, r Request) (output any, e *wire.Exception) {
	c := &Call{ID: r.ID, At: r.At, Caller: r.Caller, gateway: g, store: g.cfg.Store}
	if c.ID == "" {
		c.ID = slipway.NewUUID()
	}
	if c.At.IsZero() {
		c.At = g.cfg.Now()
	}
	t, ok := g.operations[r.Operation]
	if !ok {
		c.Service = g.cfg.Services[0]
		return nil, g.Refuse(ctx, *c, wire.NewException("UnknownOperationException", fmt.Sprintf("There is no operation %.100q.", r.Operation)))
	}
	c.Service, c.Operation = t.service, t.operation
	// A power loss must not undo what the caller is told, and not take several waits.
	told, settle := g.cfg.Store.DeferSync(ctx)
	output, err := g.run(told, c, r, settle)
	if lost := settle(); lost != nil {
		err = lost
	}
	if err != nil {
		c.Exception = exception(err, c)
	} else {
		c.Output = output
	}
	if c.audit != nil && !c.repeated || g.countsRead(c) {
		g.cfg.Audit.Ended(context.WithoutCancel(ctx), *c)
	}
	g.report(ctx, c, err)
	return c.Output, c.Exception
}

// Refuse reports a call that its transport turned away before Do, and returns
// what the caller is to be told. It takes what is known of the call.
func (g *Gateway) Refuse(ctx context.Context, c Call, err error) *wire.Exception {
	c.Exception = exception(err, &c)
	if g.cfg.Audit != nil && c.Unproved {
		g.cfg.Audit.Refused(context.WithoutCancel(ctx), c)
	}
	if c.Unproved { // nobody has shown to be the caller
		c.Caller = Caller{SourceIP: c.Caller.SourceIP, UserAgent: c.Caller.UserAgent}
	}
	g.report(ctx, &c, err)
	return c.Exception
}

// countsRead reports whether a call that changes nothing is recorded: it shows secrets, or
// was denied.
func (g *Gateway) countsRead(c *Call) bool {
	if g.cfg.Audit == nil || c.Operation.Mutates || c.Caller.User == "" {
		return false
	}
	return c.Operation.Reveals || c.Exception != nil && c.Exception.Name == "AccessDeniedException"
}

// run checks and makes the call. The reply is made when settle has returned, and requests
// meet what the call has done or seen.
func (g *Gateway) run(ctx context.Context, c *Call, r Request, settle func() error) (output any, err error) {
	defer func() {
		if p := recover(); p != nil {
			output, err = nil, fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	body, err := c.decode(r.Input)
	if err != nil {
		return nil, err
	}
	// From here on the call is audited: its caller and its input are known.
	if c.Operation.Mutates && c.Caller.User != "" {
		c.audit = g.cfg.Audit
	}
	if err := g.authorize(ctx, c); err != nil {
		return nil, err
	}
	if c.Operation.Model != nil {
		if err := c.Operation.Model.Validate(body); err != nil {
			return nil, err
		}
	}
	handle := func() (any, error) {
		var err error
		output, err = c.Operation.handle(ctx, c, c.Input)
		if lost := settle(); lost != nil {
			output, err = nil, lost
		}
		if g.cfg.Await != nil {
			g.cfg.Await(ctx, g.cfg.Store.RoutesSeen())
		}
		return output, err
	}
	if r.Around == nil {
		return handle()
	}
	c.repeated, err = r.Around(ctx, handle)
	return output, err
}

// decode sets the call's input and returns it as JSON where the model is to
// check it.
func (c *Call) decode(input any) (body []byte, err error) {
	into := c.Operation.NewInput()
	switch given := input.(type) {
	case nil:
	case []byte:
		body = given
	case json.RawMessage:
		body = given
	default:
		same := reflect.TypeOf(input) == reflect.TypeOf(into)
		if same {
			into = input
		}
		if same && c.Operation.Model == nil {
			break
		}
		if body, err = wire.Marshal(input); err != nil {
			return nil, wire.NewException(wire.SerializationException, fmt.Sprintf("The input cannot be read: %v.", err))
		}
	}
	if into != input {
		if err := wire.Unmarshal(body, into); err != nil {
			return nil, err
		}
	}
	c.Input = into
	return body, nil
}

// authorize checks that the caller may make the call, and notes what resources
// it is about.
func (g *Gateway) authorize(ctx context.Context, c *Call) error {
	root := c.Caller.User == Root
	if root && c.audit == nil && !c.Operation.Reveals {
		return nil
	}
	return g.cfg.Store.View(ctx, func(tx *store.Tx) error {
		required, err := c.required(tx)
		if err != nil {
			if root {
				return nil // the handler tells what is wrong with the input
			}
			return err
		}
		for _, p := range required {
			if p.Resource != "*" {
				c.Resources = append(c.Resources, p.Resource)
			}
		}
		if root {
			return nil
		}
		return g.authorizer.Permit(tx, c.Caller, required...)
	})
}

// required returns the permissions that the call requires, with its own action
// and its caller filled in.
func (c *Call) required(tx *store.Tx) ([]Permission, error) {
	list, err := c.Operation.RequiredPermissions(tx, c.Input)
	for i := range list {
		if list[i].Action == "" {
			list[i].Action = c.Service.Name + ":" + c.Operation.Name
		}
		if list[i].Resource == Self {
			list[i].Resource = c.Caller.ARN
		}
	}
	return list, err
}

// report writes the call's line in the log and counts it.
func (g *Gateway) report(ctx context.Context, c *Call, err error) {
	took := g.cfg.Now().Sub(c.At)
	level, name := slog.LevelDebug, ""
	attrs := []slog.Attr{
		slog.String("request", c.ID),
		slog.String("operation", c.Operation.Name),
		slog.String("user", c.Caller.User),
		slog.Duration("took", took),
	}
	if c.Operation.Mutates {
		level = slog.LevelInfo
	}
	if c.repeated {
		attrs = append(attrs, slog.Bool("repeated", true))
	}
	if e := c.Exception; e != nil {
		name = e.Name
		attrs = append(attrs, slog.String("exception", name))
		if e.Status == internalStatus {
			level = slog.LevelError
			attrs = append(attrs, slog.Any("err", err))
		} else {
			attrs = append(attrs, slog.String("message", e.Message))
		}
	}
	g.cfg.Log.LogAttrs(ctx, level, "api call", attrs...)
	if g.cfg.Observe != nil {
		g.cfg.Observe(c.Operation.Name, name, took)
	}
}
