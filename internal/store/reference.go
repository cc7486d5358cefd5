package store

import "github.com/openslipway/slipway"

// setReferences replaces the references of a holder by the resources that the
// specification names. A holder is a service, or a live operation that deploys the
// specification; a release holds the upload that it was built from. Rows exist exactly
// as long as the resources are in use.
func (tx *Tx) setReferences(holder string, spec slipway.Spec) error {
	if err := tx.deleteReferences(holder); err != nil {
		return err
	}
	for _, arn := range spec.References() {
		if _, err := tx.exec(`INSERT INTO reference (holder, arn) VALUES ($1, $2)`, holder, arn); err != nil {
			return err
		}
	}
	return nil
}

func (tx *Tx) deleteReferences(holder string) error {
	_, err := tx.exec(`DELETE FROM reference WHERE holder = $1`, holder)
	return err
}

// InUse reports whether the resource is named by a service that is not deleted or
// by the specification that a live operation deploys.
func (tx *Tx) InUse(arn string) (bool, error) {
	return tx.exists(`SELECT 1 FROM reference WHERE arn = $1`, arn)
}
