package store

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/openslipway/slipway"
)

// ErrHostTaken is returned when a host name belongs to another custom domain.
var ErrHostTaken = errors.New("host name is taken")

const domainColumns = `d.id, d.service_id, d.name, d.www, d.records, d.created_at, d.removed_at, d.state, d.since, d.due_at`

func scanDomain(s scanner) (d slipway.CustomDomain, err error) {
	err = s.Scan(&d.ID, &d.ServiceID, &d.Name, &d.WWW, document{&d.Records}, instant{&d.CreatedAt}, instant{&d.RemovedAt},
		&d.State, instant{&d.Since}, instant{&d.DueAt})
	return d, err
}

// InsertCustomDomain adds a domain. It returns ErrHostTaken when one of its
// hosts belongs to another, of whatever service.
func (tx *Tx) InsertCustomDomain(d slipway.CustomDomain) error {
	for _, h := range d.Hosts() {
		n, err := tx.exec(`INSERT INTO custom_domain_host (host, domain_id) VALUES ($1, $2) ON CONFLICT (host) DO NOTHING`, h, d.ID)
		if err != nil {
			return fmt.Errorf("insert host %s: %w", h, err)
		}
		if n == 0 {
			return ErrHostTaken
		}
	}
	tx.touch(d.ServiceID, Domains)
	return tx.insert("custom domain "+d.Name, `INSERT INTO custom_domain (id, service_id, name, www, records, created_at,
		removed_at, state, since, due_at) VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $8, $9)`,
		d.ID, d.ServiceID, d.Name, bit(d.WWW), document{d.Records}, nanos(d.CreatedAt), string(d.State), nanos(d.Since), nanos(d.DueAt))
}

// CustomDomainOfHost returns the domain that a host name, in lower case,
// belongs to.
func (tx *Tx) CustomDomainOfHost(host string) (slipway.CustomDomain, error) {
	return one(tx, scanDomain, `SELECT `+domainColumns+` FROM custom_domain d
		JOIN custom_domain_host h ON h.domain_id = d.id WHERE h.host = $1`, host)
}

// CustomDomain returns a service's domain of this name, however it is spelt.
func (tx *Tx) CustomDomain(serviceID, name string) (slipway.CustomDomain, error) {
	d, err := tx.CustomDomainOfHost(strings.ToLower(name))
	if err == nil && (d.ServiceID != serviceID || !strings.EqualFold(d.Name, name)) {
		err = ErrNotFound
	}
	return d, err
}

// CustomDomains returns a service's domains in the order of their association,
// from the one after the cursor (afterTime, afterID) on; limit 0 means all.
func (tx *Tx) CustomDomains(serviceID string, afterTime time.Time, afterID string, limit int) ([]slipway.CustomDomain, error) {
	return all(tx, scanDomain, `SELECT `+domainColumns+` FROM custom_domain d WHERE d.service_id = $1
		AND (d.created_at > $2 OR (d.created_at = $2 AND d.id > $3))
		ORDER BY d.created_at, d.id LIMIT $4`, serviceID, nanos(afterTime), afterID, atMost(limit))
}

// CountCustomDomains counts a service's domains that are to stay.
func (tx *Tx) CountCustomDomains(serviceID string) (int, error) {
	return tx.count(`SELECT count(*) FROM custom_domain WHERE service_id = $1 AND removed_at = 0`, serviceID)
}

// RemoveCustomDomain asks a domain to go: from the commit on it is routed no
// more.
func (tx *Tx) RemoveCustomDomain(d slipway.CustomDomain, now time.Time) error {
	tx.touch(d.ServiceID, Domains|Routes)
	_, err := tx.exec(`UPDATE custom_domain SET removed_at = $1, due_at = $1 WHERE id = $2 AND removed_at = 0`, nanos(now), d.ID)
	return err
}

// RemoveCustomDomainsOf asks all domains of a service to go.
func (tx *Tx) RemoveCustomDomainsOf(serviceID string, now time.Time) error {
	n, err := tx.exec(`UPDATE custom_domain SET removed_at = $1, due_at = $1 WHERE service_id = $2 AND removed_at = 0`,
		nanos(now), serviceID)
	if n > 0 {
		tx.touch(serviceID, Domains|Routes)
	}
	return err
}

const (
	// A domain in this state waits for its owner to add records to DNS.
	unproved = `d.state = 'pending_certificate_dns_validation' AND d.removed_at = 0`
	due      = ` FROM custom_domain d WHERE d.due_at > 0 AND `
)

// UnprovedCustomDomains returns at most limit domains that are due to have
// their records looked up, longest due first, and when the next is due after
// those; the zero time when none is.
func (tx *Tx) UnprovedCustomDomains(now time.Time, limit int) ([]slipway.CustomDomain, time.Time, error) {
	return tx.dueDomains(unproved, now, limit)
}

// UnsettledCustomDomains is UnprovedCustomDomains for all other domains that
// are due.
func (tx *Tx) UnsettledCustomDomains(now time.Time, limit int) ([]slipway.CustomDomain, time.Time, error) {
	return tx.dueDomains(`NOT (`+unproved+`)`, now, limit)
}

func (tx *Tx) dueDomains(which string, now time.Time, limit int) (list []slipway.CustomDomain, next time.Time, err error) {
	list, err = all(tx, scanDomain, `SELECT `+domainColumns+due+which+` ORDER BY d.due_at, d.id LIMIT $1`, limit+1)
	for i, d := range list {
		if i == limit || d.DueAt.After(now) {
			return list[:i], d.DueAt, err
		}
	}
	return list, next, err
}

// SaveCustomDomain writes what internal/domain owns of d. It returns
// ErrNotFound when the domain was asked to go since d was read: what is decided
// of it then is another thing.
func (tx *Tx) SaveCustomDomain(d slipway.CustomDomain) error {
	tx.touch(d.ServiceID, Domains)
	if d.State == slipway.DomainActive {
		tx.touch(d.ServiceID, Routes)
	}
	return mustAffect(tx.exec(`UPDATE custom_domain SET records = $1, state = $2, since = $3, due_at = $4 WHERE id = $5 AND removed_at = $6`,
		document{d.Records}, string(d.State), nanos(d.Since), nanos(d.DueAt), d.ID, nanos(d.RemovedAt)))
}

// DeleteCustomDomain removes a domain and frees its hosts.
func (tx *Tx) DeleteCustomDomain(d slipway.CustomDomain) error {
	tx.touch(d.ServiceID, Domains)
	if _, err := tx.exec(`DELETE FROM custom_domain_host WHERE domain_id = $1`, d.ID); err != nil {
		return err
	}
	return mustAffect(tx.exec(`DELETE FROM custom_domain WHERE id = $1`, d.ID))
}

// activeHosts returns the host names of a service's active domains.
func (tx *Tx) activeHosts(serviceID string) ([]string, error) {
	return all(tx, scanValue[string], `SELECT h.host FROM custom_domain d JOIN custom_domain_host h ON h.domain_id = d.id
		WHERE d.service_id = $1 AND d.state = 'active' AND d.removed_at = 0 ORDER BY h.host`, serviceID)
}
