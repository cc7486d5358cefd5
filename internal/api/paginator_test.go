package api_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/api"
)

// paginator is one of Go's SDK.
type paginator[O any] interface {
	HasMorePages() bool
	NextPage(ctx context.Context, options ...func(*apprunner.Options)) (*O, error)
}

// crowd is a list that is walked while entries come and go. add creates an entry
// of a name and returns it as the list shows it. remove deletes an entry; it is nil
// if entries can't be deleted.
type crowd struct {
	add    func(name string) (entry string)
	remove func(entry string)
	walk   func(seen func(entries []string)) // calls seen after each page
}

const stayers = 250

// Each of the paginators of Go's SDK walks 250 entries exactly once. Before each
// page an entry is added and another is deleted, possibly the last one seen.
func TestPaginators(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(*testing.T, *bench, *apprunner.Client) crowd{
		"ListServices":                            serviceCrowd,
		"ListOperations":                          operationCrowd,
		"ListAutoScalingConfigurations":           scalingCrowd,
		"ListServicesForAutoScalingConfiguration": userCrowd,
		"ListConnections":                         connectionCrowd,
		"ListObservabilityConfigurations":         observabilityCrowd,
		"ListVpcConnectors":                       connectorCrowd,
		"ListVpcIngressConnections":               ingressCrowd,
		"DescribeCustomDomains":                   domainCrowd,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, realTime, func(c *api.Config) {
				for _, q := range api.QuotaNames() {
					if err := c.Quotas.Set(q, -1); err != nil {
						t.Fatal(err)
					}
				}
			})
			b.Clock.Advance(time.Since(t0))
			walkCrowd(t, open(t, b, b.client()))
		})
	}
}

// walkCrowd fills a list with entries that stay and entries that will be deleted,
// and walks it.
func walkCrowd(t *testing.T, c crowd) {
	t.Helper()
	var stay, going []string
	for i := range stayers {
		stay = append(stay, c.add(fmt.Sprintf("stay-%03d", i)))
		if i%5 == 0 && c.remove != nil {
			going = append(going, c.add(fmt.Sprintf("gone-%03d", i)))
		}
	}
	seen := map[string]int{}
	pages := 0
	c.walk(func(entries []string) {
		pages++
		for _, e := range entries {
			seen[e]++
		}
		// One that comes before all others by name, and one that comes after.
		c.add(fmt.Sprintf("alpha-%03d", pages))
		c.add(fmt.Sprintf("zebra-%03d", pages))
		if c.remove == nil || len(going) == 0 {
			return
		}
		victim := len(going) - 1 // one that is not listed yet
		if i := slices.IndexFunc(entries, func(e string) bool { return slices.Contains(going, e) }); i >= 0 {
			victim = slices.Index(going, entries[i]) // one of this very page
		}
		c.remove(going[victim])
		going = slices.Delete(going, victim, victim+1)
	})
	for _, e := range stay {
		if seen[e] != 1 {
			t.Errorf("%s was seen %d times", e, seen[e])
		}
	}
	for e, n := range seen {
		if n > 1 {
			t.Errorf("%s was seen %d times", e, n)
		}
	}
	if pages < stayers/20 {
		t.Errorf("%d entries came in %d pages", len(seen), pages)
	}
}

// walkPages walks the pages of a paginator.
func walkPages[O any](t *testing.T, p paginator[O], entries func(*O) []string, seen func([]string)) {
	t.Helper()
	for p.HasMorePages() {
		page, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		seen(entries(page))
	}
}

// each returns one text for each element.
func each[E any](list []E, text func(E) *string) []string {
	var texts []string
	for _, e := range list {
		texts = append(texts, *text(e))
	}
	return texts
}

const pageOf = 11

func (b *bench) addService(options ...func(*apprunner.CreateServiceInput)) func(string) string {
	return func(name string) string {
		b.Helper()
		return b.create(name, options...)
	}
}

func (b *bench) removeService(arn string) {
	b.Helper()
	b.delete(arn)
	b.end(arn, slipway.OperationSucceeded, slipway.StatusDeleted)
}

func serviceCrowd(t *testing.T, b *bench, c *apprunner.Client) crowd {
	return crowd{b.addService(), b.removeService, func(seen func([]string)) {
		p := apprunner.NewListServicesPaginator(c, &apprunner.ListServicesInput{MaxResults: aws.Int32(pageOf)})
		walkPages(t, p, func(o *apprunner.ListServicesOutput) []string {
			return each(o.ServiceSummaryList, func(s types.ServiceSummary) *string { return s.ServiceArn })
		}, seen)
	}}
}

func userCrowd(t *testing.T, b *bench, c *apprunner.Client) crowd {
	arn := *b.scaling("fast").AutoScalingConfigurationArn
	b.create("other") // uses the default
	return crowd{b.addService(withScaling(arn)), b.removeService, func(seen func([]string)) {
		p := apprunner.NewListServicesForAutoScalingConfigurationPaginator(c,
			&apprunner.ListServicesForAutoScalingConfigurationInput{AutoScalingConfigurationArn: &arn, MaxResults: aws.Int32(pageOf)})
		walkPages(t, p, func(o *apprunner.ListServicesForAutoScalingConfigurationOutput) []string { return o.ServiceArnList }, seen)
	}}
}

// operationCrowd has entries that are never deleted.
func operationCrowd(t *testing.T, b *bench, c *apprunner.Client) crowd {
	arn := b.create("shop")
	add := func(string) string {
		id := b.deploy(arn)
		b.end(arn, slipway.OperationSucceeded, slipway.StatusRunning)
		return id
	}
	return crowd{add, nil, func(seen func([]string)) {
		p := apprunner.NewListOperationsPaginator(c, &apprunner.ListOperationsInput{ServiceArn: &arn, MaxResults: aws.Int32(pageOf)})
		walkPages(t, p, func(o *apprunner.ListOperationsOutput) []string {
			return each(o.OperationSummaryList, func(s types.OperationSummary) *string { return s.Id })
		}, seen)
	}}
}

func scalingCrowd(t *testing.T, b *bench, c *apprunner.Client) crowd {
	return crowd{
		func(name string) string { return *b.scaling(name).AutoScalingConfigurationArn },
		func(arn string) { b.deleteScaling(removeScaling(arn)) },
		func(seen func([]string)) {
			p := apprunner.NewListAutoScalingConfigurationsPaginator(c, &apprunner.ListAutoScalingConfigurationsInput{MaxResults: aws.Int32(pageOf)})
			walkPages(t, p, func(o *apprunner.ListAutoScalingConfigurationsOutput) []string {
				return each(o.AutoScalingConfigurationSummaryList, func(s types.AutoScalingConfigurationSummary) *string { return s.AutoScalingConfigurationArn })
			}, seen)
		},
	}
}

func observabilityCrowd(t *testing.T, b *bench, c *apprunner.Client) crowd {
	return crowd{
		func(name string) string { return *b.observability(name).ObservabilityConfigurationArn },
		func(arn string) { b.deleteObservability(arn) },
		func(seen func([]string)) {
			p := apprunner.NewListObservabilityConfigurationsPaginator(c, &apprunner.ListObservabilityConfigurationsInput{MaxResults: aws.Int32(pageOf)})
			walkPages(t, p, func(o *apprunner.ListObservabilityConfigurationsOutput) []string {
				return each(o.ObservabilityConfigurationSummaryList, func(s types.ObservabilityConfigurationSummary) *string { return s.ObservabilityConfigurationArn })
			}, seen)
		},
	}
}

func connectionCrowd(t *testing.T, b *bench, c *apprunner.Client) crowd {
	return crowd{
		func(name string) string { return *b.connect(name).ConnectionArn },
		func(arn string) { b.must(removeConnection(arn)) },
		func(seen func([]string)) {
			p := apprunner.NewListConnectionsPaginator(c, &apprunner.ListConnectionsInput{MaxResults: aws.Int32(pageOf)})
			walkPages(t, p, func(o *apprunner.ListConnectionsOutput) []string {
				return each(o.ConnectionSummaryList, func(s types.ConnectionSummary) *string { return s.ConnectionArn })
			}, seen)
		},
	}
}

func connectorCrowd(t *testing.T, b *bench, c *apprunner.Client) crowd {
	return crowd{
		b.connector,
		func(arn string) { b.deleteConnector(arn) },
		func(seen func([]string)) {
			p := apprunner.NewListVpcConnectorsPaginator(c, &apprunner.ListVpcConnectorsInput{MaxResults: aws.Int32(pageOf)})
			walkPages(t, p, func(o *apprunner.ListVpcConnectorsOutput) []string {
				return each(o.VpcConnectors, func(v types.VpcConnector) *string { return v.VpcConnectorArn })
			}, seen)
		},
	}
}

func ingressCrowd(t *testing.T, b *bench, c *apprunner.Client) crowd {
	service := b.create("shop", private)
	return crowd{
		func(name string) string { return b.ingress(name, service, "vpce-1") },
		func(arn string) {
			b.reconcileIngress(arn, "")
			b.deleteIngress(arn)
			b.reconcileIngress(arn, "")
		},
		func(seen func([]string)) {
			p := apprunner.NewListVpcIngressConnectionsPaginator(c, &apprunner.ListVpcIngressConnectionsInput{MaxResults: aws.Int32(pageOf)})
			walkPages(t, p, func(o *apprunner.ListVpcIngressConnectionsOutput) []string {
				return each(o.VpcIngressConnectionSummaryList, func(v types.VpcIngressConnectionSummary) *string { return v.VpcIngressConnectionArn })
			}, seen)
		},
	}
}

func domainCrowd(t *testing.T, b *bench, c *apprunner.Client) crowd {
	arn := b.create("shop")
	domain := func(name string) string { return strings.ReplaceAll(name, "-", "") + ".example.com" }
	return crowd{
		func(name string) string {
			b.must(newDomainWithoutWWW(arn, domain(name)))
			return domain(name)
		},
		func(name string) { b.must(removeDomain(arn, name)) },
		func(seen func([]string)) {
			p := apprunner.NewDescribeCustomDomainsPaginator(c, &apprunner.DescribeCustomDomainsInput{ServiceArn: &arn, MaxResults: aws.Int32(5)})
			walkPages(t, p, func(o *apprunner.DescribeCustomDomainsOutput) []string {
				return each(o.CustomDomains, func(d types.CustomDomain) *string { return d.DomainName })
			}, seen)
		},
	}
}
