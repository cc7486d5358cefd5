package api_test

import (
	"testing"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/api"
)

// An update that asks for nothing begins no operation. A service that failed to be
// created is built again by it, as App Runner's guide says.
func TestUpdateThatAsksForNothing(t *testing.T) {
	t.Parallel()
	const nothing = "No configurations provided in the UpdateService request."
	b := newBench(t)
	arn := b.create("shop")
	before := b.operations(arn)
	for _, members := range []string{
		`"X":1`, `"SourceConfiguration":{}`, `"SourceConfiguration":{"AuthenticationConfiguration":{}}`, `"SourceConfiguration":null`,
		`"InstanceConfiguration":{}`, `"InstanceConfiguration":{"Cpu":null}`, `"HealthCheckConfiguration":{}`, `"NetworkConfiguration":{}`,
		`"NetworkConfiguration":{"EgressConfiguration":{}}`, `"NetworkConfiguration":{"EgressConfiguration":{},"IngressConfiguration":null}`,
		`"InstanceConfiguration":{},"SourceConfiguration":{},"HealthCheckConfiguration":{},"NetworkConfiguration":{}`,
	} {
		b.Refused("AppRunner.UpdateService", arnBody(arn, members), "InvalidRequestException", nothing)
	}
	if got := b.operations(arn); len(got) != len(before) {
		t.Errorf("%d operations, want %d", len(got), len(before))
	}
	for _, members := range []string{ // each of these asks for something
		`"InstanceConfiguration":{"Cpu":"1024"}`, `"SourceConfiguration":{"AutoDeploymentsEnabled":false}`,
		`"NetworkConfiguration":{"IngressConfiguration":{}}`, `"ObservabilityConfiguration":{"ObservabilityEnabled":false}`,
		`"AutoScalingConfigurationArn":"` + defaultScaling + `"`,
	} {
		b.OK("AppRunner.UpdateService", arnBody(arn, members))
		b.end(arn, slipway.OperationSucceeded, slipway.StatusRunning)
	}
	b.OK("AppRunner.PauseService", arnBody(arn))
	b.end(arn, slipway.OperationSucceeded, slipway.StatusPaused)
	b.Refused("AppRunner.UpdateService", arnBody(arn), "InvalidStateException", "Service cannot be updated in the current state: PAUSED.")

	failed := b.create("cart")
	b.OK("AppRunner.StartDeployment", arnBody(failed))
	b.end(failed, slipway.OperationFailed, slipway.StatusCreateFailed)
	b.OK("AppRunner.UpdateService", arnBody(failed))
}

// The same for the only other update: it does not make the connection pending.
func TestUpdateVPCIngressThatAsksForNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	arn := b.ingress("door", b.create("shop", private), "vpce-1")
	b.reconcileIngress(arn, "")
	b.Refused("AppRunner.UpdateVpcIngressConnection", `{"VpcIngressConnectionArn":"`+arn+`","IngressVpcConfiguration":{}}`,
		"InvalidRequestException", "No configurations provided in the UpdateVpcIngressConnection request.")
	if st := b.describeIngress(arn).Status; st != "AVAILABLE" {
		t.Errorf("the connection is %s", st)
	}
}

// An empty egress says nothing: it does not take a service out of its VPC.
func TestEmptyEgressKeepsTheConnector(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	arn := b.create("shop")
	before := *b.describe(arn).NetworkConfiguration
	b.OK("AppRunner.UpdateService", arnBody(arn, `"NetworkConfiguration":{"IpAddressType":"IPV4","EgressConfiguration":{}}`))
	if d := diff(before, *b.describe(arn).NetworkConfiguration); d != "" {
		t.Errorf("the network changed:\n%s", d)
	}
}

// References that no deployment could read are refused by the call, unless the server
// asks AWS for them.
func TestSecretsElsewhere(t *testing.T) {
	t.Parallel()
	source := func(reference string) string {
		return `{"ServiceName":"shop","SourceConfiguration":{"ImageRepository":{"ImageIdentifier":"public.ecr.aws/a/b:1","ImageRepositoryType":"ECR_PUBLIC",
			"ImageConfiguration":{"RuntimeEnvironmentSecrets":{"TOKEN":"` + reference + `"}}}},
			"InstanceConfiguration":{"InstanceRoleArn":"` + runRole + `"}}`
	}
	elsewhere := map[string]string{
		"arn:aws:ssm:us-east-1:111122223333:parameter/x":                      "account 111122223333, region us-east-1",
		"arn:aws:ssm:eu-west-1:" + account + ":parameter/x":                   "account " + account + ", region eu-west-1",
		"arn:aws:secretsmanager:us-east-1:111122223333:secret:x-AbCdEf":       "account 111122223333",
		"arn:aws:secretsmanager:eu-west-1:111122223333:secret:x-AbCdEf:key::": "region eu-west-1",
	}
	b := newBench(t)
	for reference, where := range elsewhere {
		b.Refused("AppRunner.CreateService", source(reference), "InvalidRequestException", `the value of "TOKEN" is in account`)
		b.Refused("AppRunner.CreateService", source(reference), "InvalidRequestException", where)
		newBench(t, func(c *api.Config) { c.SecretsOfAWS = true }).OK("AppRunner.CreateService", source(reference))
	}
	for _, reference := range []string{"name", "/a/name", "arn:aws:ssm:us-east-1:" + account + ":parameter/x", "arn:aws:secretsmanager:us-east-1:" + account + ":secret:x"} {
		newBench(t).OK("AppRunner.CreateService", source(reference))
	}
}

// The name of an image without a registry is completed once, at the call.
func TestImageIdentifierIsCompleted(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *api.Config) {
		c.CompleteImage = func(ref string) (string, error) {
			if ref == "absent" {
				return "", slipway.Errorf(slipway.NotFound, "The image was not found.")
			}
			return "registry.example.com/" + ref + ":1", nil
		}
	})
	body := func(ref string) string {
		return `{"ServiceName":"shop","SourceConfiguration":{"ImageRepository":{"ImageIdentifier":"` + ref + `","ImageRepositoryType":"ECR"}}}`
	}
	b.Refused("AppRunner.CreateService", body("absent"), "InvalidRequestException", "ImageRepository: The image was not found.")
	b.Refused("AppRunner.CreateService", body("No Name"), "InvalidRequestException", "is not an image reference")
	doc := b.OK("AppRunner.CreateService", body("shop"))
	arn := inside(t, doc, "Service", "ServiceArn").(string)
	b.end(arn, slipway.OperationSucceeded, slipway.StatusRunning)
	if is := *b.describe(arn).SourceConfiguration.ImageRepository.ImageIdentifier; is != "registry.example.com/shop:1" {
		t.Errorf("the image is %s", is)
	}
	b.Refused("AppRunner.UpdateService", arnBody(arn, `"SourceConfiguration":{"ImageRepository":{"ImageIdentifier":"absent","ImageRepositoryType":"ECR"}}`),
		"InvalidRequestException", "The image was not found.")
}
