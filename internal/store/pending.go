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

// PutPassedCommit records the newest commit that automatic deployments of the service
// pass over, or the newest digest of an image's tag that they have looked at. place
// names the repository and the branch, or the image; only a service's last one is kept.
func (tx *Tx) PutPassedCommit(serviceID, place, commit string) error {
	_, err := tx.exec(`INSERT INTO passed_commit (service_id, place, commit_id) VALUES ($1, $2, $3)
		ON CONFLICT (service_id) DO UPDATE SET place = excluded.place, commit_id = excluded.commit_id`, serviceID, place, commit)
	return err
}

// PassedCommit returns that commit; ErrNotFound if there is none of this place.
func (tx *Tx) PassedCommit(serviceID, place string) (string, error) {
	return one(tx, scanValue[string], `SELECT commit_id FROM passed_commit WHERE service_id = $1 AND place = $2`, serviceID, place)
}
