package fleet

import (
	"fmt"
	"time"

	"github.com/openslipway/slipway"
)

// hangs says how often instances of a service were given up since they answered no request.
type hangs struct {
	count int // in a row
	last  time.Time
}

const (
	// firstHang is how long after all instances of a service were given up once the next
	// one is; then twice as long each time, at most slipway.LongestRestart. What all
	// instances wait for may be down: fresh ones do not help then.
	firstHang = 10 * time.Second
	// hangsForgotten is how long after the last one a service has a clean record.
	hangsForgotten = 2 * slipway.LongestRestart
)

// next returns when the next instance of a service with this size may be given up.
func (h hangs) next(size int) time.Time {
	rounds := h.count / max(size, 1)
	if rounds == 0 {
		return h.last
	}
	return h.last.Add(slipway.Backoff(firstHang, slipway.LongestRestart, rounds))
}

// again returns the record after one more.
func (h hangs) again(now time.Time) hangs {
	if now.Sub(h.last) > hangsForgotten {
		h.count = 0
	}
	return hangs{h.count + 1, now}
}

// Hung says that an instance has answered none of the last requests to it, for a time; zero
// says that it answers again. The routers of this process call it. The fleet replaces the
// instance as one that fails its health check.
func (f *Fleet) Hung(id string, requests int, since time.Duration) {
	f.inbox.send(func() {
		inst := f.instances[id]
		if inst == nil {
			return
		}
		inst.hung = ""
		if requests > 0 {
			inst.hung = fmt.Sprintf("it answered none of its last %d requests, in %v", requests, since.Round(time.Second))
		}
		f.markDue(inst.service)
	})
}

// HeldUntil returns when the next instance of a service is replaced that answers no request; zero
// if none waits for that.
func (f *Fleet) HeldUntil(service string) time.Time {
	at, _ := f.held.Load(service)
	t, _ := at.(time.Time)
	return t
}

// giveUp takes an instance out of service that answers no request. One at a time: while
// another one starts, is unhealthy or drains, it waits for that.
func (p *planner) giveUp(r slipway.Release, observations []*observation) {
	var hung *observation
	for _, o := range observations {
		switch {
		case o.removing || o.row.State == slipway.InstanceStarting || o.row.State == slipway.InstanceUnhealthy || o.row.State == slipway.InstanceDraining:
			return
		case o.row.State == slipway.InstanceReady && o.presence == alive && o.hung != "" && hung == nil:
			hung = o
		}
	}
	if hung == nil {
		return
	}
	if at := p.inputs.hangs.next(r.Size); p.now.Before(at) {
		p.wakeAt(at)
		p.decision.held = at
		return
	}
	p.decision.hangs = p.inputs.hangs.again(p.now)
	was := hung.row
	hung.row.State, hung.row.Problem = slipway.InstanceUnhealthy, hung.hung
	p.events = append(p.events, fmt.Sprintf("Instance %s is replaced: %s, while its health check may pass (slipway:replace-hung-after). It takes no more requests.", hung.row.ID, hung.hung))
	p.putRow(r, hung, was)
}
