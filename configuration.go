package slipway

import "time"

// Configuration is what all kinds of configuration with revisions have in common. A
// revision is immutable, except that a later revision of its name takes Latest from
// it and that it can be deleted.
type Configuration struct {
	ARN      string
	Name     string
	Revision int // from 1; the numbers of deleted revisions may be used again

	Latest    bool // the highest active revision of the name
	Active    bool
	CreatedAt time.Time
	DeletedAt time.Time // zero while active
}

// AutoScaling is one revision of an auto scaling configuration.
type AutoScaling struct {
	Configuration
	Scaling Scaling
	Default bool // new services use it by default
}

// Observability is one revision of an observability configuration.
type Observability struct {
	Configuration
	TraceVendor string // "AWSXRAY", or "" for no traces
}

// Connection is an account at a provider of source code. Only the API writes it.
type Connection struct {
	ARN        string
	Name       string
	Provider   string // "GITHUB" or "BITBUCKET"; beyond App Runner "GITLAB", "GITEA" or "GIT"
	Host       string // host[:port] that has the repositories; "" for the provider's own
	PublicKey  string // of a deploy key, for ssh, in OpenSSH's form; "" if the credential is a token
	Status     ConnectionStatus
	Credential []byte // encrypted: a token or a private key; empty before the handshake
	CreatedAt  time.Time
}

// ConnectionStatus is a connection's status as App Runner names it.
type ConnectionStatus string

const (
	ConnectionPending   ConnectionStatus = "PENDING_HANDSHAKE"
	ConnectionAvailable ConnectionStatus = "AVAILABLE"
	ConnectionFailed    ConnectionStatus = "ERROR"   // the provider refused the credential
	ConnectionDeleted   ConnectionStatus = "DELETED" // never stored: only the reply to DeleteConnection has it
)
