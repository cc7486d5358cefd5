package store

import (
	"time"

	"github.com/openslipway/slipway"
)

const accessKeyColumns = `id, secret, username, inactive, created_at`

func scanAccessKey(s scanner) (k slipway.AccessKey, err error) {
	err = s.Scan(&k.ID, &k.Secret, &k.User, &k.Inactive, instant{&k.CreatedAt})
	return k, err
}

// InsertAccessKey adds an access key.
func (tx *Tx) InsertAccessKey(k slipway.AccessKey) error {
	return tx.insert("access key "+k.ID, `INSERT INTO access_key (`+accessKeyColumns+`) VALUES ($1, $2, $3, $4, $5)`,
		k.ID, k.Secret, k.User, boolInt(k.Inactive), nanos(k.CreatedAt))
}

// AccessKey returns an access key by id, active or not.
func (tx *Tx) AccessKey(id string) (slipway.AccessKey, error) {
	return one(tx, scanAccessKey, `SELECT `+accessKeyColumns+` FROM access_key WHERE id = $1`, id)
}

// AccessKeys returns a user's access keys, oldest first.
func (tx *Tx) AccessKeys(user string) ([]slipway.AccessKey, error) {
	return all(tx, scanAccessKey, `SELECT `+accessKeyColumns+` FROM access_key
		WHERE username = $1 ORDER BY created_at, id`, user)
}

// SetAccessKeyInactive deactivates or activates an access key.
func (tx *Tx) SetAccessKeyInactive(id string, inactive bool) error {
	return mustAffect(tx.exec(`UPDATE access_key SET inactive = $1 WHERE id = $2`, boolInt(inactive), id))
}

// DeleteAccessKey removes an access key.
func (tx *Tx) DeleteAccessKey(id string) error {
	return mustAffect(tx.exec(`DELETE FROM access_key WHERE id = $1`, id))
}

// Credentials are what an access key id names: a permanent key or a session,
// and its user.
type Credentials struct {
	slipway.Session        // Token and ExpiresAt are empty for a permanent key
	UserID, Path    string // empty for the root user
}

// Credentials returns the credentials that may sign with this id: no inactive
// key, and no session of a deleted user. It may return an expired session.
func (tx *Tx) Credentials(id string) (Credentials, error) {
	return one(tx, func(s scanner) (c Credentials, err error) {
		err = s.Scan(&c.ID, &c.Secret, &c.Token, &c.User, instant{&c.CreatedAt}, instant{&c.ExpiresAt}, &c.UserID, &c.Path)
		return c, err
	}, `SELECT k.id, k.secret, k.token, k.username, k.created_at, k.expires_at, COALESCE(u.id, ''), COALESCE(u.path, '')
		FROM (SELECT id, secret, '' AS token, username, created_at, 0 AS expires_at FROM access_key WHERE id = $1 AND inactive = 0
			UNION ALL SELECT id, secret, token, username, created_at, expires_at FROM session WHERE id = $1) k
		LEFT JOIN iam_user u ON u.name = k.username
		WHERE u.name IS NOT NULL OR k.username = 'root'`, id)
}

// CountSessions returns how many temporary credentials of a user have not expired, and
// when the first does.
func (tx *Tx) CountSessions(user string, now time.Time) (n int, first time.Time, err error) {
	_, err = one(tx, func(s scanner) (struct{}, error) { return struct{}{}, s.Scan(&n, instant{&first}) },
		`SELECT count(*), coalesce(min(expires_at), 0) FROM session WHERE username = $1 AND expires_at > $2`, user, nanos(now))
	return n, first, err
}

// ForgetSessions removes temporary credentials of a user that expired before then.
func (tx *Tx) ForgetSessions(user string, then time.Time) error {
	_, err := tx.exec(`DELETE FROM session WHERE username = $1 AND expires_at < $2`, user, nanos(then))
	return err
}

// InsertSession adds temporary credentials and removes those that expired
// before then.
func (tx *Tx) InsertSession(s slipway.Session, then time.Time) error {
	if _, err := tx.exec(`DELETE FROM session WHERE expires_at < $1`, nanos(then)); err != nil {
		return err
	}
	return tx.insert("session "+s.ID, `INSERT INTO session (id, secret, token, username, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)`,
		s.ID, s.Secret, s.Token, s.User, nanos(s.CreatedAt), nanos(s.ExpiresAt))
}
