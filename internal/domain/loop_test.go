package domain

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/store/storetest"
)

// fakeDNS answers from a map: a synctest bubble allows no sockets.
type fakeDNS struct {
	mu      sync.Mutex // guards all
	records map[string]string
	err     error
	takes   time.Duration
	asked   int
	now     int // concurrent queries
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

// counts returns the number of queries, and the highest number of concurrent
// ones.
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

// fixture is a store, a name server and a reconciler in a bubble.
type fixture struct {
	*testing.T
	store *store.Store
	dns   *fakeDNS
	log   strings.Builder
}

func inBubble(t *testing.T, f func(b *fixture)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := storetest.Memory(t)
		defer s.Close()
		b := &fixture{T: t, store: s, dns: &fakeDNS{records: map[string]string{}}}
		b.update(func(tx *store.Tx) error {
			return tx.InsertService(slipway.Service{ID: "shop", Name: "shop", ARN: "arn:aws:apprunner:us-east-1:000000000000:service/shop/1", Label: "l", Wanted: slipway.WantedRunning})
		})
		f(b)
	})
}

func (b *fixture) update(f func(*store.Tx) error) {
	b.Helper()
	if err := b.store.Update(context.Background(), f); err != nil {
		b.Fatal(err)
	}
}

// run runs a reconciler until the returned function is called.
func (b *fixture) run() (stop func()) {
	b.Helper()
	r, err := New(Config{Store: b.store, Resolver: b.dns, Trusted: []string{"corp.test"}, Log: slog.New(slog.NewTextHandler(&b.log, nil))})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	return func() {
		b.Helper()
		cancel()
		if err := <-done; err != nil {
			b.Errorf("Run: %v", err)
		}
	}
}

// associate does what the API does.
func (b *fixture) associate(name string) slipway.CustomDomain {
	b.Helper()
	d := requested(name)
	d.CreatedAt, d.Since, d.DueAt = time.Now(), time.Now(), time.Now()
	b.update(func(tx *store.Tx) error { return tx.InsertCustomDomain(d) })
	return d
}

func (b *fixture) remove(name string) {
	b.Helper()
	b.update(func(tx *store.Tx) error {
		d, err := tx.CustomDomain("shop", name)
		return errors.Join(err, tx.RemoveCustomDomain(d, time.Now()))
	})
}

// status returns the status of a domain as users see it, empty if there is
// none.
func (b *fixture) status(name string) (st slipway.DomainStatus) {
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

func (b *fixture) expect(when, name string, want slipway.DomainStatus) {
	b.Helper()
	if got := b.status(name); got != want {
		b.Errorf("%s: %s is %q, want %q", when, name, got, want)
	}
}

// routed returns the hosts of the service that routers get.
func (b *fixture) routed() (hosts []string) {
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
	inBubble(t, func(b *fixture) {
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
		b.expect("deletion requested", "example.com", slipway.DomainDeleting)
		if got := b.routed(); len(got) != 0 {
			b.Errorf("deletion requested, but %v are routed", got)
		}
		time.Sleep(lingerTime)
		b.expect("then", "example.com", "")
		b.associate("example.com")
	})
}

func TestLimit(t *testing.T) {
	inBubble(t, func(b *fixture) {
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
			b.Errorf("a domain that failed is queried %d times", asked-before)
		}
		b.remove("example.com")
		time.Sleep(lingerTime)
		b.expect("removed", "example.com", "")
	})
}

// Of several claims to a domain the one whose records appear first wins, whoever was
// first to claim; the others fail with a reason at once, also those that overlap by www.
func TestClaimsCompete(t *testing.T) {
	inBubble(t, func(b *fixture) {
		defer b.run()()
		claim := func(service, name string, www bool) slipway.CustomDomain {
			d := requested(name)
			d.ID, d.ServiceID, d.WWW = service+" "+name, service, www
			d.Records = slices.Clone(d.Records)
			for i := range d.Records {
				d.Records[i].Name = "_" + service + d.Records[i].Name
			}
			d.CreatedAt, d.Since, d.DueAt = time.Now(), time.Now(), time.Now()
			b.update(func(tx *store.Tx) error {
				if service != "shop" {
					err := tx.InsertService(slipway.Service{ID: service, Name: service, ARN: "arn:aws:apprunner:us-east-1:000000000000:service/" + service + "/1", Label: service, Wanted: slipway.WantedRunning})
					if err != nil {
						return err
					}
				}
				return tx.InsertCustomDomain(d)
			})
			return d
		}
		of := func(d slipway.CustomDomain) (got slipway.CustomDomain) {
			b.update(func(tx *store.Tx) (err error) { got, err = tx.CustomDomain(d.ServiceID, d.Name); return err })
			return got
		}
		squatter := claim("squatter", "example.com", true)
		owner := claim("shop", "example.com", false)
		beside := claim("beside", "www.example.com", false)
		other := claim("other", "example.net", false)
		b.dns.publish(squatter.Records[0]) // one of two proves nothing
		time.Sleep(time.Minute)
		b.expect("with no proof", "example.com", slipway.DomainPending)
		b.dns.publish(owner.Records...)
		time.Sleep(time.Minute)
		b.expect("proved", "example.com", slipway.DomainActive)
		for d, want := range map[*slipway.CustomDomain]slipway.DomainStatus{
			&squatter: slipway.DomainFailed, &beside: slipway.DomainPending, &other: slipway.DomainPending,
		} {
			if got := of(*d).State; got != want {
				b.Errorf("%s of %s is %s, want %s", d.Name, d.ServiceID, got, want)
			}
		}
		b.update(func(tx *store.Tx) error {
			events, err := tx.LastEvents(store.EventQuery{ServiceID: "squatter"})
			if err == nil && (len(events) != 1 || !strings.Contains(events[0].Text, "another service proved first")) {
				b.Errorf("the events of the loser: %+v", events)
			}
			return err
		})
		// Records that come too late change nothing.
		b.dns.publish(squatter.Records...)
		time.Sleep(time.Hour)
		if got := of(squatter).State; got != slipway.DomainFailed {
			b.Errorf("the loser is %s", got)
		}
	})
}

// Claims that are proved in the same pass have one winner.
func TestClaimsProvedAtOnce(t *testing.T) {
	inBubble(t, func(b *fixture) {
		defer b.run()()
		b.update(func(tx *store.Tx) error {
			return tx.InsertService(slipway.Service{ID: "blog", Name: "blog", ARN: "arn:aws:apprunner:us-east-1:000000000000:service/blog/1", Label: "b", Wanted: slipway.WantedRunning})
		})
		for _, service := range []string{"shop", "blog"} {
			d := requested("corp.test") // trusted: the first look-up proves both
			d.ID, d.ServiceID, d.CreatedAt, d.Since, d.DueAt = service, service, time.Now(), time.Now(), time.Now()
			b.update(func(tx *store.Tx) error { return tx.InsertCustomDomain(d) })
		}
		time.Sleep(time.Minute)
		states := map[slipway.DomainStatus]int{}
		b.update(func(tx *store.Tx) error {
			for _, service := range []string{"shop", "blog"} {
				d, err := tx.CustomDomain(service, "corp.test")
				if err != nil {
					return err
				}
				states[d.State]++
			}
			return nil
		})
		if states[slipway.DomainActive] != 1 || states[slipway.DomainFailed] != 1 {
			b.Errorf("states %v", states)
		}
	})
}

func TestTrusted(t *testing.T) {
	inBubble(t, func(b *fixture) {
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

// A reconciler that ends in any state is followed by one that continues, and no
// limit is extended by that.
func TestRestarts(t *testing.T) {
	inBubble(t, func(b *fixture) {
		d := b.associate("example.com")
		time.Sleep(time.Minute)
		b.expect("nobody there", "example.com", slipway.DomainCreating)
		b.run()()
		stop := b.run()
		b.expect("first reconciler", "example.com", slipway.DomainPending)
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
		b.expect("requested long ago", "example.net", slipway.DomainFailed)
	})
}

// The result of a lookup must not undo the request to delete the domain.
func TestRemovedWhileLookedUp(t *testing.T) {
	inBubble(t, func(b *fixture) {
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

// Deleting a service deletes its domains.
func TestDeletedService(t *testing.T) {
	inBubble(t, func(b *fixture) {
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

// Thousands of forgotten domains cause few queries and do not delay others.
func TestThousandsPending(t *testing.T) {
	inBubble(t, func(b *fixture) {
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
			b.Errorf("%d queries in an hour about %d domains", asked, n)
		}
		if most > lookups {
			b.Errorf("%d concurrent queries, want at most %d", most, lookups)
		}
		d := b.associate("example.com")
		b.dns.publish(d.Records...)
		time.Sleep(2*time.Minute + bindTime)
		b.expect("beside them", "example.com", slipway.DomainActive)
	})
}

// An unreachable DNS is logged once, not for each domain, and decides nothing.
func TestDNSAway(t *testing.T) {
	inBubble(t, func(b *fixture) {
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
