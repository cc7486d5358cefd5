package store

import "github.com/openslipway/slipway"

// refer makes what the specification names the references of its holder: a
// service, or a live operation that is to deploy it. Rows exist exactly as long
// as they bind.
func (tx *Tx) refer(holder string, spec slipway.Spec) error {
	if err := tx.unrefer(holder); err != nil {
		return err
	}
	for _, arn := range spec.References() {
		if _, err := tx.exec(`INSERT INTO reference (holder, arn) VALUES ($1, $2)`, holder, arn); err != nil {
			return err
		}
	}
	return nil
}

func (tx *Tx) unrefer(holder string) error {
	_, err := tx.exec(`DELETE FROM reference WHERE holder = $1`, holder)
	return err
}

// InUse reports whether a service that is not deleted, or the specification
// that a live operation is to deploy, names the resource.
func (tx *Tx) InUse(arn string) (bool, error) {
	n, err := tx.count(`SELECT EXISTS (SELECT 1 FROM reference WHERE arn = $1)`, arn)
	return n == 1, err
}
