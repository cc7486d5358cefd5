package network

import (
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/e2e/harness"
)

// TestVPCBoto3 creates, uses and deletes VPC connectors and VPC ingress connections
// with Debian's boto3. The script holds the expectations.
func TestVPCBoto3(t *testing.T) {
	t.Parallel()
	entry := harness.FreeAddr(t)
	s := harness.Serve(t, "--network", "subnet-a=10.20.0.0/16", "--vpc-endpoint", "vpce-1="+entry)
	s.Boto3("vpc.py", s.API, entry, s.Push(harness.WebImage(t, "1"), "boto:latest"))
}

// TestVPCAWSCLI does the same, in short, with the AWS CLI.
func TestVPCAWSCLI(t *testing.T) {
	t.Parallel()
	entry := harness.FreeAddr(t)
	s := harness.Serve(t, "--network", "subnet-a=10.20.0.0/16", "--vpc-endpoint", "vpce-1="+entry)
	cli := harness.NewAWSCLI(t, s)
	var made struct {
		VpcConnector         struct{ VpcConnectorArn, Status string }
		VpcIngressConnection struct{ VpcIngressConnectionArn, Status, DomainName string }
	}
	cli.Run(&made, "create-vpc-connector", "--vpc-connector-name", "near", "--subnets", "subnet-a", "--tags", "Key=team,Value=web")
	connector := made.VpcConnector.VpcConnectorArn
	svc := s.RunningService("shop", harness.Spec{Image: s.Push(harness.WebImage(t, "1"), "web:1"), Network: &types.NetworkConfiguration{
		EgressConfiguration: harness.EgressThrough(connector).EgressConfiguration, IngressConfiguration: harness.PrivateNetwork(true).IngressConfiguration,
	}})
	cli.Run(&made, "create-vpc-ingress-connection", "--service-arn", *svc.ServiceArn, "--vpc-ingress-connection-name", "door",
		"--ingress-vpc-configuration", "VpcId=vpc-1,VpcEndpointId=vpce-1")
	door := made.VpcIngressConnection.VpcIngressConnectionArn
	if made.VpcIngressConnection.Status != "PENDING_CREATION" {
		t.Errorf("create-vpc-ingress-connection shows the status %s", made.VpcIngressConnection.Status)
	}
	s.WaitIngressConnection(door, types.VpcIngressConnectionStatusAvailable)
	s.WaitStatus(entry, made.VpcIngressConnection.DomainName, http.StatusOK)
	var list struct {
		VpcConnectors                   []struct{ VpcConnectorName string }
		VpcIngressConnectionSummaryList []struct{ VpcIngressConnectionArn string }
	}
	cli.Run(&list, "list-vpc-connectors")
	cli.Run(&list, "list-vpc-ingress-connections", "--filter", "VpcEndpointId=vpce-1")
	if len(list.VpcConnectors) != 1 || len(list.VpcIngressConnectionSummaryList) != 1 || list.VpcIngressConnectionSummaryList[0].VpcIngressConnectionArn != door {
		t.Errorf("listed are %+v", list)
	}
	cli.Run(nil, "delete-vpc-ingress-connection", "--vpc-ingress-connection-arn", door)
	s.WaitIngressConnection(door, types.VpcIngressConnectionStatusDeleted)
	if _, err := cli.Output("delete-vpc-connector", "--vpc-connector-arn", connector); err == nil || !strings.Contains(err.Error(), "InvalidRequestException") {
		t.Errorf("delete-vpc-connector of one in use: %v", err)
	}
	s.DeleteAll()
	cli.Run(&made, "delete-vpc-connector", "--vpc-connector-arn", connector)
	if made.VpcConnector.Status != "INACTIVE" {
		t.Errorf("delete-vpc-connector shows the status %s", made.VpcConnector.Status)
	}
}
