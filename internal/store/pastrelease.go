package store

import (
	"time"

	"github.com/openslipway/slipway"
)

const pastReleaseColumns = `id, service_id, image, image_ref, served_at`

func scanPastRelease(s scanner) (p slipway.PastRelease, err error) {
	err = s.Scan(&p.ID, &p.ServiceID, &p.Image, &p.ImageRef, instant{&p.ServedAt})
	return p, err
}

// PutPastRelease records that a release serves from now on, and forgets all but the
// newest keep of its service's. A release that is known keeps its row. The clock may have been
// set back: the times of a service's releases rise all the same.
func (tx *Tx) PutPastRelease(r slipway.Release, now time.Time, keep int) error {
	if _, err := tx.exec(`INSERT INTO past_release (`+pastReleaseColumns+`) VALUES ($1, $2, $3, $4,
			max($5, (SELECT coalesce(max(served_at), 0) + 1 FROM past_release WHERE service_id = $2)))
		ON CONFLICT (id) DO NOTHING`, r.ID, r.ServiceID, r.Image, r.ImageRef, nanos(now)); err != nil {
		return err
	}
	_, err := tx.exec(`DELETE FROM past_release WHERE id IN (
		SELECT id FROM past_release WHERE service_id = $1 ORDER BY served_at DESC, id LIMIT -1 OFFSET $2)`, r.ServiceID, keep)
	return err
}

// PastReleases returns the releases of a service that have served, the newest first.
func (tx *Tx) PastReleases(serviceID string) ([]slipway.PastRelease, error) {
	return all(tx, scanPastRelease, `SELECT `+pastReleaseColumns+` FROM past_release WHERE service_id = $1 ORDER BY served_at DESC, id`, serviceID)
}

// DeletePastReleases forgets the releases of a service.
func (tx *Tx) DeletePastReleases(serviceID string) error {
	_, err := tx.exec(`DELETE FROM past_release WHERE service_id = $1`, serviceID)
	return err
}
