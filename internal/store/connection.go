package store

import "github.com/openslipway/slipway"

const connectionColumns = `arn, name, provider, host, public_key, status, credential, created_at`

func scanConnection(s scanner) (c slipway.Connection, err error) {
	err = s.Scan(&c.ARN, &c.Name, &c.Provider, &c.Host, &c.PublicKey, &c.Status, sealed{&c.Credential}, instant{&c.CreatedAt})
	return c, err
}

// InsertConnection adds a connection. It returns ErrNameTaken if one of this name
// exists.
func (tx *Tx) InsertConnection(c slipway.Connection) error {
	return tx.insert("connection "+c.ARN, `INSERT INTO connection (`+connectionColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (name) DO NOTHING`, c.ARN, c.Name, c.Provider, c.Host, c.PublicKey, string(c.Status), sealed{&c.Credential}, nanos(c.CreatedAt))
}

// ConnectionByName returns the connection of this name.
func (tx *Tx) ConnectionByName(name string) (slipway.Connection, error) {
	return one(tx, scanConnection, `SELECT `+connectionColumns+` FROM connection WHERE name = $1`, name)
}

// Connections returns connections after the cursor, by name; limit 0 means all.
func (tx *Tx) Connections(afterName string, limit int) ([]slipway.Connection, error) {
	return all(tx, scanConnection, `SELECT `+connectionColumns+` FROM connection WHERE name > $1 ORDER BY name LIMIT $2`,
		afterName, atMost(limit))
}

// CountConnections counts the connections.
func (tx *Tx) CountConnections() (int, error) { return tx.count(`SELECT count(*) FROM connection`) }

// SaveConnection writes the mutable fields of c: status and credential.
func (tx *Tx) SaveConnection(c slipway.Connection) error {
	return mustAffect(tx.exec(`UPDATE connection SET status = $1, credential = $2 WHERE arn = $3`,
		string(c.Status), sealed{&c.Credential}, c.ARN))
}

// DeleteConnection removes a connection with its tags, its credential and its webhook.
func (tx *Tx) DeleteConnection(arn string) error {
	for _, q := range []string{
		`DELETE FROM push_delivery WHERE hook_id = (SELECT id FROM push_hook WHERE connection_arn = $1)`,
		`DELETE FROM push_hook WHERE connection_arn = $1`,
	} {
		if _, err := tx.exec(q, arn); err != nil {
			return err
		}
	}
	if err := tx.forgetARN(arn); err != nil {
		return err
	}
	return mustAffect(tx.exec(`DELETE FROM connection WHERE arn = $1`, arn))
}
