package daemon

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/http"
	"strings"

	"github.com/openslipway/slipway/internal/audit"
	"github.com/openslipway/slipway/internal/ecr"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/gateway/awshttp"
	"github.com/openslipway/slipway/internal/registry"
	"github.com/openslipway/slipway/internal/wire"
)

// authenticator authenticates users of the registry: AWS with a token of ECR, or
// an access key with its secret as the password. Policies authorize them.
// Temporary credentials need a token of ECR, since a password has no room for the
// session token.
type authenticator struct {
	gateway *gateway.Gateway
	tokens  *ecr.Tokens
	arn     func(repository string) string
	trail   *audit.Trail
}

func (a authenticator) check(ctx context.Context, user, password string) (bool, error) {
	_, ok, err := a.caller(ctx, user, password)
	return ok, err
}

func (a authenticator) caller(ctx context.Context, user, password string) (gateway.Caller, bool, error) {
	if user == ecr.TokenUser {
		return a.tokens.Check(ctx, password)
	}
	caller, key, ok, err := a.gateway.Caller(ctx, user)
	if err != nil || !ok || key.Token != "" {
		return gateway.Caller{}, false, err
	}
	return caller, subtle.ConstantTimeCompare([]byte(key.Secret), []byte(password)) == 1, nil
}

// permit authorizes a request by policies, as the API does. It returns why the
// request is denied, "" if it is allowed.
func (a authenticator) permit(r *http.Request, action, repository string) (string, error) {
	user, password, _ := r.BasicAuth()
	caller, ok, err := a.caller(r.Context(), user, password)
	if err != nil {
		return "", err
	}
	if !ok { // it was deleted or expired just now
		return "The credentials are no longer good.", nil
	}
	resource := "*"
	if repository != "" {
		resource = a.arn(repository)
	}
	err = a.gateway.Permit(r.Context(), awshttp.CallerFrom(caller, r), gateway.Permission{Action: action, Resource: resource})
	if denied, ok := errors.AsType[*wire.Exception](err); ok {
		return denied.Message, nil
	}
	return "", err
}

// note records what a request to the registry did. Pushes and deletions have a record
// each; logins and refusals are counted.
func (a authenticator) note(r *http.Request, n registry.Note) {
	ctx := context.WithoutCancel(r.Context())
	o := audit.Occurrence{Source: "ecr.amazonaws.com", Name: strings.TrimPrefix(n.Action, "ecr:"), Caller: awshttp.CallerFrom(a.named(ctx, r), r)}
	if n.Repository != "" {
		o.Resources = []string{a.arn(n.Repository)}
	}
	switch {
	case n.Action == "":
		o.Name = "RegistryLogin"
		if n.Refusal != "" {
			o.Code, o.Message = "InvalidPassword", n.Refusal
		}
	case n.Refusal != "":
		o.Code, o.Message = "AccessDeniedException", n.Refusal
	default:
		o.Parameters = map[string]any{"repositoryName": n.Repository, "reference": n.Reference}
		if n.Digest != "" {
			o.Parameters["imageDigest"] = n.Digest
		}
		a.trail.Happened(ctx, o)
		return
	}
	a.trail.Count(ctx, o)
}

// named returns the owner of the access key that a request names, whether it has shown to
// know the secret or not; nobody if there is no such key.
func (a authenticator) named(ctx context.Context, r *http.Request) gateway.Caller {
	keyID, password, _ := r.BasicAuth()
	if keyID == ecr.TokenUser {
		keyID, _, _ = strings.Cut(password, ".")
	}
	caller, _, ok, err := a.gateway.Caller(ctx, keyID)
	if err != nil || !ok {
		return gateway.Caller{}
	}
	return caller
}

// user returns the id of the user who sends an authenticated request, whatever access key
// or token it has.
func (a authenticator) user(r *http.Request) string { return a.named(r.Context(), r).UserID }
