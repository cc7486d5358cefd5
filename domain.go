package slipway

import (
	"strings"
	"time"
)

// CustomDomain is a user's own host name for a service. The API writes the desired
// state; internal/domain writes State, Since, DueAt and the Status of records.
type CustomDomain struct {
	ID        string
	ServiceID string

	Name      string // as the user wrote it; a wildcard begins with "*."
	WWW       bool   // "www." before Name belongs to the domain too
	Records   []ValidationRecord
	CreatedAt time.Time
	RemovedAt time.Time // when its deletion was requested; zero before

	State DomainStatus
	Since time.Time // when it reached State
	DueAt time.Time // when internal/domain handles it next; zero for never
}

// ValidationRecord is a CNAME that the owner of a domain adds to DNS to prove the
// ownership. Both names end with a dot.
type ValidationRecord struct {
	Name, Value string
	Status      RecordStatus
}

// Hosts returns the host names of the domain, in lower case; a wildcard begins with
// "*.".
func (d CustomDomain) Hosts() []string {
	host := strings.ToLower(d.Name)
	if d.WWW {
		return []string{host, "www." + host}
	}
	return []string{host}
}

// Status returns the status that users see: deleting once deletion was requested.
func (d CustomDomain) Status() DomainStatus {
	if !d.RemovedAt.IsZero() {
		return DomainDeleting
	}
	return d.State
}

// DomainStatus is a custom domain's status in lower case, as App Runner returns it;
// its model says upper case, but Terraform compares with lower case.
type DomainStatus string

const (
	DomainCreating DomainStatus = "creating"
	DomainPending  DomainStatus = "pending_certificate_dns_validation"
	DomainBinding  DomainStatus = "binding_certificate"
	DomainActive   DomainStatus = "active" // the router serves it
	DomainFailed   DomainStatus = "create_failed"
	DomainDeleting DomainStatus = "deleting" // never stored: RemovedAt says so
)

// RecordStatus is a validation record's status as App Runner names it.
type RecordStatus string

const (
	RecordPending RecordStatus = "PENDING_VALIDATION"
	RecordValid   RecordStatus = "SUCCESS"
	RecordFailed  RecordStatus = "FAILED"
)
