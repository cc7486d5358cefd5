// Package ssm answers the operations of AWS Systems Manager's Parameter Store
// that programs and Terraform use to keep parameters, over the parameters of
// internal/secrets. RuntimeEnvironmentSecrets of services name these parameters.
//
// It implements nothing else of Systems Manager, and of Parameter Store neither
// labels, policies (expiration) nor sharing. It does not use KMS keys: it stores
// the name of a key, and internal/seal encrypts values of all types. No log and no
// error holds a value.
//
// https://docs.aws.amazon.com/systems-manager/latest/APIReference/
package ssm

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/gateway/tags"
	"github.com/openslipway/slipway/internal/page"
	"github.com/openslipway/slipway/internal/policy"
	"github.com/openslipway/slipway/internal/secrets"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/wire"
)

// Config configures the operations.
type Config struct {
	Store *store.Store
	Vault *secrets.Vault
	Now   func() time.Time // time.Now when nil
}

// Parameters holds Parameter Store's operations.
type Parameters struct {
	cfg   Config
	vault *secrets.Vault
}

// New checks cfg and returns the operations.
func New(cfg Config) (*Parameters, error) {
	if cfg.Store == nil || cfg.Vault == nil {
		return nil, errors.New("ssm: store and vault are required")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Parameters{cfg, cfg.Vault}, nil
}

// Service returns the operations for the gateway.
func (p *Parameters) Service() gateway.Service {
	return gateway.Service{
		Name:     "ssm",
		Internal: "InternalServerError",
		Redact:   []string{"Value"},
		Protocol: gateway.Protocol{ContentType: "application/x-amz-json-1.1", Targets: []string{"AmazonSSM."}},
		Operations: []gateway.Operation{
			gateway.Mutate("PutParameter", p.putParameter, p.putParameterPermissions),
			gateway.Read("GetParameter", p.getParameter, on(p, func(in *sdk.GetParameterInput) []string { return only(in.Name) })).Revealing(),
			gateway.Read("GetParameters", p.getParameters, on(p, func(in *sdk.GetParametersInput) []string { return in.Names })).Revealing(),
			gateway.Read("GetParametersByPath", p.getParametersByPath, on(p, func(in *sdk.GetParametersByPathInput) []string {
				return []string{strings.TrimSuffix(aws.ToString(in.Path), "/") + "/"}
			})).Revealing(),
			gateway.Read("GetParameterHistory", p.getParameterHistory, on(p, func(in *sdk.GetParameterHistoryInput) []string { return only(in.Name) })).Revealing(),
			gateway.Read("DescribeParameters", p.describeParameters, gateway.AnyResource),
			gateway.Mutate("DeleteParameter", p.deleteParameter, on(p, func(in *sdk.DeleteParameterInput) []string { return only(in.Name) })),
			gateway.Mutate("DeleteParameters", p.deleteParameters, on(p, func(in *sdk.DeleteParametersInput) []string { return in.Names })),

			gateway.Mutate("AddTagsToResource", p.addTags, on(p, func(in *sdk.AddTagsToResourceInput) []string { return only(in.ResourceId) }).With(func(in *sdk.AddTagsToResourceInput) policy.Context { return tagKeys(in.Tags) })),
			gateway.Mutate("RemoveTagsFromResource", p.removeTags, on(p, func(in *sdk.RemoveTagsFromResourceInput) []string { return only(in.ResourceId) }).With(func(in *sdk.RemoveTagsFromResourceInput) policy.Context { return tags.Removed(in.TagKeys) })),
			gateway.Read("ListTagsForResource", p.listTags, on(p, func(in *sdk.ListTagsForResourceInput) []string { return only(in.ResourceId) })),
		},
	}
}

// now returns the time for records, in the milliseconds of the wire format.
func (p *Parameters) now() time.Time { return p.cfg.Now().UTC().Truncate(time.Millisecond) }

func invalid(format string, args ...any) error {
	return wire.NewException("ValidationException", fmt.Sprintf(format, args...))
}

func required(member string) error {
	return invalid("1 validation error detected: Value null at '%s' failed to satisfy constraint: Member must not be null", member)
}

// AWS's ParameterNotFound has no message either.
var errNoParameter = wire.NewException("ParameterNotFound", "")

// find returns the version of a parameter that a selector names: a name or an ARN,
// with or without a version.
func (p *Parameters) find(tx *store.Tx, selector *string) (slipway.Parameter, error) {
	if selector == nil {
		return slipway.Parameter{}, required("name")
	}
	v, err := p.vault.Parameter(tx, *selector)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return v, errNoParameter
	case errors.Is(err, secrets.ErrNoVersion):
		name, version, _ := secrets.CutVersion(*selector)
		return v, wire.NewException("ParameterVersionNotFound", fmt.Sprintf(
			"Systems Manager could not find version %s of %s. Verify the version and try again.", version, name))
	}
	if twins, ok := errors.AsType[*secrets.TwinsError](err); ok {
		return v, invalid("%v.", twins)
	}
	return v, err
}

// findWhole is find for calls about a parameter with all its versions: a selector with
// a version is refused, since one version is meant by it.
func (p *Parameters) findWhole(tx *store.Tx, selector *string) (slipway.Parameter, error) {
	if base, version, ok := secrets.CutVersion(aws.ToString(selector)); ok {
		return slipway.Parameter{}, invalid("%q names version %q of the parameter %q, and the call is about all versions: leave out the colon and what follows it.", *selector, version, base)
	}
	return p.find(tx, selector)
}

// paging returns the pages of a list, which have at most `most` entries, and the key
// that the token names.
func paging(requested *int32, most int32, token *string, operation string, parameters ...string) (pages page.Pager, after string, err error) {
	if requested == nil {
		requested = &most
	}
	if *requested < 1 || *requested > most {
		return pages, "", invalid("1 validation error detected: Value '%d' at 'maxResults' failed to satisfy constraint: Member must have value between 1 and %d", *requested, most)
	}
	pages = page.New(requested, operation, parameters...)
	key, err := pages.After(token, 1)
	if err != nil {
		return pages, "", wire.NewException("InvalidNextToken", "The specified token isn't valid.")
	}
	return pages, key[0], nil
}
