package secretsmanager

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/gateway/share"
	"github.com/openslipway/slipway/internal/secrets"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/wire"
)

const (
	maxDescription = 2048 // characters
	maxKMSKey      = 2048

	leastWindow, mostWindow, usualWindow = 7, 30, 30 // days until a deleted secret is gone
)

var nameForm = regexp.MustCompile(`^[a-zA-Z0-9/_+=.@!-]{1,512}$`)

func checkName(name *string) error {
	if name == nil {
		return required("name")
	}
	if !nameForm.MatchString(*name) {
		return wire.NewException("ValidationException",
			"Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!")
	}
	return nil
}

func checkTexts(description, key *string) error {
	for _, c := range []struct {
		member string
		text   *string
		most   int
	}{{"description", description, maxDescription}, {"kmsKeyId", key, maxKMSKey}} {
		if len([]rune(aws.ToString(c.text))) > c.most {
			return wire.NewException("ValidationException", fmt.Sprintf(
				"1 validation error detected: Value at '%s' failed to satisfy constraint: Member must have length less than or equal to %d", c.member, c.most))
		}
	}
	return nil
}

func (m *Manager) createSecret(ctx context.Context, call *gateway.Call, in *sdk.CreateSecretInput) (*sdk.CreateSecretOutput, error) {
	if err := cmp.Or(checkName(in.Name), checkTexts(in.Description, in.KmsKeyId)); err != nil {
		return nil, err
	}
	if len(in.AddReplicaRegions) > 0 {
		return nil, invalidParameter("AddReplicaRegions: this server keeps secrets of one region, " + m.vault.Region + ".")
	}
	v, err := valueOf(in.SecretString, in.SecretBinary)
	if err != nil {
		return nil, err
	}
	id, err := versionID(in.ClientRequestToken)
	if err != nil {
		return nil, err
	}
	tags, err := newTags(in.Tags)
	if err != nil {
		return nil, err
	}
	now := m.now()
	s := slipway.Secret{
		ARN: m.vault.SecretARN(*in.Name, rand.Text()[:6]), Name: *in.Name,
		Description: aws.ToString(in.Description), KMSKey: aws.ToString(in.KmsKeyId), CreatedAt: now, ChangedAt: now,
	}
	out := sdk.CreateSecretOutput{Name: &s.Name}
	if v != nil {
		out.VersionId = &id
	}
	err = call.Update(ctx, func(tx *store.Tx) error {
		made, err := m.insert(tx, s, id, v)
		if err != nil {
			return err
		}
		out.ARN = &made.ARN
		if made.ARN != s.ARN {
			return nil // the call was repeated
		}
		if err := errors.Join(tx.SetTags(s.ARN, tags), limit(share.Take(tx, call.Caller, share.Secrets, s.ARN, 0))); err != nil || v == nil {
			return err
		}
		_, err = m.put(tx, s, id, *v, []string{secrets.Current}, now)
		return err
	})
	return &out, err
}

// insert adds a secret, or returns the one that an earlier attempt at the same
// call added.
func (m *Manager) insert(tx *store.Tx, s slipway.Secret, version string, v *value) (slipway.Secret, error) {
	if m.cfg.Trusted == nil || m.cfg.Trusted() {
		if err := tx.PurgeSecrets(s.CreatedAt); err != nil {
			return s, err
		}
	}
	err := tx.InsertSecret(s)
	if !errors.Is(err, store.ErrNameTaken) {
		return s, err
	}
	have, err := tx.SecretByName(s.Name)
	if err != nil {
		return s, err
	}
	if !have.DeletedAt.IsZero() {
		return s, invalidRequest("You can't create this secret because a secret with this name is already scheduled for deletion.")
	}
	if v != nil {
		if w, err := m.vault.Version(tx, have.ARN, version, ""); err == nil && m.same(w, have, *v) == nil {
			return have, nil
		}
	}
	return s, wire.NewException("ResourceExistsException", "The operation failed because the secret "+s.Name+" already exists.")
}

func (m *Manager) describeSecret(ctx context.Context, _ *gateway.Call, in *sdk.DescribeSecretInput) (*sdk.DescribeSecretOutput, error) {
	var out *sdk.DescribeSecretOutput
	err := m.cfg.Store.View(ctx, func(tx *store.Tx) error {
		s, err := m.find(tx, in.SecretId)
		if err != nil {
			return err
		}
		e, err := entry(tx, s)
		if err != nil {
			return err
		}
		stages, err := staged(tx, s.ARN)
		out = &sdk.DescribeSecretOutput{
			ARN: e.ARN, Name: e.Name, Description: e.Description, KmsKeyId: e.KmsKeyId,
			CreatedDate: e.CreatedDate, LastChangedDate: e.LastChangedDate, LastAccessedDate: e.LastAccessedDate, DeletedDate: e.DeletedDate,
			Tags: e.Tags, VersionIdsToStages: stages,
		}
		return err
	})
	return out, err
}

func (m *Manager) updateSecret(ctx context.Context, call *gateway.Call, in *sdk.UpdateSecretInput) (*sdk.UpdateSecretOutput, error) {
	if err := checkTexts(in.Description, in.KmsKeyId); err != nil {
		return nil, err
	}
	v, err := valueOf(in.SecretString, in.SecretBinary)
	if err != nil {
		return nil, err
	}
	id, err := versionID(in.ClientRequestToken)
	if err != nil {
		return nil, err
	}
	var out sdk.UpdateSecretOutput
	err = call.Update(ctx, func(tx *store.Tx) error {
		s, err := m.findLiving(tx, in.SecretId)
		if err != nil {
			return err
		}
		s.ChangedAt = m.now()
		if in.Description != nil {
			s.Description = *in.Description
		}
		if in.KmsKeyId != nil {
			s.KMSKey = *in.KmsKeyId
		}
		out.ARN, out.Name = &s.ARN, &s.Name
		if v != nil {
			w, err := m.put(tx, s, id, *v, []string{secrets.Current}, s.ChangedAt)
			if err != nil {
				return err
			}
			out.VersionId = &w.ID
		}
		return tx.SaveSecret(s)
	})
	return &out, err
}

func (m *Manager) deleteSecret(ctx context.Context, call *gateway.Call, in *sdk.DeleteSecretInput) (*sdk.DeleteSecretOutput, error) {
	force := aws.ToBool(in.ForceDeleteWithoutRecovery)
	days := int64(usualWindow)
	switch w := in.RecoveryWindowInDays; {
	case w != nil && force:
		return nil, invalidParameter("You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.")
	case w != nil && (*w < leastWindow || *w > mostWindow):
		return nil, invalidParameter("The RecoveryWindowInDays value must be between 7 and 30 days (inclusive).")
	case w != nil:
		days = *w
	}
	now := m.now()
	var out sdk.DeleteSecretOutput
	err := call.Update(ctx, func(tx *store.Tx) error {
		s, err := m.find(tx, in.SecretId)
		if force && errors.Is(err, errNoSecret) {
			// As documented: deleting a secret that does not exist is no error.
			out = sdk.DeleteSecretOutput{ARN: in.SecretId, Name: in.SecretId, DeletionDate: &now}
			return nil
		}
		if err != nil {
			return err
		}
		out = sdk.DeleteSecretOutput{ARN: &s.ARN, Name: &s.Name, DeletionDate: &now}
		if force {
			return tx.DeleteSecret(s.ARN)
		}
		if !s.DeletedAt.IsZero() {
			return errDeleted
		}
		s.DeletedAt, s.PurgeAt = now, now.Add(time.Duration(days)*24*time.Hour)
		out.DeletionDate = &s.PurgeAt
		return tx.SaveSecret(s)
	})
	return &out, err
}

func (m *Manager) restoreSecret(ctx context.Context, call *gateway.Call, in *sdk.RestoreSecretInput) (*sdk.RestoreSecretOutput, error) {
	var out sdk.RestoreSecretOutput
	err := call.Update(ctx, func(tx *store.Tx) error {
		s, err := m.find(tx, in.SecretId)
		if err != nil {
			return err
		}
		s.DeletedAt, s.PurgeAt = time.Time{}, time.Time{}
		out.ARN, out.Name = &s.ARN, &s.Name
		return tx.SaveSecret(s)
	})
	return &out, err
}
