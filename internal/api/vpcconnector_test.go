package api_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/api"
	"github.com/openslipway/slipway/internal/store"
)

func connectorARN(parts ...string) string { return prefix + "vpcconnector/" + strings.Join(parts, "/") }

func connectorBody(arn string) string { return `{"VpcConnectorArn":"` + arn + `"}` }

// connector creates a VPC connector to the subnet subnet-1 and returns its ARN.
func (b *bench) connector(name string, members ...string) string {
	b.Helper()
	doc := b.ok("CreateVpcConnector", `{`+strings.Join(append([]string{`"VpcConnectorName":"` + name + `","Subnets":["subnet-1"]`}, members...), ",")+`}`)
	return at(b, doc, "VpcConnector", "VpcConnectorArn").(string)
}

// networks configures the networks that subnets lead to.
func networks(names ...string) func(*api.Config) {
	return func(c *api.Config) { c.Networks = names }
}

func viaConnector(arn string) string {
	return `"NetworkConfiguration":{"EgressConfiguration":{"EgressType":"VPC","VpcConnectorArn":"` + arn + `"}}`
}

func TestVPCConnector(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	doc := b.ok("CreateVpcConnector", `{"VpcConnectorName":"private","Subnets":["subnet-1","subnet-2"],"SecurityGroups":["sg-1"],"Tags":[{"Key":"a","Value":"1"}]}`)
	got := at(t, doc, "VpcConnector").(map[string]any)
	arn := got["VpcConnectorArn"].(string)
	if p := connectorARN("private", "1") + "/"; !strings.HasPrefix(arn, p) || len(arn) != len(p)+32 {
		t.Errorf("the ARN is %s, want %s and 32 digits", arn, p)
	}
	want := parse(t, `{"VpcConnectorArn":"`+arn+`","VpcConnectorName":"private","VpcConnectorRevision":1,"Subnets":["subnet-1","subnet-2"],
		"SecurityGroups":["sg-1"],"Status":"ACTIVE","CreatedAt":1800000000.123}`)
	for name, c := range map[string]any{
		"created":   got,
		"described": b.ok("DescribeVpcConnector", connectorBody(arn))["VpcConnector"],
		"listed":    b.ok("ListVpcConnectors", `{}`)["VpcConnectors"].([]any)[0],
	} {
		if d := cmp.Diff(any(want), c); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
	if d := cmp.Diff([]string{"a=1"}, b.tags(arn)); d != "" {
		t.Errorf("tags (-want +got):\n%s", d)
	}
	b.ok("TagResource", `{"ResourceArn":"`+arn+`","Tags":[{"Key":"b"}]}`)
	b.ok("UntagResource", `{"ResourceArn":"`+arn+`","TagKeys":["a"]}`)
	if d := cmp.Diff([]string{"b="}, b.tags(arn)); d != "" {
		t.Errorf("tags (-want +got):\n%s", d)
	}

	b.Clock.Advance(time.Minute)
	want["Status"], want["DeletedAt"] = "INACTIVE", 1800000060.123
	if d := cmp.Diff(any(want), b.ok("DeleteVpcConnector", connectorBody(arn))["VpcConnector"]); d != "" {
		t.Errorf("deleted (-want +got):\n%s", d)
	}
	if d := cmp.Diff(any(want), b.ok("DescribeVpcConnector", connectorBody(arn))["VpcConnector"]); d != "" {
		t.Errorf("described after its deletion (-want +got):\n%s", d)
	}
	if l := b.ok("ListVpcConnectors", `{}`)["VpcConnectors"].([]any); len(l) != 0 {
		t.Errorf("an inactive connector is listed: %v", l)
	}
	for _, op := range []string{"DeleteVpcConnector", "ListTagsForResource"} {
		b.refused(op, `{"VpcConnectorArn":"`+arn+`","ResourceArn":"`+arn+`"}`, "ResourceNotFoundException", "VPC connector not found: "+arn)
	}
	if again := b.connector("private"); again == arn {
		t.Errorf("a new connector has the old one's ARN")
	}
	b.Update(func(tx *store.Tx) error { return tx.ForgetVPCConnectors(b.Clock.Now().Add(time.Second)) })
	b.refused("DescribeVpcConnector", connectorBody(arn), "ResourceNotFoundException", "VPC connector not found: "+arn)
}

func TestVPCConnectorDefaultGroup(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	group := func(name string) string {
		c := at(t, b.ok("DescribeVpcConnector", connectorBody(b.connector(name))), "VpcConnector")
		return fmt.Sprint(c.(map[string]any)["SecurityGroups"])
	}
	one, two := group("one1"), group("two2")
	if one != two || len(one) != len("[sg-0123456789abcdef0]") || !strings.HasPrefix(one, "[sg-") {
		t.Errorf("connectors without a security group have %s and %s, want one and the same", one, two)
	}
}

func TestVPCConnectorRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	arn := b.connector("taken")
	for body, message := range map[string]string{
		`{"VpcConnectorName":"taken","Subnets":["subnet-2"]}`:                                 "VPC connector with the provided name already exists: taken",
		`{"VpcConnectorName":"none","Subnets":[]}`:                                            "Subnets is empty",
		`{"VpcConnectorName":"none","Subnets":["a","a"]}`:                                     `Subnets: "a" is given twice`,
		`{"VpcConnectorName":"none","Subnets":["a"," "]}`:                                     `Subnets: element 2 is " "`,
		`{"VpcConnectorName":"none","Subnets":["a"],"SecurityGroups":["sg","sg"]}`:            `SecurityGroups: "sg" is given twice`,
		`{"VpcConnectorName":"none","Subnets":["a"],"Tags":[{"Key":"slipway:x"}]}`:            "for the resource type vpcconnector",
		`{"VpcConnectorName":"no","Subnets":["a"]}`:                                           "at 'vpcConnectorName' failed to satisfy constraint",
		`{"VpcConnectorName":"none"}`:                                                         "Value null at 'subnets' failed to satisfy constraint: Member must not be null",
		`{"VpcConnectorName":"none","Subnets":["a"],"Tags":[{"Key":"a"},{"Key":"a"}]}`:        "given twice",
		`{"VpcConnectorName":"none","Subnets":["a"],"Tags":[{"Key":"aws:a","Value":"none"}]}`: "tags.1.member.key",
	} {
		b.refused("CreateVpcConnector", body, "InvalidRequestException", message)
	}
	for _, op := range []string{"DescribeVpcConnector", "DeleteVpcConnector"} {
		b.refused(op, connectorBody(connectorARN("taken")), "InvalidRequestException", "is not the full ARN of a VPC connector")
		b.refused(op, connectorBody(noService), "InvalidRequestException", "is not the full ARN of a VPC connector")
		b.refused(op, connectorBody(arn+"x"), "ResourceNotFoundException", "VPC connector not found")
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
	b.refused("CreateVpcConnector", `{"VpcConnectorName":"eleventh","Subnets":["a"]}`, "ServiceQuotaExceededException", "limit of 10 VPC connectors")
	b.refused("CreateVpcConnector", `{"VpcConnectorName":"connector-0","Subnets":["a"]}`, "InvalidRequestException", "already exists")
	b.ok("DeleteVpcConnector", connectorBody(first))
	b.connector("eleventh")
	none := newBench(t, func(c *api.Config) { c.Quotas.VPCConnectors = -1 })
	for i := range 11 {
		none.connector(fmt.Sprintf("connector-%d", i))
	}
}

// Every connector that is there from the first page to the last comes once.
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
	got := b.list("ListVpcConnectors", "VpcConnectors", 4, "", member("VpcConnectorArn"), func() {
		b.Clock.Advance(time.Second)
		b.ok("DeleteVpcConnector", connectorBody(b.connector(fmt.Sprintf("passing-%d", n))))
		n++
	})
	slices.Sort(want)
	slices.Sort(got)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("connectors, by name (-want +got):\n%s", d)
	}
	b.refused("ListVpcConnectors", `{"NextToken":"x"}`, "InvalidRequestException", "NextToken is not one")
}

func TestVPCConnectorInUse(t *testing.T) {
	t.Parallel()
	b := newBench(t, networks("subnet-1"))
	one, two := b.connector("one1"), b.connector("two2")
	used := func(arn string) {
		t.Helper()
		b.refused("DeleteVpcConnector", connectorBody(arn), "InvalidRequestException", "a service uses it")
	}
	shop := b.create("shop", viaConnector(one))
	want := parse(t, `{"EgressType":"VPC","VpcConnectorArn":"`+one+`"}`)
	if d := cmp.Diff(any(want), at(t, b.ok("DescribeService", arnBody(shop)), "Service", "NetworkConfiguration", "EgressConfiguration")); d != "" {
		t.Errorf("egress (-want +got):\n%s", d)
	}
	used(one)
	b.ok("UpdateService", arnBody(shop, viaConnector(two)))
	used(one) // by the specification
	used(two) // by the operation
	b.end(shop, slipway.OperationRollbackSucceeded, slipway.StatusRunning)
	used(one)
	b.ok("DeleteVpcConnector", connectorBody(two))

	b.ok("UpdateService", arnBody(shop, `"NetworkConfiguration":{"EgressConfiguration":{"EgressType":"DEFAULT"}}`))
	used(one)
	b.end(shop, slipway.OperationSucceeded, slipway.StatusRunning)
	b.ok("DeleteVpcConnector", connectorBody(one))

	three := b.connector("three")
	b.ok("UpdateService", arnBody(shop, viaConnector(three)))
	b.end(shop, slipway.OperationSucceeded, slipway.StatusRunning)
	b.ok("DeleteService", arnBody(shop))
	used(three)
	b.end(shop, slipway.OperationSucceeded, slipway.StatusDeleted)
	b.ok("DeleteVpcConnector", connectorBody(three))
}

func TestEgressRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t, networks("subnet-1", "subnet-2"))
	known, partly, gone := b.connector("known"), "", b.connector("gone")
	doc := b.ok("CreateVpcConnector", `{"VpcConnectorName":"partly","Subnets":["subnet-1","subnet-8","subnet-9"]}`)
	partly = at(t, doc, "VpcConnector", "VpcConnectorArn").(string)
	b.ok("DeleteVpcConnector", connectorBody(gone))
	shop := b.create("shop", viaConnector(known))
	for egress, message := range map[string]string{
		viaConnector(partly):                            "the subnets subnet-8, subnet-9 of VPC connector partly are not networks of this server. Configured are: subnet-1, subnet-2",
		viaConnector(gone):                              "VPC connector not found: " + gone,
		viaConnector(connectorARN("none", "1", "none")): "VPC connector not found",
		viaConnector(noService):                         "is not the full ARN of a VPC connector",
	} {
		b.refused("CreateService", `{"ServiceName":"cart",`+image+`,`+egress+`}`, "InvalidRequestException", message)
		b.refused("UpdateService", arnBody(shop, egress), "InvalidRequestException", message)
	}
	bare := newBench(t)
	bare.refused("CreateService", `{"ServiceName":"cart",`+image+`,`+viaConnector(bare.connector("known"))+`}`, "InvalidRequestException",
		"the subnets subnet-1 of VPC connector known are not networks of this server. Configured are: none (slipway serve --network)")
}
