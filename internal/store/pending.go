package store

import "time"

// PutPendingDeployment notes that the service is to be deployed as soon as it
// can be. Several notes are one.
func (tx *Tx) PutPendingDeployment(serviceID string, now time.Time) error {
	tx.touch(serviceID, Operations)
	_, err := tx.exec(`INSERT INTO pending_deployment (service_id, at) VALUES ($1, $2)
		ON CONFLICT (service_id) DO UPDATE SET at = excluded.at`, serviceID, nanos(now))
	return err
}

// PendingDeployments returns the services noted, longest waiting first.
func (tx *Tx) PendingDeployments() ([]string, error) {
	return all(tx, scanValue[string], `SELECT service_id FROM pending_deployment ORDER BY at, service_id`)
}

// DeletePendingDeployment drops the note.
func (tx *Tx) DeletePendingDeployment(serviceID string) error {
	_, err := tx.exec(`DELETE FROM pending_deployment WHERE service_id = $1`, serviceID)
	return err
}
