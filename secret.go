package slipway

import "time"

// DataKey is a key that secrets are encrypted with, itself encrypted to the
// master key. package seal alone writes and reads it.
type DataKey struct {
	ID        string // 32 hexadecimal digits
	Master    string // the master key that it is wrapped with, by its public half
	Wrapped   []byte
	CreatedAt time.Time
}

// Secret is a secret of Secrets Manager without its values.
type Secret struct {
	ARN         string
	Name        string
	Description string
	KMSKey      string // as it was given; nothing is encrypted with it
	Policy      string // resource policy, a JSON document; "" for none

	CreatedAt  time.Time
	ChangedAt  time.Time
	AccessedAt time.Time // the day on which a value was last read

	DeletedAt time.Time // when its deletion was asked for; zero while it was not
	PurgeAt   time.Time // when it is deleted for good
}

// SecretVersion is one value of a secret.
type SecretVersion struct {
	SecretARN string
	ID        string
	Stages    []string // "AWSCURRENT", "AWSPREVIOUS" and others; none: deprecated
	Binary    bool     // the value is bytes, else text
	Sealed    []byte

	CreatedAt time.Time
}

// Parameter is one version of a parameter of Parameter Store.
type Parameter struct {
	Name    string
	Version int64 // from 1
	Latest  bool  // the one that the name alone means
	ParameterSettings
	Sealed    []byte
	CreatedAt time.Time
}

// ParameterSettings is what a version says beside its value.
type ParameterSettings struct {
	Type        string // "String", "StringList" or "SecureString"
	Description string
	KeyID       string // of a SecureString, as it was given; nothing is encrypted with it
	Pattern     string // regular expression that values must match; "" for none
	DataType    string // "text"
	Tier        string // "Standard", "Advanced"
	User        string // who wrote it, an ARN
}
