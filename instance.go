package slipway

import "time"

// Instance is the observed state of one running copy of a release. The fleet
// alone writes it.
type Instance struct {
	ID        string
	ServiceID string
	ReleaseID string

	State     InstanceState
	CreatedAt time.Time
	ReadyAt   time.Time // zero until its health check first succeeded
	EndedAt   time.Time // zero while it lives
	Exit      *Exit     // why it ended; nil while it lives

	// Problem says why a living instance is not healthy, for people ("nothing
	// listens on port 8080; the application listens on port 3000"); "" while
	// there is nothing to say.
	Problem string
}

// InstanceState is a phase in an instance's life.
type InstanceState string

const (
	InstanceStarting  InstanceState = "starting"  // made or being made, not healthy yet
	InstanceReady     InstanceState = "ready"     // healthy: may take requests
	InstanceUnhealthy InstanceState = "unhealthy" // failed its threshold: takes none, will be replaced
	InstanceDraining  InstanceState = "draining"  // takes no new requests, will be removed
	InstanceEnded     InstanceState = "ended"     // its process is gone
)

// Live reports whether the instance may still hold a process.
func (s InstanceState) Live() bool { return s != InstanceEnded }

// Exit tells how an instance's process ended.
type Exit struct {
	Code   int    // exit code; 128+n for signal n
	Signal string // "SIGKILL" and so on; "" when it exited by itself
	OOM    bool   // the kernel killed a process of it for exceeding its memory
	Reason string // why it could not start or was stopped, for people; may be ""
	At     time.Time
	Ran    time.Duration // from start to end
	Tail   string        // last output, at most 2 KiB
}
