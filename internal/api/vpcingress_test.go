package api_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/api"
	"github.com/openslipway/slipway/internal/store"
)

func ingressARN(parts ...string) string {
	return prefix + "vpcingressconnection/" + strings.Join(parts, "/")
}

func ingressBody(arn string, members ...string) string {
	return `{` + strings.Join(append([]string{`"VpcIngressConnectionArn":"` + arn + `"`}, members...), ",") + `}`
}

func newIngress(name, service, endpoint string, members ...string) string {
	return arnBody(service, append([]string{
		`"VpcIngressConnectionName":"` + name + `"`,
		`"IngressVpcConfiguration":{"VpcId":"vpc-1","VpcEndpointId":"` + endpoint + `"}`,
	}, members...)...)
}

// ingress connects a service and returns the connection's ARN.
func (b *bench) ingress(name, service, endpoint string, members ...string) string {
	b.Helper()
	doc := b.ok("CreateVpcIngressConnection", newIngress(name, service, endpoint, members...))
	return at(b, doc, "VpcIngressConnection", "VpcIngressConnectionArn").(string)
}

func (b *bench) describeIngress(arn string) map[string]any {
	b.Helper()
	return at(b, b.ok("DescribeVpcIngressConnection", ingressBody(arn)), "VpcIngressConnection").(map[string]any)
}

// see plays the loop that opens endpoints: it comes to the connection.
func (b *bench) see(arn, failure string) {
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

func TestVPCIngress(t *testing.T) {
	t.Parallel()
	ports := map[string]int{"vpce-1": 8443, "vpce-2": 443}
	b := newBench(t, func(c *api.Config) { c.EndpointPort = func(id string) int { return ports[id] } })
	shop := b.create("shop", private)
	doc := b.ok("CreateVpcIngressConnection", newIngress("door", shop, "vpce-1", `"Tags":[{"Key":"a","Value":"1"}]`))
	got := at(t, doc, "VpcIngressConnection").(map[string]any)
	arn, domain := got["VpcIngressConnectionArn"].(string), got["DomainName"].(string)
	if p := ingressARN("door") + "/"; !strings.HasPrefix(arn, p) || len(arn) != len(p)+32 {
		t.Errorf("the ARN is %s, want %s and 32 digits", arn, p)
	}
	host, ok := strings.CutSuffix(domain, ":8443")
	if label, rest, _ := strings.Cut(host, "."); !ok || len(label) != 10 || rest != "us-east-1.slipway.localhost" {
		t.Errorf("the domain name is %s", domain)
	}
	want := parse(t, `{"VpcIngressConnectionArn":"`+arn+`","VpcIngressConnectionName":"door","ServiceArn":"`+shop+`","Status":"PENDING_CREATION",
		"AccountId":"000000000000","DomainName":"`+domain+`","IngressVpcConfiguration":{"VpcId":"vpc-1","VpcEndpointId":"vpce-1"},"CreatedAt":1800000000.123}`)
	is := func(what string, got any) {
		t.Helper()
		if d := cmp.Diff(any(want), got); d != "" {
			t.Errorf("%s (-want +got):\n%s", what, d)
		}
		if d := cmp.Diff(any(want), any(b.describeIngress(arn))); d != "" {
			t.Errorf("%s, described (-want +got):\n%s", what, d)
		}
	}
	is("created", got)
	b.see(arn, "")
	want["Status"] = "AVAILABLE"
	is("seen", b.describeIngress(arn))
	if d := cmp.Diff([]string{"a=1"}, b.tags(arn)); d != "" {
		t.Errorf("tags (-want +got):\n%s", d)
	}
	targets := any([]any{map[string]any{"VpcIngressConnectionArn": arn, "VpcId": "vpc-1", "DomainName": host}})
	if d := cmp.Diff(targets, b.ok("DescribeCustomDomains", arnBody(shop))["VpcDNSTargets"]); d != "" {
		t.Errorf("targets of custom domains (-want +got):\n%s", d)
	}

	update := func(config string) any {
		return b.ok("UpdateVpcIngressConnection", ingressBody(arn, `"IngressVpcConfiguration":`+config))["VpcIngressConnection"]
	}
	got2 := update(`{"VpcEndpointId":"vpce-2"}`)
	want["Status"], want["DomainName"] = "PENDING_UPDATE", host
	want["IngressVpcConfiguration"] = map[string]any{"VpcId": "vpc-1", "VpcEndpointId": "vpce-2"}
	is("updated", got2)
	b.see(arn, "no such endpoint")
	want["Status"] = "FAILED_UPDATE"
	is("failed", b.describeIngress(arn))
	got2 = update(`{"VpcId":"vpc-2","VpcEndpointId":"vpce-3"}`)
	want["Status"] = "PENDING_UPDATE"
	want["IngressVpcConfiguration"] = map[string]any{"VpcId": "vpc-2", "VpcEndpointId": "vpce-3"}
	is("updated again", got2)
	b.see(arn, "")

	got2 = b.ok("DeleteVpcIngressConnection", ingressBody(arn))["VpcIngressConnection"]
	want["Status"] = "PENDING_DELETION"
	is("being deleted", got2)
	b.Clock.Advance(time.Minute)
	b.see(arn, "")
	want["Status"], want["DeletedAt"] = "DELETED", 1800000060.123
	is("deleted", b.describeIngress(arn))
	for _, op := range []string{"DeleteVpcIngressConnection", "UpdateVpcIngressConnection", "ListTagsForResource"} {
		b.refused(op, ingressBody(arn, `"IngressVpcConfiguration":{}`, `"ResourceArn":"`+arn+`"`), "ResourceNotFoundException", "VPC ingress connection not found: "+arn)
	}
	if l := b.ok("ListVpcIngressConnections", `{}`)["VpcIngressConnectionSummaryList"].([]any); len(l) != 0 {
		t.Errorf("a deleted connection is listed: %v", l)
	}
	if l := b.ok("DescribeCustomDomains", arnBody(shop))["VpcDNSTargets"].([]any); len(l) != 0 {
		t.Errorf("a deleted connection is a target: %v", l)
	}
	b.ingress("door", shop, "vpce-1") // name and place are free
	b.Update(func(tx *store.Tx) error { return tx.ForgetVPCIngresses(b.Clock.Now().Add(time.Second)) })
	b.refused("DescribeVpcIngressConnection", ingressBody(arn), "ResourceNotFoundException", "not found")
}

func TestVPCIngressStates(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	arn := b.ingress("door", b.create("shop", private), "vpce-1")
	refused := func(state string) {
		t.Helper()
		b.refused("UpdateVpcIngressConnection", ingressBody(arn, `"IngressVpcConfiguration":{}`), "InvalidStateException",
			"VPC ingress connection cannot be updated in the current state: "+state+".")
		b.refused("DeleteVpcIngressConnection", ingressBody(arn), "InvalidStateException",
			"VPC ingress connection cannot be deleted in the current state: "+state+".")
	}
	refused("PENDING_CREATION")
	b.see(arn, "no such endpoint")
	if st := b.describeIngress(arn)["Status"]; st != "FAILED_CREATION" {
		t.Errorf("the status is %v, want FAILED_CREATION", st)
	}
	b.ok("UpdateVpcIngressConnection", ingressBody(arn, `"IngressVpcConfiguration":{"VpcEndpointId":"vpce-2"}`))
	refused("PENDING_UPDATE")
	b.see(arn, "no such endpoint")
	b.ok("DeleteVpcIngressConnection", ingressBody(arn))
	refused("PENDING_DELETION")
}

func TestVPCIngressRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	public, shop, cart := b.create("public"), b.create("shop", private), b.create("cart", private)
	arn := b.ingress("taken", shop, "vpce-1")
	for body, message := range map[string]string{
		newIngress("door", public, "vpce-1"):                                            "is publicly accessible",
		newIngress("door", noService, "vpce-1"):                                         "Service not found",
		newIngress("door", cart, ""):                                                    `VpcEndpointId is ""; both are needed`,
		newIngress("taken", cart, "vpce-1"):                                             "VPC ingress connection with the provided name already exists: taken",
		newIngress("taken", shop, "vpce-1"):                                             "VPC ingress connection with the provided name already exists: taken",
		newIngress("door", cart, "vpce-1", `"Tags":[{"Key":"slipway:x"}]`):              "for the resource type vpcingressconnection",
		newIngress("no", cart, "vpce-1"):                                                "at 'vpcIngressConnectionName' failed to satisfy constraint",
		arnBody(cart, `"VpcIngressConnectionName":"door"`):                              "Value null at 'ingressVpcConfiguration'",
		arnBody(cart, `"VpcIngressConnectionName":"door","IngressVpcConfiguration":{}`): `VpcId is ""`,
	} {
		b.refused("CreateVpcIngressConnection", body, "InvalidRequestException", message)
	}
	b.refused("CreateVpcIngressConnection", newIngress("second", shop, "vpce-2"), "ServiceQuotaExceededException",
		"limit of 1 VPC ingress connections: it has "+arn)
	b.ok("PauseService", arnBody(cart))
	b.refused("CreateVpcIngressConnection", newIngress("door", cart, "vpce-1"), "InvalidStateException", "OPERATION_IN_PROGRESS")
	b.end(cart, slipway.OperationSucceeded, slipway.StatusPaused)
	b.refused("CreateVpcIngressConnection", newIngress("door", cart, "vpce-1"), "InvalidStateException", "PAUSED")

	b.refused("DeleteService", arnBody(shop), "InvalidRequestException", "the VPC ingress connection "+arn+" leads to it")
	b.see(arn, "")
	b.ok("DeleteVpcIngressConnection", ingressBody(arn))
	b.refused("DeleteService", arnBody(shop), "InvalidRequestException", "leads to it")
	b.see(arn, "")
	b.ok("DeleteService", arnBody(shop))
	for _, op := range []string{"DescribeVpcIngressConnection", "DeleteVpcIngressConnection", "UpdateVpcIngressConnection"} {
		b.refused(op, ingressBody(noService, `"IngressVpcConfiguration":{}`), "InvalidRequestException", "is not the ARN of a VPC ingress connection")
		b.refused(op, ingressBody(ingressARN("door", "x"), `"IngressVpcConfiguration":{}`), "ResourceNotFoundException", "not found")
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
	for filter, count := range map[string]int{
		``:             12,
		`,"Filter":{}`: 12,
		`,"Filter":{"ServiceArn":"` + shop + `"}`:                             6,
		`,"Filter":{"ServiceArn":"` + prefix + `service/shop"}`:               6,
		`,"Filter":{"VpcEndpointId":"vpce-2"}`:                                4,
		`,"Filter":{"ServiceArn":"` + shop + `","VpcEndpointId":"vpce-2"}`:    2,
		`,"Filter":{"ServiceArn":"` + noService + `"}`:                        0,
		`,"Filter":{"ServiceArn":"` + cart + `","VpcEndpointId":"vpce-none"}`: 0,
	} {
		got := map[string]string{}
		b.list("ListVpcIngressConnections", "VpcIngressConnectionSummaryList", 2, filter, func(c any) string {
			arn := member("VpcIngressConnectionArn")(c)
			if _, twice := got[arn]; twice || len(c.(map[string]any)) != 2 {
				t.Errorf("%s comes twice or has more than its names: %v", arn, c)
			}
			got[arn] = member("ServiceArn")(c)
			return arn
		}, nil)
		if len(got) != count {
			t.Errorf("%s: %d connections, want %d", filter, len(got), count)
		}
		for arn, service := range got {
			if all[arn] != service {
				t.Errorf("%s: %s leads to %s, want %s", filter, arn, service, all[arn])
			}
		}
	}
}
