package ecr

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/openslipway/slipway/internal/gateway"
)

// TokenUser is the user name whose password is a token.
const TokenUser = "AWS"

// tokenLife is how long a token is valid, as in ECR.
const tokenLife = 12 * time.Hour

// Tokens makes and checks the passwords that GetAuthorizationToken returns. The
// server stores none: a token names the access key that requested it and its
// expiry, and is authenticated with the key's secret. So it expires with the key.
type Tokens struct {
	// Caller returns the owner of an access key, and the key.
	Caller func(ctx context.Context, keyID string) (gateway.Caller, gateway.Key, bool, error)

	Now func() time.Time // time.Now when nil
}

func (t *Tokens) now() time.Time {
	if t.Now == nil {
		return time.Now()
	}
	return t.Now()
}

// Issue makes a token for an access key. It expires no later than temporary
// credentials do.
func (t *Tokens) Issue(ctx context.Context, keyID string) (token string, expires time.Time, err error) {
	_, key, ok, err := t.Caller(ctx, keyID)
	if err != nil || !ok {
		return "", time.Time{}, errors.Join(err, errors.New("the access key that signed the call is gone"))
	}
	expires = t.now().Add(tokenLife)
	if !key.Expires.IsZero() && key.Expires.Before(expires) {
		expires = key.Expires
	}
	text := keyID + "." + strconv.FormatInt(expires.Unix(), 10)
	return text + "." + authenticate(text, key), time.Unix(expires.Unix(), 0).UTC(), nil
}

// Check returns the caller that a token belongs to. ok is false if the token is
// not ours or has expired, or if its key may no longer be used.
func (t *Tokens) Check(ctx context.Context, token string) (c gateway.Caller, ok bool, err error) {
	text, mac, cut := cutLast(token, ".")
	keyID, end, cut2 := cutLast(text, ".")
	if !cut || !cut2 {
		return c, false, nil
	}
	unix, err := strconv.ParseInt(end, 10, 64)
	if err != nil || t.now().Unix() >= unix {
		return c, false, nil
	}
	c, key, ok, err := t.Caller(ctx, keyID)
	if err != nil || !ok {
		return gateway.Caller{}, false, err
	}
	if !hmac.Equal([]byte(mac), []byte(authenticate(text, key))) {
		return gateway.Caller{}, false, nil
	}
	return c, true, nil
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// authenticate returns the last part of a token. The prefix separates this use of
// the key from signatures.
func authenticate(text string, key gateway.Key) string {
	mac := hmac.New(sha256.New, []byte("ecr authorization token "+key.Secret))
	mac.Write([]byte(text))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

type getAuthorizationTokenInput struct {
	RegistryIDs []string `json:"registryIds"` // deprecated: there is one registry
}

type getAuthorizationTokenOutput struct {
	Data []authorizationData `json:"authorizationData"`
}

type authorizationData struct {
	Token    string    `json:"authorizationToken"` // base64 of user:password
	Expires  time.Time `json:"expiresAt"`
	Endpoint string    `json:"proxyEndpoint"`
}

func (e *ECR) getAuthorizationToken(ctx context.Context, call *gateway.Call, in *getAuthorizationTokenInput) (*getAuthorizationTokenOutput, error) {
	for _, id := range in.RegistryIDs {
		if id != e.cfg.Account {
			return nil, invalid("registryIds", "%s is not this server's registry, %s", id, e.cfg.Account)
		}
	}
	token, expires, err := e.cfg.Tokens.Issue(ctx, call.Caller.KeyID)
	if err != nil {
		return nil, err
	}
	return &getAuthorizationTokenOutput{[]authorizationData{{
		Token:    base64.StdEncoding.EncodeToString([]byte(TokenUser + ":" + token)),
		Expires:  expires,
		Endpoint: e.cfg.Endpoint,
	}}}, nil
}
