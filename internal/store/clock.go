package store

import (
	"errors"
	"time"
)

// TrustedTime returns the last time of day that SetTrustedTime stored, zero if there is none.
func (tx *Tx) TrustedTime() (time.Time, error) {
	n, err := one(tx, scanValue[int64], `SELECT value FROM counter WHERE name = 'trusted time'`)
	if errors.Is(err, ErrNotFound) {
		return time.Time{}, nil
	}
	return time.Unix(0, n).UTC(), err
}

// SetTrustedTime stores the time of day, which the server trusts.
func (tx *Tx) SetTrustedTime(now time.Time) error {
	_, err := tx.exec(`INSERT INTO counter (name, value) VALUES ('trusted time', $1)
		ON CONFLICT (name) DO UPDATE SET value = excluded.value`, nanos(now))
	return err
}
