package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/openslipway/slipway/internal/store"
)

// Root is the user who may do everything and to whom no policy applies.
const Root = "root"

// Caller is who makes a call, and from where.
type Caller struct {
	User  string // a user's name, or [Root]
	KeyID string

	ARN, UserID string
	Account     string
	Issued      time.Time // of temporary credentials; zero for a permanent key
	Expires     time.Time

	SourceIP, UserAgent string
	Secure              bool // the connection is encrypted

	OnBehalf bool // the server acts for the user, who makes no call
}

// ID returns the id of the calling user, which no other user ever has; "" for root.
func (c Caller) ID() string {
	if c.User == Root {
		return ""
	}
	return c.UserID
}

// Key is what signs for a caller.
type Key struct {
	Secret  string
	Token   string    // "" for a permanent key
	Expires time.Time // of temporary credentials; zero for a permanent key
}

// Caller returns who owns an access key, and the key; ok is false when there is
// no such key or it may not be used. Only a refusal waits for the disk: what the key
// allows does so itself.
func (g *Gateway) Caller(ctx context.Context, keyID string) (c Caller, k Key, ok bool, err error) {
	ctx, settle := g.cfg.Store.DeferSync(ctx)
	defer func() {
		if err == nil && !ok {
			err = settle()
		}
	}()
	err = g.cfg.Store.View(ctx, func(tx *store.Tx) error {
		found, err := tx.Credentials(keyID)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		secret, err := g.secret(found)
		if err != nil {
			return err
		}
		ok = true
		k = Key{Secret: secret, Token: found.Token, Expires: found.ExpiresAt}
		c = Caller{User: found.User, KeyID: found.ID, Account: g.cfg.Account, Expires: found.ExpiresAt}
		if found.Token != "" {
			c.Issued = found.CreatedAt
		}
		c.ARN, c.UserID = rootARN(g.cfg.Account), g.cfg.Account
		if found.User != Root {
			c.ARN, c.UserID = UserARN(g.cfg.Account, found.Path, found.User), found.UserID
		}
		return nil
	})
	return c, k, ok, err
}

// secret returns the plain secret of credentials.
func (g *Gateway) secret(c store.Credentials) (string, error) {
	if g.cfg.Unseal == nil {
		return c.Secret, nil
	}
	secret, err := g.cfg.Unseal(c.ID, c.Secret)
	if err != nil {
		return "", fmt.Errorf("unseal access key %s: %w", c.ID, err)
	}
	return secret, nil
}

// OnBehalf returns the caller that the server is where it acts for a user who makes no
// call, such as in a deployment; root for the id "". Policies see aws:ViaAWSService, and
// no key of a connection. store.ErrNotFound if no user has the id.
func OnBehalf(tx *store.Tx, account, userID string) (Caller, error) {
	if userID == "" {
		return Caller{User: Root, ARN: rootARN(account), UserID: account, Account: account, OnBehalf: true}, nil
	}
	u, err := tx.UserByID(userID)
	if err != nil {
		return Caller{}, err
	}
	return Caller{User: u.Name, ARN: UserARN(account, u.Path, u.Name), UserID: u.ID, Account: account, Secure: true, OnBehalf: true}, nil
}

func rootARN(account string) string { return "arn:aws:iam::" + account + ":root" }

// UserARN returns the ARN of a user.
func UserARN(account, path, name string) string {
	return "arn:aws:iam::" + account + ":user" + path + name
}
