package router

import (
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/internal/store"
)

func TestWildcardsYieldToNames(t *testing.T) {
	t.Parallel()
	root := &Service{id: "root", keys: public("root.slipway.test", "*.example.com", "example.com")}
	shop := &Service{id: "shop", keys: public("shop.slipway.test", "shop.example.com")}
	both := newTable().with([]*Service{root, shop}, nil)
	for host, want := range map[string]*Service{
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
		if got := both.find(RouteKey{Host: host}); got != want {
			t.Errorf("%s: %v, want %v", host, got, want)
		}
	}
	root.keys = root.keys[:1]
	if got := both.with([]*Service{root}, nil).find(RouteKey{Host: "blog.example.com"}); got != nil {
		t.Errorf("without its wildcard: %v", got)
	}
	if got := both.with(nil, []*Service{shop}).find(RouteKey{Host: "shop.example.com"}); got != root {
		t.Errorf("with the name's service gone: %v, want the wildcard's", got)
	}
}

func TestFindDoesNotAllocate(t *testing.T) {
	tab := newTable().with([]*Service{{id: "a", keys: public("*.example.com")}}, nil)
	if n := testing.AllocsPerRun(100, func() { tab.find(RouteKey{Host: "shop.example.com"}) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

// A domain may move from one service to another.
func TestDomainMoves(t *testing.T) {
	t.Parallel()
	from := &Service{id: "from", keys: public("example.com", "*.example.com")}
	to := &Service{id: "to"}
	first := newTable().with([]*Service{from, to}, nil)
	from.keys, to.keys = nil, public("example.com", "*.example.com")
	for _, moved := range [][]*Service{{from, to}, {to, from}} {
		tab := first.with(moved, nil)
		if tab.find(RouteKey{Host: "example.com"}) != to || tab.find(RouteKey{Host: "a.example.com"}) != to {
			t.Errorf("the domain is not found at the service that it moved to")
		}
	}
}

func TestPrivateServiceHasNoPublicDomain(t *testing.T) {
	t.Parallel()
	r := store.Route{Hosts: []string{"example.com"}}
	r.Service.Label = "shop"
	if got := routeOf(r, "test", t0).Keys; !slices.Equal(got, public("shop.test", "example.com")) {
		t.Errorf("of a public service: %v", got)
	}
	r.Service.Spec.Network.IngressConfiguration = &types.IngressConfiguration{}
	if got := routeOf(r, "test", t0).Keys; len(got) != 0 {
		t.Errorf("of a private service: %v", got)
	}
}
