package store

import (
	"fmt"
	"time"

	"github.com/openslipway/slipway"
)

const serviceColumns = `s.id, s.name, s.arn, s.label, s.spec, s.wanted, s.status, s.active_release,
	s.route_version, s.created_at, s.updated_at, s.deleted_at`

// serviceViews joins the live operation; its columns are NULL without one.
const serviceViews = `SELECT ` + serviceColumns + `, COALESCE(o.id, '') FROM service s
	LEFT JOIN operation o ON o.service_id = s.id
		AND o.status IN ('PENDING', 'IN_PROGRESS', 'ROLLBACK_IN_PROGRESS') `

func serviceFields(v *slipway.Service) []any {
	return []any{
		&v.ID, &v.Name, &v.ARN, &v.Label,
		document{&v.Spec},
		&v.Wanted, &v.Status, &v.ActiveRelease,
		&v.RouteVersion,
		instant{&v.CreatedAt},
		instant{&v.UpdatedAt},
		instant{&v.DeletedAt},
	}
}

type serviceRow struct {
	service slipway.Service
	live    string
}

func scanServiceRow(s scanner) (r serviceRow, err error) {
	err = s.Scan(append(serviceFields(&r.service), &r.live)...)
	return r, err
}

func (tx *Tx) views(rows []serviceRow) ([]slipway.ServiceView, error) {
	list := make([]slipway.ServiceView, 0, len(rows))
	for _, r := range rows {
		v := slipway.ServiceView{Service: r.service}
		if r.live != "" {
			op, err := tx.Operation(r.live)
			if err != nil {
				return nil, fmt.Errorf("read the live operation of %s: %w", r.service.ID, err)
			}
			v.Live = &op
		}
		list = append(list, v)
	}
	return list, nil
}

func (tx *Tx) view(where string, args ...any) (slipway.ServiceView, error) {
	r, err := one(tx, scanServiceRow, serviceViews+where, args...)
	if err != nil {
		return slipway.ServiceView{}, err
	}
	list, err := tx.views([]serviceRow{r})
	if err != nil {
		return slipway.ServiceView{}, err
	}
	return list[0], nil
}

// InsertService adds a service. It returns ErrNameTaken if a service of this name
// exists that is not deleted.
func (tx *Tx) InsertService(v slipway.Service) error {
	err := tx.insert("service "+v.ID, `INSERT INTO service (id, name, arn, label, spec, wanted, status, active_release,
		route_version, created_at, updated_at, deleted_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, $9, $10, 0)
		ON CONFLICT (name) WHERE deleted_at = 0 DO NOTHING`,
		v.ID, v.Name, v.ARN, v.Label, document{v.Spec}, string(v.Wanted), string(v.Status),
		v.ActiveRelease, nanos(v.CreatedAt), nanos(v.UpdatedAt))
	if err != nil {
		return err
	}
	tx.touch(v.ID, Routes)
	return tx.setReferences(v.ID, v.Spec)
}

// Service returns a service by id, also a deleted one.
func (tx *Tx) Service(id string) (slipway.ServiceView, error) {
	return tx.view(`WHERE s.id = $1`, id)
}

// ServiceByName returns the service of this name that is not deleted.
func (tx *Tx) ServiceByName(name string) (slipway.ServiceView, error) {
	return tx.view(`WHERE s.name = $1 AND s.deleted_at = 0`, name)
}

// Services returns services that are not deleted after the cursor (afterTime,
// afterID), oldest first, without those whose rows are damaged; limit 0 means all.
func (tx *Tx) Services(afterTime time.Time, afterID string, limit int) ([]slipway.ServiceView, error) {
	rows, err := soundPage(tx, "service", limit, scanServiceRow, serviceViews+`WHERE s.deleted_at = 0
		AND (s.created_at > $1 OR (s.created_at = $1 AND s.id > $2))
		ORDER BY s.created_at, s.id LIMIT $3`, nanos(afterTime), afterID)
	if err != nil {
		return nil, err
	}
	return tx.views(rows)
}

// CountServices counts the services that are not deleted.
func (tx *Tx) CountServices() (int, error) {
	return tx.count(`SELECT count(*) FROM service WHERE deleted_at = 0`)
}

// ServicesUsing returns the services after the cursor whose specification, or the
// one that their live operation deploys, names the resource. The oldest come
// first; limit 0 means all.
func (tx *Tx) ServicesUsing(arn string, afterTime time.Time, afterID string, limit int) ([]slipway.ServiceView, error) {
	rows, err := soundPage(tx, "service", limit, scanServiceRow, serviceViews+`WHERE s.deleted_at = 0
		AND EXISTS (SELECT 1 FROM reference r WHERE r.arn = $1 AND r.holder IN (s.id, o.id))
		AND (s.created_at > $2 OR (s.created_at = $2 AND s.id > $3))
		ORDER BY s.created_at, s.id LIMIT $4`, arn, nanos(afterTime), afterID)
	if err != nil {
		return nil, err
	}
	return tx.views(rows)
}

// SetSpec sets the service's specification.
func (tx *Tx) SetSpec(id string, spec slipway.Spec, now time.Time) error {
	tx.touch(id, Routes)
	if err := tx.setReferences(id, spec); err != nil {
		return err
	}
	return mustAffect(tx.exec(`UPDATE service SET spec = $1, updated_at = $2 WHERE id = $3`, document{spec}, nanos(now), id))
}

// SetWanted sets the state that the service is to be brought to.
func (tx *Tx) SetWanted(id string, w slipway.Wanted, now time.Time) error {
	tx.touch(id, Routes|Releases)
	return mustAffect(tx.exec(`UPDATE service SET wanted = $1, updated_at = $2 WHERE id = $3`, string(w), nanos(now), id))
}

// SetStatus sets the resting status. DELETED also sets the time of deletion, which
// frees the name and the resources that the specification names.
func (tx *Tx) SetStatus(id string, st slipway.Status, now time.Time) error {
	tx.touch(id, Routes)
	var deleted int64
	if st == slipway.StatusDeleted {
		deleted = nanos(now)
		if err := tx.deleteReferences(id); err != nil {
			return err
		}
	}
	return mustAffect(tx.exec(`UPDATE service SET status = $1, updated_at = $2, deleted_at = $3 WHERE id = $4`,
		string(st), nanos(now), deleted, id))
}

// SetActiveRelease sets the active release; "" for none.
func (tx *Tx) SetActiveRelease(id, releaseID string) error {
	tx.touch(id, Routes|Releases)
	return mustAffect(tx.exec(`UPDATE service SET active_release = $1 WHERE id = $2`, releaseID, id))
}

// ForgetServices removes everything about the services deleted before t and
// returns their ids.
func (tx *Tx) ForgetServices(t time.Time) ([]string, error) {
	ids, err := all(tx, scanValue[string], `SELECT id FROM service WHERE deleted_at <> 0 AND deleted_at < $1`, nanos(t))
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		for _, q := range []string{
			`DELETE FROM tag WHERE arn = (SELECT arn FROM service WHERE id = $1)`,
			`DELETE FROM made WHERE arn = (SELECT arn FROM service WHERE id = $1)`,
			`DELETE FROM event WHERE service_id = $1`,
			`DELETE FROM custom_domain_host WHERE domain_id IN (SELECT id FROM custom_domain WHERE service_id = $1)`,
			`DELETE FROM custom_domain WHERE service_id = $1`,
			`DELETE FROM pending_deployment WHERE service_id = $1`,
			`DELETE FROM passed_commit WHERE service_id = $1`,
			`DELETE FROM past_release WHERE service_id = $1`,
			`DELETE FROM instance WHERE service_id = $1`,
			`DELETE FROM reference WHERE holder IN (SELECT id FROM release WHERE service_id = $1)`,
			`DELETE FROM release WHERE service_id = $1`,
			`DELETE FROM operation WHERE service_id = $1`,
			`DELETE FROM service WHERE id = $1`,
		} {
			if _, err := tx.exec(q, id); err != nil {
				return nil, fmt.Errorf("forget service %s: %w", id, err)
			}
		}
		tx.touch(id, Releases)
	}
	return ids, nil
}
