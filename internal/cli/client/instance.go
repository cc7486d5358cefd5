package client

import (
	"context"
	"errors"
	"slices"

	"github.com/aws/smithy-go"
)

// ServiceInstances are the live instances of a service and what is known of those that
// ended by themselves.
type ServiceInstances struct {
	ServiceArn  string
	Instances   []Instance
	Release     *Release
	Restarts    int
	LastFailure *Exit
	Crashing    *Crashing // nil unless instances are missing because they end by themselves
	Sleep       *Sleep    // nil if the service is awake and has never slept, as far as is known
	Kept        *Kept     // nil unless a pause keeps instances
	Traffic     *Traffic  // nil unless it was asked for
}

// Traffic is what the server has counted of the requests of a service.
type Traffic struct {
	At                Seconds
	InFlight, Waiting int
	Requests, Failed  int64     // since the server started; of them with a 5xx response
	LatencyBounds     []float64 // seconds, ascending
	LatencyCounts     []int64   // requests up to each bound and above the one before; the last has none
}

// States of a service in Sleep.
const (
	SleepFrozen  = "frozen"  // the next request thaws an instance
	SleepStopped = "stopped" // the next request starts one
)

// Sleep is how a service without requests sleeps, and what its wakes cost, as the router
// has counted since CountedSince. Times are zero, and counts absent, where nothing is known.
type Sleep struct {
	State        string  // awake, SleepFrozen or SleepStopped
	Since        Seconds `json:",omitzero"` // when it fell asleep
	CountedSince Seconds `json:",omitzero"`
	SleptSeconds float64

	FrozenWakes          int64   `json:",omitempty"`
	FrozenMedianSeconds  float64 `json:",omitempty"`
	StoppedWakes         int64   `json:",omitempty"`
	StoppedMedianSeconds float64 `json:",omitempty"`

	LastWakeAt       Seconds `json:",omitzero"`
	LastWakeFrom     string  `json:",omitempty"`
	LastSleepSeconds float64 `json:",omitempty"`
	LastWakeSeconds  float64 `json:",omitempty"`
}

// Kept are the instances that a paused service keeps, frozen, and until when a resume thaws
// them.
type Kept struct {
	Instances int
	Until     Seconds
}

// Crashing is how a service goes on whose instances end one after another.
type Crashing struct {
	Restarts    int     // in a row
	NextStartAt Seconds // of the next instance; past if it starts already
}

// Release is the version of a service that serves.
type Release struct {
	ID          string `json:"Id"`
	ImageDigest string
	Commit      string
	CreatedAt   Seconds
	Size        int // number of instances that it should have
}

// Instance is a live instance.
type Instance struct {
	ID        string `json:"Id"`
	ReleaseID string `json:"ReleaseId"`
	State     string // starting, ready, unhealthy, draining or kept
	Problem   string // why it is not healthy
	CreatedAt Seconds
	ReadyAt   Seconds

	CPUSeconds  *float64 `json:"CpuSeconds"` // nil if it is not measured
	MemoryBytes int64
	MemoryLimit int64

	InFlight int  // 0 unless traffic was asked for
	Asleep   bool // likewise
}

// Exit is how an instance ended by itself.
type Exit struct {
	InstanceID  string `json:"InstanceId"`
	Code        int
	Signal      string
	OutOfMemory bool
	Reason      string
	EndedAt     Seconds
	RanSeconds  float64
}

// Ready returns how many instances of the active release take requests.
func (s ServiceInstances) Ready() int {
	n := 0
	for _, i := range s.Instances {
		if i.State == "ready" && (s.Release == nil || i.ReleaseID == s.Release.ID) {
			n++
		}
	}
	return n
}

// Instances returns the instances of services, by the ARNs of services. It is empty if
// the user may not know or the server, an older one, does not.
func (c *Client) Instances(ctx context.Context, serviceARNs ...string) (map[string]ServiceInstances, error) {
	found, err := c.instances(ctx, false, serviceARNs)
	return found, ignoreUnknown(err)
}

// InstancesWithTraffic is Instances with what is known of the requests of services.
func (c *Client) InstancesWithTraffic(ctx context.Context, serviceARNs []string) (map[string]ServiceInstances, error) {
	return c.instances(ctx, true, serviceARNs)
}

func (c *Client) instances(ctx context.Context, traffic bool, serviceARNs []string) (map[string]ServiceInstances, error) {
	found := map[string]ServiceInstances{}
	for chunk := range slices.Chunk(serviceARNs, maxDescribed) {
		if err := c.addInstances(ctx, traffic, chunk, found); err != nil {
			return found, err
		}
	}
	return found, nil
}

// addInstances adds what is known of services. A call is denied if one of its services
// is: then each half is asked for, so that only that one is left out.
func (c *Client) addInstances(ctx context.Context, traffic bool, arns []string, found map[string]ServiceInstances) error {
	in := struct {
		ServiceArns []string
		Traffic     bool `json:",omitempty"`
	}{arns, traffic}
	var out struct{ Services []ServiceInstances }
	err := c.own.do(ctx, "Slipway.DescribeInstances", in, &out)
	if api, ok := errors.AsType[smithy.APIError](err); ok && api.ErrorCode() == "AccessDeniedException" {
		if len(arns) == 1 {
			return nil
		}
		half := len(arns) / 2
		if err := c.addInstances(ctx, traffic, arns[:half], found); err != nil {
			return err
		}
		return c.addInstances(ctx, traffic, arns[half:], found)
	}
	for _, s := range out.Services {
		found[s.ServiceArn] = s
	}
	return err
}
