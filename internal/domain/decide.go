package domain

import (
	"time"

	"github.com/openslipway/slipway"
)

// The times that a domain's life has.
const (
	// bindTime is how long binding_certificate shows. Terraform's waiter takes
	// that state or the one before for the end of an association, active for a
	// failure, and looks every 10 s.
	bindTime = 12 * time.Second
	// lingerTime is how long deleting shows.
	lingerTime = 2 * time.Second
	// proofLimit is how long the records may take to appear, as in ACM.
	proofLimit = 72 * time.Hour
)

// settle says what becomes of a domain at a time when it takes no look at DNS;
// gone is true when nothing is to be left of it.
func settle(d slipway.CustomDomain, now time.Time) (next slipway.CustomDomain, gone bool) {
	if !d.RemovedAt.IsZero() {
		d.DueAt = d.RemovedAt.Add(lingerTime)
		return d, !now.Before(d.DueAt)
	}
	switch d.State {
	case slipway.DomainCreating:
		return enter(d, slipway.DomainPending, now, now), false
	case slipway.DomainBinding:
		if until := d.Since.Add(bindTime); now.Before(until) {
			d.DueAt = until
			return d, false
		}
		return enter(d, slipway.DomainActive, now, time.Time{}), false
	}
	d.DueAt = time.Time{}
	return d, false
}

// judge says what becomes of a domain whose records were looked up: found tells
// for each whether it is there. One that was there once counts for good.
func judge(d slipway.CustomDomain, found []bool, now time.Time) slipway.CustomDomain {
	records := make([]slipway.ValidationRecord, len(d.Records))
	valid := 0
	for i, r := range d.Records {
		if found[i] {
			r.Status = slipway.RecordValid
		}
		if r.Status == slipway.RecordValid {
			valid++
		}
		records[i] = r
	}
	d.Records = records
	if valid == len(records) {
		return enter(d, slipway.DomainBinding, now, now.Add(bindTime))
	}
	age := now.Sub(d.CreatedAt)
	if age < proofLimit {
		d.DueAt = now.Add(patience(age))
		return d
	}
	for i := range records {
		if records[i].Status != slipway.RecordValid {
			records[i].Status = slipway.RecordFailed
		}
	}
	return enter(d, slipway.DomainFailed, now, time.Time{})
}

// patience is the time until records are looked up again that have not been
// there since a domain of this age was asked for: a quarter of that, so that
// who edits DNS at once sees it at once and who forgot costs little.
func patience(age time.Duration) time.Duration {
	return min(max(age/4, 2*time.Second), 10*time.Minute)
}

func enter(d slipway.CustomDomain, s slipway.DomainStatus, now, due time.Time) slipway.CustomDomain {
	d.State, d.Since, d.DueAt = s, now, due
	return d
}
