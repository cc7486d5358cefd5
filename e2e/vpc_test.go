package e2e

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/miekg/dns"
)

// connector makes a VPC connector to the subnets and returns its ARN.
func (s *server) connector(name string, subnets ...string) string {
	s.t.Helper()
	out, err := s.client().CreateVpcConnector(s.t.Context(), &apprunner.CreateVpcConnectorInput{VpcConnectorName: &name, Subnets: subnets})
	if err != nil {
		s.t.Fatalf("CreateVpcConnector: %v", err)
	}
	return *out.VpcConnector.VpcConnectorArn
}

// egress is the way out by a connector, or all instances' where it is "".
func egress(connector string) *types.NetworkConfiguration {
	e := &types.EgressConfiguration{EgressType: types.EgressTypeDefault}
	if connector != "" {
		e = &types.EgressConfiguration{EgressType: types.EgressTypeVpc, VpcConnectorArn: &connector}
	}
	return &types.NetworkConfiguration{EgressConfiguration: e}
}

// resolve serves DNS at an address inside: every name is there.
func (n *network) resolve(t testing.TB, addr string) {
	t.Helper()
	var c net.PacketConn
	err := n.within(func() (err error) {
		c, err = net.ListenPacket("udp", addr+":53")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	s := &dns.Server{PacketConn: c, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		r := new(dns.Msg).SetReply(q)
		if q.Question[0].Qtype == dns.TypeA {
			r.Answer = append(r.Answer, &dns.A{
				Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1}, A: net.ParseIP(addr),
			})
		}
		w.WriteMsg(r)
	})}
	go s.ActivateAndServe()
	t.Cleanup(func() { s.Shutdown() })
}

// TestVPCEgress looks from inside of instances at a machine with an internet
// and two private networks behind it.
func TestVPCEgress(t *testing.T) {
	t.Parallel()
	host, outside, near, other := newNetwork(t), newNetwork(t), newNetwork(t), newNetwork(t)
	connect(t, "up0", host, "198.51.100.1/24", outside, "198.51.100.2/24")
	connect(t, "near0", host, "10.20.0.1/24", near, "10.20.0.2/24")
	connect(t, "other0", host, "10.30.0.1/24", other, "10.30.0.2/24")
	host.route(t, "198.51.100.2")
	near.route(t, "10.20.0.1")
	other.route(t, "10.30.0.1")
	outside.serve(t, "198.51.100.2:80", "the internet")
	near.serve(t, "10.20.0.2:80", "a database")
	near.resolve(t, "10.20.0.2")
	other.serve(t, "10.30.0.2:80", "another database")
	host.serve(t, "127.0.0.1:9001", "the host's loopback")
	host.serve(t, "0.0.0.0:9002", "the host")

	s := serveIn(t, host, "--api-addr", "0.0.0.0:8070", "--http-addr", "0.0.0.0:8080",
		"--network", "subnet-near=10.20.0.0/24,via=near0,dns=10.20.0.2", "--network", "subnet-other=10.30.0.0/24,dns=none")
	x := &siege{server: s}
	connector := s.connector("near", "subnet-near")
	image := s.push(hostileImage(t), "hostile:1")
	free := s.runningService("free", spec{image: image})
	confined := s.runningService("confined", spec{image: image, network: egress(connector)})
	own := []string{ // of the host, and of the server on it
		"127.0.0.1:9001", "127.0.0.1:8070", "198.51.100.1:9002", "198.51.100.1:8070", "10.20.0.1:9002", "10.20.0.1:8070", "10.20.0.1:8080",
	}
	look := func(by *types.Service, reached []string, refused ...string) {
		t.Helper()
		for _, to := range reached {
			if held, detail := x.attack(t, by, "dial", url.Values{"to": {to}}); held {
				t.Errorf("%s does not reach %s: %s", *by.ServiceName, to, detail)
			}
		}
		if held, detail := x.attack(t, by, "dial", url.Values{"to": append(refused, own...)}); !held {
			t.Errorf("%s: %s", *by.ServiceName, detail)
		}
	}
	outward := []string{"198.51.100.2:80"}
	look(free, outward, "10.20.0.2:80", "10.30.0.2:80")
	inside := []string{"10.20.0.2:80", "database.internal:80"}
	look(confined, inside, "198.51.100.2:80", "10.30.0.2:80", "198.51.100.2:53")

	s.kill()
	s.start()
	look(confined, inside, "198.51.100.2:80", "10.30.0.2:80")
	look(free, outward, "10.20.0.2:80", "10.30.0.2:80")

	update := func(svc *types.Service, n *types.NetworkConfiguration) {
		t.Helper()
		out, err := s.client().UpdateService(t.Context(), &apprunner.UpdateServiceInput{ServiceArn: svc.ServiceArn, NetworkConfiguration: n})
		if err != nil {
			t.Fatal(err)
		}
		s.succeeds(svc, *out.OperationId)
	}
	update(confined, egress(""))
	look(confined, outward, "10.20.0.2:80", "10.30.0.2:80")
	update(free, egress(s.connector("both", "subnet-near", "subnet-other")))
	look(free, append(inside, "10.30.0.2:80"), "198.51.100.2:80")

	s.refusesEgress(confined, s.connector("lost", "subnet-near", "subnet-lost"))
}

// refusesEgress expects that a service can't be given a connector one of whose
// subnets the server has no network for.
func (s *server) refusesEgress(svc *types.Service, connector string) {
	s.t.Helper()
	_, err := s.client().UpdateService(s.t.Context(), &apprunner.UpdateServiceInput{ServiceArn: svc.ServiceArn, NetworkConfiguration: egress(connector)})
	e, ok := errors.AsType[*types.InvalidRequestException](err)
	if !ok || !strings.Contains(aws.ToString(e.Message), "subnet-lost") || !strings.Contains(aws.ToString(e.Message), "subnet-near, subnet-other") {
		s.t.Errorf("a connector to a subnet that is not configured: %v", err)
	}
	_, err = s.client().DeleteVpcConnector(s.t.Context(), &apprunner.DeleteVpcConnectorInput{VpcConnectorArn: &connector})
	if err != nil {
		s.t.Errorf("DeleteVpcConnector: %v", err)
	}
}

// private is the network configuration of a service that is not public, or of
// one that is.
func private(yes bool) *types.NetworkConfiguration {
	return &types.NetworkConfiguration{IngressConfiguration: &types.IngressConfiguration{IsPubliclyAccessible: !yes}}
}

// ingress waits until a connection has a status and returns it.
func (s *server) ingress(arn string, want types.VpcIngressConnectionStatus) *types.VpcIngressConnection {
	s.t.Helper()
	var c *types.VpcIngressConnection
	eventually(s.t, "the VPC ingress connection is "+string(want), func() (bool, string) {
		out, err := s.client().DescribeVpcIngressConnection(s.t.Context(), &apprunner.DescribeVpcIngressConnectionInput{VpcIngressConnectionArn: &arn})
		if err != nil {
			return false, err.Error()
		}
		c = out.VpcIngressConnection
		return c.Status == want, string(c.Status)
	})
	return c
}

// lead leads a connection through another endpoint.
func (s *server) lead(arn, vpc, endpoint string, want types.VpcIngressConnectionStatus) *types.VpcIngressConnection {
	s.t.Helper()
	out, err := s.client().UpdateVpcIngressConnection(s.t.Context(), &apprunner.UpdateVpcIngressConnectionInput{
		VpcIngressConnectionArn: &arn, IngressVpcConfiguration: &types.IngressVpcConfiguration{VpcId: &vpc, VpcEndpointId: &endpoint},
	})
	if err != nil {
		s.t.Fatalf("UpdateVpcIngressConnection: %v", err)
	}
	if out.VpcIngressConnection.Status != types.VpcIngressConnectionStatusPendingUpdate {
		s.t.Errorf("UpdateVpcIngressConnection shows the status %s", out.VpcIngressConnection.Status)
	}
	return s.ingress(arn, want)
}

// answers waits until an address answers a host's requests with a code; what
// changed reaches the router a moment after its commit.
func (s *server) answers(addr, host string, want int) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("%s answers %d for %s", addr, want, host), func() (bool, string) {
		code, body, err := s.get(addr, host, "/")
		return err == nil && code == want, fmt.Sprint(code, " ", body, " ", err)
	})
}

// TestVPCIngress reaches a private service by the endpoints of a VPC, and by
// nothing else.
func TestVPCIngress(t *testing.T) {
	t.Parallel()
	one, two := freeAddr(t), freeAddr(t)
	s := serve(t, "--vpc-endpoint", "vpce-1="+one, "--vpc-endpoint", "vpce-2="+two+",vpc=vpc-2")
	if s.Endpoints["vpce-1"] != one || s.Endpoints["vpce-2"] != two {
		t.Errorf("the ready file has the endpoints %v", s.Endpoints)
	}
	image := s.push(web(t, "1"), "web:1")
	open := s.runningService("open", spec{image: image})
	shop := s.runningService("shop", spec{image: image, network: private(true)})
	if shop.ServiceUrl != nil {
		t.Errorf("a private service has the URL %s", *shop.ServiceUrl)
	}
	domains, err := s.client().DescribeCustomDomains(t.Context(), &apprunner.DescribeCustomDomainsInput{ServiceArn: shop.ServiceArn})
	if err != nil {
		t.Fatal(err)
	}
	public := *domains.DNSTarget // would be its host if it were public
	s.answers(s.hostPort(), public, http.StatusNotFound)

	made, err := s.client().CreateVpcIngressConnection(t.Context(), &apprunner.CreateVpcIngressConnectionInput{
		ServiceArn: shop.ServiceArn, VpcIngressConnectionName: aws.String("door"),
		IngressVpcConfiguration: &types.IngressVpcConfiguration{VpcId: aws.String("vpc-1"), VpcEndpointId: aws.String("vpce-1")},
	})
	if err != nil {
		t.Fatal(err)
	}
	arn, host := *made.VpcIngressConnection.VpcIngressConnectionArn, *made.VpcIngressConnection.DomainName
	if made.VpcIngressConnection.Status != types.VpcIngressConnectionStatusPendingCreation {
		t.Errorf("CreateVpcIngressConnection shows the status %s", made.VpcIngressConnection.Status)
	}
	if _, port, _ := net.SplitHostPort(one); !strings.HasSuffix(host, ":"+port) {
		t.Errorf("the domain name %s has not the port of %s", host, one)
	}
	s.ingress(arn, types.VpcIngressConnectionStatusAvailable)
	served := func(at string, elsewhere ...string) {
		t.Helper()
		s.answers(at, host, http.StatusOK)
		for _, addr := range elsewhere {
			s.answers(addr, host, http.StatusNotFound)
			s.answers(addr, public, http.StatusNotFound)
		}
		for _, addr := range []string{one, two} {
			s.answers(addr, *open.ServiceUrl, http.StatusNotFound)
		}
		s.answers(s.hostPort(), *open.ServiceUrl, http.StatusOK)
	}
	served(one, two, s.hostPort())

	s.lead(arn, "vpc-1", "vpce-2", types.VpcIngressConnectionStatusFailedUpdate) // which is in vpc-2
	served(one, two, s.hostPort())
	s.kill()
	s.start()
	served(one, two, s.hostPort())
	c := s.lead(arn, "vpc-2", "vpce-2", types.VpcIngressConnectionStatusAvailable)
	host = *c.DomainName
	served(two, one, s.hostPort())

	update := func(n *types.NetworkConfiguration) {
		t.Helper()
		out, err := s.client().UpdateService(t.Context(), &apprunner.UpdateServiceInput{ServiceArn: shop.ServiceArn, NetworkConfiguration: n})
		if err != nil {
			t.Fatal(err)
		}
		s.succeeds(shop, *out.OperationId)
	}
	update(private(false))
	s.answers(s.hostPort(), public, http.StatusOK)
	s.answers(two, host, http.StatusNotFound)
	update(private(true))
	served(two, one, s.hostPort())

	paused, err := s.client().PauseService(t.Context(), &apprunner.PauseServiceInput{ServiceArn: shop.ServiceArn})
	if err != nil {
		t.Fatal(err)
	}
	s.succeeds(shop, *paused.OperationId)
	s.answers(two, host, http.StatusServiceUnavailable)

	_, err = s.client().DeleteService(t.Context(), &apprunner.DeleteServiceInput{ServiceArn: shop.ServiceArn})
	if e, ok := errors.AsType[*types.InvalidRequestException](err); !ok || !strings.Contains(aws.ToString(e.Message), arn) {
		t.Errorf("DeleteService of a connected service: %v", err)
	}
	if _, err := s.client().DeleteVpcIngressConnection(t.Context(), &apprunner.DeleteVpcIngressConnectionInput{VpcIngressConnectionArn: &arn}); err != nil {
		t.Fatal(err)
	}
	s.ingress(arn, types.VpcIngressConnectionStatusDeleted)
	s.answers(two, host, http.StatusNotFound)
}
