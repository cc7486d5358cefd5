package network

import (
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/miekg/dns"

	"github.com/openslipway/slipway/e2e/harness"
)

// serveDNS serves DNS at an address inside. Every name resolves to that address.
func serveDNS(n *harness.Network, t testing.TB, addr string) {
	t.Helper()
	var c net.PacketConn
	err := n.Do(func() (err error) {
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

// TestVPCEgress checks from inside of instances what they reach: an internet and two
// private networks behind the host.
func TestVPCEgress(t *testing.T) {
	t.Parallel()
	host, outside, near, other := harness.NewNetwork(t), harness.NewNetwork(t), harness.NewNetwork(t), harness.NewNetwork(t)
	harness.Connect(t, "up0", host, "198.51.100.1/24", outside, "198.51.100.2/24")
	harness.Connect(t, "near0", host, "10.20.0.1/24", near, "10.20.0.2/24")
	harness.Connect(t, "other0", host, "10.30.0.1/24", other, "10.30.0.2/24")
	host.Route(t, "198.51.100.2")
	near.Route(t, "10.20.0.1")
	other.Route(t, "10.30.0.1")
	outside.Serve(t, "198.51.100.2:80", "the internet")
	near.Serve(t, "10.20.0.2:80", "a database")
	serveDNS(near, t, "10.20.0.2")
	other.Serve(t, "10.30.0.2:80", "another database")
	host.Serve(t, "127.0.0.1:9001", "the host's loopback")
	host.Serve(t, "0.0.0.0:9002", "the host")

	s := harness.ServeIn(t, host, "--api-addr", "0.0.0.0:8070", "--http-addr", "0.0.0.0:8080",
		"--network", "subnet-near=10.20.0.0/24,via=near0,dns=10.20.0.2", "--network", "subnet-other=10.30.0.0/24,dns=none")
	connector := s.CreateVPCConnector("near", "subnet-near")
	image := s.Push(harness.HostileImage(t), "hostile:1")
	free := s.RunningService("free", harness.Spec{Image: image})
	confined := s.RunningService("confined", harness.Spec{Image: image, Network: harness.EgressThrough(connector)})
	own := []string{ // of the host, and of the server on it
		"127.0.0.1:9001", "127.0.0.1:8070", "198.51.100.1:9002", "198.51.100.1:8070", "10.20.0.1:9002", "10.20.0.1:8070", "10.20.0.1:8080",
	}
	reach := func(by *types.Service, reached []string, refused ...string) {
		t.Helper()
		for _, to := range reached {
			if held, detail := s.Attack(t, by, "dial", url.Values{"to": {to}}); held {
				t.Errorf("%s does not reach %s: %s", *by.ServiceName, to, detail)
			}
		}
		if held, detail := s.Attack(t, by, "dial", url.Values{"to": append(refused, own...)}); !held {
			t.Errorf("%s: %s", *by.ServiceName, detail)
		}
	}
	outward := []string{"198.51.100.2:80"}
	reach(free, outward, "10.20.0.2:80", "10.30.0.2:80")
	inside := []string{"10.20.0.2:80", "database.internal:80"}
	reach(confined, inside, "198.51.100.2:80", "10.30.0.2:80", "198.51.100.2:53")

	s.Kill()
	s.Start()
	reach(confined, inside, "198.51.100.2:80", "10.30.0.2:80")
	reach(free, outward, "10.20.0.2:80", "10.30.0.2:80")

	update := func(svc *types.Service, n *types.NetworkConfiguration) {
		t.Helper()
		out, err := s.Client().UpdateService(t.Context(), &apprunner.UpdateServiceInput{ServiceArn: svc.ServiceArn, NetworkConfiguration: n})
		if err != nil {
			t.Fatal(err)
		}
		s.WaitSucceeded(svc, *out.OperationId)
	}
	update(confined, harness.EgressThrough(""))
	reach(confined, outward, "10.20.0.2:80", "10.30.0.2:80")
	update(free, harness.EgressThrough(s.CreateVPCConnector("both", "subnet-near", "subnet-other")))
	reach(free, append(inside, "10.30.0.2:80"), "198.51.100.2:80")

	refusesEgress(s, confined, s.CreateVPCConnector("lost", "subnet-near", "subnet-lost"))
}

// refusesEgress checks that a service can't use a connector to a subnet that the
// server has no network for.
func refusesEgress(s *harness.Server, svc *types.Service, connector string) {
	s.T.Helper()
	_, err := s.Client().UpdateService(s.T.Context(), &apprunner.UpdateServiceInput{ServiceArn: svc.ServiceArn, NetworkConfiguration: harness.EgressThrough(connector)})
	e, ok := errors.AsType[*types.InvalidRequestException](err)
	if !ok || !strings.Contains(aws.ToString(e.Message), "subnet-lost") || !strings.Contains(aws.ToString(e.Message), "subnet-near, subnet-other") {
		s.T.Errorf("a connector to a subnet that is not configured: %v", err)
	}
	_, err = s.Client().DeleteVpcConnector(s.T.Context(), &apprunner.DeleteVpcConnectorInput{VpcConnectorArn: &connector})
	if err != nil {
		s.T.Errorf("DeleteVpcConnector: %v", err)
	}
}

// updateIngressConnection moves a VPC ingress connection to another endpoint.
func updateIngressConnection(s *harness.Server, arn, vpc, endpoint string, want types.VpcIngressConnectionStatus) *types.VpcIngressConnection {
	s.T.Helper()
	out, err := s.Client().UpdateVpcIngressConnection(s.T.Context(), &apprunner.UpdateVpcIngressConnectionInput{
		VpcIngressConnectionArn: &arn, IngressVpcConfiguration: &types.IngressVpcConfiguration{VpcId: &vpc, VpcEndpointId: &endpoint},
	})
	if err != nil {
		s.T.Fatalf("UpdateVpcIngressConnection: %v", err)
	}
	if out.VpcIngressConnection.Status != types.VpcIngressConnectionStatusPendingUpdate {
		s.T.Errorf("UpdateVpcIngressConnection shows the status %s", out.VpcIngressConnection.Status)
	}
	return s.WaitIngressConnection(arn, want)
}

// TestVPCIngress reaches a private service at the endpoint of its VPC ingress
// connection, and nowhere else.
func TestVPCIngress(t *testing.T) {
	t.Parallel()
	one, two := harness.FreeAddr(t), harness.FreeAddr(t)
	s := harness.Serve(t, "--vpc-endpoint", "vpce-1="+one, "--vpc-endpoint", "vpce-2="+two+",vpc=vpc-2")
	if s.Endpoints["vpce-1"] != one || s.Endpoints["vpce-2"] != two {
		t.Errorf("the ready file has the endpoints %v", s.Endpoints)
	}
	image := s.Push(harness.WebImage(t, "1"), "web:1")
	open := s.RunningService("open", harness.Spec{Image: image})
	shop := s.RunningService("shop", harness.Spec{Image: image, Network: harness.PrivateNetwork(true)})
	if shop.ServiceUrl != nil {
		t.Errorf("a private service has the URL %s", *shop.ServiceUrl)
	}
	domains, err := s.Client().DescribeCustomDomains(t.Context(), &apprunner.DescribeCustomDomainsInput{ServiceArn: shop.ServiceArn})
	if err != nil {
		t.Fatal(err)
	}
	public := *domains.DNSTarget // would be its host if it were public
	s.WaitStatus(s.HostPort(), public, http.StatusNotFound)

	made, err := s.Client().CreateVpcIngressConnection(t.Context(), &apprunner.CreateVpcIngressConnectionInput{
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
	s.WaitIngressConnection(arn, types.VpcIngressConnectionStatusAvailable)
	served := func(at string, elsewhere ...string) {
		t.Helper()
		s.WaitStatus(at, host, http.StatusOK)
		for _, addr := range elsewhere {
			s.WaitStatus(addr, host, http.StatusNotFound)
			s.WaitStatus(addr, public, http.StatusNotFound)
		}
		for _, addr := range []string{one, two} {
			s.WaitStatus(addr, *open.ServiceUrl, http.StatusNotFound)
		}
		s.WaitStatus(s.HostPort(), *open.ServiceUrl, http.StatusOK)
	}
	served(one, two, s.HostPort())

	updateIngressConnection(s, arn, "vpc-1", "vpce-2", types.VpcIngressConnectionStatusFailedUpdate) // which is in vpc-2
	served(one, two, s.HostPort())
	s.Kill()
	s.Start()
	served(one, two, s.HostPort())
	c := updateIngressConnection(s, arn, "vpc-2", "vpce-2", types.VpcIngressConnectionStatusAvailable)
	host = *c.DomainName
	served(two, one, s.HostPort())

	update := func(n *types.NetworkConfiguration) {
		t.Helper()
		out, err := s.Client().UpdateService(t.Context(), &apprunner.UpdateServiceInput{ServiceArn: shop.ServiceArn, NetworkConfiguration: n})
		if err != nil {
			t.Fatal(err)
		}
		s.WaitSucceeded(shop, *out.OperationId)
	}
	update(harness.PrivateNetwork(false))
	s.WaitStatus(s.HostPort(), public, http.StatusOK)
	s.WaitStatus(two, host, http.StatusNotFound)
	update(harness.PrivateNetwork(true))
	served(two, one, s.HostPort())

	s.Pause(shop)
	s.WaitStatus(two, host, http.StatusServiceUnavailable)

	_, err = s.Client().DeleteService(t.Context(), &apprunner.DeleteServiceInput{ServiceArn: shop.ServiceArn})
	if e, ok := errors.AsType[*types.InvalidStateException](err); !ok || !strings.Contains(aws.ToString(e.Message), arn) {
		t.Errorf("DeleteService of a connected service: %v", err)
	}
	if _, err := s.Client().DeleteVpcIngressConnection(t.Context(), &apprunner.DeleteVpcIngressConnectionInput{VpcIngressConnectionArn: &arn}); err != nil {
		t.Fatal(err)
	}
	s.WaitIngressConnection(arn, types.VpcIngressConnectionStatusDeleted)
	s.WaitStatus(two, host, http.StatusNotFound)
}
