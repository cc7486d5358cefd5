package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/openslipway/slipway/internal/health"
	"github.com/openslipway/slipway/internal/loop"
	"github.com/openslipway/slipway/internal/room"
	"github.com/openslipway/slipway/internal/store"
)

const (
	// routesWithin is how long ago the router must have read its routes: it does so every
	// few seconds.
	routesWithin = 30 * time.Second

	// spareDescriptors are how many a server must have left to be ready.
	spareDescriptors = 64
)

// checks are what /healthz and /readyz look at. A server that is full, of bytes or of
// descriptors, goes on serving and another process would be as full: that is not vital.
func (d *Daemon) checks() []health.Check {
	return []health.Check{
		{Name: "started", Vital: true, Look: func(context.Context) error {
			if !d.serving.Load() {
				return errors.New("the server is starting")
			}
			return nil
		}},
		{Name: "database", Vital: true, Look: func(ctx context.Context) error {
			return d.core.store.ViewUnsynced(ctx, (*store.Tx).Ping)
		}},
		{Name: "journal", Vital: true, Look: func(context.Context) error {
			select {
			case <-d.core.store.Lost():
				return store.ErrLost
			default:
				return nil
			}
		}},
		{Name: "writes", Look: func(context.Context) error { return d.core.store.WriteFailure() }},
		{Name: "loops", Vital: true, Look: func(context.Context) error { return stuck(d.core.loops.Status(), time.Now()) }},
		{Name: "routes", Look: func(context.Context) error { return routesRead(d.core.loops.Status(), time.Now()) }},
		{Name: "descriptors", Look: func(context.Context) error {
			open, err := openFiles()
			if err != nil {
				return err
			}
			return fewDescriptors(open, fileLimit())
		}},
		{Name: "ballast", Look: func(context.Context) error {
			missing, err := d.core.spare.Missing()
			if err == nil && missing > 0 {
				err = fmt.Errorf("%d KiB of the ballast are given up to the database: make room", missing>>10)
			}
			return err
		}},
		{Name: "disk", Look: func(ctx context.Context) error {
			if err := d.core.dirs.checkRoom(); err != nil {
				return err
			}
			return promised{d.node.driver}.check(ctx)
		}},
	}
}

// stuck names the loops whose pass takes longer than it may.
func stuck(loops []loop.Status, now time.Time) (err error) {
	for _, s := range loops {
		if took, is := s.Stuck(now); is {
			err = errors.Join(err, fmt.Errorf("the loop %s has been in one pass for %v", s.Name, took.Round(time.Second)))
		}
	}
	return err
}

// routesRead returns an error unless the router has read its routes a short while ago.
func routesRead(loops []loop.Status, now time.Time) error {
	for _, s := range loops {
		if s.Name != "routes" {
			continue
		}
		if ago := now.Sub(s.Succeeded); ago > routesWithin {
			return fmt.Errorf("the router has not read its routes for %v: requests follow older ones", ago.Round(time.Second))
		}
		return nil
	}
	return errors.New("the router does not run")
}

// fewDescriptors returns an error if hardly any are left.
func fewDescriptors(open int, limit uint64) error {
	if uint64(open)+spareDescriptors <= limit {
		return nil
	}
	return fmt.Errorf("%d of %d descriptors are open: raise the limit of open files", open, limit)
}

// checkRoom returns an error if only the reserve is left on a disk of the data directory.
func (d dirs) checkRoom() error {
	for _, part := range []struct{ name, dir string }{
		{"data directory", string(d)}, {"images", d.images()}, {"instances", d.instances()}, {"logs", d.logs()},
	} {
		err := room.Check(part.dir, 0)
		if full, ok := errors.AsType[*room.Error](err); ok {
			return fmt.Errorf("only the reserve of the %s is left to the %s: make room", full.What, part.name)
		}
		if err != nil {
			return fmt.Errorf("look at the disk of the %s: %w", part.name, errors.Unwrap(err))
		}
	}
	return nil
}
