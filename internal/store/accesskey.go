package store

import "github.com/openslipway/slipway"

func scanAccessKey(s scanner) (k slipway.AccessKey, err error) {
	err = s.Scan(&k.ID, &k.Secret, &k.User, instant{&k.CreatedAt})
	return k, err
}

// InsertAccessKey adds a pair of credentials.
func (tx *Tx) InsertAccessKey(k slipway.AccessKey) error {
	_, err := tx.exec(`INSERT INTO access_key (id, secret, username, created_at) VALUES ($1, $2, $3, $4)`,
		k.ID, k.Secret, k.User, nanos(k.CreatedAt))
	return err
}

// AccessKey returns the pair of this id.
func (tx *Tx) AccessKey(id string) (slipway.AccessKey, error) {
	return one(tx, scanAccessKey, `SELECT id, secret, username, created_at FROM access_key WHERE id = $1`, id)
}

// AccessKeys returns a user's pairs, oldest first.
func (tx *Tx) AccessKeys(user string) ([]slipway.AccessKey, error) {
	return all(tx, scanAccessKey, `SELECT id, secret, username, created_at FROM access_key
		WHERE username = $1 ORDER BY created_at, id`, user)
}
