package gateway

import (
	"fmt"
	"mime"
	"net/http"
	"net/url"

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

// receive finds what the request asks for, verifies who asks, and decodes the
// input. The order of the checks is AWS's: target, signature, body. What is
// known of the call when one of them fails is in c.
func (g *Gateway) receive(r *http.Request, c *call) error {
	if r.Method != http.MethodPost || r.URL.Path != "/" {
		return wire.NewException("UnknownOperationException", "This endpoint answers POST / alone.")
	}
	if isForm(r) {
		return g.receiveForm(r, c)
	}
	name := r.Header.Get("X-Amz-Target")
	t, ok := g.targets[name]
	if !ok {
		return wire.NewException("UnknownOperationException", fmt.Sprintf("X-Amz-Target %.100q names no operation that this server answers.", name))
	}
	c.target = t
	if err := g.verify(r, c); err != nil {
		return err
	}
	c.in = t.input()
	return wire.Unmarshal(c.body, c.in)
}

// receiveForm is receive for the query protocol, whose operation is known only
// once the body is read: until then the service that the request claims to be
// signed for is taken for the one that is meant.
func (g *Gateway) receiveForm(r *http.Request, c *call) error {
	claimed := sigv4.ClaimedService(r.Header)
	s, ok := g.forms[claimed]
	c.target.service = s
	if !ok { // some answer in XML
		c.target.service = Service{Version: "-", ContentType: formReply}
		if claimed != "" {
			return wire.NewException("InvalidAction", fmt.Sprintf("The service %.64q does not answer forms here.", claimed))
		}
	}
	if err := g.verify(r, c); err != nil {
		return err
	}
	form, err := url.ParseQuery(string(c.body))
	if err != nil {
		return wire.NewException(wire.MalformedInput, "The request body is not a form.")
	}
	action, version := form.Get("Action"), form.Get("Version")
	o, ok := s.Operations[action]
	if action == "" {
		return wire.NewException("MissingAction", "The request is missing an action parameter.")
	}
	if !ok || version != s.Version {
		return wire.NewException("InvalidAction", fmt.Sprintf("Could not find operation %.100s for version %.20s", action, version))
	}
	c.target.Operation, c.in = o, o.input()
	return wire.UnmarshalQuery(form, c.in)
}

// formReply is the content type of answers in the query protocol.
const formReply = "text/xml"

// verify checks the signature and notes the caller and the body.
func (g *Gateway) verify(r *http.Request, c *call) error {
	scope := sigv4.Scope{Service: c.target.service.SigningName, Regions: []string{g.cfg.Region}}
	if c.target.service.Global {
		scope.Regions = append(scope.Regions, "us-east-1")
	}
	var who Caller
	body, err := g.verifier.Verify(r, scope, g.lookup(&who))
	if err != nil {
		return err
	}
	c.caller, c.body = who.From(r), body
	return nil
}

// encode writes the answer to a call.
func (c *call) encode(out any) ([]byte, error) {
	if s := c.target.service; s.query() {
		return wire.MarshalQuery(s.Namespace, c.target.Name, c.id, out)
	}
	return wire.Marshal(out)
}

// fault writes an exception as the call's protocol has it.
func (c *call) fault(e *wire.Exception) []byte {
	if s := c.target.service; s.query() {
		return e.QueryBody(s.Namespace, c.id)
	}
	return e.Body()
}

// queryName is the query protocol's name of an error that comes before an
// operation, of what AWS JSON calls it.
// https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html
func queryName(name string) string {
	switch name {
	case "MissingAuthenticationTokenException":
		return "MissingAuthenticationToken"
	case "IncompleteSignatureException":
		return "IncompleteSignature"
	case "UnrecognizedClientException":
		return "InvalidClientTokenId"
	case "InvalidSignatureException":
		return "SignatureDoesNotMatch"
	case "ExpiredTokenException":
		return "ExpiredToken"
	case "AccessDeniedException":
		return "AccessDenied"
	}
	return name
}
