package store

import (
	"fmt"

	"github.com/openslipway/slipway"
)

const parameterColumns = `name, version, latest, settings, sealed, created_at`

func scanParameter(s scanner) (p slipway.Parameter, err error) {
	err = s.Scan(&p.Name, &p.Version, &p.Latest, document{&p.ParameterSettings}, sealed{&p.Sealed}, instant{&p.CreatedAt})
	return p, err
}

// InsertParameter adds a version of a parameter and makes it the latest one.
func (tx *Tx) InsertParameter(p slipway.Parameter) error {
	if _, err := tx.exec(`UPDATE parameter SET latest = 0 WHERE name = $1 AND latest = 1`, p.Name); err != nil {
		return err
	}
	return tx.insert(fmt.Sprintf("version %d of parameter %s", p.Version, p.Name),
		`INSERT INTO parameter (`+parameterColumns+`) VALUES ($1, $2, 1, $3, $4, $5)`,
		p.Name, p.Version, document{p.ParameterSettings}, sealed{&p.Sealed}, nanos(p.CreatedAt))
}

// Parameter returns the latest version of a parameter.
func (tx *Tx) Parameter(name string) (slipway.Parameter, error) {
	return one(tx, scanParameter, `SELECT `+parameterColumns+` FROM parameter WHERE name = $1 AND latest = 1`, name)
}

// ParameterVersion returns one version of a parameter.
func (tx *Tx) ParameterVersion(name string, version int64) (slipway.Parameter, error) {
	return one(tx, scanParameter, `SELECT `+parameterColumns+` FROM parameter WHERE name = $1 AND version = $2`, name, version)
}

// Parameters returns the latest versions of the parameters whose names begin with
// prefix, after the cursor, by name; limit 0 means all.
func (tx *Tx) Parameters(prefix, afterName string, limit int) ([]slipway.Parameter, error) {
	return soundPage(tx, "parameter", limit, scanParameter, `SELECT `+parameterColumns+` FROM parameter
		WHERE latest = 1 AND name >= $1 AND name < $2 AND name <> $3 ORDER BY name LIMIT $4`,
		max(prefix, afterName), prefix+"\x7f", afterName) // names are printable ASCII
}

// ParameterHistory returns the versions of a parameter after the given one,
// oldest first; limit 0 means all.
func (tx *Tx) ParameterHistory(name string, after int64, limit int) ([]slipway.Parameter, error) {
	return all(tx, scanParameter, `SELECT `+parameterColumns+` FROM parameter WHERE name = $1 AND version > $2
		ORDER BY version LIMIT $3`, name, after, atMost(limit))
}

// ParameterBytes returns the bytes that the values of a parameter's versions take.
func (tx *Tx) ParameterBytes(name string) (int64, error) {
	return one(tx, scanValue[int64], `SELECT COALESCE(sum(length(sealed)), 0) FROM parameter WHERE name = $1`, name)
}

// ForgetParameterVersions removes the versions of a parameter up to the given one.
func (tx *Tx) ForgetParameterVersions(name string, version int64) error {
	_, err := tx.exec(`DELETE FROM parameter WHERE name = $1 AND version <= $2 AND latest = 0`, name, version)
	return err
}

// DeleteParameter removes a parameter with all versions and the tags of arn. It
// returns ErrNotFound if it does not exist.
func (tx *Tx) DeleteParameter(name, arn string) error {
	if err := tx.forgetARN(arn); err != nil {
		return err
	}
	return mustAffect(tx.exec(`DELETE FROM parameter WHERE name = $1`, name))
}
