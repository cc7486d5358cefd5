package awshttp

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"

	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/sigv4"
	"github.com/openslipway/slipway/internal/wire"
)

// isForm reports whether a request is a call in the query protocol.
func isForm(r *http.Request) bool {
	if r.Header.Get("X-Amz-Target") != "" {
		return false
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && kind == "application/x-www-form-urlencoded"
}

// receive finds the operation, verifies who calls, and reads the input. What is
// known of the call when one of them fails is in x.
func (h *Handler) receive(r *http.Request, x *exchange) error {
	if r.Method != http.MethodPost || r.URL.Path != "/" {
		return wire.NewException("UnknownOperationException", "This endpoint answers only POST /.")
	}
	if isForm(r) {
		return h.receiveForm(r, x)
	}
	name := r.Header.Get("X-Amz-Target")
	t, ok := h.targets[name]
	if !ok {
		return wire.NewException("UnknownOperationException", fmt.Sprintf("X-Amz-Target %.100q names no operation that this server answers.", name))
	}
	x.service, x.operation = t.service, t.operation
	if err := h.verify(r, x); err != nil {
		return err
	}
	x.input = x.received
	return nil
}

// receiveForm is receive for the query protocol. The operation is known only
// after the body is read: until then the service is the one that the signature
// claims to be for.
func (h *Handler) receiveForm(r *http.Request, x *exchange) error {
	claimed := sigv4.ClaimedService(r.Header)
	s, ok := h.forms[claimed]
	x.service = s
	if !ok { // the error is in XML all the same
		x.service = gateway.Service{Protocol: gateway.Protocol{Version: "-", ContentType: formReply}}
		if claimed != "" {
			return wire.NewException("InvalidAction", fmt.Sprintf("The service %.64q does not answer forms here.", claimed))
		}
	}
	if err := h.verify(r, x); err != nil {
		return err
	}
	form, err := url.ParseQuery(string(x.received))
	if err != nil {
		return wire.NewException(wire.MalformedInput, "The request body is not a form.")
	}
	for name, values := range form {
		if len(values) > 1 {
			return wire.NewException(wire.MalformedInput, fmt.Sprintf("The form has the field %.100q %d times; it must have it once.", name, len(values)))
		}
	}
	action, version := form.Get("Action"), form.Get("Version")
	if action == "" {
		return wire.NewException("MissingAction", "The request is missing an action parameter.")
	}
	o, ok := operation(s, action)
	if !ok || version != s.Protocol.Version {
		return wire.NewException("InvalidAction", fmt.Sprintf("Could not find operation %.100s for version %.20s", action, version))
	}
	x.operation, x.input = o, o.NewInput()
	return wire.UnmarshalQuery(form, x.input)
}

func operation(s gateway.Service, name string) (gateway.Operation, bool) {
	for _, o := range s.Operations {
		if o.Name == name {
			return o, true
		}
	}
	return gateway.Operation{}, false
}

// formReply is the content type of replies in the query protocol.
const formReply = "text/xml"

// verify reads the body, checks the signature and notes the caller.
func (h *Handler) verify(r *http.Request, x *exchange) error {
	scope := sigv4.Scope{Service: x.service.Name, Regions: []string{h.cfg.Region}}
	if x.service.Protocol.Global {
		scope.Regions = append(scope.Regions, "us-east-1")
	}
	var who gateway.Caller
	verifier := sigv4.Verifier{MaxBody: maxBody, MaxHashed: x.operation.MaxBody, Now: h.cfg.Now}
	body, err := verifier.Verify(r, scope, func(ctx context.Context, id string) (sigv4.Key, bool, error) {
		caller, key, ok, err := h.cfg.Gateway.Caller(ctx, id)
		who = caller
		return sigv4.Key(key), ok, err
	})
	if err != nil {
		if refused, ok := errors.AsType[*sigv4.Error](err); ok {
			x.unproved = refused.Code == sigv4.InvalidSignature || refused.Code == sigv4.UnrecognizedClient || refused.Code == sigv4.ExpiredToken
			x.caller = CallerFrom(who, r)
		}
		return err
	}
	x.caller, x.received = CallerFrom(who, r), body
	return nil
}

// encode returns the reply's body after a success.
func (x *exchange) encode(output any) ([]byte, error) {
	if p := x.service.Protocol; p.Query() {
		return wire.MarshalQuery(p.Namespace, x.operation.Name, x.id, output)
	}
	return wire.Marshal(output)
}

// fault returns the reply's body for an exception.
func (x *exchange) fault(e *wire.Exception) []byte {
	if p := x.service.Protocol; p.Query() {
		return e.QueryBody(p.Namespace, x.id)
	}
	return e.Body()
}
