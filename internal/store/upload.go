package store

import (
	"fmt"
	"time"

	"github.com/openslipway/slipway"
)

const uploadColumns = `id, owner, snapshot, files, bytes, created_at, used_at`

func scanUpload(s scanner) (u slipway.Upload, err error) {
	err = s.Scan(&u.ID, &u.Owner, &u.Snapshot, &u.Files, &u.Bytes, instant{&u.CreatedAt}, instant{&u.UsedAt})
	return u, err
}

// PutUpload adds an upload, or notes that its owner has uploaded the same content
// again. It returns the upload as it is then: with the id that it had before.
func (tx *Tx) PutUpload(u slipway.Upload) (slipway.Upload, error) {
	_, err := tx.exec(`INSERT INTO upload (`+uploadColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (owner, snapshot) DO UPDATE SET used_at = $7`,
		u.ID, u.Owner, u.Snapshot, u.Files, u.Bytes, nanos(u.CreatedAt), nanos(u.UsedAt))
	if err != nil {
		return u, fmt.Errorf("insert upload %s: %w", u.ID, err)
	}
	return one(tx, scanUpload, `SELECT `+uploadColumns+` FROM upload WHERE owner = $1 AND snapshot = $2`, u.Owner, u.Snapshot)
}

// Upload returns an upload.
func (tx *Tx) Upload(id string) (slipway.Upload, error) {
	return one(tx, scanUpload, `SELECT `+uploadColumns+` FROM upload WHERE id = $1`, id)
}

// UploadsOf returns the uploads of a user, the last used first.
func (tx *Tx) UploadsOf(owner string) ([]slipway.Upload, error) {
	return all(tx, scanUpload, `SELECT `+uploadColumns+` FROM upload WHERE owner = $1 ORDER BY used_at DESC, id`, owner)
}

// ForgetUploads removes the uploads of a user that were last used before a time and
// that nothing refers to: no service, no live operation and no release.
func (tx *Tx) ForgetUploads(owner string, before time.Time) error {
	_, err := tx.exec(`DELETE FROM upload WHERE owner = $1 AND used_at < $2
		AND NOT EXISTS (SELECT 1 FROM reference r WHERE r.arn = 'upload://' || upload.id)`, owner, nanos(before))
	return err
}
