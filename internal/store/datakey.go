package store

import (
	"encoding/base64"
	"fmt"

	"github.com/openslipway/slipway"
)

const dataKeyColumns = `id, master, wrapped, created_at`

func scanDataKey(s scanner) (k slipway.DataKey, err error) {
	err = s.Scan(&k.ID, &k.Master, sealed{&k.Wrapped}, instant{&k.CreatedAt})
	return k, err
}

// InsertDataKey adds a data key.
func (tx *Tx) InsertDataKey(k slipway.DataKey) error {
	_, err := tx.exec(`INSERT INTO data_key (`+dataKeyColumns+`) VALUES ($1, $2, $3, $4)`,
		k.ID, k.Master, base64.StdEncoding.EncodeToString(k.Wrapped), nanos(k.CreatedAt))
	if err != nil {
		return fmt.Errorf("insert data key %s: %w", k.ID, err)
	}
	return nil
}

// DataKeys returns all data keys, oldest first.
func (tx *Tx) DataKeys() ([]slipway.DataKey, error) {
	return all(tx, scanDataKey, `SELECT `+dataKeyColumns+` FROM data_key ORDER BY created_at, id`)
}

// RewrapDataKey replaces the wrapping of a data key.
func (tx *Tx) RewrapDataKey(k slipway.DataKey) error {
	return mustAffect(tx.exec(`UPDATE data_key SET master = $1, wrapped = $2 WHERE id = $3`,
		k.Master, base64.StdEncoding.EncodeToString(k.Wrapped), k.ID))
}

// sealed scans a column of ciphertext, which is base64.
type sealed struct{ b *[]byte }

func (c sealed) Scan(v any) (err error) {
	s, ok := v.(string)
	if !ok {
		return fmt.Errorf("a column of ciphertext is %T in the database, not text", v)
	}
	*c.b = nil
	if s == "" {
		return nil
	}
	*c.b, err = base64.StdEncoding.DecodeString(s)
	return err
}
