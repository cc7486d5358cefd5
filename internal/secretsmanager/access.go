package secretsmanager

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/gateway/tags"
	"github.com/openslipway/slipway/internal/policy"
	"github.com/openslipway/slipway/internal/secrets"
	"github.com/openslipway/slipway/internal/store"
)

// on returns the permission required by an operation on the secret of a SecretId.
func on[I any](m *Manager, id func(*I) *string) gateway.Permissions[I] {
	return func(tx *store.Tx, in *I) ([]gateway.Permission, error) {
		arn, err := m.vault.Resource(tx, aws.ToString(id(in)))
		return []gateway.Permission{{Resource: arn, Named: aws.ToString(id(in))}}, err
	}
}

// tagKeys are the condition keys of a call that sets tags.
func tagKeys(in []types.Tag) policy.Context { return tags.Set(tagsOf(in)) }

// createSecretPermissions are the permissions required by CreateSecret, which may
// set tags.
func (m *Manager) createSecretPermissions(_ *store.Tx, in *sdk.CreateSecretInput) ([]gateway.Permission, error) {
	c := tagKeys(in.Tags)
	c.Set("secretsmanager:Name", aws.ToString(in.Name))
	p := gateway.Permission{Resource: m.vault.SecretARN(aws.ToString(in.Name), ""), Context: c}
	return p.WithTagging("secretsmanager:TagResource", len(in.Tags) > 0), nil
}

// listSecrets is an action that calls with other names require.
const listSecrets = "secretsmanager:ListSecrets"

// batchPermissions are the permissions required by BatchGetSecretValue: to read each of
// its secrets. With filters it requires to list; the call decides about each secret that
// passes them.
func (m *Manager) batchPermissions(tx *store.Tx, in *sdk.BatchGetSecretValueInput) ([]gateway.Permission, error) {
	required := []gateway.Permission{{Resource: "*"}}
	if len(in.Filters) > 0 {
		required = append(required, gateway.Permission{Action: listSecrets, Resource: "*"})
	}
	for _, id := range in.SecretIdList {
		arn, err := m.vault.Resource(tx, id)
		if err != nil {
			return nil, err
		}
		required = append(required, gateway.Permission{Action: secrets.ReadSecret, Resource: arn, Named: id})
	}
	return required, nil
}
