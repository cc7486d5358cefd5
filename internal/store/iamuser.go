package store

import (
	"strings"

	"github.com/openslipway/slipway"
)

const userColumns = `name, id, path, created_at`

func scanUser(s scanner) (u slipway.User, err error) {
	err = s.Scan(&u.Name, &u.ID, &u.Path, instant{&u.CreatedAt})
	return u, err
}

// InsertUser adds a user. It returns ErrNameTaken if one of this name exists, in
// any letter case.
func (tx *Tx) InsertUser(u slipway.User) error {
	return tx.insert("user "+u.Name, `INSERT INTO iam_user (`+userColumns+`, folded) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`,
		u.Name, u.ID, u.Path, nanos(u.CreatedAt), strings.ToLower(u.Name))
}

// User returns the user of this name.
func (tx *Tx) User(name string) (slipway.User, error) {
	return one(tx, scanUser, `SELECT `+userColumns+` FROM iam_user WHERE name = $1`, name)
}

// UserByID returns the user with this id, which no other user ever has.
func (tx *Tx) UserByID(id string) (slipway.User, error) {
	return one(tx, scanUser, `SELECT `+userColumns+` FROM iam_user WHERE id = $1`, id)
}

// Users returns all users by name.
func (tx *Tx) Users() ([]slipway.User, error) {
	return all(tx, scanUser, `SELECT `+userColumns+` FROM iam_user ORDER BY name`)
}

// UpdateUser changes a user's name and path, and everything that refers to the
// user by name or ARN. It returns ErrNameTaken like InsertUser.
func (tx *Tx) UpdateUser(name string, to slipway.User, arn, newARN string) error {
	taken, err := one(tx, scanValue[int], `SELECT COUNT(*) FROM iam_user WHERE folded = $1 AND name <> $2`, strings.ToLower(to.Name), name)
	if err != nil {
		return err
	}
	if taken > 0 {
		return ErrNameTaken
	}
	if err := mustAffect(tx.exec(`UPDATE iam_user SET name = $1, folded = $2, path = $3 WHERE name = $4`,
		to.Name, strings.ToLower(to.Name), to.Path, name)); err != nil {
		return err
	}
	for _, table := range []string{"access_key", "session", "iam_attachment", "iam_inline_policy"} {
		if _, err := tx.exec(`UPDATE `+table+` SET username = $1 WHERE username = $2`, to.Name, name); err != nil {
			return err
		}
	}
	for _, table := range []string{"tag", "made"} {
		if _, err := tx.exec(`UPDATE `+table+` SET arn = $1 WHERE arn = $2`, newARN, arn); err != nil {
			return err
		}
	}
	return nil
}

// DeleteUser removes a user with their sessions and tags. The caller must have
// removed access keys and policies.
func (tx *Tx) DeleteUser(name, arn string) error {
	if err := mustAffect(tx.exec(`DELETE FROM iam_user WHERE name = $1`, name)); err != nil {
		return err
	}
	if _, err := tx.exec(`DELETE FROM session WHERE username = $1`, name); err != nil {
		return err
	}
	return tx.forgetARN(arn)
}

// PutInlinePolicy adds an inline policy to a user, or replaces its document.
func (tx *Tx) PutInlinePolicy(user string, p slipway.InlinePolicy) error {
	_, err := tx.exec(`INSERT INTO iam_inline_policy (username, name, document) VALUES ($1, $2, $3)
		ON CONFLICT (username, name) DO UPDATE SET document = excluded.document`, user, p.Name, p.Document)
	return err
}

// InlinePolicies returns a user's inline policies by name.
func (tx *Tx) InlinePolicies(user string) ([]slipway.InlinePolicy, error) {
	return all(tx, func(s scanner) (p slipway.InlinePolicy, err error) {
		err = s.Scan(&p.Name, &p.Document)
		return p, err
	}, `SELECT name, document FROM iam_inline_policy WHERE username = $1 ORDER BY name`, user)
}

// DeleteInlinePolicy removes an inline policy of a user.
func (tx *Tx) DeleteInlinePolicy(user, name string) error {
	return mustAffect(tx.exec(`DELETE FROM iam_inline_policy WHERE username = $1 AND name = $2`, user, name))
}
