package fleet

import (
	"context"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/runtime"
)

// member is an instance that exists, is being made, or existed a moment ago.
type member struct {
	id, service, release string
	createdAt            time.Time

	presence presence
	since    int64 // the look after which its absence from the world means that it is gone
	removing bool
	exit     *slipway.Exit

	passed     time.Time
	failing    bool
	problem    string
	drainSince time.Time

	cancel context.CancelFunc // ends its tending; nil when nobody tends it
	tended chan struct{}      // closed when its tending has ended
}

// world is what the loop knows about looking at the driver's world.
type world struct {
	known      bool  // it was looked at successfully
	everything bool  // all services are due
	looks      int64 // looks begun so far
	looking    bool  // one is under way
	again      bool  // another one is wanted after it

	// gone holds instances that were removed, by the number of looks begun by
	// then: an older look may still show them.
	gone map[string]int64
}

// look lists the driver's world in a worker, once at a time.
func (f *Fleet) look(ctx context.Context) {
	w := &f.world
	if w.looking {
		w.again = true
		return
	}
	w.looks++
	w.looking, w.again = true, false
	number := w.looks
	f.workers.Go(func() {
		list, err := f.driver.List(ctx)
		f.mail.send(func() {
			w.looking = false
			if err != nil {
				if ctx.Err() == nil {
					f.log.Error("list instances", "err", err)
				}
				return // the next full pass looks again
			}
			f.merge(number, list)
			if w.again {
				f.look(ctx)
			}
		})
	})
}

// merge takes over what a look showed. It may be older than what workers have
// done since: what they said last stands.
func (f *Fleet) merge(number int64, list []runtime.Observed) {
	w := &f.world
	if !w.known {
		w.known, w.everything = true, true
	}
	seen := make(map[string]bool, len(list))
	for _, o := range list {
		seen[o.ID] = true
		if at, gone := w.gone[o.ID]; gone && at >= number {
			continue
		}
		f.mergeOne(number, o)
	}
	for id, m := range f.members {
		if !seen[id] && !m.removing && (m.presence == alive || m.presence == dead) && m.since < number {
			f.log.Warn("instance is gone", "service", m.service, "instance", id)
			f.vanish(m)
		}
	}
	for id, at := range w.gone {
		if at < number {
			delete(w.gone, id)
		}
	}
}

func (f *Fleet) mergeOne(number int64, o runtime.Observed) {
	m := f.members[o.ID]
	if m == nil {
		m = &member{id: o.ID, service: o.Service, release: o.Release, createdAt: o.StartedAt, presence: alive, since: number}
		f.add(m)
		f.touch(m.service)
		f.cfg.Logs.Follow(m.service, m.id)
	}
	if o.Running || m.presence != alive || m.removing {
		return
	}
	m.presence, m.exit = dead, o.Exit
	if m.exit == nil { // against the contract, but an end all the same
		m.exit = &slipway.Exit{At: time.Now(), Reason: "it ended in an unknown way"}
	}
	if m.cancel != nil {
		m.cancel()
	}
	f.dirty[m.service] = true
}

func (f *Fleet) add(m *member) {
	f.members[m.id] = m
	if f.byService[m.service] == nil {
		f.byService[m.service] = map[string]*member{}
	}
	f.byService[m.service][m.id] = m
}

func (f *Fleet) drop(m *member) {
	delete(f.members, m.id)
	delete(f.byService[m.service], m.id)
	if len(f.byService[m.service]) == 0 {
		delete(f.byService, m.service)
	}
}

// vanish notes that nothing of the instance is left.
func (f *Fleet) vanish(m *member) {
	m.presence = absent
	if m.cancel != nil {
		m.cancel()
	}
	if f.world.gone == nil {
		f.world.gone = map[string]int64{}
	}
	f.world.gone[m.id] = f.world.looks
	f.dirty[m.service] = true
}
