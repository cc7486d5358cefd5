package router

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
)

func TestPrivateServiceHasNoPublicHost(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		ingress *types.IngressConfiguration
		hosts   int
	}{
		{nil, 1},
		{&types.IngressConfiguration{IsPubliclyAccessible: true}, 1},
		{&types.IngressConfiguration{}, 0},
	} {
		r := store.Route{Service: store.ServiceView{Service: slipway.Service{Label: "shop", ActiveRelease: "r", Wanted: slipway.WantedRunning}}}
		r.Service.Spec.Network.IngressConfiguration = c.ingress
		if got := routeOf(r, "us-east-1.slipway.localhost"); len(got.hosts) != c.hosts {
			t.Errorf("ingress %+v: hosts %v, want %d", c.ingress, got.hosts, c.hosts)
		}
	}
}

func TestRequestsWaitFromTheAnswerToResumeOn(t *testing.T) {
	t.Parallel()
	v := store.ServiceView{Service: slipway.Service{ActiveRelease: "r", Wanted: slipway.WantedPaused}}
	if got := stateOf(v); got != paused {
		t.Errorf("a paused service is %v, want paused", got)
	}
	v.Live = &slipway.Operation{Kind: slipway.ResumeService, Status: slipway.OperationPending}
	if got := stateOf(v); got != running {
		t.Errorf("one that is about to resume is %v, want running", got)
	}
	v.Live.Status = slipway.OperationRollbackInProgress
	if got := stateOf(v); got != paused {
		t.Errorf("one whose resumption failed is %v, want paused", got)
	}
}
