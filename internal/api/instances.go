package api

import (
	"context"
	"path"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/store"
)

// DescribeInstancesInput is the input of Slipway.DescribeInstances, which tells of the
// instances of services. App Runner shows none.
type DescribeInstancesInput struct {
	ServiceArns []string // required, at most maxDescribed
	Traffic     *bool    // also tell of requests
}

// DescribeInstancesOutput is its output, in the order of the input. Unknown services are
// left out.
type DescribeInstancesOutput struct {
	Services []ServiceInstances
}

// ServiceInstances are the live instances of a service, oldest first.
type ServiceInstances struct {
	ServiceArn *string
	Instances  []InstanceDescription

	Release     *ReleaseDescription // the active one; absent if there is none
	Restarts    *int32              // how many of its instances have ended by themselves, as far as that is kept
	LastFailure *ExitDescription    // how the last of them ended; absent if none has
	Crashing    *CrashDescription   // absent unless instances are missing because they end by themselves
	Sleep       *SleepDescription   // absent if the service is awake and has never slept, as far as is known
	Kept        *KeptDescription    // absent unless a pause keeps instances

	Traffic *TrafficDescription // absent if it was not asked for, or this server takes no requests of the service
}

// States of a service in SleepDescription.
const (
	SleepAwake   = "awake"
	SleepFrozen  = "frozen"
	SleepStopped = "stopped"
)

// SleepDescription says how a service without requests sleeps, and what its wakes cost. All
// but State is counted since CountedSince, when the server started at the latest.
type SleepDescription struct {
	State        *string    // awake, frozen (the next request thaws an instance) or stopped (it starts one)
	Since        *time.Time // when it fell asleep; absent while it is awake, or if that is not known
	CountedSince *time.Time
	SleptSeconds *float64 // in all, with the present sleep

	FrozenWakes, StoppedWakes                 *int64   // requests that woke it, by what from
	FrozenMedianSeconds, StoppedMedianSeconds *float64 // that the last ones of these waited; absent if there are none

	// The last wake; absent if there is none.
	LastWakeAt                        *time.Time
	LastWakeFrom                      *string // frozen or stopped
	LastSleepSeconds, LastWakeSeconds *float64
}

// KeptDescription says how many instances a paused service keeps, frozen, and until when a
// resume thaws them.
type KeptDescription struct {
	Instances *int32
	Until     *time.Time
}

// CrashDescription says how a service goes on whose instances end by themselves one after
// another. LastFailure says how the last one did.
type CrashDescription struct {
	Restarts    *int32     // in a row
	NextStartAt *time.Time // of the next instance; past if it starts already
}

// ReleaseDescription is a release, as people know it.
type ReleaseDescription struct {
	Id          *string
	ImageDigest *string
	Commit      *string // absent if the image was not built here
	CreatedAt   *time.Time
	Size        *int32 // number of instances that it should have
}

// InstanceDescription is a live instance.
type InstanceDescription struct {
	Id, ReleaseId *string
	State         *string // starting, ready, unhealthy, draining or kept
	Problem       *string // why it is not healthy
	CreatedAt     *time.Time
	ReadyAt       *time.Time // when it first became healthy, or did after a pause that kept it

	// What it has used; absent if it is not measured.
	CpuSeconds  *float64 // since its start
	MemoryBytes *int64   // now, with its page cache
	MemoryLimit *int64   // in bytes

	// Its requests, if Traffic was asked for; absent unless it accepts new ones.
	InFlight *int32
	Asleep   *bool // it is frozen until the next one
}

// ExitDescription says how an instance ended by itself.
type ExitDescription struct {
	InstanceId  *string
	Code        *int32
	Signal      *string // SIGKILL and so on, if a signal ended it
	OutOfMemory *bool
	Reason      *string // why it could not start or was stopped
	EndedAt     *time.Time
	RanSeconds  *float64
}

// Usage is what an instance uses.
type Usage struct {
	CPU    time.Duration // since its start
	Memory int64         // bytes now
}

func (a *API) describeInstancesPermissions(tx *store.Tx, in *DescribeInstancesInput) ([]gateway.Permission, error) {
	list := []gateway.Permission{}
	for i := range in.ServiceArns {
		list = append(list, gateway.Permission{Resource: a.full(tx, &in.ServiceArns[i])})
	}
	return list, nil
}

func (a *API) describeInstances(ctx context.Context, _ *gateway.Call, in *DescribeInstancesInput) (*DescribeInstancesOutput, error) {
	if n := len(in.ServiceArns); n == 0 || n > maxDescribed {
		return nil, slipway.Errorf(slipway.InvalidRequest, "ServiceArns has %d members; it must have 1 to %d.", n, maxDescribed)
	}
	usage := map[string]Usage{}
	if a.cfg.Usage != nil {
		usage = a.cfg.Usage(ctx)
	}
	out := DescribeInstancesOutput{Services: []ServiceInstances{}}
	err := a.cfg.Store.View(ctx, func(tx *store.Tx) error {
		for _, arn := range in.ServiceArns {
			s, err := a.instancesOf(tx, arn, usage)
			if slipway.CodeOf(err) == slipway.NotFound {
				continue
			}
			if err != nil {
				return err
			}
			if aws.ToBool(in.Traffic) && a.cfg.Traffic != nil {
				if t, ok := a.cfg.Traffic(path.Base(*s.ServiceArn)); ok {
					s.addTraffic(t, a.cfg.Now())
				}
			}
			out.Services = append(out.Services, s)
		}
		return nil
	})
	return &out, err
}

func (a *API) instancesOf(tx *store.Tx, arn string, usage map[string]Usage) (s ServiceInstances, err error) {
	v, err := a.findService(tx, arn)
	if err != nil {
		return s, err
	}
	s = ServiceInstances{ServiceArn: &v.ARN, Instances: []InstanceDescription{}}
	releases, err := tx.ReleasesOf(v.ID)
	if err != nil {
		return s, err
	}
	limits, active := map[string]int64{}, slipway.Release{}
	for _, r := range releases {
		limits[r.ID] = int64(r.Resources.Memory) << 20
		if r.ID == v.ActiveRelease {
			s.Release, active = describeRelease(r), r
		}
	}
	list, err := tx.InstancesOf(v.ID)
	if err != nil {
		return s, err
	}
	restarts, last := int32(0), slipway.Instance{}
	for _, i := range list {
		switch {
		case i.State.Live():
			s.Instances = append(s.Instances, describeInstance(i, usage, limits[i.ReleaseID]))
		case i.Exit != nil && i.ReleaseID == v.ActiveRelease:
			restarts++
			if i.EndedAt.After(last.EndedAt) {
				last = i
			}
		}
	}
	s.Restarts = &restarts
	if restarts > 0 {
		s.LastFailure = describeExit(last)
	}
	if r := slipway.RestartsOf(active, list); v.Wanted == slipway.WantedRunning && r.Crashing(active, list, a.cfg.Now()) {
		s.Crashing = &CrashDescription{Restarts: aws.Int32(int32(r.Count)), NextStartAt: &r.Next}
	}
	s.Sleep, s.Kept = a.sleepOf(v.Service, active), keptOf(list, active, a.cfg.Now())
	return s, nil
}

// sleepOf describes the sleep of a service. That it is stopped is in its release; the rest is
// what the router has counted.
func (a *API) sleepOf(v slipway.Service, active slipway.Release) (d *SleepDescription) {
	if v.Wanted != slipway.WantedRunning || active.ID == "" {
		return nil
	}
	if a.cfg.Sleep != nil {
		d = a.cfg.Sleep(v.ID)
	}
	if active.Size == 0 && (d == nil || *d.State != SleepStopped) {
		stopped := SleepDescription{}
		if d != nil {
			stopped = *d
		}
		stopped.State = aws.String(SleepStopped)
		return &stopped
	}
	return d
}

// keptOf describes the instances that a pause keeps; nil if there are none.
func keptOf(list []slipway.Instance, active slipway.Release, now time.Time) *KeptDescription {
	n := int32(0)
	for _, i := range list {
		if i.State == slipway.InstanceKept && i.ReleaseID == active.ID {
			n++
		}
	}
	if n == 0 || !active.Keeps(now) {
		return nil
	}
	return &KeptDescription{Instances: &n, Until: &active.KeepUntil}
}

func describeRelease(r slipway.Release) *ReleaseDescription {
	d := &ReleaseDescription{Id: &r.ID, ImageDigest: &r.Image, CreatedAt: &r.CreatedAt, Size: aws.Int32(int32(r.Size))}
	if r.Code != nil {
		d.Commit = &r.Code.Commit
	}
	return d
}

func describeInstance(i slipway.Instance, usage map[string]Usage, limit int64) InstanceDescription {
	d := InstanceDescription{Id: &i.ID, ReleaseId: &i.ReleaseID, State: aws.String(string(i.State)), CreatedAt: &i.CreatedAt}
	if i.Problem != "" {
		d.Problem = text(i.Problem)
	}
	if !i.ReadyAt.IsZero() {
		d.ReadyAt = &i.ReadyAt
	}
	if u, ok := usage[i.ID]; ok {
		d.CpuSeconds, d.MemoryBytes, d.MemoryLimit = aws.Float64(u.CPU.Seconds()), &u.Memory, &limit
	}
	return d
}

// text returns what an application may have written a part of as a string of JSON.
func text(s string) *string { return aws.String(strings.ToValidUTF8(s, "\uFFFD")) }

func describeExit(i slipway.Instance) *ExitDescription {
	d := &ExitDescription{InstanceId: &i.ID, Code: aws.Int32(int32(i.Exit.Code)), EndedAt: &i.EndedAt, RanSeconds: aws.Float64(i.Exit.Ran.Seconds())}
	if i.Exit.OOM {
		d.OutOfMemory = aws.Bool(true)
	}
	if i.Exit.Signal != "" {
		d.Signal = &i.Exit.Signal
	}
	if i.Exit.Reason != "" {
		d.Reason = text(i.Exit.Reason)
	}
	return d
}
