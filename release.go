package slipway

import "time"

// Release is one deployed version of a service: an image pinned by digest
// with everything needed to run it. Only Desired, Size and, at a resume,
// Secrets change after it is made.
type Release struct {
	ID        string
	ServiceID string
	Operation string // id of the operation that made it

	Image    string // manifest digest in the local image store, "sha256:..."
	ImageRef string // the reference the user gave, for people
	Secrets  []byte // sealed variables of Process that Env lacks; see internal/secrets

	Workload
	HealthCheck HealthCheck
	Scaling     Scaling

	Desired   Desired
	Size      int // instances wanted while Desired is DesiredRun
	CreatedAt time.Time
}

// HealthCheck is a service's health check with defaults filled in.
type HealthCheck struct {
	HTTP               bool // else TCP
	Path               string
	Interval           time.Duration // 1-20 s
	Timeout            time.Duration // 1-20 s
	HealthyThreshold   int           // 1-20
	UnhealthyThreshold int           // 1-20
}

// Scaling bounds a release's size, as its auto scaling configuration says.
type Scaling struct {
	MaxConcurrency int // requests at once per instance, 1-200
	MinSize        int // 1-25
	MaxSize        int
}

// Desired is what the instances of a release are to do.
type Desired string

const (
	DesiredRun   Desired = "run"
	DesiredDrain Desired = "drain" // keep running, take no new requests
	DesiredStop  Desired = "stop"
)
