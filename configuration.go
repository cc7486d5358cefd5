package slipway

import "time"

// Configuration is what every kind of configuration with revisions has in
// common. A revision never changes but in these ways: a later one of its name
// takes Latest from it, and it is deleted.
type Configuration struct {
	ARN      string
	Name     string
	Revision int // from 1; numbers of deleted revisions may come again

	Latest    bool // the highest active revision of the name
	Active    bool
	CreatedAt time.Time
	DeletedAt time.Time // zero while active
}

// AutoScaling is one revision of an auto scaling configuration.
type AutoScaling struct {
	Configuration
	Scaling Scaling
	Default bool // the one that new services get
}

// Observability is one revision of an observability configuration.
type Observability struct {
	Configuration
	TraceVendor string // "AWSXRAY", or "" for no traces
}

// Connection is an account at a provider of source code. The API alone writes
// it.
type Connection struct {
	ARN        string
	Name       string
	Provider   string // "GITHUB" or "BITBUCKET"
	Status     ConnectionStatus
	Credential []byte // encrypted; empty before the handshake
	CreatedAt  time.Time
}

// ConnectionStatus is a connection's status as App Runner names it.
type ConnectionStatus string

const (
	ConnectionPending   ConnectionStatus = "PENDING_HANDSHAKE"
	ConnectionAvailable ConnectionStatus = "AVAILABLE"
	ConnectionFailed    ConnectionStatus = "ERROR"   // the provider refused the credential
	ConnectionDeleted   ConnectionStatus = "DELETED" // never stored: in the answer to its deletion alone
)
