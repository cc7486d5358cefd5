package slipway

import "time"

// AccessKey is a permanent pair of API credentials.
type AccessKey struct {
	ID, Secret string
	User       string // "root" for the first key
	Inactive   bool   // the gateway refuses it
	CreatedAt  time.Time
}

// Session is a set of temporary credentials of a user.
type Session struct {
	ID, Secret, Token    string
	User                 string
	CreatedAt, ExpiresAt time.Time
}

// User is an IAM user. The root user is not stored and no policy applies to it.
type User struct {
	Name      string
	ID        string // begins with "AIDA"
	Path      string // begins and ends with a slash
	CreatedAt time.Time
}

// ManagedPolicy is a policy that can be attached to users. Its default version has
// the document that applies.
type ManagedPolicy struct {
	ARN, ID, Name, Path, Description string

	DefaultVersion       int
	CreatedAt, UpdatedAt time.Time
}

// PolicyVersion is a version of a managed policy. It is immutable.
type PolicyVersion struct {
	Version   int
	Document  string // JSON
	CreatedAt time.Time
}

// InlinePolicy is a policy that belongs to one user.
type InlinePolicy struct {
	Name     string
	Document string // JSON
}

// AuditRecord is the record of a call that changed something or tried to.
type AuditRecord struct {
	ID        string
	At        time.Time
	Name      string // of the operation
	Source    string // of the service: "apprunner.amazonaws.com"
	User      string
	KeyID     string
	Resources []AuditResource
	Record    string // the complete record: JSON in CloudTrail's form
}

// AuditResource is a resource that a call refers to.
type AuditResource struct{ Type, Name string }
