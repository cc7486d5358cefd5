package slipway

import "time"

// DataKey encrypts secrets. It is stored encrypted by the master key. Only
// package seal reads and writes it.
type DataKey struct {
	ID        string // 32 hexadecimal digits
	Master    string // the public half of the master key that encrypts it
	Wrapped   []byte
	CreatedAt time.Time
}

// Secret is a secret of Secrets Manager without its values.
type Secret struct {
	ARN         string
	Name        string
	Description string
	KMSKey      string // as the caller gave it; nothing is encrypted with it
	Policy      string // resource policy, a JSON document; "" for none

	CreatedAt  time.Time
	ChangedAt  time.Time
	AccessedAt time.Time // the day when a value was last read

	DeletedAt time.Time // when its deletion was requested; zero before
	PurgeAt   time.Time // when it is removed for good
}

// SecretVersion is one value of a secret.
type SecretVersion struct {
	SecretARN string
	ID        string
	Stages    []string // "AWSCURRENT", "AWSPREVIOUS" and others; a version without stages is deprecated
	Binary    bool     // the value is bytes, not text
	Sealed    []byte

	CreatedAt time.Time
}

// Parameter is one version of a parameter of Parameter Store.
type Parameter struct {
	Name    string
	Version int64 // from 1
	Latest  bool  // the name without a version means it
	ParameterSettings
	Sealed    []byte
	CreatedAt time.Time
}

// ParameterSettings is what a version has besides its value.
type ParameterSettings struct {
	Type        string // "String", "StringList" or "SecureString"
	Description string
	KeyID       string // of a SecureString, as the caller gave it; nothing is encrypted with it
	Pattern     string // regular expression that values must match; "" for none
	DataType    string // "text"
	Tier        string // "Standard", "Advanced"
	User        string // ARN of who wrote it
}
