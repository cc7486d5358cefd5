package harness

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
)

// CreateVPCConnector creates a VPC connector to the subnets and returns its ARN.
func (s *Server) CreateVPCConnector(name string, subnets ...string) string {
	s.T.Helper()
	out, err := s.Client().CreateVpcConnector(s.T.Context(), &apprunner.CreateVpcConnectorInput{VpcConnectorName: &name, Subnets: subnets})
	if err != nil {
		s.T.Fatalf("CreateVpcConnector: %v", err)
	}
	return *out.VpcConnector.VpcConnectorArn
}

// EgressThrough returns the configuration of egress through a VPC connector, or of
// the default egress where the ARN is empty.
func EgressThrough(connector string) *types.NetworkConfiguration {
	e := &types.EgressConfiguration{EgressType: types.EgressTypeDefault}
	if connector != "" {
		e = &types.EgressConfiguration{EgressType: types.EgressTypeVpc, VpcConnectorArn: &connector}
	}
	return &types.NetworkConfiguration{EgressConfiguration: e}
}

// PrivateNetwork returns the network configuration of a private service, or of a
// public one.
func PrivateNetwork(yes bool) *types.NetworkConfiguration {
	return &types.NetworkConfiguration{IngressConfiguration: &types.IngressConfiguration{IsPubliclyAccessible: !yes}}
}

// WaitIngressConnection waits until a VPC ingress connection has a status, and
// returns it.
func (s *Server) WaitIngressConnection(arn string, want types.VpcIngressConnectionStatus) *types.VpcIngressConnection {
	s.T.Helper()
	var c *types.VpcIngressConnection
	Eventually(s.T, "the VPC ingress connection is "+string(want), func() (bool, string) {
		out, err := s.Client().DescribeVpcIngressConnection(s.T.Context(), &apprunner.DescribeVpcIngressConnectionInput{VpcIngressConnectionArn: &arn})
		if err != nil {
			return false, err.Error()
		}
		c = out.VpcIngressConnection
		return c.Status == want, string(c.Status)
	})
	return c
}

// WaitStatus waits until an address answers requests to a host with a status. The
// router sees a change a moment after its commit.
func (s *Server) WaitStatus(addr, host string, want int) {
	s.T.Helper()
	Eventually(s.T, fmt.Sprintf("%s answers %d for %s", addr, want, host), func() (bool, string) {
		code, body, err := s.get(addr, host, "/")
		return err == nil && code == want, fmt.Sprint(code, " ", body, " ", err)
	})
}
