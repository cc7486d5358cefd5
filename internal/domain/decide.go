package domain

import (
	"slices"
	"time"

	"github.com/openslipway/slipway"
)

// Times in the life of a domain.
const (
	// bindTime is how long a domain is in binding_certificate. Terraform's
	// waiter polls every 10 s. It takes that state, or the one before, as the
	// end of an association, and active as a failure.
	bindTime = 12 * time.Second
	// certifyDelay is the longest time between two looks whether a domain has its
	// certificate.
	certifyDelay = 30 * time.Second
	// lingerTime is how long a domain is in deleting.
	lingerTime = 2 * time.Second
	// proofLimit is how long the validation records may take to appear, as in
	// ACM.
	proofLimit = 72 * time.Hour
)

// advance returns the next state of a domain without looking at DNS. gone is
// true if the domain must be deleted. certified says that it can be served.
func advance(d slipway.CustomDomain, certified bool, now time.Time) (next slipway.CustomDomain, gone bool) {
	if !d.RemovedAt.IsZero() {
		d.DueAt = d.RemovedAt.Add(lingerTime)
		return d, !now.Before(d.DueAt)
	}
	switch d.State {
	case slipway.DomainCreating:
		return withState(d, slipway.DomainPending, now, now), false
	case slipway.DomainBinding:
		if until := d.Since.Add(bindTime); now.Before(until) {
			d.DueAt = until
			return d, false
		}
		if !certified {
			d.DueAt = now.Add(min(retryDelay(now.Sub(d.Since)), certifyDelay))
			return d, false
		}
		return withState(d, slipway.DomainActive, now, time.Time{}), false
	}
	d.DueAt = time.Time{}
	return d, false
}

// validate returns the next state of a domain whose records were looked up.
// found says for each record whether it exists. A record that existed once
// counts from then on.
func validate(d slipway.CustomDomain, found []bool, now time.Time) slipway.CustomDomain {
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
		return withState(d, slipway.DomainBinding, now, now.Add(bindTime))
	}
	age := now.Sub(d.CreatedAt)
	if age < proofLimit {
		d.DueAt = now.Add(retryDelay(age))
		return d
	}
	return fail(d, now)
}

// Why a domain fails.
const (
	lateProof = "its validation records did not appear in DNS within 72 hours"
	lostClaim = "another service proved first that it controls the domain"
)

// fail returns the state of a domain that is not going to be validated.
func fail(d slipway.CustomDomain, now time.Time) slipway.CustomDomain {
	d.Records = slices.Clone(d.Records)
	for i := range d.Records {
		if d.Records[i].Status != slipway.RecordValid {
			d.Records[i].Status = slipway.RecordFailed
		}
	}
	return withState(d, slipway.DomainFailed, now, time.Time{})
}

// retryDelay returns the time until the records of a domain of this age are
// looked up again. It is a quarter of the age, so that someone who edits DNS
// sees the result soon, and forgotten domains cost little.
func retryDelay(age time.Duration) time.Duration {
	return min(max(age/4, 2*time.Second), 10*time.Minute)
}

func withState(d slipway.CustomDomain, s slipway.DomainStatus, now, due time.Time) slipway.CustomDomain {
	d.State, d.Since, d.DueAt = s, now, due
	return d
}
