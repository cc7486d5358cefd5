package ssm

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/gateway/tags"
	"github.com/openslipway/slipway/internal/policy"
	"github.com/openslipway/slipway/internal/secrets"
	"github.com/openslipway/slipway/internal/store"
)

// on returns the permissions required by an operation on parameters, which the
// input gives by name or ARN, with or without a version.
func on[I any](p *Parameters, of func(*I) []string) gateway.Permissions[I] {
	return func(_ *store.Tx, in *I) ([]gateway.Permission, error) {
		var required []gateway.Permission
		for _, selector := range of(in) {
			required = append(required, gateway.Permission{Resource: p.resource(selector)})
		}
		if required == nil {
			return gateway.AnyResource(nil, in)
		}
		return required, nil
	}
}

// resource returns the ARN of the parameter that a selector names: a name or an
// ARN, with or without a version.
func (p *Parameters) resource(selector string) string {
	base, _, _ := secrets.CutVersion(selector)
	return p.vault.ParameterARN(base)
}

// putParameterPermissions returns the permissions required by PutParameter, which
// may set tags.
func (p *Parameters) putParameterPermissions(_ *store.Tx, in *sdk.PutParameterInput) ([]gateway.Permission, error) {
	n := gateway.Permission{Resource: p.resource(aws.ToString(in.Name)), Context: tagKeys(in.Tags)}
	return n.WithTagging("ssm:AddTagsToResource", len(in.Tags) > 0), nil
}

func only(id *string) []string { return []string{aws.ToString(id)} }

// tagKeys are the condition keys of a call that sets tags.
func tagKeys(in []types.Tag) policy.Context { return tags.Set(tagsOf(in)) }
