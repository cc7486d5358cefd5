package api_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/policy"
	"github.com/openslipway/slipway/internal/store"
)

// limited is the API with a user ann under a policy of these statements.
func limited(t *testing.T, statements string) (root, ann *bench) {
	t.Helper()
	root = newBench(t)
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

// denying allows allowAll but one thing.
func denying(elements string) string { return allowAll + `,{"Effect":"Deny",` + elements + `}` }

// TestDenials calls each operation under a policy that denies exactly what it
// needs, and expects IAM's refusal to name it.
func TestDenials(t *testing.T) {
	t.Parallel()
	service := prefix + "service/shop/*"
	id := prefix + "service/shop/0f3c6f2f5a7b4c0e9d1e2a3b4c5d6e7f"
	tagged := `,"Tags":[{"Key":"team","Value":"red"}]`
	body := func(format string, args ...any) string { return fmt.Sprintf(format, args...) }
	for _, c := range []struct {
		operation, body, deny string
		action, resource      string // in the refusal
	}{
		{"CreateService", body(`{"ServiceName":"shop",%s}`, image), `"Action":"apprunner:CreateService","Resource":"*"`, "CreateService", service},
		{"CreateService", body(`{"ServiceName":"shop",%s%s}`, image, tagged), `"Action":"apprunner:TagResource","Resource":"*"`, "TagResource", service},
		{"CreateService", body(`{"ServiceName":"shop",%s%s}`, image, tagged), `"Action":"apprunner:CreateService","Resource":"*","Condition":{"StringEquals":{"aws:RequestTag/team":"red"}}`, "CreateService", service},
		{"CreateService", body(`{"ServiceName":"shop",%s%s}`, image, tagged), `"Action":"apprunner:CreateService","Resource":"*","Condition":{"ForAnyValue:StringEquals":{"aws:TagKeys":"team"}}`, "CreateService", service},
		{"CreateService", body(`{"ServiceName":"shop",%s}`, image), `"Action":"apprunner:CreateService","Resource":"*","Condition":{"Null":{"aws:TagKeys":"true"}}`, "CreateService", service},
		{"CreateService", body(`{"ServiceName":"shop",%s,"InstanceConfiguration":{"InstanceRoleArn":"arn:aws:iam::000000000000:role/r"}}`, image), `"Action":"iam:PassRole","Resource":"*"`, "iam:PassRole", "arn:aws:iam::000000000000:role/r"},
		{"CreateService", body(`{"ServiceName":"shop",%s,"InstanceConfiguration":{"InstanceRoleArn":"arn:aws:iam::000000000000:role/r"}}`, image), `"Action":"iam:PassRole","Resource":"*","Condition":{"StringEquals":{"iam:PassedToService":"apprunner.amazonaws.com"}}`, "iam:PassRole", "arn:aws:iam::000000000000:role/r"},
		{"CreateService", `{"ServiceName":"shop","SourceConfiguration":{"AuthenticationConfiguration":{"AccessRoleArn":"arn:aws:iam::000000000000:role/a"}}}`, `"Action":"iam:PassRole","Resource":"*"`, "iam:PassRole", "arn:aws:iam::000000000000:role/a"},
		{"CreateService", body(`{"ServiceName":"shop",%s,"AutoScalingConfigurationArn":%q}`, image, prefix+"autoscalingconfiguration/DefaultConfiguration"), `"Action":"*","Resource":"*","Condition":{"ArnLike":{"apprunner:AutoScalingConfigurationArn":"` + defaultScaling + `"}}`, "CreateService", service},
		{"CreateService", body(`{"ServiceName":"shop",%s,"AutoScalingConfigurationArn":%q}`, image, prefix+"autoscalingconfiguration/DefaultConfiguration"), `"Action":"*","Resource":"` + defaultScaling + `"`, "CreateService", defaultScaling},
		{"CreateService", body(`{"ServiceName":"shop","SourceConfiguration":{"AuthenticationConfiguration":{"ConnectionArn":%q}}}`, prefix+"connection/prod/7"), `"Action":"*","Resource":"*","Condition":{"ArnLike":{"apprunner:ConnectionArn":"arn:aws:apprunner:*:*:connection/prod/*"}}`, "CreateService", service},
		{"CreateService", body(`{"ServiceName":"shop",%s,"NetworkConfiguration":{"EgressConfiguration":{"VpcConnectorArn":%q}}}`, image, prefix+"vpcconnector/v/1/7"), `"Action":"*","Resource":"*","Condition":{"ArnLike":{"apprunner:VpcConnectorArn":"arn:aws:apprunner:*:*:vpcconnector/v/*"}}`, "CreateService", service},
		{"UpdateService", body(`{"ServiceArn":%q,"ObservabilityConfiguration":{"ObservabilityEnabled":true,"ObservabilityConfigurationArn":%q}}`, id, prefix+"observabilityconfiguration/o/1/7"), `"Action":"*","Resource":"*","Condition":{"ArnLike":{"apprunner:ObservabilityConfigurationArn":"arn:aws:apprunner:*:*:observabilityconfiguration/o/*"}}`, "UpdateService", id},
		{"UpdateService", body(`{"ServiceArn":%q}`, id), `"Action":"*","Resource":"` + id + `"`, "UpdateService", id},
		{"DescribeService", body(`{"ServiceArn":%q}`, id), `"Action":"*","Resource":"` + id + `"`, "DescribeService", id},
		{"DeleteService", body(`{"ServiceArn":%q}`, id), `"Action":"apprunner:DisassociateCustomDomain","Resource":"*"`, "DisassociateCustomDomain", id},
		{"PauseService", body(`{"ServiceArn":%q}`, id), `"Action":"*","Resource":"` + id + `"`, "PauseService", id},
		{"ResumeService", body(`{"ServiceArn":%q}`, id), `"Action":"*","Resource":"` + id + `"`, "ResumeService", id},
		{"StartDeployment", body(`{"ServiceArn":%q}`, id), `"Action":"*","Resource":"` + id + `"`, "StartDeployment", id},
		{"ListOperations", body(`{"ServiceArn":%q}`, id), `"Action":"*","Resource":"` + id + `"`, "ListOperations", id},
		{"DescribeCustomDomains", body(`{"ServiceArn":%q}`, id), `"Action":"*","Resource":"` + id + `"`, "DescribeCustomDomains", id},
		{"ListServices", `{}`, `"Action":"apprunner:ListServices","Resource":"*"`, "ListServices", "*"},

		{"CreateAutoScalingConfiguration", `{"AutoScalingConfigurationName":"small"}`, `"Action":"*","Resource":"` + prefix + `autoscalingconfiguration/small/*"`, "CreateAutoScalingConfiguration", prefix + "autoscalingconfiguration/small/*"},
		{"DescribeAutoScalingConfiguration", body(`{"AutoScalingConfigurationArn":%q}`, prefix+"autoscalingconfiguration/DefaultConfiguration"), `"Action":"*","Resource":"` + defaultScaling + `"`, "DescribeAutoScalingConfiguration", defaultScaling},
		{"DeleteAutoScalingConfiguration", body(`{"AutoScalingConfigurationArn":%q}`, defaultScaling), `"Action":"*","Resource":"` + defaultScaling + `"`, "DeleteAutoScalingConfiguration", defaultScaling},
		{"UpdateDefaultAutoScalingConfiguration", body(`{"AutoScalingConfigurationArn":%q}`, defaultScaling), `"Action":"*","Resource":"` + defaultScaling + `"`, "UpdateDefaultAutoScalingConfiguration", defaultScaling},
		{"ListServicesForAutoScalingConfiguration", body(`{"AutoScalingConfigurationArn":%q}`, defaultScaling), `"Action":"*","Resource":"` + defaultScaling + `"`, "ListServicesForAutoScalingConfiguration", defaultScaling},
		{"ListAutoScalingConfigurations", `{}`, `"Action":"apprunner:List*","Resource":"*"`, "ListAutoScalingConfigurations", "*"},

		{"CreateConnection", `{"ConnectionName":"prod","ProviderType":"GITHUB"}`, `"Action":"*","Resource":"arn:aws:apprunner:*:*:connection/prod/*"`, "CreateConnection", prefix + "connection/prod/*"},
		{"DeleteConnection", body(`{"ConnectionArn":%q}`, prefix+"connection/prod/7"), `"Action":"*","Resource":"arn:aws:apprunner:*:*:connection/prod/*"`, "DeleteConnection", prefix + "connection/prod/7"},
		{"CreateObservabilityConfiguration", `{"ObservabilityConfigurationName":"o"}`, `"Action":"*","Resource":"arn:aws:apprunner:*:*:observabilityconfiguration/o/*"`, "CreateObservabilityConfiguration", prefix + "observabilityconfiguration/o/*"},
		{"CreateVpcConnector", `{"VpcConnectorName":"v","Subnets":["subnet-1"]}`, `"Action":"*","Resource":"arn:aws:apprunner:*:*:vpcconnector/v/*"`, "CreateVpcConnector", prefix + "vpcconnector/v/*"},
		{"CreateVpcIngressConnection", body(`{"VpcIngressConnectionName":"in","ServiceArn":%q,"IngressVpcConfiguration":{"VpcId":"vpc-1","VpcEndpointId":"vpce-1"}}`, id), `"Action":"*","Resource":"*","Condition":{"ArnEquals":{"apprunner:ServiceArn":"` + id + `"},"StringEquals":{"apprunner:VpcId":"vpc-1","apprunner:VpcEndpointId":"vpce-1"}}`, "CreateVpcIngressConnection", prefix + "vpcingressconnection/in/*"},
		{"UpdateVpcIngressConnection", body(`{"VpcIngressConnectionArn":%q,"IngressVpcConfiguration":{"VpcId":"vpc-1","VpcEndpointId":"vpce-1"}}`, prefix+"vpcingressconnection/in/7"), `"Action":"*","Resource":"*","Condition":{"StringEquals":{"apprunner:VpcId":"vpc-1"}}`, "UpdateVpcIngressConnection", prefix + "vpcingressconnection/in/7"},

		{"TagResource", body(`{"ResourceArn":%q%s}`, id, tagged), `"Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:RequestTag/team":"red"}}`, "TagResource", id},
		{"UntagResource", body(`{"ResourceArn":%q,"TagKeys":["team"]}`, id), `"Action":"*","Resource":"*","Condition":{"ForAnyValue:StringEquals":{"aws:TagKeys":"team"}}`, "UntagResource", id},
		{"ListTagsForResource", body(`{"ResourceArn":%q}`, id), `"Action":"*","Resource":"` + id + `"`, "ListTagsForResource", id},
		{"DescribeService", `{}`, `"Action":"*","Resource":"*"`, "DescribeService", "*"},
	} {
		t.Run(c.operation, func(t *testing.T) {
			t.Parallel()
			_, ann := limited(t, denying(c.deny))
			action := c.action
			if !strings.Contains(action, ":") {
				action = "apprunner:" + action
			}
			want := "User: arn:aws:iam::000000000000:user/ann is not authorized to perform: " + action + " on resource: " + c.resource +
				" with an explicit deny in an identity-based policy"
			if w := ann.call(c.operation, c.body); w.Code != 403 || w.Doc["Message"] != want {
				t.Errorf("%s under %s: %d %s\nwant %s", c.body, c.deny, w.Code, w.Body, want)
			}
			_, free := limited(t, allowAll)
			if w := free.call(c.operation, c.body); w.Doc["__type"] == "AccessDeniedException" {
				t.Errorf("%s: %s", c.body, w.Body)
			}
		})
	}
}

// No abbreviation of an ARN slips past a policy for the whole.
func TestAbbreviatedARNs(t *testing.T) {
	t.Parallel()
	root, ann := limited(t, denying(`"Action":"*","Resource":"arn:aws:apprunner:*:*:service/shop/*"`))
	arn := root.ok("CreateService", `{"ServiceName":"shop",`+image+`}`)["Service"].(map[string]any)["ServiceArn"].(string)
	short := prefix + "service/shop"
	for _, operation := range []string{"DescribeService", "PauseService", "DeleteService"} {
		w := ann.call(operation, `{"ServiceArn":"`+short+`"}`)
		if w.Doc["__type"] != "AccessDeniedException" || !strings.Contains(w.Doc["Message"].(string), arn) {
			t.Errorf("%s: %s", operation, w.Body)
		}
	}
	root.ok("DescribeService", `{"ServiceArn":"`+short+`"}`)
}

// The tags that a resource has decide who may change it.
func TestResourceTags(t *testing.T) {
	t.Parallel()
	root, ann := limited(t, `{"Effect":"Allow","Action":"apprunner:*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/owner":"${aws:username}"}}}`)
	create := func(name, owner string) string {
		doc := root.ok("CreateAutoScalingConfiguration", `{"AutoScalingConfigurationName":"`+name+`","Tags":[{"Key":"owner","Value":"`+owner+`"}]}`)
		return doc["AutoScalingConfiguration"].(map[string]any)["AutoScalingConfigurationArn"].(string)
	}
	ann.ok("DeleteAutoScalingConfiguration", `{"AutoScalingConfigurationArn":"`+create("hers", "ann")+`"}`)
	ann.refused("DeleteAutoScalingConfiguration", `{"AutoScalingConfigurationArn":"`+create("theirs", "bob")+`"}`, "AccessDeniedException", "no identity-based policy allows")
	ann.refused("ListServices", `{}`, "AccessDeniedException", "apprunner:ListServices on resource: *")
}

// That a service does not exist is only for those to hear who may ask.
func TestRefusalTellsNothing(t *testing.T) {
	t.Parallel()
	_, ann := limited(t, `{"Effect":"Allow","Action":"apprunner:DescribeService","Resource":"arn:aws:apprunner:*:*:service/mine/*"}`)
	ann.refused("DescribeService", `{"ServiceArn":"`+noService+`"}`, "AccessDeniedException", noService)
	ann.refused("DescribeService", `{"ServiceArn":"`+prefix+`service/mine/0f3c6f2f5a7b4c0e9d1e2a3b4c5d6e7f"}`, "ResourceNotFoundException", "")
}
