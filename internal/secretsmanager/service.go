// Package secretsmanager answers the operations of AWS Secrets Manager that
// programs and Terraform use, over the secrets of internal/secrets.
// RuntimeEnvironmentSecrets of services refer to these secrets.
//
// It does not rotate secrets (RotateSecret), replicate them to other regions or
// use KMS keys: it stores the name of a key, and internal/seal encrypts all
// values. No log and no error holds a value.
//
// https://docs.aws.amazon.com/secretsmanager/latest/apireference/
package secretsmanager

import (
	"errors"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/gateway/tags"
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

	// Trusted reports whether the clock may be trusted with the deletion of secrets whose
	// recovery window is over; nil: always.
	Trusted func() bool
}

// Manager holds Secrets Manager's operations.
type Manager struct {
	cfg   Config
	vault *secrets.Vault
}

// New checks cfg and returns the operations.
func New(cfg Config) (*Manager, error) {
	if cfg.Store == nil || cfg.Vault == nil {
		return nil, errors.New("secretsmanager: store and vault are required")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Manager{cfg, cfg.Vault}, nil
}

// Service returns the operations for the gateway.
func (m *Manager) Service() gateway.Service {
	return gateway.Service{
		Name:     "secretsmanager",
		Internal: "InternalServiceError",
		Redact:   []string{"SecretString", "SecretBinary"},
		Protocol: gateway.Protocol{ContentType: "application/x-amz-json-1.1", Targets: []string{"secretsmanager."}},
		Operations: []gateway.Operation{
			gateway.Mutate("CreateSecret", m.createSecret, m.createSecretPermissions),
			gateway.Read("DescribeSecret", m.describeSecret, on(m, func(in *sdk.DescribeSecretInput) *string { return in.SecretId })),
			gateway.Read("ListSecrets", m.listSecrets, gateway.AnyResource),
			gateway.Mutate("UpdateSecret", m.updateSecret, on(m, func(in *sdk.UpdateSecretInput) *string { return in.SecretId })),
			gateway.Mutate("DeleteSecret", m.deleteSecret, on(m, func(in *sdk.DeleteSecretInput) *string { return in.SecretId })),
			gateway.Mutate("RestoreSecret", m.restoreSecret, on(m, func(in *sdk.RestoreSecretInput) *string { return in.SecretId })),

			gateway.Mutate("PutSecretValue", m.putSecretValue, on(m, func(in *sdk.PutSecretValueInput) *string { return in.SecretId })),
			gateway.Read("GetSecretValue", m.getSecretValue, on(m, func(in *sdk.GetSecretValueInput) *string { return in.SecretId })).Revealing(),
			gateway.Read("BatchGetSecretValue", m.batchGetSecretValue, m.batchPermissions).Revealing(),
			gateway.Read("ListSecretVersionIds", m.listSecretVersionIDs, on(m, func(in *sdk.ListSecretVersionIdsInput) *string { return in.SecretId })),
			gateway.Mutate("UpdateSecretVersionStage", m.updateSecretVersionStage, on(m, func(in *sdk.UpdateSecretVersionStageInput) *string { return in.SecretId })),
			gateway.Read("GetRandomPassword", m.getRandomPassword, gateway.AnyResource),

			gateway.Mutate("TagResource", m.tagResource, on(m, func(in *sdk.TagResourceInput) *string { return in.SecretId }).With(func(in *sdk.TagResourceInput) policy.Context { return tagKeys(in.Tags) })),
			gateway.Mutate("UntagResource", m.untagResource, on(m, func(in *sdk.UntagResourceInput) *string { return in.SecretId }).With(func(in *sdk.UntagResourceInput) policy.Context { return tags.Removed(in.TagKeys) })),
			gateway.Read("GetResourcePolicy", m.getResourcePolicy, on(m, func(in *sdk.GetResourcePolicyInput) *string { return in.SecretId })),
			gateway.Mutate("PutResourcePolicy", m.putResourcePolicy, on(m, func(in *sdk.PutResourcePolicyInput) *string { return in.SecretId })),
			gateway.Mutate("DeleteResourcePolicy", m.deleteResourcePolicy, on(m, func(in *sdk.DeleteResourcePolicyInput) *string { return in.SecretId })),
		},
	}
}

// now returns the time for records, in the milliseconds of the wire format.
func (m *Manager) now() time.Time { return m.cfg.Now().UTC().Truncate(time.Millisecond) }

// Exceptions in the words of Secrets Manager.
var (
	errNoSecret = wire.NewException("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
	errDeleted  = wire.NewException("InvalidRequestException",
		"You can't perform this operation on the secret because it was marked for deletion.")
)

func invalidParameter(text string) error { return wire.NewException("InvalidParameterException", text) }

func invalidRequest(text string) error { return wire.NewException("InvalidRequestException", text) }

func required(member string) error {
	return wire.NewException("ValidationException",
		"1 validation error detected: Value null at '"+member+"' failed to satisfy constraint: Member must not be null")
}

// find returns the secret of a SecretId, including one that is scheduled for
// deletion.
func (m *Manager) find(tx *store.Tx, id *string) (slipway.Secret, error) {
	if id == nil {
		return slipway.Secret{}, required("secretId")
	}
	if n := len(*id); n == 0 || n > 2048 {
		return slipway.Secret{}, wire.NewException("ValidationException",
			"1 validation error detected: Value at 'secretId' failed to satisfy constraint: Member must have length between 1 and 2048")
	}
	s, err := m.vault.Secret(tx, *id)
	if errors.Is(err, store.ErrNotFound) || err == nil && !s.PurgeAt.IsZero() && !m.cfg.Now().Before(s.PurgeAt) {
		return s, errNoSecret
	}
	return s, err
}

// findLiving returns the secret of a SecretId unless it is scheduled for
// deletion.
func (m *Manager) findLiving(tx *store.Tx, id *string) (slipway.Secret, error) {
	s, err := m.find(tx, id)
	if err == nil && !s.DeletedAt.IsZero() {
		err = errDeleted
	}
	return s, err
}
