package secretsmanager

import (
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/gateway/tags"
	"github.com/openslipway/slipway/internal/policy"
	"github.com/openslipway/slipway/internal/store"
)

// on returns the permission required by an operation on the secret of a SecretId.
func on[I any](m *Manager, id func(*I) *string) gateway.Permissions[I] {
	return func(tx *store.Tx, in *I) ([]gateway.Permission, error) {
		arn, err := m.resource(tx, aws.ToString(id(in)))
		return []gateway.Permission{{Resource: arn}}, err
	}
}

// tagKeys are the condition keys of a call that sets tags.
func tagKeys(in []types.Tag) policy.Context { return tags.Set(tagsOf(in)) }

// resource returns the ARN of a secret. An unknown secret has the ARN without the
// random suffix, so that a denial does not reveal whether the secret exists.
func (m *Manager) resource(tx *store.Tx, id string) (string, error) {
	s, err := m.vault.Secret(tx, id)
	if errors.Is(err, store.ErrNotFound) {
		return m.vault.SecretARN(id, ""), nil
	}
	return s.ARN, err
}

// createSecretPermissions are the permissions required by CreateSecret, which may
// set tags.
func (m *Manager) createSecretPermissions(_ *store.Tx, in *sdk.CreateSecretInput) ([]gateway.Permission, error) {
	c := tagKeys(in.Tags)
	c.Set("secretsmanager:Name", aws.ToString(in.Name))
	p := gateway.Permission{Resource: m.vault.SecretARN(aws.ToString(in.Name), ""), Context: c}
	return p.WithTagging("secretsmanager:TagResource", len(in.Tags) > 0), nil
}

// batchPermissions are the permissions required by BatchGetSecretValue: to read
// each of its secrets. With filters these may be any.
func (m *Manager) batchPermissions(tx *store.Tx, in *sdk.BatchGetSecretValueInput) ([]gateway.Permission, error) {
	const read = "secretsmanager:GetSecretValue"
	required := []gateway.Permission{{Resource: "*"}}
	if len(in.Filters) > 0 {
		required = append(required, gateway.Permission{Action: read, Resource: m.vault.SecretARN("*", "")})
	}
	for _, id := range in.SecretIdList {
		arn, err := m.resource(tx, id)
		if err != nil {
			return nil, err
		}
		required = append(required, gateway.Permission{Action: read, Resource: arn})
	}
	return required, nil
}
