package api

import (
	"context"
	"errors"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/store"
)

// Provider knows the source code hosts.
type Provider interface {
	// Owner returns the provider ("GITHUB", "BITBUCKET") that has the repository of
	// a URL; "" for repositories elsewhere.
	Owner(repositoryURL string) string

	// Serves reports whether the credential of a connection may be sent to the host of
	// a repository.
	Serves(c slipway.Connection, repositoryURL string) bool

	// Accepts asks the provider of a connection whether it accepts the token. refusal
	// is the provider's reason, "" if it accepts; err means that it could not be asked.
	Accepts(ctx context.Context, c slipway.Connection, token string) (refusal string, err error)

	// DeployKey returns a private key for ssh and its public half as a line: the given
	// key, or a new one. Its errors are *slipway.Error if the given one can't be used.
	DeployKey(given []byte, comment string) (private []byte, public string, err error)
}

// Vault protects secrets from readers of the database. A sealed secret opens only
// with the context that it was sealed with.
type Vault interface {
	Seal(context string, secret []byte) []byte
}

// CompleteConnectionInput is the input of Slipway.CompleteConnection. App Runner
// does this only in its console.
type CompleteConnectionInput struct {
	ConnectionName *string // required
	Token          *string // required: the provider's access token
}

// CompleteConnectionOutput is its output.
type CompleteConnectionOutput struct {
	Connection *types.Connection // with its new status
	Refusal    *string           // why the status is ERROR
}

// maxToken is the length of the longest token in bytes. Those of GitHub and
// Bitbucket have some hundreds.
const maxToken = 4096

// completeConnection gives a connection its credential. It asks the provider
// first, outside the transaction. A refusal sets the connection's status to
// ERROR, unless the connection has a working credential: then it keeps that one.
func (a *API) completeConnection(ctx context.Context, call *gateway.Call, in *CompleteConnectionInput) (*CompleteConnectionOutput, error) {
	name, token := aws.ToString(in.ConnectionName), aws.ToString(in.Token)
	switch {
	case name == "":
		return nil, slipway.Errorf(slipway.InvalidRequest, "ConnectionName is required.")
	case token == "" || len(token) > maxToken || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return nil, slipway.Errorf(slipway.InvalidRequest, "Token must have 1 to %d printable ASCII characters without blanks.", maxToken)
	case a.cfg.Vault == nil || a.cfg.Provider == nil:
		return nil, slipway.Errorf(slipway.InvalidRequest, "This server keeps no credentials: connections can't be completed.")
	}
	var c slipway.Connection
	if err := a.cfg.Store.View(ctx, func(tx *store.Tx) (err error) { c, err = connectionNamed(tx, name); return err }); err != nil {
		return nil, err
	}
	if c.PublicKey != "" {
		return nil, slipway.Errorf(slipway.InvalidRequest, "Connection %s has a deploy key and takes no token. Create another connection.", name)
	}
	refusal, err := a.cfg.Provider.Accepts(ctx, c, token)
	if err != nil {
		return nil, slipway.Errorf(slipway.InvalidRequest, "%s could not be asked whether it accepts the token: %v", c.Provider, err)
	}
	next := c
	if next.Status, next.Credential = slipway.ConnectionFailed, nil; refusal == "" {
		next.Status = slipway.ConnectionAvailable
		next.Credential = a.cfg.Vault.Seal("connection credential "+c.ARN, []byte(token))
	}
	return a.saveHandshake(ctx, call, next, refusal)
}

func (a *API) saveHandshake(ctx context.Context, call *gateway.Call, next slipway.Connection, refusal string) (*CompleteConnectionOutput, error) {
	shown := connection(next)
	out := &CompleteConnectionOutput{Connection: &shown}
	if refusal != "" {
		out.Refusal = &refusal
	}
	err := call.Update(ctx, func(tx *store.Tx) error {
		now, err := connectionNamed(tx, next.Name)
		switch {
		case err != nil:
			return err
		case now.ARN != next.ARN:
			return slipway.Errorf(slipway.InvalidState, "Connection %s was deleted and created anew meanwhile.", next.Name)
		case refusal != "" && now.Status == slipway.ConnectionAvailable:
			return slipway.Errorf(slipway.InvalidRequest, "%s refused the token (%s); connection %s keeps the one it has.", next.Provider, refusal, next.Name)
		}
		return tx.SaveConnection(next)
	})
	return out, err
}

func connectionNamed(tx *store.Tx, name string) (slipway.Connection, error) {
	c, err := tx.ConnectionByName(name)
	if errors.Is(err, store.ErrNotFound) {
		err = slipway.Errorf(slipway.NotFound, "Connection not found: %s", name)
	}
	return c, err
}
