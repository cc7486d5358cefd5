package iam

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/wire"
)

// STS returns the operations of AWS STS for the gateway. Neither needs a
// permission, as with AWS.
func (i *IAM) STS() gateway.Service {
	m := map[string]gateway.Operation{}
	add(m, "GetCallerIdentity", false, gateway.NoPermission, i.getCallerIdentity)
	add(m, "GetSessionToken", true, gateway.NoPermission, i.getSessionToken)
	m["GetSessionToken"] = m["GetSessionToken"].Redacting("SecretAccessKey", "SessionToken")
	return gateway.Service{
		SigningName: "sts", ContentType: "text/xml", Internal: "InternalFailure",
		Version: "2011-06-15", Namespace: "https://sts.amazonaws.com/doc/2011-06-15/", Global: true,
		Operations: m,
	}
}

func (i *IAM) getCallerIdentity(_ context.Context, c gateway.Caller, _ *sts.GetCallerIdentityInput) (*sts.GetCallerIdentityOutput, error) {
	return &sts.GetCallerIdentityOutput{Account: &c.Account, Arn: &c.ARN, UserId: &c.UserID}, nil
}

// The durations of temporary credentials.
// https://docs.aws.amazon.com/STS/latest/APIReference/API_GetSessionToken.html
const (
	minSession     = 15 * time.Minute
	maxSession     = 36 * time.Hour
	maxRootSession = time.Hour
	usualSession   = 12 * time.Hour
)

// sessionKept is how long after its end a session is still told apart from one
// that never was.
const sessionKept = 24 * time.Hour

func (i *IAM) getSessionToken(ctx context.Context, c gateway.Caller, in *sts.GetSessionTokenInput) (*sts.GetSessionTokenOutput, error) {
	if !c.Issued.IsZero() {
		return nil, wire.NewException("AccessDenied", "Cannot call GetSessionToken with session credentials")
	}
	if in.SerialNumber != nil || in.TokenCode != nil {
		return nil, wire.NewException("AccessDenied", "MultiFactorAuthentication failed, there are no MFA devices here.")
	}
	duration := usualSession
	if d := in.DurationSeconds; d != nil {
		duration = time.Duration(*d) * time.Second
	}
	if duration < minSession || duration > maxSession {
		return nil, invalid("1 validation error detected: Value '%d' at 'durationSeconds' failed to satisfy constraint: Member must have value between %d and %d",
			int(duration.Seconds()), int(minSession.Seconds()), int(maxSession.Seconds()))
	}
	if c.User == gateway.Root {
		duration = min(duration, maxRootSession)
	}
	var token [96]byte
	rand.Read(token[:])
	now := i.now()
	s := slipway.Session{
		ID: newID("ASIA", 16), Secret: newSecret(), Token: base64.StdEncoding.EncodeToString(token[:]),
		User: c.User, CreatedAt: now, ExpiresAt: now.Add(duration),
	}
	out := &sts.GetSessionTokenOutput{Credentials: &types.Credentials{
		AccessKeyId: aws.String(s.ID), SecretAccessKey: aws.String(s.Secret), SessionToken: aws.String(s.Token), Expiration: aws.Time(s.ExpiresAt),
	}}
	s.Secret = i.cfg.Keys.Seal(s.ID, s.Secret)
	return out, i.cfg.Store.Update(ctx, func(tx *store.Tx) error { return tx.InsertSession(s, now.Add(-sessionKept)) })
}
