package client

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
)

// Connections returns all connections, by name.
func (c *Client) Connections(ctx context.Context) ([]types.ConnectionSummary, error) {
	var all []types.ConnectionSummary
	pages := apprunner.NewListConnectionsPaginator(c.API, &apprunner.ListConnectionsInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, page.ConnectionSummaryList...)
	}
	return all, nil
}

// Connection returns the connection with this name. If there is none, the error
// is a *Problem.
func (c *Client) Connection(ctx context.Context, name string) (types.ConnectionSummary, error) {
	out, err := c.API.ListConnections(ctx, &apprunner.ListConnectionsInput{ConnectionName: &name})
	if err != nil {
		return types.ConnectionSummary{}, err
	}
	if len(out.ConnectionSummaryList) == 0 {
		return types.ConnectionSummary{}, &Problem{Text: fmt.Sprintf("there is no connection %q", name), Hint: "`slipway connection ls` lists them."}
	}
	return out.ConnectionSummaryList[0], nil
}

// Handshake is the result of completing a connection.
type Handshake struct {
	Connection types.Connection
	Refusal    string // why the provider refused the token; "" if it accepted it
}

// CompleteConnection gives a connection its credential.
func (c *Client) CompleteConnection(ctx context.Context, name, token string) (Handshake, error) {
	in := struct{ ConnectionName, Token string }{name, token}
	var out struct {
		Connection struct {
			ConnectionArn, ConnectionName, ProviderType, Status string
			CreatedAt                                           float64 // seconds since 1970
		}
		Refusal string
	}
	if err := c.own.do(ctx, "Slipway.CompleteConnection", in, &out); err != nil {
		return Handshake{}, err
	}
	v := out.Connection
	return Handshake{
		Connection: types.Connection{
			ConnectionArn: &v.ConnectionArn, ConnectionName: &v.ConnectionName,
			ProviderType: types.ProviderType(v.ProviderType), Status: types.ConnectionStatus(v.Status),
			CreatedAt: aws.Time(time.UnixMilli(int64(v.CreatedAt * 1000)).UTC()),
		},
		Refusal: out.Refusal,
	}, nil
}

// ConnectionWebhook is where a provider tells of pushes to a connection's
// repositories.
type ConnectionWebhook struct {
	ConnectionName, ConnectionArn, ProviderType string

	URL         string   `json:"Url"`
	CreatedAt   float64  // seconds since 1970
	DeliveredAt *float64 `json:",omitempty"` // of the last push that was accepted
}

// connectionWebhook makes one of the calls about the webhook of a connection.
func (c *Client) connectionWebhook(ctx context.Context, operation, name string, secret *string) (ConnectionWebhook, string, error) {
	in := struct {
		ConnectionName string
		Secret         *string `json:",omitempty"`
	}{name, secret}
	var out struct {
		Webhook ConnectionWebhook
		Secret  string
	}
	err := c.own.do(ctx, "Slipway."+operation, in, &out)
	return out.Webhook, out.Secret, err
}

// PutConnectionWebhook makes the webhook of a connection, or gives it another secret:
// the given one, or one that the server makes. It returns the secret.
func (c *Client) PutConnectionWebhook(ctx context.Context, name string, secret *string) (ConnectionWebhook, string, error) {
	return c.connectionWebhook(ctx, "PutConnectionWebhook", name, secret)
}

// ConnectionWebhook returns the webhook of a connection.
func (c *Client) ConnectionWebhook(ctx context.Context, name string) (ConnectionWebhook, error) {
	v, _, err := c.connectionWebhook(ctx, "DescribeConnectionWebhook", name, nil)
	return v, err
}

// DeleteConnectionWebhook removes the webhook of a connection.
func (c *Client) DeleteConnectionWebhook(ctx context.Context, name string) (ConnectionWebhook, error) {
	v, _, err := c.connectionWebhook(ctx, "DeleteConnectionWebhook", name, nil)
	return v, err
}

// CodeConnection is a connection with what App Runner's model has no words for.
type CodeConnection struct {
	Connection struct {
		ConnectionArn, ConnectionName, ProviderType, Status string
		CreatedAt                                           float64 // seconds since 1970
	}
	Host      string `json:",omitempty"` // "" for the provider's own
	Method    string // TOKEN or SSH
	PublicKey string `json:",omitempty"` // with SSH: the line to add to the repository
}

// NewCodeConnection says which connection to create.
type NewCodeConnection struct {
	ConnectionName, ProviderType string

	Host       string `json:",omitempty"`
	Method     string `json:",omitempty"`
	PrivateKey string `json:",omitempty"`
}

// CreateCodeConnection creates a connection, also one beyond App Runner's model.
func (c *Client) CreateCodeConnection(ctx context.Context, in NewCodeConnection) (out CodeConnection, err error) {
	err = c.own.do(ctx, "Slipway.CreateCodeConnection", in, &out)
	return out, err
}

// CodeConnection returns a connection.
func (c *Client) CodeConnection(ctx context.Context, name string) (out CodeConnection, err error) {
	err = c.own.do(ctx, "Slipway.DescribeCodeConnection", struct{ ConnectionName string }{name}, &out)
	return out, err
}
