package gateway

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/openslipway/slipway/internal/policy"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/wire"
)

// Self, as the resource of a [Permission], stands for the ARN of the caller.
const Self = "self"

// Permission is what a call requires: that the caller may do an action on a
// resource.
type Permission struct {
	Action   string         // "apprunner:DeleteService"; "" for the operation's own
	Resource string         // an ARN, [Self], or "*" for an action without a resource
	Context  policy.Context // condition keys of the call, beside the global ones

	// Named is the resource as the call names it, if that tells less than Resource. A
	// refusal repeats it: who may not use a thing does not learn whether it exists.
	Named string

	// DenyOnly is for a resource that the call refers to: the call requires no
	// Allow for it, but a Deny refuses the call.
	DenyOnly bool
}

// WithTagging returns the permission to create a resource and, if the call sets
// tags, the permission to tag: on the same resource, with the same condition
// keys.
func (p Permission) WithTagging(action string, tagged bool) []Permission {
	if !tagged {
		return []Permission{p}
	}
	tagging := p
	tagging.Action = action
	return []Permission{p, tagging}
}

// Permissions returns the permissions that a call requires, from its input. The
// input is decoded and not yet checked against the model's constraints, so any
// member may be missing. An error is one of [Handler]'s kinds.
type Permissions[I any] func(tx *store.Tx, in *I) ([]Permission, error)

// With returns permissions that also carry the condition keys that keys returns.
func (p Permissions[I]) With(keys func(in *I) policy.Context) Permissions[I] {
	return func(tx *store.Tx, in *I) ([]Permission, error) {
		list, err := p(tx, in)
		for i := range list {
			list[i].Context = keys(in)
		}
		return list, err
	}
}

// NoPermission is for an operation that every caller may invoke.
func NoPermission[I any](*store.Tx, *I) ([]Permission, error) { return nil, nil }

// AnyResource is for an operation that is not about one resource: it requires its
// action on "*".
func AnyResource[I any](*store.Tx, *I) ([]Permission, error) {
	return []Permission{{Resource: "*"}}, nil
}

// Policies returns the identity-based policies of a user.
type Policies func(tx *store.Tx, user string) ([]policy.Policy, error)

// Permit returns nil if the caller has all permissions, and otherwise an
// AccessDeniedException that names the first one missing.
func (g *Gateway) Permit(ctx context.Context, c Caller, required ...Permission) error {
	if c.User == Root {
		return nil
	}
	return g.cfg.Store.View(ctx, func(tx *store.Tx) error { return g.authorizer.Permit(tx, c, required...) })
}

// Authorizer decides what users may do. Nothing else does.
type Authorizer struct {
	Region   string // aws:RequestedRegion in policies
	Policies Policies
	Now      func() time.Time
}

// Permit returns nil if the caller has all permissions, and otherwise an
// AccessDeniedException that names the first one missing.
func (z *Authorizer) Permit(tx *store.Tx, c Caller, required ...Permission) error {
	if len(required) == 0 || c.User == Root {
		return nil
	}
	r, err := z.rights(tx, c)
	if err != nil {
		return err
	}
	return r.permit(tx, required)
}

// rights are what decides about a caller, as read from the store.
type rights struct {
	caller   Caller
	policies []policy.Policy
	keys     policy.Context // of every request
}

func (z *Authorizer) rights(tx *store.Tx, c Caller) (*rights, error) {
	r := &rights{caller: c, keys: z.globalKeys(c)}
	if z.Policies != nil {
		var err error
		if r.policies, err = z.Policies(tx, c.User); err != nil {
			return nil, err
		}
	}
	tags, err := tx.Tags(c.ARN)
	for _, t := range tags {
		r.keys.Add("aws:PrincipalTag/"+t.Key, t.Value)
	}
	return r, err
}

func (r *rights) permit(tx *store.Tx, required []Permission) error {
	for _, n := range required {
		keys := r.keys.With(n.Context)
		if err := addResource(tx, keys, n.Resource); err != nil {
			return err
		}
		d := policy.Decide(policy.Request{Action: n.Action, Resource: n.Resource, Context: keys}, r.policies)
		if d.Effect == policy.Deny || !d.Allowed() && !n.DenyOnly {
			return denied(r.caller, n, d)
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
		fmt.Sprintf("User: %s is not authorized to perform: %s on resource: %s %s", c.ARN, n.Action, cmp.Or(n.Named, n.Resource), why))
}

// globalKeys returns the condition keys that every request has.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
func (z *Authorizer) globalKeys(c Caller) policy.Context {
	now := z.Now().UTC()
	k := policy.NewContext()
	k.Set("aws:CurrentTime", now.Format(time.RFC3339))
	k.Set("aws:EpochTime", strconv.FormatInt(now.Unix(), 10))
	k.Set("aws:PrincipalAccount", c.Account)
	k.Set("aws:PrincipalArn", c.ARN)
	k.Set("aws:PrincipalIsAWSService", "false")
	k.Set("aws:PrincipalType", "User")
	k.Set("aws:RequestedRegion", z.Region)
	k.Set("aws:SecureTransport", strconv.FormatBool(c.Secure))
	k.Set("aws:userid", c.UserID)
	k.Set("aws:username", c.User)
	k.Set("aws:ViaAWSService", strconv.FormatBool(c.OnBehalf))
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
