// Package builds answers the calls about what all builds of a server share: the managed
// runtimes, and the space that caches take. They are Slipway's own, for `slipway
// runtimes` and `slipway build prune`.
//
// It builds nothing and keeps nothing: internal/build does.
package builds

import (
	"context"
	"errors"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/build/runtimes"
	"github.com/openslipway/slipway/internal/gateway"
)

// Config is what the calls need.
type Config struct {
	// List returns the runtimes of the server's table. (*runtimes.Set).List does.
	List func() ([]runtimes.Status, error)
	// Prune removes the caches and results that no build has used since a time, and
	// returns the bytes that this freed. (*build.Builder).Prune does.
	Prune func(before time.Time) (freed int64, err error)

	Now func() time.Time // time.Now when nil
}

// Builds is the calls.
type Builds struct{ cfg Config }

// New checks cfg.
func New(cfg Config) (*Builds, error) {
	if cfg.List == nil || cfg.Prune == nil {
		return nil, errors.New("builds: functions to list runtimes and to prune caches are required")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Builds{cfg}, nil
}

// Service returns the operations for the gateway.
func (b *Builds) Service() gateway.Service {
	return gateway.Service{
		Name:     "apprunner",
		Internal: "InternalServiceErrorException",
		Protocol: gateway.Protocol{ContentType: "application/x-amz-json-1.0", Targets: []string{"Slipway."}},
		Operations: []gateway.Operation{
			gateway.Read("ListRuntimes", b.list, gateway.AnyResource),
			gateway.Mutate("PruneBuilds", b.prune, gateway.AnyResource),
		},
	}
}

// ListRuntimesInput is the input of ListRuntimes.
type ListRuntimesInput struct{}

// ListRuntimesOutput is its output, in the order of the server's table.
type ListRuntimesOutput struct{ Runtimes []Runtime }

// Runtime is a managed runtime.
type Runtime struct {
	Name       string  // as in apprunner.yaml
	Title      string  // "Python 3.11"
	Image      *string // the publisher's, which is pulled where it can be reached
	Suite      *string // of Debian, whose packages make the runtime otherwise; absent if they can't
	Substitute *string // how what is made of packages differs from App Runner's
	Absent     *string // why it can't be made
	End        *string // of support by its publisher: a date
	Made       []Made  // empty if no build needed it yet
}

// Made is a version of a runtime that is ready.
type Made struct {
	Version   string
	Origin    string // the image that was pulled, or "recipe"
	Image     string // digest in the server's image store
	CreatedAt time.Time
}

func (b *Builds) list(context.Context, *gateway.Call, *ListRuntimesInput) (*ListRuntimesOutput, error) {
	all, err := b.cfg.List()
	if err != nil {
		return nil, err
	}
	out := &ListRuntimesOutput{Runtimes: []Runtime{}}
	for _, s := range all {
		r := Runtime{
			Name: s.Name, Title: s.Title, Made: []Made{},
			Image: given(s.Image), Suite: given(s.Suite), Substitute: given(s.Substitute), Absent: given(s.Absent), End: given(s.End),
		}
		for _, m := range s.Made {
			r.Made = append(r.Made, Made{Version: m.Version, Origin: m.Origin, Image: m.Image, CreatedAt: m.At})
		}
		out.Runtimes = append(out.Runtimes, r)
	}
	return out, nil
}

func given(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// PruneBuildsInput is the input of PruneBuilds.
type PruneBuildsInput struct {
	UnusedFor int64 // seconds that no build has used what is removed; 0: all that no build uses now
}

// PruneBuildsOutput is its output.
type PruneBuildsOutput struct {
	FreedBytes int64
}

// maxUnused bounds UnusedFor, in seconds: a hundred years.
const maxUnused = 100 * 366 * 24 * 3600

func (b *Builds) prune(ctx context.Context, call *gateway.Call, in *PruneBuildsInput) (*PruneBuildsOutput, error) {
	if in.UnusedFor < 0 || in.UnusedFor > maxUnused {
		return nil, slipway.Errorf(slipway.InvalidRequest, "UnusedFor is %d; it must be a number of seconds from 0 to %d.", in.UnusedFor, int64(maxUnused))
	}
	if err := call.Record(ctx); err != nil {
		return nil, err
	}
	freed, err := b.cfg.Prune(b.cfg.Now().Add(-time.Duration(in.UnusedFor) * time.Second))
	return &PruneBuildsOutput{FreedBytes: freed}, err
}
