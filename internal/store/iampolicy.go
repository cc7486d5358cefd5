package store

import (
	"strings"
	"time"

	"github.com/openslipway/slipway"
)

const policyColumns = `arn, id, name, path, description, default_version, created_at, updated_at`

func scanPolicy(s scanner) (p slipway.ManagedPolicy, err error) {
	err = s.Scan(&p.ARN, &p.ID, &p.Name, &p.Path, &p.Description, &p.DefaultVersion, instant{&p.CreatedAt}, instant{&p.UpdatedAt})
	return p, err
}

// InsertPolicy adds a managed policy with version 1. It returns ErrNameTaken if
// one of this name exists, in any letter case.
func (tx *Tx) InsertPolicy(p slipway.ManagedPolicy, document string) error {
	err := tx.insert("policy "+p.ARN, `INSERT INTO iam_policy (`+policyColumns+`, folded, last_version)
		VALUES ($1, $2, $3, $4, $5, 1, $6, $6, $7, 0) ON CONFLICT DO NOTHING`,
		p.ARN, p.ID, p.Name, p.Path, p.Description, nanos(p.CreatedAt), strings.ToLower(p.Name))
	if err != nil {
		return err
	}
	_, err = tx.InsertPolicyVersion(p.ARN, document, p.CreatedAt)
	return err
}

// Policy returns the managed policy of this ARN.
func (tx *Tx) Policy(arn string) (slipway.ManagedPolicy, error) {
	return one(tx, scanPolicy, `SELECT `+policyColumns+` FROM iam_policy WHERE arn = $1`, arn)
}

// Policies returns the managed policies by name.
func (tx *Tx) Policies() ([]slipway.ManagedPolicy, error) {
	return all(tx, scanPolicy, `SELECT `+policyColumns+` FROM iam_policy ORDER BY name`)
}

// DeletePolicy removes a managed policy with its versions.
func (tx *Tx) DeletePolicy(arn string) error {
	if _, err := tx.exec(`DELETE FROM iam_policy_version WHERE arn = $1`, arn); err != nil {
		return err
	}
	if err := tx.forgetARN(arn); err != nil {
		return err
	}
	return mustAffect(tx.exec(`DELETE FROM iam_policy WHERE arn = $1`, arn))
}

// InsertPolicyVersion adds a version to a managed policy and returns its number.
func (tx *Tx) InsertPolicyVersion(arn, document string, at time.Time) (int, error) {
	n, err := one(tx, scanValue[int], `UPDATE iam_policy SET last_version = last_version + 1, updated_at = $1 WHERE arn = $2 RETURNING last_version`, nanos(at), arn)
	if err != nil {
		return 0, err
	}
	_, err = tx.exec(`INSERT INTO iam_policy_version (arn, version, document, created_at) VALUES ($1, $2, $3, $4)`, arn, n, document, nanos(at))
	return n, err
}

// SetDefaultPolicyVersion sets the version that applies.
func (tx *Tx) SetDefaultPolicyVersion(arn string, version int, at time.Time) error {
	return mustAffect(tx.exec(`UPDATE iam_policy SET default_version = $1, updated_at = $2 WHERE arn = $3`, version, nanos(at), arn))
}

// PolicyVersions returns a managed policy's versions, newest first.
func (tx *Tx) PolicyVersions(arn string) ([]slipway.PolicyVersion, error) {
	return all(tx, func(s scanner) (v slipway.PolicyVersion, err error) {
		err = s.Scan(&v.Version, &v.Document, instant{&v.CreatedAt})
		return v, err
	}, `SELECT version, document, created_at FROM iam_policy_version WHERE arn = $1 ORDER BY version DESC`, arn)
}

// DeletePolicyVersion removes a version.
func (tx *Tx) DeletePolicyVersion(arn string, version int) error {
	return mustAffect(tx.exec(`DELETE FROM iam_policy_version WHERE arn = $1 AND version = $2`, arn, version))
}

// AttachPolicy attaches a managed policy to a user. It is idempotent.
func (tx *Tx) AttachPolicy(user, arn string) error {
	_, err := tx.exec(`INSERT INTO iam_attachment (username, arn) VALUES ($1, $2) ON CONFLICT DO NOTHING`, user, arn)
	return err
}

// DetachPolicy detaches a managed policy from a user.
func (tx *Tx) DetachPolicy(user, arn string) error {
	return mustAffect(tx.exec(`DELETE FROM iam_attachment WHERE username = $1 AND arn = $2`, user, arn))
}

// AttachedPolicies returns the ARNs of a user's managed policies.
func (tx *Tx) AttachedPolicies(user string) ([]string, error) {
	return all(tx, scanValue[string], `SELECT arn FROM iam_attachment WHERE username = $1 ORDER BY arn`, user)
}

// PolicyUsers returns the names of the users that a managed policy is attached to.
func (tx *Tx) PolicyUsers(arn string) ([]string, error) {
	return all(tx, scanValue[string], `SELECT username FROM iam_attachment WHERE arn = $1 ORDER BY username`, arn)
}

// DocumentsOf returns the documents of a user's inline policies and of attached
// managed policies that have a row, by name or ARN.
func (tx *Tx) DocumentsOf(user string) ([]slipway.InlinePolicy, error) {
	return all(tx, func(s scanner) (p slipway.InlinePolicy, err error) {
		err = s.Scan(&p.Name, &p.Document)
		return p, err
	}, `SELECT name, document FROM iam_inline_policy WHERE username = $1
		UNION ALL SELECT p.arn, v.document FROM iam_attachment a
		JOIN iam_policy p ON p.arn = a.arn
		JOIN iam_policy_version v ON v.arn = p.arn AND v.version = p.default_version
		WHERE a.username = $1`, user)
}
