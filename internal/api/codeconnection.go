package api

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/gateway/share"
	"github.com/openslipway/slipway/internal/store"
)

// CreateCodeConnectionInput is the input of Slipway.CreateCodeConnection, which
// creates connections that App Runner's model has no words for: to other providers, to
// hosts of one's own, and with deploy keys.
type CreateCodeConnectionInput struct {
	ConnectionName *string // required
	ProviderType   *string // required: GITHUB, BITBUCKET, GITLAB, GITEA or GIT (a plain git server)
	Host           *string // host[:port] of the repositories; required for GITEA and GIT
	Method         *string // TOKEN, which is the default, or SSH for a deploy key
	PrivateKey     *string // with SSH: a key to use, without a passphrase; made by the server when absent
	Tags           []types.Tag
}

// DescribeCodeConnectionInput is the input of Slipway.DescribeCodeConnection.
type DescribeCodeConnectionInput struct {
	ConnectionName *string // required
}

// CodeConnectionOutput is the output of both.
type CodeConnectionOutput struct {
	Connection *types.Connection
	Host       *string // absent for the provider's own
	Method     string  // TOKEN or SSH
	PublicKey  *string // with SSH: the line to add to the repository as a deploy key
}

// Ways in which a connection reads repositories.
const (
	methodToken = "TOKEN"
	methodSSH   = "SSH"
)

// The model's names of connections, and hosts with an optional port.
var (
	connectionName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{3,31}$`)
	hostForm       = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(:[0-9]{1,5})?$`)
)

// codeProviders says of each provider which hosts of one's own it can have.
var codeProviders = map[string]struct{ own, required bool }{
	"GITHUB": {own: true}, "BITBUCKET": {}, "GITLAB": {own: true},
	"GITEA": {own: true, required: true}, "GIT": {own: true, required: true},
}

// createCodeConnection creates a connection. One with a deploy key is AVAILABLE at
// once: whether the host has the key shows when a repository is read.
func (a *API) createCodeConnection(ctx context.Context, call *gateway.Call, in *CreateCodeConnectionInput) (*CodeConnectionOutput, error) {
	c, err := a.newCodeConnection(in)
	if err != nil {
		return nil, err
	}
	tags, err := newTags("connection", in.Tags)
	if err != nil {
		return nil, err
	}
	if c.Method() == methodSSH {
		if a.cfg.Vault == nil || a.cfg.Provider == nil {
			return nil, slipway.Errorf(slipway.InvalidRequest, "This server keeps no credentials: connections can't have deploy keys.")
		}
		var given []byte
		if in.PrivateKey != nil {
			given = []byte(*in.PrivateKey)
		}
		private, public, err := a.cfg.Provider.DeployKey(given, "slipway-"+c.Name)
		if err != nil {
			return nil, err
		}
		c.PublicKey, c.Status = public, slipway.ConnectionAvailable
		c.Credential = a.cfg.Vault.Seal("connection credential "+c.ARN, private)
	}
	if err := a.insertConnection(ctx, call, c.Connection, tags); err != nil {
		return nil, err
	}
	return codeConnection(c.Connection), nil
}

// newConnection is a connection that is about to be made.
type newConnection struct {
	slipway.Connection
	ssh bool
}

// Method returns the way in which it reads repositories.
func (c newConnection) Method() string {
	if c.ssh {
		return methodSSH
	}
	return methodToken
}

func (a *API) newCodeConnection(in *CreateCodeConnectionInput) (c newConnection, err error) {
	name, provider, host := aws.ToString(in.ConnectionName), aws.ToString(in.ProviderType), strings.ToLower(aws.ToString(in.Host))
	method := aws.ToString(in.Method)
	if method == "" {
		method = methodToken
	}
	of, known := codeProviders[provider]
	refuse := func(format string, args ...any) (newConnection, error) {
		return c, slipway.Errorf(slipway.InvalidRequest, format, args...)
	}
	switch {
	case !connectionName.MatchString(name):
		return refuse("ConnectionName is %.100q; it must have 4 to 32 letters, digits, - and _, and begin with a letter or a digit.", name)
	case !known:
		return refuse("ProviderType is %.100q; it must be GITHUB, BITBUCKET, GITLAB, GITEA or GIT.", provider)
	case host != "" && !hostForm.MatchString(host):
		return refuse("Host is %.100q; it must be the host of the repositories' URLs, with a port if they have one, such as git.example.com:8443.", host)
	case host != "" && !of.own:
		return refuse("Host: %s has no hosts of one's own here; use the provider GIT.", provider)
	case host == "" && of.required:
		return refuse("Host is required for %s: the host of the repositories' URLs, with a port if they have one.", provider)
	case !slices.Contains([]string{methodToken, methodSSH}, method):
		return refuse("Method is %.100q; it must be TOKEN or SSH.", method)
	case in.PrivateKey != nil && method != methodSSH:
		return refuse("PrivateKey is only for the method SSH.")
	}
	_, host = slipway.RepositoryHost(map[string]string{methodToken: "https", methodSSH: "ssh"}[method] + "://" + host) // without the protocol's own port
	return newConnection{slipway.Connection{
		ARN: a.arn("connection", name, slipway.NewID()), Name: name, Provider: provider, Host: host,
		Status: slipway.ConnectionPending, CreatedAt: a.now(),
	}, method == methodSSH}, nil
}

// insertConnection inserts a connection with its tags, within the quota.
func (a *API) insertConnection(ctx context.Context, call *gateway.Call, c slipway.Connection, tags []slipway.Tag) error {
	return call.Update(ctx, func(tx *store.Tx) error {
		if err := tx.InsertConnection(c); errors.Is(err, store.ErrNameTaken) {
			return slipway.Errorf(slipway.InvalidRequest, "Connection with the provided name already exists: %s", c.Name)
		} else if err != nil {
			return err
		}
		n, err := tx.CountConnections()
		if err != nil {
			return err
		}
		if most := a.cfg.Quotas.Connections; !within(most, n-1) {
			return slipway.Errorf(slipway.QuotaExceeded, "You have reached the limit of %d connections. Delete one that you no longer need.", most)
		}
		return errors.Join(tx.SetTags(c.ARN, tags), take(tx, call, share.Connections, c.ARN, a.cfg.Quotas.Connections))
	})
}

func (a *API) describeCodeConnection(ctx context.Context, _ *gateway.Call, in *DescribeCodeConnectionInput) (out *CodeConnectionOutput, err error) {
	err = a.cfg.Store.View(ctx, func(tx *store.Tx) error {
		c, err := namedConnection(tx, in.ConnectionName)
		out = codeConnection(c)
		return err
	})
	return out, err
}

func codeConnection(c slipway.Connection) *CodeConnectionOutput {
	shown := connection(c)
	out := &CodeConnectionOutput{Connection: &shown, Method: methodToken}
	if c.Host != "" {
		out.Host = &c.Host
	}
	if c.PublicKey != "" {
		out.Method, out.PublicKey = methodSSH, &c.PublicKey
	}
	return out
}

// where says for which repositories a connection is.
func where(c slipway.Connection) string {
	at := c.Provider
	if c.Host != "" {
		at = fmt.Sprintf("%s at %s", c.Provider, c.Host)
	}
	if c.PublicKey != "" {
		return at + " that are read by ssh"
	}
	return at
}
