package store

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/openslipway/slipway"
)

// ErrOperationLive is returned if the service already has a live operation.
var ErrOperationLive = errors.New("another operation is live")

// ErrLeaseLost is returned if another process has claimed the operation since. The
// caller must stop and write nothing.
var ErrLeaseLost = errors.New("the operation's lease is lost")

const operationColumns = `id, service_id, kind, input, status, step, state, cause, cancel, attempt, spent,
	owner, fence, lease_until, created_at, started_at, updated_at, ended_at`

func scanOperation(s scanner) (o slipway.Operation, err error) {
	// Were a damaged one an error, no operation after it would be claimed.
	err = s.Scan(&o.ID, &o.ServiceID, &o.Kind, lenient{document{&o.Input}, &o.Damaged}, &o.Status, &o.Step, &o.State, &o.Cause,
		lenient{cancellation{&o.Cancel}, &o.Damaged},
		&o.Attempt, &o.Spent, &o.Owner, &o.Fence, instant{&o.LeaseUntil},
		instant{&o.CreatedAt}, instant{&o.StartedAt}, instant{&o.UpdatedAt}, instant{&o.EndedAt})
	return o, err
}

// InsertOperation adds a pending operation with the ID, ServiceID, Kind, Input and
// CreatedAt of o. It returns ErrOperationLive if the service has a live operation:
// a unique index is the only lock.
func (tx *Tx) InsertOperation(o slipway.Operation) error {
	n, err := tx.exec(`INSERT INTO operation (id, service_id, kind, input, status, step, state, cause,
		cancel, attempt, spent, owner, fence, lease_until, created_at, started_at, updated_at, ended_at)
		VALUES ($1, $2, $3, $4, 'PENDING', '', '', '', '', 0, 0, '', 0, 0, $5, $5, $5, 0)
		ON CONFLICT (service_id) WHERE status IN ('PENDING', 'IN_PROGRESS', 'ROLLBACK_IN_PROGRESS') DO NOTHING`,
		o.ID, o.ServiceID, string(o.Kind), document{o.Input}, nanos(o.CreatedAt))
	if err != nil {
		return fmt.Errorf("insert operation %s: %w", o.ID, err)
	}
	if n == 0 {
		return ErrOperationLive
	}
	tx.touch(o.ServiceID, Operations|Routes)
	if err := tx.ForgetOperations(o.ServiceID, keepOperations); err != nil {
		return err
	}
	if o.Input.Spec == nil {
		return nil
	}
	return tx.setReferences(o.ID, *o.Input.Spec)
}

// keepOperations is how many operations are kept of a service.
const keepOperations = 1000

// ForgetOperations removes a service's ended operations beyond the newest ones, with their
// logs. InsertOperation calls it; one call removes at most a hundred.
func (tx *Tx) ForgetOperations(serviceID string, keep int) error {
	ids, err := all(tx, scanValue[string], `SELECT id FROM operation WHERE service_id = $1
		ORDER BY created_at DESC, id DESC LIMIT 100 OFFSET $2`, serviceID, keep)
	if err != nil {
		return err
	}
	for _, id := range ids {
		for _, q := range []string{
			`DELETE FROM event WHERE service_id = $1 AND operation_id = $2 AND stream <> 'events'
				AND EXISTS (SELECT 1 FROM operation WHERE service_id = $1 AND id = $2 AND ended_at > 0)`,
			`DELETE FROM reference WHERE holder = $2 AND EXISTS (SELECT 1 FROM operation WHERE service_id = $1 AND id = $2 AND ended_at > 0)`,
			`DELETE FROM operation WHERE service_id = $1 AND id = $2 AND ended_at > 0`,
		} {
			if _, err := tx.exec(q, serviceID, id); err != nil {
				return fmt.Errorf("forget operation %s: %w", id, err)
			}
		}
	}
	return nil
}

// Operation returns an operation by id.
func (tx *Tx) Operation(id string) (slipway.Operation, error) {
	return one(tx, scanOperation, `SELECT `+operationColumns+` FROM operation WHERE id = $1`, id)
}

// OperationsOf returns a service's operations before the cursor (beforeTime,
// beforeID), newest first. A zero cursor starts at the newest; limit 0 means all.
func (tx *Tx) OperationsOf(serviceID string, beforeTime time.Time, beforeID string, limit int) ([]slipway.Operation, error) {
	return soundPage(tx, "operation", limit, scanOperation, `SELECT `+operationColumns+` FROM operation WHERE service_id = $1
		AND (created_at < $2 OR (created_at = $2 AND id < $3))
		ORDER BY created_at DESC, id DESC LIMIT $4`, serviceID, cmp.Or(nanos(beforeTime), noBound), beforeID)
}

// cancellation scans the column cancel: JSON, or "" for none.
type cancellation struct{ c *slipway.Cancellation }

func (s cancellation) Scan(v any) error {
	*s.c = slipway.Cancellation{}
	if v == "" {
		return nil
	}
	return document{s.c}.Scan(v)
}

// CancelOperation asks the engine to roll o back. A request that o has already
// stays as it is. It returns ErrNotFound if o is at its end or rolls back.
func (tx *Tx) CancelOperation(o slipway.Operation, c slipway.Cancellation) error {
	n, err := tx.exec(`UPDATE operation SET cancel = CASE cancel WHEN '' THEN $1 ELSE cancel END
		WHERE id = $2 AND status IN ('PENDING', 'IN_PROGRESS')`, document{c}, o.ID)
	if err != nil {
		return fmt.Errorf("cancel operation %s: %w", o.ID, err)
	}
	if n == 0 {
		return ErrNotFound
	}
	tx.touch(o.ServiceID, Operations|Cancels)
	return nil
}

// CancellationOf returns the request to cancel an operation; zero if there is
// none.
func (tx *Tx) CancellationOf(id string) (slipway.Cancellation, error) {
	return one(tx, scanCancellation, `SELECT cancel FROM operation WHERE id = $1`, id)
}

func scanCancellation(s scanner) (c slipway.Cancellation, err error) {
	return c, s.Scan(cancellation{&c})
}

// ClaimOperation claims one live operation that nobody has a lease of, and returns it. The
// owner holds the lease for as long as it renews it; see Lease. It returns ErrNotFound if
// there is none.
func (tx *Tx) ClaimOperation(owner string, until time.Time) (slipway.Operation, error) {
	return tx.claimOperation(dueOperation, owner, until)
}

// ClaimCancelledOperation is ClaimOperation for an operation that somebody has
// cancelled.
func (tx *Tx) ClaimCancelledOperation(owner string, until time.Time) (slipway.Operation, error) {
	return tx.claimOperation(dueOperation+` AND cancel <> ''`, owner, until)
}

// dueOperation is the condition of a claim.
const dueOperation = `status IN ('PENDING', 'IN_PROGRESS', 'ROLLBACK_IN_PROGRESS') AND lease_until = 0`

func (tx *Tx) claimOperation(due, owner string, until time.Time) (slipway.Operation, error) {
	// The condition is repeated outside the sub-select. Without it, concurrent
	// claims on PostgreSQL would claim one operation several times.
	return one(tx, scanOperation, `UPDATE operation SET owner = $1, fence = fence + 1, lease_until = $2
		WHERE id = (SELECT id FROM operation WHERE `+due+` ORDER BY created_at LIMIT 1) AND `+due+`
		RETURNING `+operationColumns, owner, nanos(until))
}

// Lease is a lease of a live operation. Its owner changes Until each time that it renews the
// lease. Such a change is the only sign that the owner lives: clocks step, so nothing compares
// Until with the time of day.
type Lease struct {
	Operation, Owner string
	Fence, Until     int64
}

// Leases returns the leases of all live operations.
func (tx *Tx) Leases() ([]Lease, error) {
	return all(tx, func(s scanner) (l Lease, err error) { return l, s.Scan(&l.Operation, &l.Owner, &l.Fence, &l.Until) },
		`SELECT id, owner, fence, lease_until FROM operation
		WHERE status IN ('PENDING', 'IN_PROGRESS', 'ROLLBACK_IN_PROGRESS') AND lease_until > 0`)
}

// EndLease makes the operation of a lease claimable, unless the lease was renewed since. The
// caller knows that nobody has renewed it for as long as it holds.
func (tx *Tx) EndLease(l Lease) error {
	_, err := tx.exec(`UPDATE operation SET lease_until = 0 WHERE id = $1 AND fence = $2 AND lease_until = $3
		AND status IN ('PENDING', 'IN_PROGRESS', 'ROLLBACK_IN_PROGRESS')`, l.Operation, l.Fence, l.Until)
	return err
}

// RenewLease renews the owner's lease, or ends it if until is zero, and saves how long the owner
// has executed the step, unless the operation is at another one by now. It returns the
// request to cancel the operation, zero if there is none, or ErrLeaseLost.
func (tx *Tx) RenewLease(id string, fence int64, until time.Time, step string, spent time.Duration) (c slipway.Cancellation, err error) {
	c, err = one(tx, scanCancellation, `UPDATE operation SET lease_until = $1, spent = CASE step WHEN $4 THEN $5 ELSE spent END
		WHERE id = $2 AND fence = $3
		AND status IN ('PENDING', 'IN_PROGRESS', 'ROLLBACK_IN_PROGRESS') RETURNING cancel`, nanos(until), id, fence, step, int64(spent))
	if errors.Is(err, ErrNotFound) {
		err = ErrLeaseLost
	}
	return c, err
}

// SaveOperation writes the engine's fields of o: status, step, state, cause,
// attempt, time spent and times. It ends the lease with the operation; otherwise only
// RenewLease writes it, which may know a later end than o. It returns ErrLeaseLost
// unless o.Fence is still the operation's fence.
func (tx *Tx) SaveOperation(o slipway.Operation) error {
	lease := "lease_until"
	if !o.Status.Live() {
		lease = "0"
	}
	n, err := tx.exec(`UPDATE operation SET status = $1, step = $2, state = $3, cause = $4, attempt = $5, spent = $6,
		lease_until = `+lease+`, started_at = $7, updated_at = $8, ended_at = $9 WHERE id = $10 AND fence = $11`,
		string(o.Status), o.Step, string(o.State), o.Cause, o.Attempt, int64(o.Spent),
		nanos(o.StartedAt), nanos(o.UpdatedAt), nanos(o.EndedAt), o.ID, o.Fence)
	if err != nil {
		return fmt.Errorf("save operation %s: %w", o.ID, err)
	}
	if n == 0 {
		return ErrLeaseLost
	}
	tx.touch(o.ServiceID, Operations)
	if o.Status.Live() {
		return nil
	}
	tx.touch(o.ServiceID, Routes)
	return tx.deleteReferences(o.ID)
}

// ReleaseLeases makes the live operations that owner has leased claimable at once;
// an empty owner means all. The caller knows that the owner is dead.
func (tx *Tx) ReleaseLeases(owner string) error {
	_, err := tx.exec(`UPDATE operation SET lease_until = 0
		WHERE status IN ('PENDING', 'IN_PROGRESS', 'ROLLBACK_IN_PROGRESS') AND lease_until > 0 AND ($1 = '' OR owner = $1)`, owner)
	return err
}

// OperationDue reports whether ClaimOperation would return an operation.
func (tx *Tx) OperationDue() (bool, error) {
	return tx.exists(`SELECT 1 FROM operation WHERE ` + dueOperation)
}
