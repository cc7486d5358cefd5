package egress

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/openslipway/slipway/internal/loop"
)

const (
	// checkInterval is the least time between two looks at the rules, the gateway's address,
	// forwarding and links, which follow the kernel's messages that something was changed.
	checkInterval = time.Second
	// lookInterval is how often the host's name servers and default route are read, of which
	// nobody tells, and with them the gateway's address and forwarding.
	lookInterval = 10 * time.Second
	// linger is how long after Detach the kernel may take to delete a link together
	// with its namespace. It takes some 20 ms.
	linger = 500 * time.Millisecond
	// deleteInterval is how often ended leases are freed while there are plenty:
	// the whole conntrack table is read for it.
	deleteInterval = 5 * time.Second
)

// Run sets the network up and serves it until ctx ends: it forwards DNS, keeps the
// rules in place, and frees what was detached. Without it links work, except DNS on
// hosts that need the forwarder. Links and rules stay when it ends, so that
// instances keep their network while the daemon restarts.
func (n *Network) Run(ctx context.Context) error {
	if err := n.Setup(ctx); err != nil {
		return err
	}
	n.mu.Lock()
	f := n.forwarder
	n.mu.Unlock()

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer func() {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.forwarder = nil // its sockets are closed; the next Setup opens others
		}()
		return f.serve(ctx)
	})
	g.Go(func() error { return n.keep(ctx) })
	g.Go(func() error { return n.reap(ctx) })
	if err := g.Wait(); err != nil {
		return fmt.Errorf("run network %s: %w", n.plan.name, err)
	}
	return nil
}

// keep restores the host's rules and addresses until ctx ends, and tells of links that may
// have lost something. It retries what fails: another program may be changing the rules.
func (n *Network) keep(ctx context.Context) error {
	told, err := listenForChanges(n.leases)
	if err != nil {
		return err
	}
	defer told.close()
	look := time.NewTicker(lookInterval)
	defer look.Stop()
	failing := false
	seen := noticed{rules: true}
	for ctx.Err() == nil {
		var err error
		if seen.rules || seen.host || seen.all { // each start of a sandbox changes links
			err = n.check(ctx, seen.host || seen.all)
		}
		if err != nil && !failing {
			n.log.Error("network rules could not be restored", "err", err)
		}
		if failing = err != nil; !failing {
			n.tell(seen)
			seen = noticed{}
			select {
			case <-ctx.Done():
			case <-told.nudge:
			case <-look.C:
				seen.host = true
			}
		}
		loop.Pause(ctx, checkInterval)
		seen.add(told.take())
	}
	return nil
}

// check corrects the rules, and with full also what they depend on.
func (n *Network) check(ctx context.Context, full bool) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	w := n.netHandle.Load()
	if w == nil || n.forwarder == nil || ctx.Err() != nil {
		return nil
	}
	if !full {
		return n.enforce(w)
	}
	next, err := n.look(w)
	if err != nil {
		return err
	}
	had, err := next.gatewayIsOurs(n.plan)
	if err == nil && !had {
		n.log.Warn("the network's address was removed from the host: adding it again", "addr", n.plan.gateway())
		err = next.addGateway(n.plan)
	}
	if err != nil {
		return err
	}
	if err := n.enforce(next); err != nil {
		return err
	}
	n.netHandle.Store(next)
	changed, err := forward()
	if changed {
		n.log.Warn("the forwarding of IPv4 was turned off on the host: turning it on again")
	}
	return err
}

// reap frees the leases that have ended. While there are none it does not even wake.
func (n *Network) reap(ctx context.Context) error {
	tick := time.NewTicker(linger)
	defer tick.Stop()
	// Addresses whose links are gone since an earlier process may have left
	// connections.
	if w := n.netHandle.Load(); w != nil {
		if _, err := w.forget(n.plan, n.leases.live); err != nil {
			n.log.Warn("old connections could not be forgotten", "err", err)
		}
	}
	var deleted time.Time
	for {
		if !n.leases.anyEnded() {
			tick.Stop()
			select {
			case <-ctx.Done():
				return nil
			case <-n.leases.ends:
			}
			tick.Reset(linger)
		}
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			w, ended := n.netHandle.Load(), n.leases.ended(now.Add(-linger))
			if w == nil || len(ended) == 0 || now.Sub(deleted) < deleteInterval && !n.leases.scarce() {
				continue
			}
			if err := n.deleteEnded(ctx, w, ended); err != nil && ctx.Err() == nil {
				n.log.Error("links could not be deleted", "err", err)
			}
			deleted = time.Now()
		}
	}
}
