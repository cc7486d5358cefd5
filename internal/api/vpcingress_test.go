package api_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/api"
	"github.com/openslipway/slipway/internal/store"
)

func ingressARN(parts ...string) string {
	return prefix + "vpcingressconnection/" + strings.Join(parts, "/")
}

// newIngress returns the input that connects a service to an endpoint in vpc-1.
func newIngress(name, service, endpoint string) *apprunner.CreateVpcIngressConnectionInput {
	return &apprunner.CreateVpcIngressConnectionInput{
		VpcIngressConnectionName: &name, ServiceArn: &service,
		IngressVpcConfiguration: &types.IngressVpcConfiguration{VpcId: aws.String("vpc-1"), VpcEndpointId: &endpoint},
	}
}

// ingress connects a service and returns the connection's ARN.
func (b *bench) ingress(name, service, endpoint string) string {
	b.Helper()
	out := invoke[apprunner.CreateVpcIngressConnectionOutput](b, newIngress(name, service, endpoint))
	return *out.VpcIngressConnection.VpcIngressConnectionArn
}

func (b *bench) describeIngress(arn string) *types.VpcIngressConnection {
	b.Helper()
	return invoke[apprunner.DescribeVpcIngressConnectionOutput](b, &apprunner.DescribeVpcIngressConnectionInput{VpcIngressConnectionArn: &arn}).VpcIngressConnection
}

func (b *bench) updateIngress(arn string, c types.IngressVpcConfiguration) *types.VpcIngressConnection {
	b.Helper()
	return invoke[apprunner.UpdateVpcIngressConnectionOutput](b, &apprunner.UpdateVpcIngressConnectionInput{
		VpcIngressConnectionArn: &arn, IngressVpcConfiguration: &c,
	}).VpcIngressConnection
}

func (b *bench) deleteIngress(arn string) *types.VpcIngressConnection {
	b.Helper()
	return invoke[apprunner.DeleteVpcIngressConnectionOutput](b, &apprunner.DeleteVpcIngressConnectionInput{VpcIngressConnectionArn: &arn}).VpcIngressConnection
}

// changesOfIngress returns the inputs that update and delete a connection.
func changesOfIngress(arn string) (*apprunner.UpdateVpcIngressConnectionInput, *apprunner.DeleteVpcIngressConnectionInput) {
	return &apprunner.UpdateVpcIngressConnectionInput{VpcIngressConnectionArn: &arn, IngressVpcConfiguration: &types.IngressVpcConfiguration{}},
		&apprunner.DeleteVpcIngressConnectionInput{VpcIngressConnectionArn: &arn}
}

// reconcileIngress acts for the loop that opens endpoints: it takes note of the
// connection's desired state, with the failure if it has one.
func (b *bench) reconcileIngress(arn, failure string) {
	b.Helper()
	b.Update(func(tx *store.Tx) error {
		c, err := tx.VPCIngress(arn)
		if err != nil {
			return err
		}
		c.Seen, c.Failure = c.Version, failure
		if failure == "" {
			c.Serving, c.Available = c.Endpoint, true
		}
		if !c.RemovedAt.IsZero() {
			c.DeletedAt = b.Clock.Now()
		}
		return tx.SaveVPCIngressState(c)
	})
}

// vpcTargets returns the targets of a service's custom domains inside VPCs.
func (b *bench) vpcTargets(service string) []types.VpcDNSTarget {
	b.Helper()
	return invoke[api.DescribeCustomDomainsOutput](b, &apprunner.DescribeCustomDomainsInput{ServiceArn: &service}).VpcDNSTargets
}

func TestVPCIngress(t *testing.T) {
	t.Parallel()
	ports := map[string]int{"vpce-1": 8443, "vpce-2": 443}
	b := newBench(t, func(c *api.Config) { c.EndpointPort = func(id string) int { return ports[id] } })
	shop := b.create("shop", private)
	in := newIngress("door", shop, "vpce-1")
	in.Tags = []types.Tag{tag("a", "1")}
	created := invoke[apprunner.CreateVpcIngressConnectionOutput](b, in).VpcIngressConnection
	arn, domain := *created.VpcIngressConnectionArn, *created.DomainName
	if p := ingressARN("door") + "/"; !strings.HasPrefix(arn, p) || len(arn) != len(p)+32 {
		t.Errorf("the ARN is %s, want %s and 32 digits", arn, p)
	}
	host, ok := strings.CutSuffix(domain, ":8443")
	if label, rest, _ := strings.Cut(host, "."); !ok || len(label) != 10 || rest != "us-east-1.slipway.localhost" {
		t.Errorf("the domain name is %s", domain)
	}
	want := types.VpcIngressConnection{
		VpcIngressConnectionArn: &arn, VpcIngressConnectionName: aws.String("door"), ServiceArn: &shop,
		Status: types.VpcIngressConnectionStatusPendingCreation, AccountId: aws.String(account), DomainName: &domain, CreatedAt: &t0,
		IngressVpcConfiguration: &types.IngressVpcConfiguration{VpcId: aws.String("vpc-1"), VpcEndpointId: aws.String("vpce-1")},
	}
	is := func(step string, got *types.VpcIngressConnection) {
		t.Helper()
		if d := diff(&want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", step, d)
		}
		if d := diff(&want, b.describeIngress(arn)); d != "" {
			t.Errorf("%s, described (-want +got):\n%s", step, d)
		}
	}
	is("created", created)
	b.reconcileIngress(arn, "")
	want.Status = types.VpcIngressConnectionStatusAvailable
	is("reconciled", b.describeIngress(arn))
	if d := cmp.Diff([]string{"a=1"}, b.tags(arn)); d != "" {
		t.Errorf("tags (-want +got):\n%s", d)
	}
	targets := []types.VpcDNSTarget{{VpcIngressConnectionArn: &arn, VpcId: aws.String("vpc-1"), DomainName: &host}}
	if d := diff(targets, b.vpcTargets(shop)); d != "" {
		t.Errorf("targets of custom domains (-want +got):\n%s", d)
	}

	updated := b.updateIngress(arn, types.IngressVpcConfiguration{VpcEndpointId: aws.String("vpce-2")})
	want.Status, want.DomainName = types.VpcIngressConnectionStatusPendingUpdate, &host
	want.IngressVpcConfiguration = &types.IngressVpcConfiguration{VpcId: aws.String("vpc-1"), VpcEndpointId: aws.String("vpce-2")}
	is("updated", updated)
	b.reconcileIngress(arn, "no such endpoint")
	want.Status = types.VpcIngressConnectionStatusFailedUpdate
	is("failed", b.describeIngress(arn))
	other := types.IngressVpcConfiguration{VpcId: aws.String("vpc-2"), VpcEndpointId: aws.String("vpce-3")}
	updated = b.updateIngress(arn, other)
	want.Status, want.IngressVpcConfiguration = types.VpcIngressConnectionStatusPendingUpdate, &other
	is("updated again", updated)
	b.reconcileIngress(arn, "")

	deleted := b.deleteIngress(arn)
	want.Status = types.VpcIngressConnectionStatusPendingDeletion
	is("being deleted", deleted)
	b.Clock.Advance(time.Minute)
	b.reconcileIngress(arn, "")
	want.Status, want.DeletedAt = types.VpcIngressConnectionStatusDeleted, aws.Time(t0.Add(time.Minute))
	is("deleted", b.describeIngress(arn))
	update, remove := changesOfIngress(arn)
	for _, in := range []any{update, remove, &apprunner.ListTagsForResourceInput{ResourceArn: &arn}} {
		b.refuse(in, "ResourceNotFoundException", "VPC ingress connection not found: "+arn)
	}
	if l := invoke[apprunner.ListVpcIngressConnectionsOutput](b, &apprunner.ListVpcIngressConnectionsInput{}).VpcIngressConnectionSummaryList; len(l) != 0 {
		t.Errorf("a deleted connection is listed: %v", l)
	}
	if l := b.vpcTargets(shop); len(l) != 0 {
		t.Errorf("a deleted connection is a target: %v", l)
	}
	b.ingress("door", shop, "vpce-1") // the name and the service's place are free again
	b.Update(func(tx *store.Tx) error { return tx.ForgetVPCIngresses(b.Clock.Now().Add(time.Second)) })
	b.refuse(&apprunner.DescribeVpcIngressConnectionInput{VpcIngressConnectionArn: &arn}, "ResourceNotFoundException", "not found")
}

func TestVPCIngressStates(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	arn := b.ingress("door", b.create("shop", private), "vpce-1")
	refused := func(state string) {
		t.Helper()
		update, remove := changesOfIngress(arn)
		b.refuse(update, "InvalidStateException", "VPC ingress connection cannot be updated in the current state: "+state+".")
		b.refuse(remove, "InvalidStateException", "VPC ingress connection cannot be deleted in the current state: "+state+".")
	}
	refused("PENDING_CREATION")
	b.reconcileIngress(arn, "no such endpoint")
	if st := b.describeIngress(arn).Status; st != types.VpcIngressConnectionStatusFailedCreation {
		t.Errorf("the status is %v, want FAILED_CREATION", st)
	}
	b.updateIngress(arn, types.IngressVpcConfiguration{VpcEndpointId: aws.String("vpce-2")})
	refused("PENDING_UPDATE")
	b.reconcileIngress(arn, "no such endpoint")
	b.deleteIngress(arn)
	refused("PENDING_DELETION")
}

func TestVPCIngressRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	public, shop, cart := b.create("public"), b.create("shop", private), b.create("cart", private)
	arn := b.ingress("taken", shop, "vpce-1")
	tagged := newIngress("door", cart, "vpce-1")
	tagged.Tags = []types.Tag{tag("slipway:x")}
	configured := func(c *types.IngressVpcConfiguration) *apprunner.CreateVpcIngressConnectionInput {
		in := newIngress("door", cart, "")
		in.IngressVpcConfiguration = c
		return in
	}
	for _, c := range []struct {
		in      *apprunner.CreateVpcIngressConnectionInput
		message string
	}{
		{newIngress("door", public, "vpce-1"), "is publicly accessible"},
		{newIngress("door", noService, "vpce-1"), "Service not found"},
		{newIngress("door", cart, ""), `VpcEndpointId is ""; both are needed`},
		{newIngress("taken", cart, "vpce-1"), "VPC ingress connection with the provided name already exists: taken"},
		{newIngress("taken", shop, "vpce-1"), "VPC ingress connection with the provided name already exists: taken"},
		{tagged, "for the resource type vpcingressconnection"},
		{newIngress("no", cart, "vpce-1"), "at 'vpcIngressConnectionName' failed to satisfy constraint"},
		{configured(nil), "Value null at 'ingressVpcConfiguration'"},
		{configured(&types.IngressVpcConfiguration{}), `VpcId is ""`},
	} {
		b.refuse(c.in, "InvalidRequestException", c.message)
	}
	b.refuse(newIngress("second", shop, "vpce-2"), "ServiceQuotaExceededException", "limit of 1 VPC ingress connections: it has "+arn)
	b.must(&apprunner.PauseServiceInput{ServiceArn: &cart})
	b.refuse(newIngress("door", cart, "vpce-1"), "InvalidStateException", "OPERATION_IN_PROGRESS")
	b.end(cart, slipway.OperationSucceeded, slipway.StatusPaused)
	b.refuse(newIngress("door", cart, "vpce-1"), "InvalidStateException", "PAUSED")

	removeShop := &apprunner.DeleteServiceInput{ServiceArn: &shop}
	b.refuse(removeShop, "InvalidStateException", "Service "+shop+" can't be deleted while it has VPC ingress connections: "+arn+" is PENDING_CREATION.")
	b.reconcileIngress(arn, "")
	b.deleteIngress(arn)
	b.refuse(removeShop, "InvalidStateException", arn+" is PENDING_DELETION.")
	b.reconcileIngress(arn, "")
	b.must(removeShop)
	for wrong, c := range map[string]struct{ exception, message string }{
		noService:               {"InvalidRequestException", "is not the ARN of a VPC ingress connection"},
		ingressARN("door", "x"): {"ResourceNotFoundException", "not found"},
	} {
		update, remove := changesOfIngress(wrong)
		for _, in := range []any{update, remove, &apprunner.DescribeVpcIngressConnectionInput{VpcIngressConnectionArn: &wrong}} {
			b.refuse(in, c.exception, c.message)
		}
	}
}

func TestListVPCIngresses(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *api.Config) { c.Quotas.VPCIngressConnections = -1 })
	shop, cart := b.create("shop", private), b.create("cart", private)
	all := map[string]string{} // connection to service
	for i := range 12 {
		service, endpoint := shop, "vpce-1"
		if i%2 == 1 {
			service = cart
		}
		if i%3 == 0 {
			endpoint = "vpce-2"
		}
		b.Clock.Advance(time.Duration(i%2) * time.Second)
		all[b.ingress(fmt.Sprintf("door-%d", i), service, endpoint)] = service
	}
	for _, c := range []struct {
		filter *types.ListVpcIngressConnectionsFilter
		count  int
	}{
		{nil, 12},
		{&types.ListVpcIngressConnectionsFilter{}, 12},
		{&types.ListVpcIngressConnectionsFilter{ServiceArn: &shop}, 6},
		{&types.ListVpcIngressConnectionsFilter{ServiceArn: aws.String(prefix + "service/shop")}, 6},
		{&types.ListVpcIngressConnectionsFilter{VpcEndpointId: aws.String("vpce-2")}, 4},
		{&types.ListVpcIngressConnectionsFilter{ServiceArn: &shop, VpcEndpointId: aws.String("vpce-2")}, 2},
		{&types.ListVpcIngressConnectionsFilter{ServiceArn: aws.String(noService)}, 0},
		{&types.ListVpcIngressConnectionsFilter{ServiceArn: &cart, VpcEndpointId: aws.String("vpce-none")}, 0},
	} {
		got := map[string]string{}
		pages(b, 2, func(max *int32, token *string) (arns []string, next *string) {
			out := invoke[apprunner.ListVpcIngressConnectionsOutput](b, &apprunner.ListVpcIngressConnectionsInput{Filter: c.filter, MaxResults: max, NextToken: token})
			for _, v := range out.VpcIngressConnectionSummaryList {
				arn := *v.VpcIngressConnectionArn
				if _, twice := got[arn]; twice {
					t.Errorf("%s comes twice", arn)
				}
				got[arn] = *v.ServiceArn
				arns = append(arns, arn)
			}
			return arns, out.NextToken
		}, nil)
		if len(got) != c.count {
			t.Errorf("%+v: %d connections, want %d", c.filter, len(got), c.count)
		}
		for arn, service := range got {
			if all[arn] != service {
				t.Errorf("%+v: %s leads to %s, want %s", c.filter, arn, service, all[arn])
			}
		}
	}
}
