package store

import (
	"strings"
	"time"

	"github.com/openslipway/slipway"
)

const certificateColumns = `name, service_id, not_after, renew_at, failure, advice, failures, next_at`

func scanCertificate(s scanner) (c slipway.Certificate, err error) {
	err = s.Scan(&c.Name, &c.ServiceID, instant{&c.NotAfter}, instant{&c.RenewAt}, &c.Failure, &c.Advice, &c.Failures, instant{&c.NextAt})
	return c, err
}

// Certificates returns the certificates of public authorities, by name.
func (tx *Tx) Certificates() ([]slipway.Certificate, error) {
	return all(tx, scanCertificate, `SELECT `+certificateColumns+` FROM certificate ORDER BY name`)
}

// CertificatesOf returns those of the names of a service.
func (tx *Tx) CertificatesOf(serviceID string) ([]slipway.Certificate, error) {
	return all(tx, scanCertificate, `SELECT `+certificateColumns+` FROM certificate WHERE service_id = $1 ORDER BY name`, serviceID)
}

// Certificate returns the certificate of a name.
func (tx *Tx) Certificate(name string) (slipway.Certificate, error) {
	return one(tx, scanCertificate, `SELECT `+certificateColumns+` FROM certificate WHERE name = $1`, name)
}

// SaveCertificate keeps c in place of the one that has its name. It tells watchers of domains
// if it is of a service.
func (tx *Tx) SaveCertificate(c slipway.Certificate) error {
	if c.ServiceID != "" {
		tx.touch(c.ServiceID, Domains)
	}
	_, err := tx.exec(`INSERT INTO certificate (`+certificateColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (name) DO UPDATE SET service_id = excluded.service_id, not_after = excluded.not_after, renew_at = excluded.renew_at,
		failure = excluded.failure, advice = excluded.advice, failures = excluded.failures, next_at = excluded.next_at`,
		c.Name, c.ServiceID, nanos(c.NotAfter), nanos(c.RenewAt), c.Failure, c.Advice, c.Failures, nanos(c.NextAt))
	return err
}

// DeleteCertificate forgets the certificate of a name.
func (tx *Tx) DeleteCertificate(name string) error {
	_, err := tx.exec(`DELETE FROM certificate WHERE name = $1`, name)
	return err
}

// CustomHost is a host name of a custom domain whose claim was proved. Label is that of its
// service.
type CustomHost struct{ Name, ServiceID, Label string }

// ProvedHosts returns the host names of custom domains that are served, or will be once they
// have a certificate.
func (tx *Tx) ProvedHosts() ([]CustomHost, error) {
	return all(tx, func(s scanner) (h CustomHost, err error) {
		err = s.Scan(&h.Name, &h.ServiceID, &h.Label)
		return h, err
	},
		`SELECT h.host, d.service_id, s.label FROM custom_domain d JOIN custom_domain_host h ON h.domain_id = d.id
		JOIN service s ON s.id = d.service_id WHERE d.state IN ('binding_certificate', 'active') AND d.removed_at = 0 ORDER BY h.host`)
}

// TLSItems returns the names of the items of TLS that begin with a prefix, in order.
func (tx *Tx) TLSItems(prefix string) ([]string, error) {
	return all(tx, scanValue[string], `SELECT name FROM tls WHERE name >= $1 AND name < $2 ORDER BY name`, prefix, prefix+"\U0010FFFF")
}

// TLSItemTime returns when an item of TLS was written last, or ErrNotFound.
func (tx *Tx) TLSItemTime(name string) (at time.Time, err error) {
	return one(tx, func(s scanner) (at time.Time, err error) { err = s.Scan(instant{&at}); return at, err },
		`SELECT modified_at FROM tls WHERE name = $1`, name)
}

// DeleteTLSItems removes an item of TLS and those below it, whose names go on with a slash.
func (tx *Tx) DeleteTLSItems(name string) error {
	below := strings.TrimSuffix(name, "/") + "/"
	_, err := tx.exec(`DELETE FROM tls WHERE name = $1 OR (name >= $2 AND name < $3)`, name, below, below+"\U0010FFFF")
	return err
}

// LockTLS has owner hold a lock, unless another holds it and gives signs of life: its row has
// changed within silent, by the time that passes in this process. Each call gives one, so
// sign must be another each time.
func (tx *Tx) LockTLS(name, owner string, sign int64, silent time.Duration) (bool, error) {
	type holder struct {
		owner string
		sign  int64
	}
	list, err := all(tx, func(s scanner) (h holder, err error) { err = s.Scan(&h.owner, &h.sign); return h, err },
		`SELECT owner, sign FROM tls_lock WHERE name = $1`, name)
	if err != nil {
		return false, err
	}
	for _, h := range list {
		if h.owner != owner && tx.signs.lives("lock "+name+" "+h.owner, h.sign, silent) {
			return false, nil
		}
	}
	_, err = tx.exec(`INSERT INTO tls_lock (name, owner, sign) VALUES ($1, $2, $3)
		ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, sign = excluded.sign`, name, owner, sign)
	return true, err
}

// UnlockTLS ends what LockTLS has begun.
func (tx *Tx) UnlockTLS(name, owner string) error {
	_, err := tx.exec(`DELETE FROM tls_lock WHERE name = $1 AND owner = $2`, name, owner)
	return err
}

// ForgetLocksTLS removes the locks of owners that begin with a prefix, which the caller knows
// to be dead.
func (tx *Tx) ForgetLocksTLS(prefix string) error {
	_, err := tx.exec(`DELETE FROM tls_lock WHERE owner >= $1 AND owner < $2`, prefix, prefix+"\U0010FFFF")
	return err
}
