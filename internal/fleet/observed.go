package fleet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/runtime"
	"github.com/openslipway/slipway/internal/store"
)

// instance is a tracked instance: it exists, is being created, or ended just now.
type instance struct {
	id, service, release string
	run                  int64 // of the release, when it was started
	found                bool  // an earlier process started it
	createdAt            time.Time
	began                time.Time // when this process started or found it, by the monotonic clock

	presence presence
	since    int64 // it is gone if a list that began after this one does not show it
	removing bool
	exit     *slipway.Exit

	passed     time.Time
	failing    bool
	problem    string
	never      bool
	drainSince time.Time
	hung       string // how it answers no request; "" if it does

	full, toldFull        runtime.Full
	disk                  int64
	frozen, held, resting bool
	unfit                 string
	rechecked             time.Time
	keepUntil             time.Time // of the pause that keepEnds is of
	keepEnds              time.Time

	cancel     context.CancelFunc // stops its supervision; nil when it is not supervised
	supervised chan struct{}      // closed when its supervision has ended
}

// observedState says how far the loop has listed the driver's instances.
type observedState struct {
	known      bool  // a list succeeded
	everything bool  // all services are due
	changed    bool  // services that have changed since version are due
	version    int64 // of the services, when those that had changed were last due
	lists      int64 // lists begun so far
	listing    bool  // one is in progress
	again      bool  // another one is needed after it

	// gone holds removed instances with the number of lists begun before their
	// removal: those lists may still show them.
	gone map[string]int64
}

// list lists the driver's instances in a worker, one list at a time.
func (f *Fleet) list(ctx context.Context) {
	w := &f.observed
	if w.listing {
		w.again = true
		return
	}
	w.lists++
	w.listing, w.again = true, false
	number := w.lists
	f.workers.Go(func() {
		observed, err := f.driver.List(ctx)
		if err == nil {
			err = f.recall(ctx, observed)
		}
		f.inbox.send(func() {
			w.listing = false
			if err != nil {
				if ctx.Err() == nil {
					f.log.Error("list instances", "err", err)
				}
				return // the next full pass lists again
			}
			f.merge(number, observed)
			if w.again {
				f.list(ctx)
			}
		})
	})
}

// recall fills in whose instances are of which the driver does not know it any more. One that
// the store does not know either is a stray of no service.
func (f *Fleet) recall(ctx context.Context, observed []runtime.Observed) error {
	for i := range observed {
		o := &observed[i]
		if o.Service != "" {
			continue
		}
		var row slipway.Instance
		err := f.store.ViewUnsynced(ctx, func(tx *store.Tx) (err error) {
			row, err = tx.Instance(o.ID)
			return err
		})
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("find the service of instance %s: %w", o.ID, err)
		}
		o.Service, o.Release, o.Run = row.ServiceID, row.ReleaseID, row.Run
	}
	return nil
}

// merge records what a list showed. What workers reported after the list began is
// newer and wins.
func (f *Fleet) merge(number int64, observed []runtime.Observed) {
	w := &f.observed
	if !w.known {
		w.known, w.everything = true, true
	}
	seen := make(map[string]bool, len(observed))
	for _, o := range observed {
		seen[o.ID] = true
		if at, gone := w.gone[o.ID]; gone && at >= number {
			continue
		}
		f.mergeOne(number, o)
	}
	for id, inst := range f.instances {
		if !seen[id] && !inst.removing && (inst.presence == alive || inst.presence == dead) && inst.since < number {
			f.log.Warn("instance is gone", "service", inst.service, "instance", id)
			f.onGone(inst)
		}
	}
	for id, at := range w.gone {
		if at < number {
			delete(w.gone, id)
		}
	}
}

func (f *Fleet) mergeOne(number int64, o runtime.Observed) {
	inst := f.instances[o.ID]
	if inst == nil {
		inst = &instance{id: o.ID, service: o.Service, release: o.Release, run: o.Run, found: true, createdAt: o.StartedAt, began: time.Now(), presence: alive, since: number}
		f.add(inst)
		f.markDue(inst.service)
		if inst.service != "" {
			f.cfg.Logs.Follow(inst.service, inst.id)
		}
	}
	if inst.frozen != o.Frozen && !inst.resting {
		if inst.frozen = o.Frozen; inst.held { // else no plan depends on it
			f.markDue(inst.service)
		}
	}
	if o.Running && inst.full != o.Full {
		inst.full, inst.disk = o.Full, o.Disk
		f.logFull(inst)
		f.markDue(inst.service)
	}
	if o.Running || inst.presence != alive || inst.removing {
		return
	}
	inst.presence, inst.exit = dead, o.Exit
	if inst.exit == nil { // a breach of the contract; it ended nevertheless
		inst.exit = &slipway.Exit{At: time.Now(), Reason: "its exit is unknown"}
	}
	if inst.cancel != nil {
		inst.cancel()
	}
	f.dirty[inst.service] = true
}

func (f *Fleet) add(inst *instance) {
	f.instances[inst.id] = inst
	if f.byService[inst.service] == nil {
		f.byService[inst.service] = map[string]*instance{}
	}
	f.byService[inst.service][inst.id] = inst
}

func (f *Fleet) drop(inst *instance) {
	delete(f.instances, inst.id)
	delete(f.byService[inst.service], inst.id)
	if len(f.byService[inst.service]) == 0 {
		delete(f.byService, inst.service)
	}
}

// onGone records that nothing is left of the instance.
func (f *Fleet) onGone(inst *instance) {
	inst.presence = absent
	if inst.cancel != nil {
		inst.cancel()
	}
	if f.observed.gone == nil {
		f.observed.gone = map[string]int64{}
	}
	f.observed.gone[inst.id] = f.observed.lists
	f.dirty[inst.service] = true
}
