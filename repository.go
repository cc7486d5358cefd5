package slipway

import "time"

// Repository holds the settings of a repository of the server's registry. The image
// store has its images.
type Repository struct {
	Name      string
	CreatedAt time.Time

	Mutability string   // ECR's imageTagMutability, such as "IMMUTABLE"
	Exclusions []string // patterns of tags, where * is any text, to which the opposite applies

	ScanOnPush bool
	Encryption string // ECR's type
	KMSKey     string

	Policy      string // JSON; "" for none
	Lifecycle   string // JSON; "" for none
	LifecycleAt time.Time
}
