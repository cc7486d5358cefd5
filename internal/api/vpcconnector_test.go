package api_test

import (
	"fmt"
	"slices"
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

func connectorARN(parts ...string) string { return prefix + "vpcconnector/" + strings.Join(parts, "/") }

// newConnector returns the input that creates a VPC connector.
func newConnector(name string, subnets ...string) *apprunner.CreateVpcConnectorInput {
	return &apprunner.CreateVpcConnectorInput{VpcConnectorName: &name, Subnets: subnets}
}

// connector creates a VPC connector to the subnet subnet-1 and returns its ARN.
func (b *bench) connector(name string) string {
	b.Helper()
	return *invoke[apprunner.CreateVpcConnectorOutput](b, newConnector(name, "subnet-1")).VpcConnector.VpcConnectorArn
}

func (b *bench) describeConnector(arn string) *types.VpcConnector {
	b.Helper()
	return invoke[apprunner.DescribeVpcConnectorOutput](b, &apprunner.DescribeVpcConnectorInput{VpcConnectorArn: &arn}).VpcConnector
}

func (b *bench) deleteConnector(arn string) *types.VpcConnector {
	b.Helper()
	return invoke[apprunner.DeleteVpcConnectorOutput](b, &apprunner.DeleteVpcConnectorInput{VpcConnectorArn: &arn}).VpcConnector
}

// networks configures the networks that subnets lead to.
func networks(names ...string) func(*api.Config) {
	return func(c *api.Config) { c.Networks = names }
}

// viaConnector returns the networks of a service whose outgoing traffic goes
// through a VPC connector.
func viaConnector(arn string) types.NetworkConfiguration {
	return types.NetworkConfiguration{EgressConfiguration: &types.EgressConfiguration{EgressType: types.EgressTypeVpc, VpcConnectorArn: &arn}}
}

// updateNetwork returns the input that changes a service's networks.
func updateNetwork(service string, c types.NetworkConfiguration) *apprunner.UpdateServiceInput {
	return &apprunner.UpdateServiceInput{ServiceArn: &service, NetworkConfiguration: &c}
}

func TestVPCConnector(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	in := newConnector("private", "subnet-1", "subnet-2")
	in.SecurityGroups, in.Tags = []string{"sg-1"}, []types.Tag{tag("a", "1")}
	got := invoke[apprunner.CreateVpcConnectorOutput](b, in).VpcConnector
	arn := *got.VpcConnectorArn
	if p := connectorARN("private", "1") + "/"; !strings.HasPrefix(arn, p) || len(arn) != len(p)+32 {
		t.Errorf("the ARN is %s, want %s and 32 digits", arn, p)
	}
	list := func() []types.VpcConnector {
		return invoke[apprunner.ListVpcConnectorsOutput](b, &apprunner.ListVpcConnectorsInput{}).VpcConnectors
	}
	want := types.VpcConnector{
		VpcConnectorArn: &arn, VpcConnectorName: aws.String("private"), VpcConnectorRevision: 1, Subnets: []string{"subnet-1", "subnet-2"},
		SecurityGroups: []string{"sg-1"}, Status: types.VpcConnectorStatusActive, CreatedAt: &t0,
	}
	for name, c := range map[string]*types.VpcConnector{"created": got, "described": b.describeConnector(arn), "listed": &list()[0]} {
		if d := diff(&want, c); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
	if d := cmp.Diff([]string{"a=1"}, b.tags(arn)); d != "" {
		t.Errorf("tags (-want +got):\n%s", d)
	}
	b.must(&apprunner.TagResourceInput{ResourceArn: &arn, Tags: []types.Tag{tag("b")}})
	b.must(&apprunner.UntagResourceInput{ResourceArn: &arn, TagKeys: []string{"a"}})
	if d := cmp.Diff([]string{"b="}, b.tags(arn)); d != "" {
		t.Errorf("tags (-want +got):\n%s", d)
	}

	b.Clock.Advance(time.Minute)
	want.Status, want.DeletedAt = types.VpcConnectorStatusInactive, aws.Time(t0.Add(time.Minute))
	if d := diff(&want, b.deleteConnector(arn)); d != "" {
		t.Errorf("deleted (-want +got):\n%s", d)
	}
	if d := diff(&want, b.describeConnector(arn)); d != "" {
		t.Errorf("described after its deletion (-want +got):\n%s", d)
	}
	if l := list(); len(l) != 0 {
		t.Errorf("an inactive connector is listed: %v", l)
	}
	b.refuse(&apprunner.DeleteVpcConnectorInput{VpcConnectorArn: &arn}, "ResourceNotFoundException", "VPC connector not found: "+arn)
	b.refuse(&apprunner.ListTagsForResourceInput{ResourceArn: &arn}, "ResourceNotFoundException", "VPC connector not found: "+arn)
	if again := b.connector("private"); again == arn {
		t.Errorf("a new connector has the old one's ARN")
	}
	b.Update(func(tx *store.Tx) error { return tx.ForgetVPCConnectors(b.Clock.Now().Add(time.Second)) })
	b.refuse(&apprunner.DescribeVpcConnectorInput{VpcConnectorArn: &arn}, "ResourceNotFoundException", "VPC connector not found: "+arn)
}

func TestVPCConnectorDefaultGroup(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	one, two := b.describeConnector(b.connector("one1")).SecurityGroups, b.describeConnector(b.connector("two2")).SecurityGroups
	if !slices.Equal(one, two) || len(one) != 1 || len(one[0]) != len("sg-0123456789abcdef0") || !strings.HasPrefix(one[0], "sg-") {
		t.Errorf("connectors without a security group have %s and %s, want the same one", one, two)
	}
}

func TestVPCConnectorRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	arn := b.connector("taken")
	tagged := func(tags ...types.Tag) *apprunner.CreateVpcConnectorInput {
		in := newConnector("none", "a")
		in.Tags = tags
		return in
	}
	groups := newConnector("none", "a")
	groups.SecurityGroups = []string{"sg", "sg"}
	for message, in := range map[string]*apprunner.CreateVpcConnectorInput{
		"VPC connector with the provided name already exists: taken": newConnector("taken", "subnet-2"),
		"Subnets is empty":                                   newConnector("none", []string{}...),
		`Subnets: "a" is given twice`:                        newConnector("none", "a", "a"),
		`Subnets: element 2 is " "`:                          newConnector("none", "a", " "),
		`SecurityGroups: "sg" is given twice`:                groups,
		"for the resource type vpcconnector":                 tagged(tag("slipway:x")),
		"at 'vpcConnectorName' failed to satisfy constraint": newConnector("no", "a"),
		"Value null at 'subnets' failed to satisfy constraint: Member must not be null": newConnector("none"),
		`the key "a" is given twice`: tagged(tag("a"), tag("a")),
		"tags.1.member.key":          tagged(tag("aws:a", "none")),
	} {
		b.refuse(in, "InvalidRequestException", message)
	}
	for wrong, c := range map[string]struct{ exception, message string }{
		connectorARN("taken"): {"InvalidRequestException", "is not the full ARN of a VPC connector"},
		noService:             {"InvalidRequestException", "is not the full ARN of a VPC connector"},
		arn + "x":             {"ResourceNotFoundException", "VPC connector not found"},
	} {
		b.refuse(&apprunner.DescribeVpcConnectorInput{VpcConnectorArn: &wrong}, c.exception, c.message)
		b.refuse(&apprunner.DeleteVpcConnectorInput{VpcConnectorArn: &wrong}, c.exception, c.message)
	}
}

func TestVPCConnectorQuota(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var first string
	for i := range 10 {
		arn := b.connector(fmt.Sprintf("connector-%d", i))
		if i == 0 {
			first = arn
		}
	}
	b.refuse(newConnector("eleventh", "a"), "ServiceQuotaExceededException", "limit of 10 VPC connectors")
	b.refuse(newConnector("connector-0", "a"), "InvalidRequestException", "already exists")
	b.deleteConnector(first)
	b.connector("eleventh")
	none := newBench(t, func(c *api.Config) { c.Quotas.VPCConnectors = -1 })
	for i := range 11 {
		none.connector(fmt.Sprintf("connector-%d", i))
	}
}

// Every connector that exists from the first page to the last is listed once.
func TestVPCConnectorPages(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *api.Config) { c.Quotas.VPCConnectors = -1 })
	var want []string
	for i := range 30 {
		if i%4 == 0 { // others of the same instant
			b.Clock.Advance(time.Second)
		}
		want = append(want, b.connector(fmt.Sprintf("kept-%d", i)))
	}
	n := 0
	got := pages(b, 4, func(max *int32, token *string) ([]string, *string) {
		out := invoke[apprunner.ListVpcConnectorsOutput](b, &apprunner.ListVpcConnectorsInput{MaxResults: max, NextToken: token})
		return each(out.VpcConnectors, func(v types.VpcConnector) *string { return v.VpcConnectorArn }), out.NextToken
	}, func() {
		b.Clock.Advance(time.Second)
		b.deleteConnector(b.connector(fmt.Sprintf("passing-%d", n)))
		n++
	})
	slices.Sort(want)
	slices.Sort(got)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("connectors, by name (-want +got):\n%s", d)
	}
	b.refuse(&apprunner.ListVpcConnectorsInput{NextToken: aws.String("x")}, "InvalidRequestException", "NextToken is not one")
}

func TestVPCConnectorInUse(t *testing.T) {
	t.Parallel()
	b := newBench(t, networks("subnet-1"))
	one, two := b.connector("one1"), b.connector("two2")
	used := func(arn string) {
		t.Helper()
		b.refuse(&apprunner.DeleteVpcConnectorInput{VpcConnectorArn: &arn}, "InvalidRequestException", "a service uses it")
	}
	shop := b.create("shop", withNetwork(viaConnector(one)))
	if d := diff(viaConnector(one).EgressConfiguration, b.describe(shop).NetworkConfiguration.EgressConfiguration); d != "" {
		t.Errorf("egress (-want +got):\n%s", d)
	}
	used(one)
	b.must(updateNetwork(shop, viaConnector(two)))
	used(one) // by the specification
	used(two) // by the operation
	b.end(shop, slipway.OperationRollbackSucceeded, slipway.StatusRunning)
	used(one)
	b.deleteConnector(two)

	b.must(updateNetwork(shop, types.NetworkConfiguration{EgressConfiguration: &types.EgressConfiguration{EgressType: types.EgressTypeDefault}}))
	used(one)
	b.end(shop, slipway.OperationSucceeded, slipway.StatusRunning)
	b.deleteConnector(one)

	three := b.connector("three")
	b.must(updateNetwork(shop, viaConnector(three)))
	b.end(shop, slipway.OperationSucceeded, slipway.StatusRunning)
	b.delete(shop)
	used(three)
	b.end(shop, slipway.OperationSucceeded, slipway.StatusDeleted)
	b.deleteConnector(three)
}

func TestEgressRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t, networks("subnet-1", "subnet-2"))
	known, gone := b.connector("known"), b.connector("gone")
	partly := *invoke[apprunner.CreateVpcConnectorOutput](b, newConnector("partly", "subnet-1", "subnet-8", "subnet-9")).VpcConnector.VpcConnectorArn
	b.deleteConnector(gone)
	shop := b.create("shop", withNetwork(viaConnector(known)))
	for connector, message := range map[string]string{
		partly:                            "the subnets subnet-8, subnet-9 of VPC connector partly are not networks of this server. Configured are: subnet-1, subnet-2",
		gone:                              "VPC connector not found: " + gone,
		connectorARN("none", "1", "none"): "VPC connector not found",
		noService:                         "is not the full ARN of a VPC connector",
	} {
		b.refuse(newService("cart", withNetwork(viaConnector(connector))), "InvalidRequestException", message)
		b.refuse(updateNetwork(shop, viaConnector(connector)), "InvalidRequestException", message)
	}
	bare := newBench(t)
	bare.refuse(newService("cart", withNetwork(viaConnector(bare.connector("known")))), "InvalidRequestException",
		"the subnets subnet-1 of VPC connector known are not networks of this server. Configured are: none (slipway serve --network)")
}
