package store

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/openslipway/slipway"
)

// ErrHostTaken is returned when a host name is held by another custom domain, whose claim
// was proved, or claimed by another one of the same service.
var ErrHostTaken = errors.New("host name is taken")

const domainColumns = `d.id, d.service_id, d.name, d.www, d.records, d.created_at, d.removed_at, d.state, d.since, d.due_at`

func scanDomain(s scanner) (d slipway.CustomDomain, err error) {
	err = s.Scan(&d.ID, &d.ServiceID, &d.Name, &d.WWW, document{&d.Records}, instant{&d.CreatedAt}, instant{&d.RemovedAt},
		&d.State, instant{&d.Since}, instant{&d.DueAt})
	return d, err
}

// InsertCustomDomain adds a domain, which claims its hosts. It returns ErrHostTaken if one
// of them is held by a domain of any service, or claimed by one of the same service.
func (tx *Tx) InsertCustomDomain(d slipway.CustomDomain) error {
	for _, h := range d.Hosts() {
		_, err := tx.OtherCustomDomain(d.ServiceID, h)
		if err == nil {
			return ErrHostTaken
		}
		if !errors.Is(err, ErrNotFound) {
			return err
		}
		if _, err := tx.exec(`INSERT INTO custom_domain_host (host, domain_id, held) VALUES ($1, $2, 0)`, h, d.ID); err != nil {
			return fmt.Errorf("insert host %s: %w", h, err)
		}
	}
	tx.touch(d.ServiceID, Domains)
	return tx.insert("custom domain "+d.Name, `INSERT INTO custom_domain (id, service_id, name, www, records, created_at,
		removed_at, state, since, due_at) VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $8, $9)`,
		d.ID, d.ServiceID, d.Name, boolInt(d.WWW), document{d.Records}, nanos(d.CreatedAt), string(d.State), nanos(d.Since), nanos(d.DueAt))
}

// OtherCustomDomain returns the domain because of which a service can't claim a host
// name, which is in lower case: the one that holds it, or the service's own that claims
// it. ErrNotFound if there is none.
func (tx *Tx) OtherCustomDomain(serviceID, host string) (slipway.CustomDomain, error) {
	return one(tx, scanDomain, `SELECT `+domainColumns+` FROM custom_domain d
		JOIN custom_domain_host h ON h.domain_id = d.id WHERE h.host = $1 AND (h.held = 1 OR d.service_id = $2)
		ORDER BY h.held DESC LIMIT 1`, host, serviceID)
}

// HoldHosts makes a domain, whose claim was proved, the holder of its hosts. It returns
// ErrHostTaken if another one holds one of them, and holds none then.
func (tx *Tx) HoldHosts(d slipway.CustomDomain) error {
	for _, h := range d.Hosts() {
		n, err := tx.count(`SELECT count(*) FROM custom_domain_host WHERE host = $1 AND held = 1 AND domain_id <> $2`, h, d.ID)
		if err != nil {
			return err
		}
		if n > 0 {
			return ErrHostTaken
		}
	}
	_, err := tx.exec(`UPDATE custom_domain_host SET held = 1 WHERE domain_id = $1`, d.ID)
	return err
}

// Rivals returns the domains that claim a host of d, hold none and still could: those that
// are being created or wait for their proof.
func (tx *Tx) Rivals(d slipway.CustomDomain) ([]slipway.CustomDomain, error) {
	return all(tx, scanDomain, `SELECT `+domainColumns+` FROM custom_domain d WHERE d.id <> $1 AND d.removed_at = 0
		AND d.state IN ('creating', 'pending_certificate_dns_validation') AND d.id IN (SELECT o.domain_id
			FROM custom_domain_host o JOIN custom_domain_host h ON h.host = o.host WHERE h.domain_id = $1)
		ORDER BY d.created_at, d.id`, d.ID)
}

// CustomDomain returns a service's domain by name, in any letter case.
func (tx *Tx) CustomDomain(serviceID, name string) (slipway.CustomDomain, error) {
	d, err := one(tx, scanDomain, `SELECT `+domainColumns+` FROM custom_domain d
		JOIN custom_domain_host h ON h.domain_id = d.id WHERE h.host = $1 AND d.service_id = $2`, strings.ToLower(name), serviceID)
	if err == nil && !strings.EqualFold(d.Name, name) {
		err = ErrNotFound
	}
	return d, err
}

// CustomDomains returns a service's domains after the cursor (afterTime, afterID),
// in the order of their association; limit 0 means all.
func (tx *Tx) CustomDomains(serviceID string, afterTime time.Time, afterID string, limit int) ([]slipway.CustomDomain, error) {
	return all(tx, scanDomain, `SELECT `+domainColumns+` FROM custom_domain d WHERE d.service_id = $1
		AND (d.created_at > $2 OR (d.created_at = $2 AND d.id > $3))
		ORDER BY d.created_at, d.id LIMIT $4`, serviceID, nanos(afterTime), afterID, atMost(limit))
}

// CountCustomDomains counts a service's domains that are not being deleted.
func (tx *Tx) CountCustomDomains(serviceID string) (int, error) {
	return tx.count(`SELECT count(*) FROM custom_domain WHERE service_id = $1 AND removed_at = 0`, serviceID)
}

// RemoveCustomDomain marks a domain as being deleted. From the commit on it is not
// routed.
func (tx *Tx) RemoveCustomDomain(d slipway.CustomDomain, now time.Time) error {
	tx.touch(d.ServiceID, Domains|Routes)
	_, err := tx.exec(`UPDATE custom_domain SET removed_at = $1, due_at = $1 WHERE id = $2 AND removed_at = 0`, nanos(now), d.ID)
	return err
}

// RemoveCustomDomainsOf marks all domains of a service as being deleted.
func (tx *Tx) RemoveCustomDomainsOf(serviceID string, now time.Time) error {
	n, err := tx.exec(`UPDATE custom_domain SET removed_at = $1, due_at = $1 WHERE service_id = $2 AND removed_at = 0`,
		nanos(now), serviceID)
	if n > 0 {
		tx.touch(serviceID, Domains|Routes)
	}
	return err
}

const (
	// unproved selects the domains that wait for their owner to add records to DNS.
	unproved = `d.state = 'pending_certificate_dns_validation' AND d.removed_at = 0`
	due      = ` FROM custom_domain d WHERE d.due_at > 0 AND `
)

// DueUnprovedCustomDomains returns at most limit domains whose validation records
// are due for a look-up, longest due first, and when the next one after those is
// due; the zero time if there is none.
func (tx *Tx) DueUnprovedCustomDomains(now time.Time, limit int) ([]slipway.CustomDomain, time.Time, error) {
	return tx.dueDomains(unproved, now, limit)
}

// DueCustomDomains is DueUnprovedCustomDomains for domains in any other state.
func (tx *Tx) DueCustomDomains(now time.Time, limit int) ([]slipway.CustomDomain, time.Time, error) {
	return tx.dueDomains(`NOT (`+unproved+`)`, now, limit)
}

func (tx *Tx) dueDomains(which string, now time.Time, limit int) (list []slipway.CustomDomain, next time.Time, err error) {
	list, err = sound(tx, "custom domain", scanDomain, `SELECT `+domainColumns+due+which+` ORDER BY d.due_at, d.id LIMIT $1`, limit+1)
	for i, d := range list {
		if i == limit || d.DueAt.After(now) {
			return list[:i], d.DueAt, err
		}
	}
	return list, next, err
}

// SaveCustomDomain writes the fields of d that internal/domain owns. It returns
// ErrNotFound if the deletion of the domain was requested after d was read: the
// decision must then be made again.
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

// DeleteCustomDomainsOf removes all domains of a service and frees their hosts.
func (tx *Tx) DeleteCustomDomainsOf(serviceID string) error {
	if _, err := tx.exec(`DELETE FROM custom_domain_host WHERE domain_id IN (SELECT id FROM custom_domain WHERE service_id = $1)`, serviceID); err != nil {
		return err
	}
	n, err := tx.exec(`DELETE FROM custom_domain WHERE service_id = $1`, serviceID)
	if n > 0 {
		tx.touch(serviceID, Domains)
	}
	return err
}

// activeHosts returns the host names of a service's active domains.
func (tx *Tx) activeHosts(serviceID string) ([]string, error) {
	return all(tx, scanValue[string], `SELECT h.host FROM custom_domain d JOIN custom_domain_host h ON h.domain_id = d.id
		WHERE d.service_id = $1 AND d.state = 'active' AND d.removed_at = 0 ORDER BY h.host`, serviceID)
}
