package domain

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
)

// fakeDNS answers from a map, in a bubble where sockets can't be.
type fakeDNS struct {
	mu      sync.Mutex // guards all
	records map[string]string
	err     error
	takes   time.Duration
	asked   int
	now     int // questions at once
	most    int
}

func (f *fakeDNS) CNAME(_ context.Context, name string) (string, error) {
	f.mu.Lock()
	f.asked++
	f.now++
	f.most = max(f.most, f.now)
	takes := f.takes
	f.mu.Unlock()
	time.Sleep(takes)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now--
	return f.records[name], f.err
}

// counts returns how many questions came, and how many of them at once.
func (f *fakeDNS) counts() (asked, most int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked, f.most
}

func (f *fakeDNS) publish(records ...slipway.ValidationRecord) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range records {
		f.records[r.Name] = strings.ToUpper(r.Value) // names have no case
	}
}

func (f *fakeDNS) set(g func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	g()
}

// bench is a store, a name server and a keeper in a bubble.
type bench struct {
	*testing.T
	store *store.Store
	dns   *fakeDNS
	log   strings.Builder
}

func inBubble(t *testing.T, f func(b *bench)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, err := store.Open(t.Context(), ":memory:")
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		b := &bench{T: t, store: s, dns: &fakeDNS{records: map[string]string{}}}
		b.update(func(tx *store.Tx) error {
			return tx.InsertService(slipway.Service{ID: "shop", Name: "shop", ARN: "arn:aws:apprunner:us-east-1:000000000000:service/shop/1", Label: "l", Wanted: slipway.WantedRunning})
		})
		f(b)
	})
}

func (b *bench) update(f func(*store.Tx) error) {
	b.Helper()
	if err := b.store.Update(context.Background(), f); err != nil {
		b.Fatal(err)
	}
}

// run runs a keeper until the returned function is called.
func (b *bench) run() (stop func()) {
	b.Helper()
	k, err := New(Config{Store: b.store, Resolver: b.dns, Trusted: []string{"corp.test"}, Log: slog.New(slog.NewTextHandler(&b.log, nil))})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	return func() {
		b.Helper()
		cancel()
		if err := <-done; err != nil {
			b.Errorf("Run: %v", err)
		}
	}
}

// associate does what the API does.
func (b *bench) associate(name string) slipway.CustomDomain {
	b.Helper()
	d := asked(name)
	d.CreatedAt, d.Since, d.DueAt = time.Now(), time.Now(), time.Now()
	b.update(func(tx *store.Tx) error { return tx.InsertCustomDomain(d) })
	return d
}

func (b *bench) remove(name string) {
	b.Helper()
	b.update(func(tx *store.Tx) error {
		d, err := tx.CustomDomain("shop", name)
		return errors.Join(err, tx.RemoveCustomDomain(d, time.Now()))
	})
}

// status is what users see of a domain, "" when there is none.
func (b *bench) status(name string) (st slipway.DomainStatus) {
	b.Helper()
	synctest.Wait()
	err := b.store.View(context.Background(), func(tx *store.Tx) error {
		d, err := tx.CustomDomain("shop", name)
		st = d.Status()
		return err
	})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		b.Fatal(err)
	}
	return st
}

func (b *bench) expect(when, name string, want slipway.DomainStatus) {
	b.Helper()
	if got := b.status(name); got != want {
		b.Errorf("%s: %s is %q, want %q", when, name, got, want)
	}
}

// routed tells which hosts routers are given for the service.
func (b *bench) routed() (hosts []string) {
	b.Helper()
	synctest.Wait()
	if err := b.store.View(context.Background(), func(tx *store.Tx) error {
		routes, err := tx.RoutesSince(0)
		hosts = routes[0].Hosts
		return err
	}); err != nil {
		b.Fatal(err)
	}
	return hosts
}

func TestLife(t *testing.T) {
	inBubble(t, func(b *bench) {
		defer b.run()()
		d := b.associate("Example.com")
		b.expect("at once", "example.com", slipway.DomainPending)
		time.Sleep(time.Minute)
		b.expect("without records", "example.com", slipway.DomainPending)
		b.dns.publish(d.Records[0])
		time.Sleep(time.Minute)
		b.expect("with one record", "example.com", slipway.DomainPending)
		b.dns.publish(d.Records...)
		time.Sleep(29 * time.Second)
		b.expect("with both", "example.com", slipway.DomainBinding)
		if got := b.routed(); len(got) != 0 {
			b.Errorf("before it is active, %v are routed", got)
		}
		time.Sleep(bindTime)
		b.expect("a while later", "example.com", slipway.DomainActive)
		if got := b.routed(); len(got) != 1 || got[0] != "example.com" {
			b.Errorf("active, but %v are routed", got)
		}
		b.dns.set(func() { clear(b.dns.records) })
		time.Sleep(5 * 24 * time.Hour)
		b.expect("days after its records went", "example.com", slipway.DomainActive)

		b.remove("example.com")
		b.expect("asked to go", "example.com", slipway.DomainDeleting)
		if got := b.routed(); len(got) != 0 {
			b.Errorf("asked to go, but %v are routed", got)
		}
		time.Sleep(lingerTime)
		b.expect("then", "example.com", "")
		b.associate("example.com")
	})
}

func TestLimit(t *testing.T) {
	inBubble(t, func(b *bench) {
		defer b.run()()
		d := b.associate("example.com")
		b.dns.publish(d.Records[0])
		time.Sleep(proofLimit - time.Minute)
		b.expect("before the limit", "example.com", slipway.DomainPending)
		time.Sleep(15 * time.Minute)
		b.expect("after it", "example.com", slipway.DomainFailed)
		before, _ := b.dns.counts()
		b.dns.publish(d.Records...)
		time.Sleep(24 * time.Hour)
		b.expect("too late", "example.com", slipway.DomainFailed)
		if asked, _ := b.dns.counts(); asked != before {
			b.Errorf("a domain that failed is asked for %d times", asked-before)
		}
		b.remove("example.com")
		time.Sleep(lingerTime)
		b.expect("removed", "example.com", "")
	})
}

func TestTrusted(t *testing.T) {
	inBubble(t, func(b *bench) {
		defer b.run()()
		for _, name := range []string{"corp.test", "a.Corp.test", "notcorp.test"} {
			b.associate(name)
		}
		b.expect("trusted", "corp.test", slipway.DomainBinding)
		b.expect("below", "a.corp.test", slipway.DomainBinding)
		b.expect("beside", "notcorp.test", slipway.DomainPending)
		time.Sleep(bindTime)
		b.expect("trusted", "corp.test", slipway.DomainActive)
		b.expect("beside", "notcorp.test", slipway.DomainPending)
	})
}

// A keeper that ends at any state is followed by one that goes on, and no
// limit is extended by it.
func TestRestarts(t *testing.T) {
	inBubble(t, func(b *bench) {
		d := b.associate("example.com")
		time.Sleep(time.Minute)
		b.expect("nobody there", "example.com", slipway.DomainCreating)
		b.run()()
		stop := b.run()
		b.expect("first keeper", "example.com", slipway.DomainPending)
		stop()
		b.dns.publish(d.Records...)
		time.Sleep(time.Hour)
		stop = b.run()
		b.expect("second", "example.com", slipway.DomainBinding)
		stop()
		time.Sleep(bindTime)
		stop = b.run()
		b.expect("third", "example.com", slipway.DomainActive)
		stop()
		b.remove("example.com")
		stop = b.run()
		b.expect("fourth", "example.com", slipway.DomainDeleting)
		stop()
		time.Sleep(time.Hour)
		stop = b.run()
		b.expect("fifth", "example.com", "")
		stop()

		b.associate("example.net")
		time.Sleep(2 * proofLimit)
		defer b.run()()
		b.expect("asked for long ago", "example.net", slipway.DomainFailed)
	})
}

// What is decided of a domain while it is looked up must not undo that it was
// asked to go.
func TestRemovedWhileLookedUp(t *testing.T) {
	inBubble(t, func(b *bench) {
		d := b.associate("example.com")
		b.dns.publish(d.Records...)
		b.dns.takes = 10 * time.Second
		defer b.run()()
		time.Sleep(time.Second)
		b.remove("example.com")
		time.Sleep(lingerTime)
		b.expect("before DNS has answered", "example.com", "")
		time.Sleep(time.Minute)
		b.expect("after", "example.com", "")
	})
}

// A service that is deleted takes its domains along.
func TestDeletedService(t *testing.T) {
	inBubble(t, func(b *bench) {
		defer b.run()()
		b.associate("example.com")
		b.associate("example.net")
		b.update(func(tx *store.Tx) error { return tx.RemoveCustomDomainsOf("shop", time.Now()) })
		b.expect("at once", "example.net", slipway.DomainDeleting)
		time.Sleep(lingerTime)
		b.expect("then", "example.com", "")
		b.expect("then", "example.net", "")
	})
}

// Thousands of domains whose owners forgot them are little trouble for DNS, and
// do not keep others waiting.
func TestThousandsPending(t *testing.T) {
	inBubble(t, func(b *bench) {
		const n = 500
		b.dns.takes = 20 * time.Millisecond
		for i := range n {
			b.associate(fmt.Sprintf("forgotten-%d.test", i))
		}
		defer b.run()()
		time.Sleep(time.Hour)
		before, _ := b.dns.counts()
		time.Sleep(time.Hour)
		asked, most := b.dns.counts()
		// Two records each, every ten minutes.
		if asked -= before; asked < n*2*5 || asked > n*2*7 {
			b.Errorf("%d questions in an hour about %d domains", asked, n)
		}
		if most > lookups {
			b.Errorf("%d questions at once, want at most %d", most, lookups)
		}
		d := b.associate("example.com")
		b.dns.publish(d.Records...)
		time.Sleep(2*time.Minute + bindTime)
		b.expect("beside them", "example.com", slipway.DomainActive)
	})
}

// DNS that does not answer is told of once, not by each domain, and decides
// nothing.
func TestDNSAway(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.dns.err = errors.New("no route")
		stop := b.run()
		d := b.associate("example.com")
		b.associate("example.net")
		time.Sleep(time.Hour)
		b.expect("while DNS is away", "example.com", slipway.DomainPending)
		b.dns.set(func() { b.dns.err = nil })
		b.dns.publish(d.Records...)
		time.Sleep(20 * time.Minute)
		b.expect("when it is back", "example.com", slipway.DomainActive)
		stop()
		for _, line := range []string{"DNS does not answer", "DNS answers again"} {
			if got := strings.Count(b.log.String(), line); got != 1 {
				b.Errorf("%q is logged %d times:\n%s", line, got, b.log.String())
			}
		}
	})
}
