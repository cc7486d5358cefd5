package awshttp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/sigv4"
	"github.com/openslipway/slipway/internal/wire"
)

// Config is what the endpoint needs.
type Config struct {
	Gateway *gateway.Gateway // its first service words the errors of calls that name none
	Region  string           // of signatures

	Now func() time.Time // time.Now when nil

	// BodyWithin is how long a request's body may take to arrive, 30 s when 0. Where an
	// operation allows longer bodies, they have a second more for each slowestBody bytes.
	BodyWithin time.Duration
}

// Handler is the endpoint, an http.Handler for POST /.
type Handler struct {
	cfg      Config
	services []gateway.Service
	targets  map[string]target          // of AWS JSON, by X-Amz-Target
	forms    map[string]gateway.Service // of the query protocol, by name
	attempts attempts
}

// target is what an X-Amz-Target names.
type target struct {
	service   gateway.Service
	operation gateway.Operation
}

// maxBody bounds a request's body in bytes, unless its operation has another limit. It leaves room for some twenty
// environment variables of the longest value that the model allows; no process
// can be started with more.
const maxBody = 1 << 20

// slowestBody is how fast a long body must arrive, in bytes per second.
const slowestBody = 128 << 10

// New checks cfg and returns the endpoint.
func New(cfg Config) (*Handler, error) {
	if cfg.Gateway == nil || cfg.Region == "" {
		return nil, errors.New("awshttp: gateway and region are required")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.BodyWithin == 0 {
		cfg.BodyWithin = 30 * time.Second
	}
	h := &Handler{
		cfg:      cfg,
		services: cfg.Gateway.Services(),
		targets:  map[string]target{},
		forms:    map[string]gateway.Service{},
		attempts: attempts{known: map[attemptID]*attempt{}},
	}
	for _, s := range h.services {
		if err := h.add(s); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// add makes a service's operations known by what names them in requests.
func (h *Handler) add(s gateway.Service) error {
	if s.Protocol.Query() {
		h.forms[s.Name] = s
		return nil
	}
	for _, o := range s.Operations {
		for _, name := range Targets(s, o) {
			if _, twice := h.targets[name]; twice {
				return fmt.Errorf("awshttp: two services answer %s", name)
			}
			h.targets[name] = target{s, o}
		}
	}
	return nil
}

// Targets returns the values of X-Amz-Target that name a service's operation;
// none for a service of the query protocol.
func Targets(s gateway.Service, o gateway.Operation) (names []string) {
	if o.Target != "" {
		return []string{o.Target}
	}
	for _, prefix := range s.Protocol.Targets {
		names = append(names, prefix+o.Name)
	}
	return names
}

// CallerFrom returns the caller as the sender of a request. The endpoint stands
// behind no proxy whose word about addresses it would take.
func CallerFrom(c gateway.Caller, r *http.Request) gateway.Caller {
	c.SourceIP = ""
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		c.SourceIP = host
	}
	c.UserAgent, c.Secure = r.UserAgent(), r.TLS != nil
	return c
}

// exchange is one request on its way to a reply.
type exchange struct {
	id    string
	began time.Time

	service   gateway.Service
	operation gateway.Operation
	caller    gateway.Caller
	unproved  bool // the signature was refused

	received []byte // the request's body
	input    any    // the input as the gateway takes it

	reply []byte // the reply's body after a success
}

// ServeHTTP answers one call.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{
		id: slipway.NewUUID(), began: h.cfg.Now(),
		service: h.services[0], // for errors before the target is known
	}
	header := w.Header()
	header.Set("X-Amzn-Requestid", x.id)
	// SDKs correct their clock by this header when a signature is refused.
	header.Set("Date", x.began.UTC().Format(http.TimeFormat))
	status, body := http.StatusOK, []byte(nil)
	if e := h.answer(w, r, x); e != nil {
		status, body = e.Status, x.fault(e)
	} else {
		body = x.reply
	}
	header.Set("Content-Type", x.service.Protocol.ContentType)
	header.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the caller is gone when it fails
}

// answer does what the request asks. The order of the checks is AWS's: target,
// signature, form of the body, and then the gateway's.
func (h *Handler) answer(w http.ResponseWriter, r *http.Request, x *exchange) *wire.Exception {
	ctx := r.Context()
	if err := h.receiveInTime(w, r, x); err != nil {
		return h.cfg.Gateway.Refuse(ctx, gateway.Call{
			ID: x.id, At: x.began, Service: x.service, Operation: x.operation, Caller: x.caller, Unproved: x.unproved,
		}, err)
	}
	_, e := h.cfg.Gateway.Do(ctx, gateway.Request{
		ID: x.id, At: x.began, Caller: x.caller,
		Operation: x.service.Name + ":" + x.operation.Name, Input: x.input,
		Around: func(ctx context.Context, handler func() (any, error)) (bool, error) {
			return h.attempts.do(ctx, attemptOf(r, x), x, handler)
		},
	})
	return e
}

// receiveInTime is receive with a deadline for the body and without panics. A
// client that stops half-way must not hold the connection: neither here nor
// where net/http passes over a body that was refused.
func (h *Handler) receiveInTime(w http.ResponseWriter, r *http.Request, x *exchange) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	control := http.NewResponseController(w)
	within := h.cfg.BodyWithin + time.Duration(h.targets[r.Header.Get("X-Amz-Target")].operation.MaxBody/slowestBody)*time.Second
	_ = control.SetReadDeadline(time.Now().Add(within)) // only a test's writer has no deadlines
	if err := h.receive(r, x); err != nil {
		return refusal(err)
	}
	_ = control.SetReadDeadline(time.Time{}) // what follows may take its time
	return nil
}

// refusal turns a refused signature into the exception of its name.
func refusal(err error) error {
	if s, ok := errors.AsType[*sigv4.Error](err); ok {
		return wire.NewException(string(s.Code), s.Message)
	}
	return err
}
