package router

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
)

func TestWildcardsYieldToNames(t *testing.T) {
	t.Parallel()
	root := &service{id: "root", keys: public("root.slipway.test", "*.example.com", "example.com")}
	shop := &service{id: "shop", keys: public("shop.slipway.test", "shop.example.com")}
	both := newTable().with([]*service{root, shop}, nil)
	for host, want := range map[string]*service{
		"shop.slipway.test":   shop,
		"example.com":         root,
		"blog.example.com":    root,
		"_x.example.com":      root,
		"shop.example.com":    shop,
		"a.shop.example.com":  nil, // a wildcard matches one label
		"a.b.example.com":     nil,
		"example.com.evil":    nil,
		"evilexample.com":     nil,
		"com":                 nil,
		"*.example.com":       root, // no request can have this host
		"blog.slipway.test":   nil,
		"[2001:db8::1]":       nil,
		"192.0.2.1":           nil,
		"shop.example.com.":   nil, // not in normal form
		"www.shop.slipway.de": nil,
	} {
		if got := both.find(routeKey{host: host}); got != want {
			t.Errorf("%s: %v, want %v", host, got, want)
		}
	}
	root.keys = root.keys[:1]
	if got := both.with([]*service{root}, nil).find(routeKey{host: "blog.example.com"}); got != nil {
		t.Errorf("without its wildcard: %v", got)
	}
	if got := both.with(nil, []*service{shop}).find(routeKey{host: "shop.example.com"}); got != root {
		t.Errorf("with the name's service gone: %v, want the wildcard's", got)
	}
}

func TestFindDoesNotAllocate(t *testing.T) {
	tab := newTable().with([]*service{{id: "a", keys: public("*.example.com")}}, nil)
	if n := testing.AllocsPerRun(100, func() { tab.find(routeKey{host: "shop.example.com"}) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

// domain adds a domain to the service in a state.
func (b *storeFixture) domain(name string, www bool, state slipway.DomainStatus) slipway.CustomDomain {
	b.t.Helper()
	d := slipway.CustomDomain{ID: slipway.NewID(), ServiceID: b.service.ID, Name: name, WWW: www, CreatedAt: t0, State: state}
	b.update(func(tx *store.Tx) error {
		if err := tx.InsertCustomDomain(d); err != nil {
			return err
		}
		return tx.SaveCustomDomain(d)
	})
	return d
}

// Active domains are answered like the service URL, all others as unknown.
func TestCustomDomains(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newStoreFixture(t)
		b.run()
		b.release("rel")
		b.update(func(tx *store.Tx) error { return tx.SetActiveRelease(b.service.ID, "rel") })
		d := b.domain("Example.com", true, slipway.DomainActive)
		b.domain("pending.example", false, slipway.DomainPending)
		b.domain("binding.example", false, slipway.DomainBinding)
		b.domain("*.example.net", false, slipway.DomainActive)
		b.update(func(tx *store.Tx) error { return tx.SetWanted(b.service.ID, slipway.WantedPaused, t0) })
		for host, want := range map[string]int{
			b.host(): 503, "example.com": 503, "WWW.example.com:80": 503, "a.example.net": 503,
			"a.example.com": 404, "example.net": 404, "pending.example": 404, "binding.example": 404,
		} {
			if got := b.status(host); got != want {
				t.Errorf("%s of a paused service: %d, want %d", host, got, want)
			}
		}
		b.update(func(tx *store.Tx) error { return tx.RemoveCustomDomain(d, t0) })
		for _, host := range []string{"example.com", "www.example.com"} {
			if got := b.status(host); got != 404 {
				t.Errorf("%s, which was asked to go: %d, want 404", host, got)
			}
		}
		b.update(func(tx *store.Tx) error { return tx.SetWanted(b.service.ID, slipway.WantedDeleted, time.Now()) })
		if got := b.status("a.example.net"); got != 404 {
			t.Errorf("a domain of a deleted service: %d, want 404", got)
		}
	})
}

// A domain may move from one service to another.
func TestDomainMoves(t *testing.T) {
	t.Parallel()
	from := &service{id: "from", keys: public("example.com", "*.example.com")}
	to := &service{id: "to"}
	first := newTable().with([]*service{from, to}, nil)
	from.keys, to.keys = nil, public("example.com", "*.example.com")
	for _, moved := range [][]*service{{from, to}, {to, from}} {
		tab := first.with(moved, nil)
		if tab.find(routeKey{host: "example.com"}) != to || tab.find(routeKey{host: "a.example.com"}) != to {
			t.Errorf("the domain is not found at the service that it moved to")
		}
	}
}

func TestPrivateServiceHasNoPublicDomain(t *testing.T) {
	t.Parallel()
	r := store.Route{Hosts: []string{"example.com"}}
	r.Service.Label = "shop"
	if got := routeOf(r, "test").keys; !slices.Equal(got, public("shop.test", "example.com")) {
		t.Errorf("of a public service: %v", got)
	}
	r.Service.Spec.Network.IngressConfiguration = &types.IngressConfiguration{}
	if got := routeOf(r, "test").keys; len(got) != 0 {
		t.Errorf("of a private service: %v", got)
	}
}
