package store

import "time"

// PutPendingDeployment records that the service is to be deployed as soon as
// possible. It is idempotent.
func (tx *Tx) PutPendingDeployment(serviceID string, now time.Time) error {
	tx.touch(serviceID, Operations)
	_, err := tx.exec(`INSERT INTO pending_deployment (service_id, at) VALUES ($1, $2)
		ON CONFLICT (service_id) DO UPDATE SET at = excluded.at`, serviceID, nanos(now))
	return err
}

// PendingDeployments returns the ids of services to deploy, longest waiting first.
func (tx *Tx) PendingDeployments() ([]string, error) {
	return all(tx, scanValue[string], `SELECT service_id FROM pending_deployment ORDER BY at, service_id`)
}

// DeletePendingDeployment deletes that record.
func (tx *Tx) DeletePendingDeployment(serviceID string) error {
	_, err := tx.exec(`DELETE FROM pending_deployment WHERE service_id = $1`, serviceID)
	return err
}
