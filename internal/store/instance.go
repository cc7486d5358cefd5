package store

import (
	"fmt"

	"github.com/openslipway/slipway"
)

const instanceColumns = `id, service_id, release_id, state, exit, problem, created_at, ready_at, ended_at, run`

func scanInstance(s scanner) (i slipway.Instance, err error) {
	var damaged string // how it ended is not worth more than the rest
	err = s.Scan(&i.ID, &i.ServiceID, &i.ReleaseID, &i.State, lenient{document{&i.Exit}, &damaged}, &i.Problem,
		instant{&i.CreatedAt}, instant{&i.ReadyAt}, instant{&i.EndedAt}, &i.Run)
	return i, err
}

// PutInstance inserts or replaces an instance's row. It always notifies routers,
// since the fleet, its only caller, calls it only when something changed.
func (tx *Tx) PutInstance(i slipway.Instance) error {
	tx.touch(i.ServiceID, Instances|Routes)
	if _, err := tx.exec(`INSERT INTO instance (`+instanceColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
		ON CONFLICT (id) DO UPDATE SET state = excluded.state, exit = excluded.exit, problem = excluded.problem,
		ready_at = excluded.ready_at, ended_at = excluded.ended_at, run = excluded.run`,
		i.ID, i.ServiceID, i.ReleaseID, string(i.State), document{i.Exit}, i.Problem, nanos(i.CreatedAt), nanos(i.ReadyAt), nanos(i.EndedAt), i.Run); err != nil {
		return fmt.Errorf("put instance %s: %w", i.ID, err)
	}
	return nil
}

// Instance returns an instance's row, or ErrNotFound.
func (tx *Tx) Instance(id string) (slipway.Instance, error) {
	return one(tx, scanInstance, `SELECT `+instanceColumns+` FROM instance WHERE id = $1`, id)
}

// InstancesOf returns a service's instances, oldest first.
func (tx *Tx) InstancesOf(serviceID string) ([]slipway.Instance, error) {
	return all(tx, scanInstance, `SELECT `+instanceColumns+` FROM instance WHERE service_id = $1 ORDER BY created_at, id`, serviceID)
}

// InstancesOfRelease returns a release's instances, oldest first.
func (tx *Tx) InstancesOfRelease(releaseID string) ([]slipway.Instance, error) {
	return all(tx, scanInstance, `SELECT `+instanceColumns+` FROM instance WHERE release_id = $1 ORDER BY created_at, id`, releaseID)
}

// DeleteInstance deletes an instance's row.
func (tx *Tx) DeleteInstance(i slipway.Instance) error {
	tx.touch(i.ServiceID, Instances|Routes)
	if err := tx.forgetDrained(i.ID); err != nil {
		return err
	}
	_, err := tx.exec(`DELETE FROM instance WHERE id = $1`, i.ID)
	return err
}
