package terraform

import (
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/e2e/harness"
)

// TestVPCTerraform applies a private service with its connector and ingress
// connection, finds no drift, imports, changes and destroys them.
func TestVPCTerraform(t *testing.T) {
	t.Parallel()
	entry := harness.FreeAddr(t)
	s := harness.Serve(t, "--network", "subnet-a=10.20.0.0/16", "--network", "subnet-b=10.20.0.0/16", "--vpc-endpoint", "vpce-1="+entry)
	f := harness.NewTerraformIn(t, s, s.Push(harness.WebImage(t, "1"), "terraform:latest"), "testdata/vpc")
	f.Run(0, "", "init", "-input=false", "-no-color")
	f.Apply("one")
	out := f.Outputs()
	if out["connector_status"] != "ACTIVE" || out["door_status"] != "AVAILABLE" || !strings.Contains(out["connector"], ":vpcconnector/near/1/") ||
		!strings.Contains(out["door"], ":vpcingressconnection/door/") {
		t.Errorf("the outputs are %v", out)
	}
	s.WaitStatus(entry, out["domain"], http.StatusOK)
	f.Plan(0, "one")

	for address, id := range map[string]string{"aws_apprunner_vpc_connector.near": out["connector"], "aws_apprunner_vpc_ingress_connection.door": out["door"]} {
		f.Run(0, "one", "state", "rm", address)
		f.Run(0, "one", "import", "-input=false", "-no-color", address, id)
	}
	f.Plan(0, "one")

	f.Plan(2, "two")
	f.Apply("two")
	f.Plan(0, "two")
	tags, err := s.Client().ListTagsForResource(t.Context(), &apprunner.ListTagsForResourceInput{ResourceArn: aws.String(out["door"])})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, tag := range tags.Tags {
		got[*tag.Key] = *tag.Value
	}
	if len(got) != 2 || got["team"] != "web" || got["greeting"] != "two" {
		t.Errorf("the connection's tags are %v", got)
	}

	f.Run(0, "two", "destroy", "-auto-approve", "-input=false", "-no-color")
	arn := out["arn"]
	s.AssertDeleted(&types.Service{ServiceArn: &arn, ServiceUrl: aws.String(out["domain"]), ServiceName: aws.String("from-terraform")})
	list, err := s.Client().ListVpcConnectors(t.Context(), &apprunner.ListVpcConnectorsInput{})
	if err != nil || len(list.VpcConnectors) != 0 {
		t.Errorf("destroyed, there are connectors: %v, %v", list, err)
	}
}
