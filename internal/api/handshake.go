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

// Provider is who hosts source code, as the handshake of a connection needs it.
type Provider interface {
	// Accepts asks a provider ("GITHUB", "BITBUCKET") whether it takes the
	// token. refusal is what it says against it, "" when it does; err means
	// that it could not be asked.
	Accepts(ctx context.Context, provider, token string) (refusal string, err error)
}

// Vault keeps secrets from whoever reads the database. What it seals can be
// opened with the same context alone.
type Vault interface {
	Seal(context string, secret []byte) []byte
}

// CompleteConnectionInput is the input of Slipway.CompleteConnection, which App
// Runner has as pages of its console alone.
type CompleteConnectionInput struct {
	ConnectionName *string // required
	Token          *string // required: what the provider knows the account by
}

// CompleteConnectionOutput is its output.
type CompleteConnectionOutput struct {
	Connection *types.Connection // with the status that the handshake led to
	Refusal    *string           // why that is ERROR
}

// maxToken is the longest token in bytes. GitHub's and Bitbucket's have some
// hundreds.
const maxToken = 4096

// completeConnection is the handshake: it gives a connection its credential.
// The provider is asked first, outside the transaction. A refusal makes the
// connection's status ERROR, unless it has a credential that works: that it
// keeps.
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
	refusal, err := a.cfg.Provider.Accepts(ctx, c.Provider, token)
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
