package api_test

import (
	"slices"
	"testing"

	"github.com/openslipway/slipway/internal/api"
)

// Every quota is a setting that is enforced: with 1, the second is refused.
func TestEveryQuota(t *testing.T) {
	t.Parallel()
	type call struct{ operation, body string }
	const quotaExceeded = "ServiceQuotaExceededException"
	named := func(operation, member string) [2]call {
		return [2]call{{operation, `{"` + member + `":"first"}`}, {operation, `{"` + member + `":"second"}`}}
	}
	again := func(operation, member string) [2]call {
		c := named(operation, member)
		return [2]call{c[0], c[0]}
	}
	for quota, c := range map[string]struct {
		calls   func(b *bench) [2]call
		refusal string
	}{
		"services": {func(*bench) [2]call {
			return [2]call{{"CreateService", `{"ServiceName":"first",` + image + `}`}, {"CreateService", `{"ServiceName":"second",` + image + `}`}}
		}, quotaExceeded},
		"instances": {func(*bench) [2]call {
			return [2]call{
				{"CreateAutoScalingConfiguration", `{"AutoScalingConfigurationName":"first","MaxSize":1}`},
				{"CreateAutoScalingConfiguration", `{"AutoScalingConfigurationName":"second","MaxSize":2}`},
			}
		}, "InvalidRequestException"},
		"autoscaling-names":     {func(*bench) [2]call { return named("CreateAutoScalingConfiguration", "AutoScalingConfigurationName") }, quotaExceeded},
		"autoscaling-revisions": {func(*bench) [2]call { return again("CreateAutoScalingConfiguration", "AutoScalingConfigurationName") }, quotaExceeded},
		"connections": {func(*bench) [2]call {
			return [2]call{
				{"CreateConnection", `{"ConnectionName":"first","ProviderType":"GITHUB"}`},
				{"CreateConnection", `{"ConnectionName":"second","ProviderType":"BITBUCKET"}`},
			}
		}, quotaExceeded},
		"observability-names": {func(*bench) [2]call {
			return named("CreateObservabilityConfiguration", "ObservabilityConfigurationName")
		}, quotaExceeded},
		"observability-revisions": {func(*bench) [2]call {
			return again("CreateObservabilityConfiguration", "ObservabilityConfigurationName")
		}, quotaExceeded},
		"vpc-connectors": {func(*bench) [2]call {
			return [2]call{
				{"CreateVpcConnector", `{"VpcConnectorName":"first","Subnets":["subnet-1"]}`},
				{"CreateVpcConnector", `{"VpcConnectorName":"second","Subnets":["subnet-1"]}`},
			}
		}, quotaExceeded},
		"vpc-ingress-connections": {func(b *bench) [2]call {
			shop := b.create("shop", private)
			return [2]call{{"CreateVpcIngressConnection", newIngress("first", shop, "vpce-1")}, {"CreateVpcIngressConnection", newIngress("second", shop, "vpce-1")}}
		}, quotaExceeded},
		"custom-domains": {func(b *bench) [2]call {
			shop := b.create("shop")
			return [2]call{{"AssociateCustomDomain", domainBody(shop, "first.example.com", noWWW)}, {"AssociateCustomDomain", domainBody(shop, "second.example.com", noWWW)}}
		}, "InvalidRequestException"}, // which is all that the model has for it
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
			calls := c.calls(b)
			b.ok(calls[0].operation, calls[0].body)
			w := b.call(calls[1].operation, calls[1].body)
			status := 400
			if c.refusal == quotaExceeded {
				status = 402
			}
			if w.Code != status || w.Doc["__type"] != c.refusal {
				t.Errorf("one too many: %d %s, want %d %s", w.Code, w.Body, status, c.refusal)
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
