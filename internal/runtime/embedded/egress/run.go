package egress

import (
	"context"
	"fmt"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/loop"
)

const (
	// checkInterval is the least time between two comparisons of the rules with the wanted
	// ones, which follow each change of a rule of the host.
	checkInterval = time.Second
	// lookInterval is how often the host's name servers, default route and gateway
	// address are read.
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

// keep restores the host's rules and addresses until ctx ends. It retries what
// fails: another program may be changing the rules.
func (n *Network) keep(ctx context.Context) error {
	look := time.NewTicker(lookInterval)
	defer look.Stop()
	failing, full := false, false
	for ctx.Err() == nil {
		changed, stop, err := changes() // before the check: it misses none that comes later
		if err == nil {
			err = n.check(ctx, full)
		}
		if err != nil && !failing {
			n.log.Error("network rules could not be restored", "err", err)
		}
		full = false
		if failing = err != nil; !failing {
			select {
			case <-ctx.Done():
			case <-changed:
			case <-look.C:
				full = true
			}
		}
		stop()
		loop.Pause(ctx, checkInterval)
	}
	return nil
}

// changes returns a channel that is closed when a rule of nftables changes on this host. stop
// ends the watch.
func changes() (changed <-chan struct{}, stop func(), err error) {
	s, err := nl.Subscribe(unix.NETLINK_NETFILTER, unix.NFNLGRP_NFTABLES)
	if err != nil {
		return nil, func() {}, fmt.Errorf("ask for changes of nftables: %w", err)
	}
	told := make(chan struct{})
	go func() {
		defer close(told)
		_, _, _ = s.Receive() // an error is a change that was lost, or the end of the watch
	}()
	return told, func() { s.Close(); <-told }, nil
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
	if err := next.addGateway(n.plan); err != nil {
		return err
	}
	if err := n.enforce(next); err != nil {
		return err
	}
	n.netHandle.Store(next)
	return forward()
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
