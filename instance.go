package slipway

import "time"

// Instance is the observed state of one running copy of a release. Only the fleet
// writes it.
type Instance struct {
	ID        string
	ServiceID string
	ReleaseID string

	// Run is the run of the release that the instance was started for, or thawed for after
	// a pause that kept it. Only an instance of the release's current run takes part in it.
	Run int64

	State     InstanceState
	CreatedAt time.Time
	ReadyAt   time.Time // when its health check first succeeded, or did after a pause that kept it; zero before
	EndedAt   time.Time // zero while it lives
	Exit      *Exit     // how it ended by itself; nil while it lives, or if it was stopped

	// Problem tells people why a live instance is not healthy ("nothing listens on
	// port 8080; the application listens on port 3000"); "" if it is healthy or
	// nothing is known.
	Problem string
}

// InstanceState is the state of an instance.
type InstanceState string

const (
	InstanceStarting  InstanceState = "starting"  // exists or is being created, not healthy yet
	InstanceReady     InstanceState = "ready"     // healthy: may take requests
	InstanceUnhealthy InstanceState = "unhealthy" // failed its health check: takes no requests, will be replaced
	InstanceDraining  InstanceState = "draining"  // takes no new requests, will be removed
	InstanceKept      InstanceState = "kept"      // frozen by a pause: takes no requests, may be thawed by a resume
	InstanceEnded     InstanceState = "ended"     // no process of it lives
)

// Live reports whether the instance may still hold a process.
func (s InstanceState) Live() bool { return s != InstanceEnded }

// Exit says how an instance's process ended.
type Exit struct {
	Code   int    // exit code; 128+n for signal n
	Signal string // "SIGKILL" and so on; "" when it exited by itself
	OOM    bool   // the kernel killed a process of it for lack of memory
	Reason string // why it could not start or was stopped, for people; may be ""
	At     time.Time
	Ran    time.Duration // from start to end
	Tail   string        // last output, at most 2 KiB
}
