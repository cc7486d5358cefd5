package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// unreachable explains why no server answers: which address was tried and how to have
// one there.
func (t Target) unreachable(err error) *Problem {
	hint := "Is it running? --endpoint or SLIPWAY_ENDPOINT names another."
	switch {
	case t.Local() && runtime.GOOS != "linux":
		hint = "A server needs Linux: run `slipway serve` there, and name it here with --endpoint or SLIPWAY_ENDPOINT."
	case t.Local():
		hint = "Start one with `slipway serve`, or name another with --endpoint or SLIPWAY_ENDPOINT."
	}
	if t.getenv != nil && t.getenv("SLIPWAY_ENDPOINT") == "" {
		for _, name := range []string{"AWS_ENDPOINT_URL_APPRUNNER", "AWS_ENDPOINT_URL"} {
			if v := t.getenv(name); v != "" && strings.TrimSuffix(v, "/") != t.Endpoint.String() {
				hint += fmt.Sprintf(" %s, which is %s, is not read.", name, v)
				break
			}
		}
	}
	text := "no server answers at " + t.Endpoint.String()
	switch op, _ := errors.AsType[*net.OpError](err); {
	case strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		text = "the server at " + t.Endpoint.String() + " speaks plain HTTP, not TLS"
		hint = "Use http://" + t.Endpoint.Host + ", or a proxy with a certificate in front of it."
	case certificate(err) != "":
		text = "the certificate of " + t.Endpoint.String() + " is not accepted: " + certificate(err)
		hint = "SSL_CERT_FILE names the file with the authority that signed it; `slipway trust` has this machine accept a server's own."
	case op != nil && op.Err != nil:
		text += " (" + op.Err.Error() + ")"
		if t.Endpoint.Scheme == "http" && errors.Is(err, syscall.ECONNRESET) {
			hint += " If it expects TLS, use https://" + t.Endpoint.Host + "."
		}
	case errors.Is(err, context.DeadlineExceeded) || timedOut(err):
		text += " (it took longer than " + callTimeout.String() + ")"
	}
	return &Problem{Text: text, Hint: hint, Err: err}
}

func timedOut(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

// certificate returns what is wrong with a server's certificate, "" if nothing is.
func certificate(err error) string {
	e, ok := errors.AsType[*tls.CertificateVerificationError](err)
	if !ok {
		return ""
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "an authority signed it that this machine does not trust"
	}
	return strings.TrimPrefix(e.Err.Error(), "x509: ")
}

// identity returns the key that the calls are signed with, for explanations.
func (t Target) identity() Identity {
	if t.getenv == nil {
		return Identity{}
	}
	id, err := t.Identity(context.Background())
	if err != nil {
		return Identity{} // err was returned instead of a call
	}
	return id
}

func (t Target) explainAPI(api smithy.APIError, err error) *Problem {
	code, text := api.ErrorCode(), strings.TrimSuffix(api.ErrorMessage(), ".")
	p := &Problem{Text: text, Err: err}
	status := 0
	if r, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		status = r.HTTPStatusCode()
	}
	switch code {
	case "UnrecognizedClientException", "InvalidClientTokenId":
		p.Text, p.Hint = t.unknownKey()
	case "MissingAuthenticationTokenException", "MissingAuthenticationToken":
		p.Text = "the server at " + t.Endpoint.String() + " received no signature"
		p.Hint = "A proxy between may remove the header Authorization."
	case "ExpiredTokenException", "ExpiredToken":
		p.Text = fmt.Sprintf("the temporary credentials of %s have expired", t.identity())
		p.Hint = "Get new ones with GetSessionToken, or use the key of a user."
	case "InvalidSignatureException", "SignatureDoesNotMatch", "IncompleteSignatureException", "IncompleteSignature":
		p.Text, p.Hint = t.badSignature(text)
	case "AccessDeniedException", "AccessDenied":
		p.Hint = fmt.Sprintf("The call was signed with %s. `slipway iam policy attach USER POLICY` allows a user more; `slipway iam simulate USER ACTION` explains a refusal.", t.identity())
	case "UnknownOperationException", "InvalidAction":
		p.Text = "the server at " + t.Endpoint.String() + " does not know this call"
		p.Hint = "It may be older than this program, or no Slipway server; `slipway version` tells."
	case "ServiceQuotaExceededException":
		p.Hint = "Remove what is no longer needed, or raise the limit where the server runs."
	case "InternalServiceErrorException", "InternalFailure", "ServiceFailure":
		if r, ok := errors.AsType[*awshttp.ResponseError](err); ok && r.ServiceRequestID() != "" {
			p.Hint = "The server's log says more of the request " + r.ServiceRequestID() + "."
		}
	case "InvalidStateException":
		p.Hint = "`slipway ops NAME` shows what is going on."
	case "UnknownError", fmt.Sprintf("HTTP %d", status):
		p.Text, p.Hint = t.stranger(status)
	}
	if strings.HasPrefix(code, "HTTP ") { // of a call without an SDK
		p.Text, p.Hint = t.stranger(0)
	}
	if p.Text == "" {
		p.Text = code
	}
	return p
}

// stranger explains a reply that no Slipway server makes.
func (t Target) stranger(status int) (text, hint string) {
	text = "what answers at " + t.Endpoint.String() + " is no Slipway server"
	if status != 0 {
		text += fmt.Sprintf(": it answered %d %s", status, http.StatusText(status))
	}
	if t.Endpoint.Scheme == "http" && status == http.StatusBadRequest {
		return text, "If it expects TLS, use https://" + t.Endpoint.Host + ". --endpoint or SLIPWAY_ENDPOINT names the server."
	}
	return text, "--endpoint or SLIPWAY_ENDPOINT names the server; the API's address is not that of the services."
}

// unknownKey explains that the server does not know an access key: which key, where it is
// from, and how to use the server's own.
func (t Target) unknownKey() (text, hint string) {
	id := t.identity()
	text = "the server at " + t.Endpoint.String() + " does not know " + id.String()
	own := "Name a credentials file of the server with --credentials or SLIPWAY_CREDENTIALS"
	file, exists := t.ownFile()
	if exists {
		own = "Use this server's own key with SLIPWAY_CREDENTIALS=" + file
	}
	switch {
	case exists && id.File == file:
		return text, "The server uses another data directory, or its data was replaced; --data-dir names its directory. " + t.identityHint()
	case id.From == fromEnvironment:
		return text, "It is a key of AWS or of another server. " + own + ", or unset AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN."
	case t.credentials == "" && t.getenv != nil && t.getenv("AWS_SHARED_CREDENTIALS_FILE") != "":
		return text, "It is a key of AWS or of another server. " + own + ", or unset AWS_SHARED_CREDENTIALS_FILE."
	}
	return text, own + ". " + t.identityHint()
}

var (
	skewed      = regexp.MustCompile(`Signature (?:expired|not yet current): (\d{8}T\d{6}Z) .*\((\d{8}T\d{6}Z) [-+]`)
	otherRegion = regexp.MustCompile(`The region of this endpoint is '([^']+)'`)
)

// badSignature explains the server's refusal of a signature: the clock, the region or the
// secret is wrong.
func (t Target) badSignature(message string) (text, hint string) {
	id := t.identity()
	if m := skewed.FindStringSubmatch(message); m != nil {
		const form = "20060102T150405Z"
		here, err := time.Parse(form, m[1])
		there, err2 := time.Parse(form, m[2])
		if err == nil && err2 == nil {
			return fmt.Sprintf("this machine's clock and the server's differ by %s: here it is %s, there %s UTC",
				here.Sub(there).Abs().Round(time.Minute), here.Format(time.DateTime), there.Format(time.DateTime)), "Set the clock that is wrong; signatures are good for 5 minutes."
		}
	}
	if m := otherRegion.FindStringSubmatch(message); m != nil {
		return fmt.Sprintf("the server's region is %s, and the call was signed for %s (%s)", m[1], id.Region, id.RegionFrom), "Set --region or SLIPWAY_REGION to " + m[1] + "."
	}
	if strings.Contains(message, "does not match the signature you provided") {
		return "the secret of " + id.String() + " is not the one that the server has for it", "Use another key, or create one with `slipway iam key create USER`. A proxy that changes requests breaks signatures, too."
	}
	return "the server refused our signature: " + message, "The call was signed with " + id.String() + ". --region or SLIPWAY_REGION must be the server's region."
}

// registryActions says which actions clients of the registry need.
const registryActions = "Reading images needs ecr:BatchGetImage and ecr:GetDownloadUrlForLayer, listing them ecr:DescribeRepositories " +
	"and ecr:ListImages, and pushing them ecr:BatchCheckLayerAvailability, ecr:InitiateLayerUpload, ecr:UploadLayerPart, " +
	"ecr:CompleteLayerUpload and ecr:PutImage as well."

// explainRegistry explains an error of the registry. One that may not do something is
// known.
func (t Target) explainRegistry(reg *transport.Error, err error) *Problem {
	said := ""
	if len(reg.Errors) > 0 {
		said = strings.TrimSuffix(reg.Errors[0].Message, ".")
	}
	p := &Problem{Text: "the registry at " + t.Endpoint.Host + " refused: " + said, Err: err}
	switch {
	case reg.StatusCode == http.StatusUnauthorized:
		p.Text, p.Hint = t.unknownKey()
		p.Code = "UnrecognizedClientException"
	case reg.StatusCode == http.StatusForbidden:
		p.Code = "AccessDeniedException"
		p.Text = said
		if said == "" { // the reply to HEAD has no body
			p.Text = fmt.Sprintf("%s may not do this at the registry at %s", t.identity(), t.Endpoint.Host)
		}
		p.Hint = "`slipway iam policy` manages what a user may do. " + registryActions
	case said == "":
		p.Text = fmt.Sprintf("the registry at %s answered %d %s", t.Endpoint.Host, reg.StatusCode, http.StatusText(reg.StatusCode))
	}
	return p
}

// innermost returns the first cause of an error.
func innermost(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}
