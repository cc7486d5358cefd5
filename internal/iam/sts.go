package iam

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/wire"
)

// STS returns the operations of AWS STS for the gateway. As with AWS, neither
// requires a permission.
func (i *IAM) STS() gateway.Service {
	return gateway.Service{
		Name: "sts", Internal: "InternalFailure",
		Protocol: gateway.Protocol{
			ContentType: "text/xml", Version: "2011-06-15", Namespace: "https://sts.amazonaws.com/doc/2011-06-15/", Global: true,
		},
		Operations: []gateway.Operation{
			gateway.Read("GetCallerIdentity", i.getCallerIdentity, gateway.NoPermission),
			gateway.Mutate("GetSessionToken", i.getSessionToken, gateway.NoPermission).Redacting("SecretAccessKey", "SessionToken"),
		},
	}
}

func (i *IAM) getCallerIdentity(_ context.Context, call *gateway.Call, _ *sts.GetCallerIdentityInput) (*sts.GetCallerIdentityOutput, error) {
	return &sts.GetCallerIdentityOutput{Account: &call.Caller.Account, Arn: &call.Caller.ARN, UserId: &call.Caller.UserID}, nil
}

// The durations of temporary credentials.
// https://docs.aws.amazon.com/STS/latest/APIReference/API_GetSessionToken.html
const (
	minSession     = 15 * time.Minute
	maxSession     = 36 * time.Hour
	maxRootSession = time.Hour
	usualSession   = 12 * time.Hour
)

// maxSessions is how many temporary credentials of a user may be valid at once: whoever
// has a key may make them, without a permission. AWS has no such limit.
const maxSessions = 1000

// sessionKept is how long an expired session is kept, so that its caller is told
// that it expired.
const sessionKept = 24 * time.Hour

func (i *IAM) getSessionToken(ctx context.Context, call *gateway.Call, in *sts.GetSessionTokenInput) (*sts.GetSessionTokenOutput, error) {
	if !call.Caller.Issued.IsZero() {
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
	if call.Caller.User == gateway.Root {
		duration = min(duration, maxRootSession)
	}
	var token [96]byte
	rand.Read(token[:])
	now := i.now()
	s := slipway.Session{
		ID: newID("ASIA", 16), Secret: newSecret(), Token: base64.StdEncoding.EncodeToString(token[:]),
		User: call.Caller.User, CreatedAt: now, ExpiresAt: now.Add(duration),
	}
	out := &sts.GetSessionTokenOutput{Credentials: &types.Credentials{
		AccessKeyId: aws.String(s.ID), SecretAccessKey: aws.String(s.Secret), SessionToken: aws.String(s.Token), Expiration: aws.Time(s.ExpiresAt),
	}}
	s.Secret = i.cfg.Keys.Seal(s.ID, s.Secret)
	return out, call.Update(ctx, func(tx *store.Tx) error {
		n, first, err := tx.CountSessions(s.User, now)
		if err != nil {
			return err
		}
		if n >= maxSessions {
			return wire.NewException("LimitExceeded", fmt.Sprintf("You have %d temporary credentials that are valid, the most that a user may have. The first expires at %s; ask for shorter ones with DurationSeconds.",
				n, first.UTC().Format(time.RFC3339)))
		}
		if n >= maxSessions/2 { // no room for those that are kept for their message
			if err := tx.ForgetSessions(s.User, now); err != nil {
				return err
			}
		}
		return tx.InsertSession(s, now.Add(-sessionKept))
	})
}
