package store

import "github.com/openslipway/slipway"

const dataKeyColumns = `id, master, wrapped, created_at`

func scanDataKey(s scanner) (k slipway.DataKey, err error) {
	err = s.Scan(&k.ID, &k.Master, sealed{&k.Wrapped}, instant{&k.CreatedAt})
	return k, err
}

// InsertDataKey adds a data key.
func (tx *Tx) InsertDataKey(k slipway.DataKey) error {
	return tx.insert("data key "+k.ID, `INSERT INTO data_key (`+dataKeyColumns+`) VALUES ($1, $2, $3, $4)`,
		k.ID, k.Master, sealed{&k.Wrapped}, nanos(k.CreatedAt))
}

// DataKeys returns all data keys, oldest first.
func (tx *Tx) DataKeys() ([]slipway.DataKey, error) {
	return all(tx, scanDataKey, `SELECT `+dataKeyColumns+` FROM data_key ORDER BY created_at, id`)
}

// RewrapDataKey replaces the wrapping of a data key.
func (tx *Tx) RewrapDataKey(k slipway.DataKey) error {
	return mustAffect(tx.exec(`UPDATE data_key SET master = $1, wrapped = $2 WHERE id = $3`,
		k.Master, sealed{&k.Wrapped}, k.ID))
}
