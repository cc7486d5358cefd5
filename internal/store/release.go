package store

import (
	"time"

	"github.com/openslipway/slipway"
)

// releaseDocument is the part of a release that never changes: one JSON value.
// The fields of its workload are stored beside the others, not below a name of
// their own, as they were before Workload was a type.
type releaseDocument struct {
	ImageRef string
	slipway.Workload
	HealthCheck slipway.HealthCheck
	Scaling     slipway.Scaling
	Code        *slipway.CodeVersion `json:",omitempty"`
}

const releaseColumns = `id, service_id, operation_id, image, settings, desired, size, created_at, secrets, keep_until, run, unlisted`

func scanRelease(s scanner) (r slipway.Release, err error) {
	var d releaseDocument
	var unlisted int
	err = s.Scan(&r.ID, &r.ServiceID, &r.Operation, &r.Image, document{&d}, &r.Desired, &r.Size, instant{&r.CreatedAt}, sealed{&r.Secrets}, instant{&r.KeepUntil}, &r.Run, &unlisted)
	r.ImageRef, r.Code, r.Workload, r.HealthCheck, r.Scaling = d.ImageRef, d.Code, d.Workload, d.HealthCheck, d.Scaling
	r.Unlisted = unlisted != 0
	return r, err
}

// InsertRelease adds a release.
func (tx *Tx) InsertRelease(r slipway.Release) error {
	d := releaseDocument{ImageRef: r.ImageRef, Workload: r.Workload, HealthCheck: r.HealthCheck, Scaling: r.Scaling, Code: r.Code}
	tx.touch(r.ServiceID, Releases|Routes)
	if r.Code != nil && r.Code.Upload != "" {
		if _, err := tx.exec(`INSERT INTO reference (holder, arn) VALUES ($1, $2)`, r.ID, r.Code.Upload); err != nil {
			return err
		}
	}
	return tx.insert("release "+r.ID, `INSERT INTO release (`+releaseColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
		r.ID, r.ServiceID, r.Operation, r.Image, document{d}, string(r.Desired), r.Size, nanos(r.CreatedAt), sealed{&r.Secrets}, nanos(r.KeepUntil), r.Run, boolInt(r.Desired == slipway.DesiredRun))
}

// Release returns a release by id.
func (tx *Tx) Release(id string) (slipway.Release, error) {
	return one(tx, scanRelease, `SELECT `+releaseColumns+` FROM release WHERE id = $1`, id)
}

// ReleasesOf returns a service's releases, oldest first.
func (tx *Tx) ReleasesOf(serviceID string) ([]slipway.Release, error) {
	return all(tx, scanRelease, `SELECT `+releaseColumns+` FROM release WHERE service_id = $1 ORDER BY created_at, id`, serviceID)
}

// ServicesWithInstances returns the ids of the services that have instances or a
// release that is not stopped.
func (tx *Tx) ServicesWithInstances() ([]string, error) {
	return all(tx, scanValue[string], `SELECT service_id FROM release WHERE desired <> 'stop'
		UNION SELECT service_id FROM instance`)
}

// SetDesired sets the desired state of the release's instances. A release that is
// to run again loses the drains that routers have reported, and is Unlisted.
func (tx *Tx) SetDesired(r slipway.Release, d slipway.Desired) error {
	tx.touch(r.ServiceID, Releases|Routes)
	if d == slipway.DesiredRun {
		if err := tx.forgetDrained(r.ID); err != nil {
			return err
		}
		if _, err := tx.exec(`UPDATE release SET unlisted = 1 WHERE id = $1`, r.ID); err != nil {
			return err
		}
	}
	return mustAffect(tx.exec(`UPDATE release SET desired = $1 WHERE id = $2`, string(d), r.ID))
}

// SetListed records that each instance of a release has a row, and that no further one is
// started until it is to run again.
func (tx *Tx) SetListed(r slipway.Release) error {
	tx.touch(r.ServiceID, Instances)
	_, err := tx.exec(`UPDATE release SET unlisted = 0 WHERE id = $1`, r.ID)
	return err
}

// StartRun has the release run anew: it raises the number of its run and sets the desired
// state. Instances of earlier runs are not part of it.
func (tx *Tx) StartRun(r slipway.Release) error {
	if err := mustAffect(tx.exec(`UPDATE release SET run = run + 1 WHERE id = $1`, r.ID)); err != nil {
		return err
	}
	return tx.SetDesired(r, slipway.DesiredRun)
}

// SetSize sets how many instances the release should have. Routers hear of it: how long a
// request may wait depends on whether it is to have any.
func (tx *Tx) SetSize(r slipway.Release, size int) error {
	tx.touch(r.ServiceID, Releases|Routes)
	return mustAffect(tx.exec(`UPDATE release SET size = $1 WHERE id = $2`, size, r.ID))
}

// SetKeepUntil sets the end of the time for which the release keeps frozen instances; zero:
// those that there are must not be used again. SetDesired, in the same transaction, tells
// of it.
func (tx *Tx) SetKeepUntil(id string, until time.Time) error {
	return mustAffect(tx.exec(`UPDATE release SET keep_until = $1 WHERE id = $2`, nanos(until), id))
}

// SetReleaseSecrets replaces the sealed secrets of a release.
func (tx *Tx) SetReleaseSecrets(id string, secrets []byte) error {
	return mustAffect(tx.exec(`UPDATE release SET secrets = $1 WHERE id = $2`, sealed{&secrets}, id))
}

// DeleteRelease removes a release that nothing refers to.
func (tx *Tx) DeleteRelease(r slipway.Release) error {
	tx.touch(r.ServiceID, Releases|Routes)
	if err := tx.forgetDrained(r.ID); err != nil {
		return err
	}
	if err := tx.deleteReferences(r.ID); err != nil {
		return err
	}
	_, err := tx.exec(`DELETE FROM release WHERE id = $1`, r.ID)
	return err
}

// ImagesInUse returns the digests of the images of all releases, also of those that
// served before.
func (tx *Tx) ImagesInUse() ([]string, error) {
	return all(tx, scanValue[string], `SELECT DISTINCT image FROM release UNION SELECT image FROM past_release`)
}
