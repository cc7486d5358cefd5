package e2e

import (
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
)

// TestVPCTerraform applies a private service with its connector and ingress
// connection, finds no drift, imports, changes and destroys them.
func TestVPCTerraform(t *testing.T) {
	t.Parallel()
	entry := freeAddr(t)
	s := serve(t, "--network", "subnet-a=10.20.0.0/16", "--network", "subnet-b=10.20.0.0/16", "--vpc-endpoint", "vpce-1="+entry)
	f := newTerraformIn(t, s, s.push(web(t, "1"), "terraform:latest"), "testdata/terraform-vpc")
	f.run(0, "", "init", "-input=false", "-no-color")
	f.apply("one")
	out := f.outputs()
	if out["connector_status"] != "ACTIVE" || out["door_status"] != "AVAILABLE" || !strings.Contains(out["connector"], ":vpcconnector/near/1/") ||
		!strings.Contains(out["door"], ":vpcingressconnection/door/") {
		t.Errorf("the outputs are %v", out)
	}
	s.answers(entry, out["domain"], http.StatusOK)
	f.plan(0, "one")

	for address, id := range map[string]string{"aws_apprunner_vpc_connector.near": out["connector"], "aws_apprunner_vpc_ingress_connection.door": out["door"]} {
		f.run(0, "one", "state", "rm", address)
		f.run(0, "one", "import", "-input=false", "-no-color", address, id)
	}
	f.plan(0, "one")

	f.plan(2, "two")
	f.apply("two")
	f.plan(0, "two")
	tags, err := s.client().ListTagsForResource(t.Context(), &apprunner.ListTagsForResourceInput{ResourceArn: aws.String(out["door"])})
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

	f.run(0, "two", "destroy", "-auto-approve", "-input=false", "-no-color")
	arn := out["arn"]
	s.assertDeleted(&types.Service{ServiceArn: &arn, ServiceUrl: aws.String(out["domain"]), ServiceName: aws.String("from-terraform")})
	list, err := s.client().ListVpcConnectors(t.Context(), &apprunner.ListVpcConnectorsInput{})
	if err != nil || len(list.VpcConnectors) != 0 {
		t.Errorf("destroyed, there are connectors: %v, %v", list, err)
	}
}

// TestVPCBoto3 leads connectors and connections through their lives with
// Debian's boto3; the script says what it expects.
func TestVPCBoto3(t *testing.T) {
	t.Parallel()
	entry := freeAddr(t)
	s := serve(t, "--network", "subnet-a=10.20.0.0/16", "--vpc-endpoint", "vpce-1="+entry)
	s.boto3("vpc.py", s.API, entry, s.push(web(t, "1"), "boto:latest"))
}

// TestVPCAWSCLI does the same in few words with the AWS CLI.
func TestVPCAWSCLI(t *testing.T) {
	t.Parallel()
	entry := freeAddr(t)
	s := serve(t, "--network", "subnet-a=10.20.0.0/16", "--vpc-endpoint", "vpce-1="+entry)
	cli := newAWSCLI(t, s)
	var made struct {
		VpcConnector         struct{ VpcConnectorArn, Status string }
		VpcIngressConnection struct{ VpcIngressConnectionArn, Status, DomainName string }
	}
	cli.run(&made, "create-vpc-connector", "--vpc-connector-name", "near", "--subnets", "subnet-a", "--tags", "Key=team,Value=web")
	connector := made.VpcConnector.VpcConnectorArn
	svc := s.runningService("shop", spec{image: s.push(web(t, "1"), "web:1"), network: &types.NetworkConfiguration{
		EgressConfiguration: egress(connector).EgressConfiguration, IngressConfiguration: private(true).IngressConfiguration,
	}})
	cli.run(&made, "create-vpc-ingress-connection", "--service-arn", *svc.ServiceArn, "--vpc-ingress-connection-name", "door",
		"--ingress-vpc-configuration", "VpcId=vpc-1,VpcEndpointId=vpce-1")
	door := made.VpcIngressConnection.VpcIngressConnectionArn
	if made.VpcIngressConnection.Status != "PENDING_CREATION" {
		t.Errorf("create-vpc-ingress-connection shows the status %s", made.VpcIngressConnection.Status)
	}
	s.ingress(door, types.VpcIngressConnectionStatusAvailable)
	s.answers(entry, made.VpcIngressConnection.DomainName, http.StatusOK)
	var list struct {
		VpcConnectors                   []struct{ VpcConnectorName string }
		VpcIngressConnectionSummaryList []struct{ VpcIngressConnectionArn string }
	}
	cli.run(&list, "list-vpc-connectors")
	cli.run(&list, "list-vpc-ingress-connections", "--filter", "VpcEndpointId=vpce-1")
	if len(list.VpcConnectors) != 1 || len(list.VpcIngressConnectionSummaryList) != 1 || list.VpcIngressConnectionSummaryList[0].VpcIngressConnectionArn != door {
		t.Errorf("listed are %+v", list)
	}
	cli.run(nil, "delete-vpc-ingress-connection", "--vpc-ingress-connection-arn", door)
	s.ingress(door, types.VpcIngressConnectionStatusDeleted)
	if _, err := cli.output("delete-vpc-connector", "--vpc-connector-arn", connector); err == nil || !strings.Contains(err.Error(), "InvalidRequestException") {
		t.Errorf("delete-vpc-connector of one in use: %v", err)
	}
	s.deleteAll()
	cli.run(&made, "delete-vpc-connector", "--vpc-connector-arn", connector)
	if made.VpcConnector.Status != "INACTIVE" {
		t.Errorf("delete-vpc-connector shows the status %s", made.VpcConnector.Status)
	}
}
