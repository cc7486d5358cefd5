package api_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/internal/api"
)

// Every quota is a setting that is enforced: with 1, the second is refused.
func TestEveryQuota(t *testing.T) {
	t.Parallel()
	const quotaExceeded = "ServiceQuotaExceededException"
	scaling := func(name string, most int32) *apprunner.CreateAutoScalingConfigurationInput {
		return &apprunner.CreateAutoScalingConfigurationInput{AutoScalingConfigurationName: &name, MaxSize: &most}
	}
	connection := func(name string, provider types.ProviderType) *apprunner.CreateConnectionInput {
		return &apprunner.CreateConnectionInput{ConnectionName: &name, ProviderType: provider}
	}
	for quota, c := range map[string]struct {
		inputs  func(b *bench) [2]any // the second is one too many
		refusal string
	}{
		"services":              {func(*bench) [2]any { return [2]any{newService("first"), newService("second")} }, quotaExceeded},
		"instances":             {func(*bench) [2]any { return [2]any{scaling("first", 1), scaling("second", 2)} }, "InvalidRequestException"},
		"autoscaling-names":     {func(*bench) [2]any { return [2]any{scaling("first", 1), scaling("second", 1)} }, quotaExceeded},
		"autoscaling-revisions": {func(*bench) [2]any { return [2]any{scaling("first", 1), scaling("first", 1)} }, quotaExceeded},
		"connections": {func(*bench) [2]any {
			return [2]any{connection("first", types.ProviderTypeGithub), connection("second", types.ProviderTypeBitbucket)}
		}, quotaExceeded},
		"observability-names":     {func(*bench) [2]any { return [2]any{newObservability("first"), newObservability("second")} }, quotaExceeded},
		"observability-revisions": {func(*bench) [2]any { return [2]any{newObservability("first"), newObservability("first")} }, quotaExceeded},
		"vpc-connectors": {func(*bench) [2]any {
			return [2]any{newConnector("first", "subnet-1"), newConnector("second", "subnet-1")}
		}, quotaExceeded},
		"vpc-ingress-connections": {func(b *bench) [2]any {
			shop := b.create("shop", private)
			return [2]any{newIngress("first", shop, "vpce-1"), newIngress("second", shop, "vpce-1")}
		}, quotaExceeded},
		"custom-domains": {func(b *bench) [2]any {
			shop := b.create("shop")
			return [2]any{newDomainWithoutWWW(shop, "first.example.com"), newDomainWithoutWWW(shop, "second.example.com")}
		}, "InvalidRequestException"}, // the model has no quota exception for it
	} {
		if !slices.Contains(api.QuotaNames(), quota) {
			t.Errorf("there is no quota %s", quota)
			continue
		}
		t.Run(quota, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, func(cfg *api.Config) {
				if err := cfg.Quotas.Set(quota, 1); err != nil {
					t.Fatal(err)
				}
			})
			inputs := c.inputs(b)
			b.must(inputs[0])
			status := 400
			if c.refusal == quotaExceeded {
				status = 402
			}
			if e := b.refuse(inputs[1], c.refusal, ""); e.Status != status {
				t.Errorf("one too many: status %d, want %d", e.Status, status)
			}
		})
	}
	if n := len(api.QuotaNames()); n != 10 {
		t.Errorf("there are %d quotas; 10 are tested", n)
	}
	if err := new(api.Quotas).Set("none", 1); err == nil {
		t.Error("an unknown quota can be set")
	}
}

// A user's share of a quota of the server is three quarters: what is left is for others.
func TestEveryShare(t *testing.T) {
	t.Parallel()
	inputs := map[string]func(name string) any{
		"services": func(name string) any { return newService(name) },
		"autoscaling-names": func(name string) any {
			return &apprunner.CreateAutoScalingConfigurationInput{AutoScalingConfigurationName: &name}
		},
		"connections": func(name string) any {
			return &apprunner.CreateConnectionInput{ConnectionName: &name, ProviderType: types.ProviderTypeGithub}
		},
		"observability-names": func(name string) any { return newObservability(name) },
		"vpc-connectors":      func(name string) any { return newConnector(name, "subnet-1") },
	}
	for quota, input := range inputs {
		t.Run(quota, func(t *testing.T) {
			t.Parallel()
			root, ann := limited(t, denying(`"Action":"none:None","Resource":"*"`), func(cfg *api.Config) {
				if err := cfg.Quotas.Set(quota, 4); err != nil {
					t.Fatal(err)
				}
			})
			for _, name := range []string{"anns-1", "anns-2", "anns-3"} {
				ann.must(input(name))
			}
			if e := ann.refuse(input("anns-4"), "ServiceQuotaExceededException", "You have made 3 "); e.Status != 402 {
				t.Errorf("status %d", e.Status)
			}
			if strings.HasSuffix(quota, "-names") {
				ann.must(input("anns-1")) // a further revision takes no name
			}
			root.must(input("roots-1"))
		})
	}
}
