package router

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
)

// public returns the keys of hosts at the public listener.
func public(hosts ...string) []RouteKey {
	list := make([]RouteKey, len(hosts))
	for i, h := range hosts {
		list[i] = RouteKey{Host: h}
	}
	return list
}

// A public service is found only at the public listener, a private one only at
// the endpoints that serve it.
func TestRouteKeys(t *testing.T) {
	t.Parallel()
	connections := []slipway.VPCIngressConnection{
		{Label: "Door", Endpoint: "vpce-2", Serving: "vpce-1"}, // an update that has not been applied
		{Label: "closed", Endpoint: "vpce-1", Failure: "not configured"},
		{Label: "removed", Endpoint: "vpce-1", Serving: "vpce-1", RemovedAt: time.Unix(1, 0)},
		{Label: "other", Endpoint: "vpce-3", Serving: "vpce-3"},
	}
	both := []RouteKey{
		{"vpce-1", "door.test"},
		{"vpce-1", "example.com"},
		{"vpce-1", "*.example.com"},
		{"vpce-3", "other.test"},
		{"vpce-3", "example.com"},
		{"vpce-3", "*.example.com"},
	}
	for _, c := range []struct {
		ingress     *types.IngressConfiguration
		connections []slipway.VPCIngressConnection
		want        []RouteKey
	}{
		{nil, connections, public("shop.test", "example.com", "*.example.com")},
		{&types.IngressConfiguration{IsPubliclyAccessible: true}, nil, public("shop.test", "example.com", "*.example.com")},
		{&types.IngressConfiguration{}, nil, nil},
		{&types.IngressConfiguration{}, connections, both},
	} {
		r := store.Route{
			Service:   slipway.ServiceView{Service: slipway.Service{Label: "Shop", ActiveRelease: "r", Wanted: slipway.WantedRunning}},
			Ingresses: c.connections, Hosts: []string{"example.com", "*.example.com"},
		}
		r.Service.Spec.Network.IngressConfiguration = c.ingress
		if d := cmp.Diff(c.want, routeOf(r, "test", t0).Keys, cmp.AllowUnexported(RouteKey{})); d != "" {
			t.Errorf("ingress %+v with %d connections (-want +got):\n%s", c.ingress, len(c.connections), d)
		}
	}
}

// The same name leads to different services, or to none, at different
// listeners.
func TestHostDependsOnListener(t *testing.T) {
	t.Parallel()
	a := &Service{id: "a", keys: []RouteKey{{"vpce-1", "shop.test"}, {"vpce-1", "*.shop.test"}}}
	b := &Service{id: "b", keys: []RouteKey{{"", "shop.test"}}}
	tab := newTable().with([]*Service{a, b}, nil)
	for p, want := range map[RouteKey]*Service{
		{"vpce-1", "shop.test"}:     a,
		{"vpce-1", "www.shop.test"}: a,
		{"", "shop.test"}:           b,
		{"", "www.shop.test"}:       nil,
		{"vpce-2", "shop.test"}:     nil,
	} {
		if got := tab.find(p); got != want {
			t.Errorf("%v leads to %v, want %v", p, got, want)
		}
	}
}

func TestRequestsWaitFromTheAnswerToResumeOn(t *testing.T) {
	t.Parallel()
	v := slipway.ServiceView{Service: slipway.Service{ActiveRelease: "r", Wanted: slipway.WantedPaused}}
	if got := stateOf(v); got != Paused {
		t.Errorf("a paused service is %v, want paused", got)
	}
	v.Live = &slipway.Operation{Kind: slipway.ResumeService, Status: slipway.OperationPending}
	if got := stateOf(v); got != Running {
		t.Errorf("one that is about to resume is %v, want running", got)
	}
	v.Live.Status = slipway.OperationRollbackInProgress
	if got := stateOf(v); got != Paused {
		t.Errorf("one whose resumption failed is %v, want paused", got)
	}
}
