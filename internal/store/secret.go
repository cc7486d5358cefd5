package store

import (
	"fmt"
	"time"

	"github.com/openslipway/slipway"
)

const secretColumns = `arn, name, description, kms_key, policy, created_at, changed_at, accessed_at, deleted_at, purge_at`

func scanSecret(s scanner) (v slipway.Secret, err error) {
	err = s.Scan(&v.ARN, &v.Name, &v.Description, &v.KMSKey, &v.Policy, instant{&v.CreatedAt}, instant{&v.ChangedAt},
		instant{&v.AccessedAt}, instant{&v.DeletedAt}, instant{&v.PurgeAt})
	return v, err
}

// InsertSecret adds a secret. It returns ErrNameTaken if one of this name exists.
func (tx *Tx) InsertSecret(v slipway.Secret) error {
	return tx.insert("secret "+v.ARN, `INSERT INTO secret (`+secretColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
		ON CONFLICT (name) DO NOTHING`, v.ARN, v.Name, v.Description, v.KMSKey, v.Policy, nanos(v.CreatedAt), nanos(v.ChangedAt),
		nanos(v.AccessedAt), nanos(v.DeletedAt), nanos(v.PurgeAt))
}

// Secret returns the secret of this ARN.
func (tx *Tx) Secret(arn string) (slipway.Secret, error) {
	return one(tx, scanSecret, `SELECT `+secretColumns+` FROM secret WHERE arn = $1`, arn)
}

// SecretByName returns the secret of this name.
func (tx *Tx) SecretByName(name string) (slipway.Secret, error) {
	return one(tx, scanSecret, `SELECT `+secretColumns+` FROM secret WHERE name = $1`, name)
}

// Secrets returns all secrets in order of creation.
func (tx *Tx) Secrets() ([]slipway.Secret, error) {
	return sound(tx, "secret", scanSecret, `SELECT `+secretColumns+` FROM secret ORDER BY created_at, arn`)
}

// SaveSecret writes the mutable fields of v.
func (tx *Tx) SaveSecret(v slipway.Secret) error {
	return mustAffect(tx.exec(`UPDATE secret SET description = $1, kms_key = $2, policy = $3, changed_at = $4,
		accessed_at = $5, deleted_at = $6, purge_at = $7 WHERE arn = $8`,
		v.Description, v.KMSKey, v.Policy, nanos(v.ChangedAt), nanos(v.AccessedAt), nanos(v.DeletedAt), nanos(v.PurgeAt), v.ARN))
}

// DeleteSecret removes a secret with its versions and tags.
func (tx *Tx) DeleteSecret(arn string) error {
	for _, q := range []string{
		`DELETE FROM secret_version WHERE secret_arn = $1`,
		`DELETE FROM tag WHERE arn = $1`,
		`DELETE FROM made WHERE arn = $1`,
		`DELETE FROM secret WHERE arn = $1`,
	} {
		if _, err := tx.exec(q, arn); err != nil {
			return fmt.Errorf("delete secret %s: %w", arn, err)
		}
	}
	return nil
}

// PurgeSecrets removes the secrets whose recovery window has ended.
func (tx *Tx) PurgeSecrets(now time.Time) error {
	due, err := all(tx, scanSecret, `SELECT `+secretColumns+` FROM secret WHERE purge_at > 0 AND purge_at <= $1`, nanos(now))
	if err != nil {
		return err
	}
	for _, v := range due {
		if err := tx.DeleteSecret(v.ARN); err != nil {
			return err
		}
	}
	return nil
}

const secretVersionColumns = `secret_arn, id, stages, is_binary, sealed, created_at`

func scanSecretVersion(s scanner) (v slipway.SecretVersion, err error) {
	err = s.Scan(&v.SecretARN, &v.ID, document{&v.Stages}, &v.Binary, sealed{&v.Sealed}, instant{&v.CreatedAt})
	return v, err
}

// PutSecretVersion adds a version, or writes the stages of an existing one.
func (tx *Tx) PutSecretVersion(v slipway.SecretVersion) error {
	_, err := tx.exec(`INSERT INTO secret_version (`+secretVersionColumns+`, accessed_at) VALUES ($1, $2, $3, $4, $5, $6, 0)
		ON CONFLICT (secret_arn, id) DO UPDATE SET stages = excluded.stages`,
		v.SecretARN, v.ID, document{v.Stages}, boolInt(v.Binary), sealed{&v.Sealed}, nanos(v.CreatedAt))
	if err != nil {
		return fmt.Errorf("put version %s of secret %s: %w", v.ID, v.SecretARN, err)
	}
	return nil
}

// SecretVersions returns a secret's versions, oldest first.
func (tx *Tx) SecretVersions(arn string) ([]slipway.SecretVersion, error) {
	return all(tx, scanSecretVersion, `SELECT `+secretVersionColumns+` FROM secret_version
		WHERE secret_arn = $1 ORDER BY created_at, id`, arn)
}

// DeleteSecretVersion removes one version.
func (tx *Tx) DeleteSecretVersion(v slipway.SecretVersion) error {
	_, err := tx.exec(`DELETE FROM secret_version WHERE secret_arn = $1 AND id = $2`, v.SecretARN, v.ID)
	return err
}
