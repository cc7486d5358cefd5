package api

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/store"
)

// PutConnectionWebhookInput is the input of Slipway.PutConnectionWebhook. App Runner
// learns of pushes by the app that its console installs.
type PutConnectionWebhookInput struct {
	ConnectionName *string // required
	Secret         *string // made by the server when absent; a signing token of GitLab's, for instance
}

// DescribeConnectionWebhookInput is the input of Slipway.DescribeConnectionWebhook.
type DescribeConnectionWebhookInput struct {
	ConnectionName *string // required
}

// DeleteConnectionWebhookInput is the input of Slipway.DeleteConnectionWebhook.
type DeleteConnectionWebhookInput struct {
	ConnectionName *string // required
}

// ConnectionWebhookOutput is the output of the calls about the webhook of a connection.
type ConnectionWebhookOutput struct {
	Webhook *ConnectionWebhook
	Secret  *string // only in the reply to Slipway.PutConnectionWebhook
}

// ConnectionWebhook is where a provider tells of pushes to the repositories of a
// connection.
type ConnectionWebhook struct {
	ConnectionName, ConnectionArn, ProviderType string

	URL         string     `json:"Url"`
	CreatedAt   time.Time  // when its secret was set
	DeliveredAt *time.Time // of the last push that was accepted
}

// Lengths of secrets that users give, in bytes.
const (
	minHookSecret = 16
	maxHookSecret = 256
)

// putConnectionWebhook makes the webhook of a connection, or gives it another secret.
// The URL stays the same. No other call returns the secret.
func (a *API) putConnectionWebhook(ctx context.Context, call *gateway.Call, in *PutConnectionWebhookInput) (*ConnectionWebhookOutput, error) {
	secret, err := hookSecret(in.Secret)
	if err != nil {
		return nil, err
	}
	if a.cfg.Vault == nil {
		return nil, slipway.Errorf(slipway.InvalidRequest, "This server keeps no credentials: connections can't have webhooks.")
	}
	var out *ConnectionWebhookOutput
	err = call.Update(ctx, func(tx *store.Tx) error {
		c, err := namedConnection(tx, in.ConnectionName)
		if err != nil {
			return err
		}
		h, err := tx.PushHookOf(c.ARN)
		if errors.Is(err, store.ErrNotFound) {
			h = slipway.PushHook{ID: slipway.NewID(), Connection: c.ARN}
		} else if err != nil {
			return err
		}
		h.Secret, h.CreatedAt = a.cfg.Vault.Seal(h.SecretOwner(), []byte(secret)), a.now()
		out = a.connectionWebhook(c, h)
		out.Secret = &secret
		return tx.PutPushHook(h)
	})
	return out, err
}

// hookSecret returns the secret that was given, or a new one. It is also a signing
// token as GitLab and Standard Webhooks have it.
func hookSecret(given *string) (string, error) {
	if given == nil {
		key := make([]byte, 32)
		rand.Read(key)
		return "whsec_" + base64.StdEncoding.EncodeToString(key), nil
	}
	if len(*given) < minHookSecret || len(*given) > maxHookSecret || strings.ContainsFunc(*given, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return "", slipway.Errorf(slipway.InvalidRequest, "Secret must have %d to %d printable ASCII characters without blanks; leave it out and the server makes one.", minHookSecret, maxHookSecret)
	}
	return *given, nil
}

func (a *API) describeConnectionWebhook(ctx context.Context, _ *gateway.Call, in *DescribeConnectionWebhookInput) (out *ConnectionWebhookOutput, err error) {
	err = a.cfg.Store.View(ctx, func(tx *store.Tx) error {
		c, h, err := hookOf(tx, in.ConnectionName)
		out = a.connectionWebhook(c, h)
		return err
	})
	return out, err
}

func (a *API) deleteConnectionWebhook(ctx context.Context, call *gateway.Call, in *DeleteConnectionWebhookInput) (out *ConnectionWebhookOutput, err error) {
	err = call.Update(ctx, func(tx *store.Tx) error {
		c, h, err := hookOf(tx, in.ConnectionName)
		if err != nil {
			return err
		}
		out = a.connectionWebhook(c, h)
		return tx.DeletePushHook(h.ID)
	})
	return out, err
}

func namedConnection(tx *store.Tx, name *string) (slipway.Connection, error) {
	if aws.ToString(name) == "" {
		return slipway.Connection{}, slipway.Errorf(slipway.InvalidRequest, "ConnectionName is required.")
	}
	return connectionNamed(tx, *name)
}

func hookOf(tx *store.Tx, name *string) (slipway.Connection, slipway.PushHook, error) {
	c, err := namedConnection(tx, name)
	if err != nil {
		return c, slipway.PushHook{}, err
	}
	h, err := tx.PushHookOf(c.ARN)
	if errors.Is(err, store.ErrNotFound) {
		err = slipway.Errorf(slipway.NotFound, "Connection %s has no webhook.", c.Name)
	}
	return c, h, err
}

func (a *API) connectionWebhook(c slipway.Connection, h slipway.PushHook) *ConnectionWebhookOutput {
	v := &ConnectionWebhook{
		ConnectionName: c.Name, ConnectionArn: c.ARN, ProviderType: c.Provider,
		URL: a.cfg.WebhookURL + slipway.PushHookPath + h.ID, CreatedAt: h.CreatedAt,
	}
	if !h.DeliveredAt.IsZero() {
		v.DeliveredAt = &h.DeliveredAt
	}
	return &ConnectionWebhookOutput{Webhook: v}
}
