package store

import (
	"time"

	"github.com/openslipway/slipway"
)

const observabilityColumns = configurationColumns + `, trace_vendor`

func scanObservability(s scanner) (o slipway.Observability, err error) {
	err = s.Scan(append(configurationFields(&o.Configuration), &o.TraceVendor)...)
	return o, err
}

// InsertObservability adds a revision of a configuration. The caller chooses the
// revision number in the same transaction.
func (tx *Tx) InsertObservability(o slipway.Observability) error {
	return tx.insert("observability configuration "+o.ARN, `INSERT INTO observability (`+observabilityColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`, append(configurationValues(o.Configuration), o.TraceVendor)...)
}

// Observability returns a revision by its full ARN, also a deleted one.
func (tx *Tx) Observability(arn string) (slipway.Observability, error) {
	return one(tx, scanObservability, `SELECT `+observabilityColumns+` FROM observability WHERE arn = $1`, arn)
}

// Observabilities returns active revisions: see activeRevisions.
func (tx *Tx) Observabilities(name, afterName string, afterRevision int) ([]slipway.Observability, error) {
	query, args := activeRevisions(observabilityColumns, `observability`, name, afterName, afterRevision)
	return all(tx, scanObservability, query, args...)
}

// SaveObservability writes the mutable fields of o: latest, active and the time of
// deletion.
func (tx *Tx) SaveObservability(o slipway.Observability) error {
	return mustAffect(tx.exec(`UPDATE observability SET latest = $1, active = $2, deleted_at = $3 WHERE arn = $4`,
		boolInt(o.Latest), boolInt(o.Active), nanos(o.DeletedAt), o.ARN))
}

// ForgetObservabilities removes the revisions deleted before t, with their tags.
func (tx *Tx) ForgetObservabilities(t time.Time) error {
	return tx.forgetDeleted("observability", t)
}
