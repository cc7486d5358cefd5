package slipway

import "time"

// AccessKey is a pair of API credentials.
type AccessKey struct {
	ID, Secret string
	User       string // "root" for the first key
	Inactive   bool   // it may not be used
	CreatedAt  time.Time
}

// Session is a set of temporary credentials of a user.
type Session struct {
	ID, Secret, Token    string
	User                 string
	CreatedAt, ExpiresAt time.Time
}

// User is somebody who may have access keys and policies. The root user is none
// of them: it is not kept, and no policy applies to it.
type User struct {
	Name      string
	ID        string // "AIDA" and more
	Path      string // begins and ends with a slash
	CreatedAt time.Time
}

// ManagedPolicy is a policy that is attached to users. Its document is that of
// its default version.
type ManagedPolicy struct {
	ARN, ID, Name, Path, Description string

	DefaultVersion       int
	CreatedAt, UpdatedAt time.Time
}

// PolicyVersion is a document of a managed policy. It never changes.
type PolicyVersion struct {
	Version   int
	Document  string // JSON
	CreatedAt time.Time
}

// InlinePolicy is a policy that is part of a user.
type InlinePolicy struct {
	Name     string
	Document string // JSON
}

// AuditRecord is a call that changed something, or tried to.
type AuditRecord struct {
	ID        string
	At        time.Time
	Name      string // of the operation
	Source    string // of the service: "apprunner.amazonaws.com"
	User      string
	KeyID     string
	Resources []AuditResource
	Record    string // the whole of it: JSON as CloudTrail writes it
}

// AuditResource is a resource that a call spoke of.
type AuditResource struct{ Type, Name string }
