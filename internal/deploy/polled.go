package deploy

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
)

// readChangedEvery is how often the services are read that have changed, which finds changes
// by other processes. Changes by this one are seen at once.
const readChangedEvery = time.Minute

// polledServices keeps the services that a loop polls for. A look for what is due then
// reads only services that have changed. One goroutine uses it.
type polledServices struct {
	store *store.Store
	watch *store.Watch // of operations: each change of a service's specification or status is one's
	polls func(v slipway.ServiceView) bool

	known   map[string]slipway.ServiceView // by id
	version int64                          // of the services when what had changed was read; see store.Tx.ChangedServices
	readAt  time.Time                      // when that was; zero: all have to be read
}

// read returns the services as they are now.
func (p *polledServices) read(ctx context.Context) ([]slipway.ServiceView, error) {
	now, changed := time.Now(), p.watch.Take()
	if !p.readAt.IsZero() && len(changed) == 0 && now.Sub(p.readAt) < readChangedEvery {
		return slices.Collect(maps.Values(p.known)), nil
	}
	err := p.store.ViewUnsynced(ctx, func(tx *store.Tx) error {
		if p.readAt.IsZero() {
			return p.all(tx, now)
		}
		if now.Sub(p.readAt) >= readChangedEvery {
			ids, version, err := tx.ChangedServices(p.version)
			if err != nil {
				return err
			}
			changed, p.version, p.readAt = append(changed, ids...), version, now
		}
		for _, id := range changed {
			v, err := tx.Service(id)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
			delete(p.known, id)
			if err == nil && p.polls(v) {
				p.known[id] = v
			}
		}
		return nil
	})
	if err != nil {
		p.readAt = time.Time{} // what has changed is not known any more
		return nil, err
	}
	return slices.Collect(maps.Values(p.known)), nil
}

func (p *polledServices) all(tx *store.Tx, now time.Time) error {
	list, err := tx.Services(time.Time{}, "", 0)
	if err != nil {
		return err
	}
	if _, p.version, err = tx.ChangedServices(0); err != nil {
		return err
	}
	p.known, p.readAt = map[string]slipway.ServiceView{}, now
	for _, v := range list {
		if p.polls(v) {
			p.known[v.ID] = v
		}
	}
	return nil
}

// backOff returns the time until the next question after failures in a row.
func backOff(every time.Duration, failures int) time.Duration {
	return min(every<<min(failures, 10), max(pollLongest, every))
}

// spread returns a time that differs from d by a fifth at most, so that questions do
// not stay together.
func spread(d time.Duration) time.Duration { return d - d/5 + rand.N(2*d/5+1) }
