package slipway

import (
	"strings"
	"time"
)

// CustomDomain is a name of a user's own at which a service is to answer. The
// API writes what is asked for, internal/domain how far it got (State, Since,
// DueAt and the records' Status).
type CustomDomain struct {
	ID        string
	ServiceID string

	Name      string // as the user spelt it; a wildcard begins with "*."
	WWW       bool   // "www." and the name is meant, too
	Records   []ValidationRecord
	CreatedAt time.Time
	RemovedAt time.Time // when it was asked to go; zero while it is to stay

	State DomainStatus
	Since time.Time // when it came to State
	DueAt time.Time // when it is to be looked at next; zero when it rests
}

// ValidationRecord is a CNAME that its owner adds to DNS to prove that a domain
// is theirs. Both names end with a dot.
type ValidationRecord struct {
	Name, Value string
	Status      RecordStatus
}

// Hosts returns the names that requests carry, in lower case; one of a wildcard
// begins with "*.".
func (d CustomDomain) Hosts() []string {
	host := strings.ToLower(d.Name)
	if d.WWW {
		return []string{host, "www." + host}
	}
	return []string{host}
}

// Status is the status users see: deleting from the moment it was asked to go.
func (d CustomDomain) Status() DomainStatus {
	if !d.RemovedAt.IsZero() {
		return DomainDeleting
	}
	return d.State
}

// DomainStatus is a custom domain's status as App Runner writes it: in lower
// case, unlike its model (Terraform's waiters compare it so).
type DomainStatus string

const (
	DomainCreating DomainStatus = "creating"
	DomainPending  DomainStatus = "pending_certificate_dns_validation"
	DomainBinding  DomainStatus = "binding_certificate"
	DomainActive   DomainStatus = "active" // requests for it are served
	DomainFailed   DomainStatus = "create_failed"
	DomainDeleting DomainStatus = "deleting" // never stored: RemovedAt means it
)

// RecordStatus is a validation record's status as App Runner names it.
type RecordStatus string

const (
	RecordPending RecordStatus = "PENDING_VALIDATION"
	RecordValid   RecordStatus = "SUCCESS"
	RecordFailed  RecordStatus = "FAILED"
)
