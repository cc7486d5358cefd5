package slipway

import "time"

// Release is one deployed version of a service: an image by digest and everything
// needed to run it. Once stored it is immutable except for Desired, Run, Size, Unlisted,
// KeepUntil and, on a resume, Secrets.
type Release struct {
	ID        string
	ServiceID string
	Operation string // id of the operation that created it

	Image    string // manifest digest in the local image store, "sha256:..."
	ImageRef string // the reference that the user gave, for people
	Secrets  []byte // sealed environment variables that Process.Env lacks; see internal/secrets

	Code *CodeVersion // what the image was built from; nil if it was pulled

	Workload
	HealthCheck HealthCheck
	Scaling     Scaling

	Desired   Desired
	Run       int64 // number of the current run: 1 when deployed, one more with each resume; 0 if deployed by an earlier version and not resumed since
	Size      int   // instances wanted while Desired is DesiredRun; 0: the next request starts one
	CreatedAt time.Time

	// Unlisted says that instances of it may exist that have no row: it runs, or the fleet has
	// not seen yet that it is to run no more.
	Unlisted bool

	// KeepUntil is the end of the time for which the instances that a pause has frozen are
	// kept while Desired is DesiredKeep. Zero: there are none, or they are not to be used
	// again.
	KeepUntil time.Time
}

// PastRelease is a release that has served a service's requests, for as long as its
// image is kept.
type PastRelease struct {
	ID        string
	ServiceID string
	Image     string    // manifest digest in the local image store
	ImageRef  string    // the reference that the user gave
	ServedAt  time.Time // when it began to serve
}

// CodeVersion is a commit or an upload that an image was built from, and how its
// configuration says that the application runs: that of apprunner.yaml, that of the API,
// or what was detected.
type CodeVersion struct {
	Settings  string `json:",omitempty"` // fingerprint of the service's settings of the build; "" for none
	Commit    string // id, hexadecimal: of an upload, that of its content
	Directory string // id of the content of the source directory, hexadecimal; "" of an upload
	Upload    string `json:",omitempty"` // URL of the upload; "" of a commit
	Runtime   string `json:",omitempty"` // that it was built with, and its version: "python311 3.11.2"

	Port        string            `json:",omitempty"` // TCP, in decimal; "" for the default
	Command     string            `json:",omitempty"` // for a shell; "" for the image's own
	Environment map[string]string `json:",omitempty"` // variables by name
	Secrets     map[string]string `json:",omitempty"` // references by variable
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

// Scaling is how a release scales, from its auto scaling configuration.
type Scaling struct {
	MaxConcurrency int // concurrent requests per instance, 1-200
	MinSize        int // 1-25
	MaxSize        int
}

// Desired is the desired state of the instances of a release.
type Desired string

const (
	DesiredRun   Desired = "run"
	DesiredDrain Desired = "drain" // keep running, take no new requests
	DesiredStop  Desired = "stop"

	// DesiredKeep has the ready instances frozen until KeepUntil, at most Size of them, and
	// none after it.
	DesiredKeep Desired = "keep"
)

// Keeps reports whether the release is to keep frozen instances. With a clock that was set
// back to long before their pause they are not kept, so that none is kept forever.
func (r Release) Keeps(now time.Time) bool {
	return r.Desired == DesiredKeep && now.Before(r.KeepUntil) && r.KeepUntil.Sub(now) <= MaxPauseKeeps
}
