package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/openslipway/slipway/internal/policy"
	"github.com/openslipway/slipway/internal/sigv4"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/wire"
)

// Root is the user who may do everything and to whom no policy applies.
const Root = "root"

// Self, as the resource of a [Permission], stands for the ARN of the caller.
const Self = "self"

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
}

// From returns the caller as the sender of a request. The endpoint stands behind
// no proxy whose word about addresses it would take.
func (c Caller) From(r *http.Request) Caller {
	c.SourceIP = ""
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		c.SourceIP = host
	}
	c.UserAgent, c.Secure = r.UserAgent(), r.TLS != nil
	return c
}

// Permission is what a call requires: that the caller may do an action on a resource.
type Permission struct {
	Action   string         // "apprunner:DeleteService"; "" for the operation's own
	Resource string         // an ARN, [Self], or "*" where the action knows no resource
	Context  policy.Context // condition keys of the call, beside the global ones

	// DenyOnly is for a resource that the call refers to: it needs no permission
	// of its own, but an explicit denial holds.
	DenyOnly bool
}

// WithTagging returns the permission for making a resource and, if that sets tags, also
// the permission for the action that tags what exists: on the same resource, with the
// same condition keys.
func (n Permission) WithTagging(action string, tagged bool) []Permission {
	if !tagged {
		return []Permission{n}
	}
	tagging := n
	tagging.Action = action
	return []Permission{n, tagging}
}

// RequiredPermissions returns the permissions that a call requires, from its input. The input is
// decoded and not yet checked against the model's constraints, so any member
// may be missing. An error is as a handler's.
type RequiredPermissions func(tx *store.Tx, in any) ([]Permission, error)

// PermissionsOf makes RequiredPermissions of a function for one type of input.
func PermissionsOf[I any](f func(tx *store.Tx, in *I) ([]Permission, error)) RequiredPermissions {
	return func(tx *store.Tx, in any) ([]Permission, error) {
		typed, ok := in.(*I)
		if !ok {
			return nil, fmt.Errorf("the permissions of a call with %T are asked for with %T", new(I), in)
		}
		return f(tx, typed)
	}
}

// PermissionsWith adds to permissions the condition keys that a function says of one type of
// input.
func PermissionsWith[I any](n RequiredPermissions, of func(in *I) policy.Context) RequiredPermissions {
	return PermissionsOf(func(tx *store.Tx, in *I) ([]Permission, error) {
		list, err := n(tx, in)
		for i := range list {
			list[i].Context = of(in)
		}
		return list, err
	})
}

// NoPermission are the permissions required by what every caller may do.
func NoPermission(*store.Tx, any) ([]Permission, error) { return nil, nil }

// OwnAction are the permissions required by an operation that acts on no resource of its
// own: its action on "*".
func OwnAction(*store.Tx, any) ([]Permission, error) { return []Permission{{Resource: "*"}}, nil }

// Policies returns the identity-based policies of a user.
type Policies func(tx *store.Tx, user string) ([]policy.Policy, error)

// Caller returns who owns an access key, with what signs for them; ok is false
// when there is no such key or it may not be used.
func (g *Gateway) Caller(ctx context.Context, keyID string) (c Caller, k sigv4.Key, ok bool, err error) {
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
		k = sigv4.Key{Secret: secret, Token: found.Token, Expires: found.ExpiresAt}
		c = Caller{User: found.User, KeyID: found.ID, Account: g.cfg.Account, Expires: found.ExpiresAt}
		if found.Token != "" {
			c.Issued = found.CreatedAt
		}
		c.ARN, c.UserID = "arn:aws:iam::"+g.cfg.Account+":root", g.cfg.Account
		if found.User != Root {
			c.ARN, c.UserID = UserARN(g.cfg.Account, found.Path, found.User), found.UserID
		}
		return nil
	})
	return c, k, ok, err
}

// secret returns the secret of credentials as it signs.
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

// UserARN returns the ARN of a user.
func UserARN(account, path, name string) string {
	return "arn:aws:iam::" + account + ":user" + path + name
}

// Permit returns nil if the caller has all permissions, and otherwise an
// AccessDeniedException that names the first one missing.
func (g *Gateway) Permit(ctx context.Context, c Caller, required ...Permission) error {
	if c.User == Root {
		return nil
	}
	return g.cfg.Store.View(ctx, func(tx *store.Tx) error { return g.permit(tx, c, required) })
}

func (g *Gateway) permit(tx *store.Tx, c Caller, required []Permission) error {
	if len(required) == 0 {
		return nil
	}
	var policies []policy.Policy
	if g.cfg.Policies != nil {
		var err error
		if policies, err = g.cfg.Policies(tx, c.User); err != nil {
			return err
		}
	}
	global := g.globalKeys(c)
	tags, err := tx.Tags(c.ARN)
	if err != nil {
		return err
	}
	for _, t := range tags {
		global.Add("aws:PrincipalTag/"+t.Key, t.Value)
	}
	for _, n := range required {
		keys := global.With(n.Context)
		if err := addResource(tx, keys, n.Resource); err != nil {
			return err
		}
		d := policy.Decide(policy.Request{Action: n.Action, Resource: n.Resource, Context: keys}, policies)
		if d.Effect == policy.Deny || !d.Allowed() && !n.DenyOnly {
			return denied(c, n, d)
		}
	}
	return nil
}

// denied words a refusal as IAM does.
func denied(c Caller, n Permission, d policy.Decision) error {
	why := fmt.Sprintf("because no identity-based policy allows the %s action", n.Action)
	if d.Effect == policy.Deny {
		why = "with an explicit deny in an identity-based policy"
	}
	return wire.NewException("AccessDeniedException",
		fmt.Sprintf("User: %s is not authorized to perform: %s on resource: %s %s", c.ARN, n.Action, n.Resource, why))
}

// globalKeys returns the condition keys that every request has.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
func (g *Gateway) globalKeys(c Caller) policy.Context {
	now := g.cfg.Now().UTC()
	k := policy.NewContext()
	k.Set("aws:CurrentTime", now.Format(time.RFC3339))
	k.Set("aws:EpochTime", strconv.FormatInt(now.Unix(), 10))
	k.Set("aws:PrincipalAccount", c.Account)
	k.Set("aws:PrincipalArn", c.ARN)
	k.Set("aws:PrincipalIsAWSService", "false")
	k.Set("aws:PrincipalType", "User")
	k.Set("aws:RequestedRegion", g.cfg.Region)
	k.Set("aws:SecureTransport", strconv.FormatBool(c.Secure))
	k.Set("aws:userid", c.UserID)
	k.Set("aws:username", c.User)
	k.Set("aws:ViaAWSService", "false")
	if c.SourceIP != "" {
		k.Set("aws:SourceIp", c.SourceIP)
	}
	if c.UserAgent != "" {
		k.Set("aws:UserAgent", c.UserAgent)
	}
	if !c.Issued.IsZero() {
		k.Set("aws:TokenIssueTime", c.Issued.UTC().Format(time.RFC3339))
		k.Set("aws:MultiFactorAuthPresent", "false")
	}
	return k
}

// addResource adds the keys that tell of a resource.
func addResource(tx *store.Tx, k policy.Context, arn string) error {
	if f := strings.SplitN(arn, ":", 6); len(f) == 6 && f[4] != "" {
		k.Set("aws:ResourceAccount", f[4])
	}
	tags, err := tx.Tags(arn)
	for _, t := range tags {
		k.Add("aws:ResourceTag/"+t.Key, t.Value)
	}
	return err
}
