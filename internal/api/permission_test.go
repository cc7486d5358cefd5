package api_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/api"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/policy"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/wire"
)

// limited returns the API as root calls it, and as a user ann does who has a
// policy of these statements.
func limited(t *testing.T, statements string, options ...func(*api.Config)) (root, ann *bench) {
	t.Helper()
	root = newBench(t, options...)
	d, err := policy.Parse([]byte(`{"Version":"2012-10-17","Statement":[` + statements + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	root.Open([]gateway.Service{root.api.Service()}, func(c *gateway.Config) {
		c.Policies = func(*store.Tx, string) ([]policy.Policy, error) { return []policy.Policy{{Document: d}}, nil }
	})
	key := slipway.AccessKey{ID: "AKIAANN", Secret: "s", User: "ann"}
	root.Update(func(tx *store.Tx) error {
		if err := tx.InsertUser(slipway.User{Name: "ann", ID: "AIDAANN", Path: "/"}); err != nil {
			return err
		}
		return tx.InsertAccessKey(key)
	})
	return root, &bench{root.As(key, ""), root.api}
}

const allowAll = `{"Effect":"Allow","Action":"*","Resource":"*"}`

// denying allows everything except what the elements of a statement deny.
func denying(elements string) string { return allowAll + `,{"Effect":"Deny",` + elements + `}` }

// denial is a call under a policy that allows everything but what the elements
// of a statement deny, and what IAM's refusal must name.
type denial struct {
	in               any
	deny             string
	action, resource string
}

const existing = prefix + "service/shop/0f3c6f2f5a7b4c0e9d1e2a3b4c5d6e7f"

// denyResource denies everything on a resource.
func denyResource(arn string) string { return `"Action":"*","Resource":"` + arn + `"` }

// denyIf denies everything under a condition.
func denyIf(condition string) string {
	return `"Action":"*","Resource":"*","Condition":{` + condition + `}`
}

// serviceDenials are calls about services.
func serviceDenials() []denial {
	const shop = prefix + "service/shop/*"
	const role = "arn:aws:iam::000000000000:role/r"
	const condition = `"Action":"apprunner:CreateService","Resource":"*","Condition":`
	id := aws.String(existing)
	tagged := newService("shop", withTags(tag("team", "red")))
	withRole := newService("shop", withInstance(types.InstanceConfiguration{InstanceRoleArn: aws.String(role)}))
	authenticated := func(c types.AuthenticationConfiguration) *apprunner.CreateServiceInput {
		return newService("shop", withSource(&types.SourceConfiguration{AuthenticationConfiguration: &c}))
	}
	scaled := newService("shop", withScaling(scalingARN("DefaultConfiguration")))
	return []denial{
		{newService("shop"), `"Action":"apprunner:CreateService","Resource":"*"`, "CreateService", shop},
		{tagged, `"Action":"apprunner:TagResource","Resource":"*"`, "TagResource", shop},
		{tagged, condition + `{"StringEquals":{"aws:RequestTag/team":"red"}}`, "CreateService", shop},
		{tagged, condition + `{"ForAnyValue:StringEquals":{"aws:TagKeys":"team"}}`, "CreateService", shop},
		{newService("shop"), condition + `{"Null":{"aws:TagKeys":"true"}}`, "CreateService", shop},
		{withRole, `"Action":"iam:PassRole","Resource":"*"`, "iam:PassRole", role},
		{withRole, `"Action":"iam:PassRole","Resource":"*","Condition":{"StringEquals":{"iam:PassedToService":"apprunner.amazonaws.com"}}`, "iam:PassRole", role},
		{
			authenticated(types.AuthenticationConfiguration{AccessRoleArn: aws.String("arn:aws:iam::000000000000:role/a")}),
			`"Action":"iam:PassRole","Resource":"*"`, "iam:PassRole", "arn:aws:iam::000000000000:role/a",
		},
		{scaled, denyIf(`"ArnLike":{"apprunner:AutoScalingConfigurationArn":"` + defaultScaling + `"}`), "CreateService", shop},
		{scaled, denyResource(defaultScaling), "CreateService", scalingARN("DefaultConfiguration")},
		{
			authenticated(types.AuthenticationConfiguration{ConnectionArn: aws.String(prefix + "connection/prod/7")}),
			denyIf(`"ArnLike":{"apprunner:ConnectionArn":"arn:aws:apprunner:*:*:connection/prod/*"}`), "CreateService", shop,
		},
		{
			newService("shop", withEgress(types.EgressConfiguration{VpcConnectorArn: aws.String(connectorARN("v", "1", "7"))})),
			denyIf(`"ArnLike":{"apprunner:VpcConnectorArn":"arn:aws:apprunner:*:*:vpcconnector/v/*"}`), "CreateService", shop,
		},
		{
			&apprunner.UpdateServiceInput{ServiceArn: id, ObservabilityConfiguration: &types.ServiceObservabilityConfiguration{
				ObservabilityEnabled: true, ObservabilityConfigurationArn: aws.String(observabilityARN("o", "1", "7")),
			}},
			denyIf(`"ArnLike":{"apprunner:ObservabilityConfigurationArn":"arn:aws:apprunner:*:*:observabilityconfiguration/o/*"}`), "UpdateService", existing,
		},
		{&apprunner.UpdateServiceInput{ServiceArn: id}, denyResource(existing), "UpdateService", existing},
		{&apprunner.DescribeServiceInput{ServiceArn: id}, denyResource(existing), "DescribeService", existing},
		{&apprunner.DeleteServiceInput{ServiceArn: id}, `"Action":"apprunner:DisassociateCustomDomain","Resource":"*"`, "DisassociateCustomDomain", existing},
		{&apprunner.PauseServiceInput{ServiceArn: id}, denyResource(existing), "PauseService", existing},
		{&apprunner.ResumeServiceInput{ServiceArn: id}, denyResource(existing), "ResumeService", existing},
		{&apprunner.StartDeploymentInput{ServiceArn: id}, denyResource(existing), "StartDeployment", existing},
		{&apprunner.ListOperationsInput{ServiceArn: id}, denyResource(existing), "ListOperations", existing},
		{&apprunner.DescribeCustomDomainsInput{ServiceArn: id}, denyResource(existing), "DescribeCustomDomains", existing},
		{&apprunner.ListServicesInput{}, `"Action":"apprunner:ListServices","Resource":"*"`, "ListServices", "*"},
		{&apprunner.DescribeServiceInput{}, denyResource("*"), "DescribeService", "*"},
	}
}

// otherDenials are calls about other resources and about tags.
func otherDenials() []denial {
	scaling := aws.String(defaultScaling)
	ofAnyRegion := func(resource string) string { return denyResource("arn:aws:apprunner:*:*:" + resource) }
	return []denial{
		{newScaling("small"), denyResource(scalingARN("small", "*")), "CreateAutoScalingConfiguration", scalingARN("small", "*")},
		{
			&apprunner.DescribeAutoScalingConfigurationInput{AutoScalingConfigurationArn: aws.String(scalingARN("DefaultConfiguration"))},
			denyResource(defaultScaling), "DescribeAutoScalingConfiguration", scalingARN("DefaultConfiguration"),
		},
		{removeScaling(defaultScaling), denyResource(defaultScaling), "DeleteAutoScalingConfiguration", defaultScaling},
		{
			&apprunner.UpdateDefaultAutoScalingConfigurationInput{AutoScalingConfigurationArn: scaling},
			denyResource(defaultScaling), "UpdateDefaultAutoScalingConfiguration", defaultScaling,
		},
		{
			&apprunner.ListServicesForAutoScalingConfigurationInput{AutoScalingConfigurationArn: scaling},
			denyResource(defaultScaling), "ListServicesForAutoScalingConfiguration", defaultScaling,
		},
		{&apprunner.ListAutoScalingConfigurationsInput{}, `"Action":"apprunner:List*","Resource":"*"`, "ListAutoScalingConfigurations", "*"},

		{newConnection("prod"), ofAnyRegion("connection/prod/*"), "CreateConnection", prefix + "connection/prod/*"},
		{removeConnection(prefix + "connection/prod/7"), ofAnyRegion("connection/prod/*"), "DeleteConnection", prefix + "connection/prod/7"},
		{newObservability("o"), ofAnyRegion("observabilityconfiguration/o/*"), "CreateObservabilityConfiguration", observabilityARN("o", "*")},
		{newConnector("v", "subnet-1"), ofAnyRegion("vpcconnector/v/*"), "CreateVpcConnector", connectorARN("v", "*")},
		{
			newIngress("in", existing, "vpce-1"),
			denyIf(`"ArnEquals":{"apprunner:ServiceArn":"` + existing + `"},"StringEquals":{"apprunner:VpcId":"vpc-1","apprunner:VpcEndpointId":"vpce-1"}`),
			"CreateVpcIngressConnection", ingressARN("in", "*"),
		},
		{
			&apprunner.UpdateVpcIngressConnectionInput{
				VpcIngressConnectionArn: aws.String(ingressARN("in", "7")), IngressVpcConfiguration: newIngress("in", existing, "vpce-1").IngressVpcConfiguration,
			},
			denyIf(`"StringEquals":{"apprunner:VpcId":"vpc-1"}`), "UpdateVpcIngressConnection", ingressARN("in", "7"),
		},

		{
			&apprunner.TagResourceInput{ResourceArn: aws.String(existing), Tags: []types.Tag{tag("team", "red")}},
			denyIf(`"StringEquals":{"aws:RequestTag/team":"red"}`), "TagResource", existing,
		},
		{
			&apprunner.UntagResourceInput{ResourceArn: aws.String(existing), TagKeys: []string{"team"}},
			denyIf(`"ForAnyValue:StringEquals":{"aws:TagKeys":"team"}`), "UntagResource", existing,
		},
		{&apprunner.ListTagsForResourceInput{ResourceArn: aws.String(existing)}, denyResource(existing), "ListTagsForResource", existing},
	}
}

// TestDenials calls each operation under a policy that denies exactly what it
// requires, and expects IAM's refusal to name it.
func TestDenials(t *testing.T) {
	t.Parallel()
	for _, c := range append(serviceDenials(), otherDenials()...) {
		t.Run(operationOf(c.in), func(t *testing.T) {
			t.Parallel()
			_, ann := limited(t, denying(c.deny))
			action := c.action
			if !strings.Contains(action, ":") {
				action = "apprunner:" + action
			}
			want := "User: arn:aws:iam::000000000000:user/ann is not authorized to perform: " + action + " on resource: " + c.resource +
				" with an explicit deny in an identity-based policy"
			if e := ann.refuse(c.in, "AccessDeniedException", want); e.Status != 403 || e.Message != want {
				t.Errorf("under %s: %d %s\nwant 403 %s", c.deny, e.Status, e.Message, want)
			}
			_, free := limited(t, allowAll)
			_, err := free.Invoke("apprunner:"+operationOf(c.in), c.in)
			if e, ok := errors.AsType[*wire.Exception](err); ok && e.Name == "AccessDeniedException" {
				t.Errorf("without the denial: %v", err)
			}
		})
	}
}

// A policy for the whole ARN also holds for every short form of it.
func TestAbbreviatedARNs(t *testing.T) {
	t.Parallel()
	root, ann := limited(t, denying(`"Action":"*","Resource":"arn:aws:apprunner:*:*:service/shop/*"`))
	root.must(newService("shop"))
	short := aws.String(prefix + "service/shop")
	for _, in := range []any{
		&apprunner.DescribeServiceInput{ServiceArn: short},
		&apprunner.PauseServiceInput{ServiceArn: short},
		&apprunner.DeleteServiceInput{ServiceArn: short},
	} {
		ann.refuse(in, "AccessDeniedException", "on resource: "+*short+" with")
	}
	root.describe(*short)
}

// The tags that a resource has decide who may change it.
func TestResourceTags(t *testing.T) {
	t.Parallel()
	root, ann := limited(t, `{"Effect":"Allow","Action":"apprunner:*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/owner":"${aws:username}"}}}`)
	create := func(name, owner string) string {
		in := newScaling(name)
		in.Tags = []types.Tag{tag("owner", owner)}
		return *invoke[apprunner.CreateAutoScalingConfigurationOutput](root, in).AutoScalingConfiguration.AutoScalingConfigurationArn
	}
	ann.must(removeScaling(create("hers", "ann")))
	ann.refuse(removeScaling(create("theirs", "bob")), "AccessDeniedException", "no identity-based policy allows")
	ann.refuse(&apprunner.ListServicesInput{}, "AccessDeniedException", "apprunner:ListServices on resource: *")
}

// Only authorized callers learn that a service does not exist.
func TestRefusalTellsNothing(t *testing.T) {
	t.Parallel()
	_, ann := limited(t, `{"Effect":"Allow","Action":"apprunner:DescribeService","Resource":"arn:aws:apprunner:*:*:service/mine/*"}`)
	mine := aws.String(prefix + "service/mine/0f3c6f2f5a7b4c0e9d1e2a3b4c5d6e7f")
	ann.refuse(&apprunner.DescribeServiceInput{ServiceArn: aws.String(noService)}, "AccessDeniedException", noService)
	ann.refuse(&apprunner.DescribeServiceInput{ServiceArn: mine}, "ResourceNotFoundException", "")
}
