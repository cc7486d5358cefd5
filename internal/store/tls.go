package store

import "time"

// TLSItem returns the sealed item of TLS that has this name, or ErrNotFound.
func (tx *Tx) TLSItem(name string) (content []byte, err error) {
	return one(tx, func(s scanner) (b []byte, err error) {
		err = s.Scan(sealed{&b})
		return b, err
	}, `SELECT sealed FROM tls WHERE name = $1`, name)
}

// PutTLSItem keeps a sealed item of TLS, in place of the one that has its name.
func (tx *Tx) PutTLSItem(name string, content []byte, at time.Time) error {
	_, err := tx.exec(`INSERT INTO tls (name, sealed, modified_at) VALUES ($1, $2, $3)
		ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed, modified_at = excluded.modified_at`,
		name, sealed{&content}, nanos(at))
	return err
}
