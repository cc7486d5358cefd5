package network

import (
	"bufio"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/e2e/harness"
	"github.com/openslipway/slipway/internal/domain/dnstest"
)

// activateDomain associates a domain and publishes its records.
func activateDomain(s *harness.Server, svc *types.Service, dns *dnstest.Server, name string, www bool) {
	s.T.Helper()
	s.AssociateDomain(svc, name, www)
	// Where another domain's records suffice, this one is pending for a moment only.
	harness.Eventually(s.T, "the records of "+name+" are shown", func() (bool, string) {
		d := s.Domain(svc, name)
		harness.PublishRecords(dns, d)
		return len(d.CertificateValidationRecords) > 0, string(d.Status)
	})
	s.WaitDomain(svc, name, harness.DomainActive)
}

// TestCustomDomains takes the domains of two services through all their states, and
// kills the server in each.
func TestCustomDomains(t *testing.T) {
	t.Parallel()
	s, dns := harness.ServeWithDNS(t)
	image := s.Push(harness.WebImage(t, "1"), "domains:latest")
	shop := s.RunningService("shop", harness.Spec{Image: image, Env: map[string]string{"GREETING": "shop"}})
	blog := s.RunningService("blog", harness.Spec{Image: image, Env: map[string]string{"GREETING": "blog"}})
	again := func() { s.Kill(); s.Start() }

	s.AssociateDomain(shop, "example.com", true)
	again() // creating
	d := s.WaitDomain(shop, "example.com", harness.DomainPending)
	if len(d.CertificateValidationRecords) != 3 {
		t.Errorf("%d records, want 3", len(d.CertificateValidationRecords))
	}
	s.WaitHostStatus("example.com", 404)
	again() // pending
	harness.PublishRecords(dns, d)
	s.WaitDomain(shop, "example.com", "binding_certificate")
	again() // binding
	s.WaitDomain(shop, "example.com", harness.DomainActive)
	s.WaitHostGreeting("example.com", "shop")
	again() // active
	s.WaitHostGreeting("www.example.com", "shop")
	s.WaitHostStatus("blog.example.com", 404)

	// A wildcard serves the names that no domain spells out, of any service.
	activateDomain(s, blog, dns, "*.example.com", false)
	s.WaitHostGreeting("blog.example.com", "blog")
	s.WaitHostGreeting("www.example.com", "shop")
	s.WaitHostGreeting("example.com", "shop")
	s.WaitHostStatus("a.b.example.com", 404)
	for _, taken := range []string{"example.com", "www.example.com"} {
		_, err := s.Client().AssociateCustomDomain(t.Context(), &apprunner.AssociateCustomDomainInput{
			ServiceArn: blog.ServiceArn, DomainName: &taken, EnableWWWSubdomain: aws.Bool(false),
		})
		if err == nil || !strings.Contains(err.Error(), taken+" is already associated with") {
			t.Errorf("%s taken by another service: %v", taken, err)
		}
	}

	dns.Clear() // it stays served when its records go
	s.Pause(shop)
	s.WaitHostStatus("example.com", 503)
	resume, err := s.Client().ResumeService(t.Context(), &apprunner.ResumeServiceInput{ServiceArn: shop.ServiceArn})
	if err != nil {
		t.Fatal(err)
	}
	s.WaitHostGreeting("example.com", "shop") // and a request waits for the service
	s.WaitSucceeded(shop, *resume.OperationId)

	if _, err := s.Client().DisassociateCustomDomain(t.Context(), &apprunner.DisassociateCustomDomainInput{
		ServiceArn: shop.ServiceArn, DomainName: aws.String("example.com"),
	}); err != nil {
		t.Fatal(err)
	}
	again() // deleting
	s.WaitHostStatus("example.com", 404)
	s.WaitHostGreeting("www.example.com", "blog") // by the wildcard
	s.WaitDomain(shop, "example.com", harness.DomainGone)

	// The domains of a deleted service can be associated again.
	del, err := s.Client().DeleteService(t.Context(), &apprunner.DeleteServiceInput{ServiceArn: blog.ServiceArn})
	if err != nil {
		t.Fatal(err)
	}
	s.WaitSucceeded(blog, *del.OperationId)
	s.WaitHostStatus("www.example.com", 404)
	s.WaitDomain(blog, "*.example.com", harness.DomainGone)
	s.AssociateDomain(shop, "*.example.com", false)
}

// TestLocalhostNeedsNoProof associates a domain below localhost with the slipway
// command.
func TestLocalhostNeedsNoProof(t *testing.T) {
	t.Parallel()
	s, _ := harness.ServeWithDNS(t)
	svc := s.RunningService("local", harness.Spec{Image: s.Push(harness.WebImage(t, "1"), "local:latest"), Env: map[string]string{"GREETING": "hello"}})
	if out, err := s.RunSlipway("domain", "add", "local", "shop.localhost", "--wait"); err != nil || !strings.Contains(out, "shop.localhost is active") {
		t.Fatalf("slipway domain add: %v\n%s", err, out)
	}
	s.WaitHostGreeting("shop.localhost", "hello")
	if out, err := s.RunSlipway("domain", "ls"); err != nil || !strings.Contains(out, "shop.localhost") {
		t.Errorf("slipway domain ls: %v\n%s", err, out)
	}
	if out, err := s.RunSlipway("domain", "rm", "local", "shop.localhost", "--yes"); err != nil {
		t.Errorf("slipway domain rm: %v\n%s", err, out)
	}
	s.WaitDomain(svc, "shop.localhost", harness.DomainGone)
	s.WaitHostStatus("shop.localhost", 404)
}

// TestPrivateCustomDomain reaches a private service by a custom domain at its VPC
// endpoint, and nowhere else.
func TestPrivateCustomDomain(t *testing.T) {
	t.Parallel()
	door := harness.FreeAddr(t)
	s := harness.Serve(t, "--vpc-endpoint", "vpce-1="+door)
	svc := s.RunningService("private", harness.Spec{Image: s.Push(harness.WebImage(t, "1"), "private:latest"), Network: harness.PrivateNetwork(true)})
	made, err := s.Client().CreateVpcIngressConnection(t.Context(), &apprunner.CreateVpcIngressConnectionInput{
		ServiceArn: svc.ServiceArn, VpcIngressConnectionName: aws.String("door"),
		IngressVpcConfiguration: &types.IngressVpcConfiguration{VpcId: aws.String("vpc-1"), VpcEndpointId: aws.String("vpce-1")},
	})
	if err != nil {
		t.Fatal(err)
	}
	c := s.WaitIngressConnection(*made.VpcIngressConnection.VpcIngressConnectionArn, types.VpcIngressConnectionStatusAvailable)
	out, err := s.Client().AssociateCustomDomain(t.Context(), &apprunner.AssociateCustomDomainInput{
		ServiceArn: svc.ServiceArn, DomainName: aws.String("private.localhost"), EnableWWWSubdomain: aws.Bool(false),
	})
	if err != nil {
		t.Fatal(err)
	}
	host, _, _ := strings.Cut(*c.DomainName, ":")
	if len(out.VpcDNSTargets) != 1 || *out.VpcDNSTargets[0].DomainName != host || *out.VpcDNSTargets[0].VpcId != "vpc-1" {
		t.Errorf("the domain's targets are %v, want %s in vpc-1", out.VpcDNSTargets, host)
	}
	s.WaitDomain(svc, "private.localhost", harness.DomainActive)
	s.WaitStatus(door, "private.localhost", 200)
	s.WaitStatus(s.HostPort(), "private.localhost", 404)

	if _, err := s.Client().DeleteVpcIngressConnection(t.Context(), &apprunner.DeleteVpcIngressConnectionInput{VpcIngressConnectionArn: c.VpcIngressConnectionArn}); err != nil {
		t.Fatal(err)
	}
	s.WaitIngressConnection(*c.VpcIngressConnectionArn, types.VpcIngressConnectionStatusDeleted)
}

// TestCustomDomainAWSCLI associates a domain with the AWS CLI.
func TestCustomDomainAWSCLI(t *testing.T) {
	t.Parallel()
	s, dns := harness.ServeWithDNS(t)
	c := harness.NewAWSCLI(t, s)
	svc := s.RunningService("domains", harness.Spec{Image: s.Push(harness.WebImage(t, "1"), "domains:latest"), Env: map[string]string{"GREETING": "cli"}})
	var out struct {
		DNSTarget    string
		CustomDomain types.CustomDomain
	}
	c.Run(&out, "associate-custom-domain", "--service-arn", *svc.ServiceArn, "--domain-name", "cli.example.com", "--no-enable-www-subdomain")
	if host, _, _ := strings.Cut(*svc.ServiceUrl, ":"); out.DNSTarget != host || out.CustomDomain.Status != "creating" || *out.CustomDomain.EnableWWWSubdomain {
		t.Errorf("associate-custom-domain: %+v, want the target %s", out, host)
	}
	describe := func() types.CustomDomain {
		var list struct{ CustomDomains []types.CustomDomain }
		c.Run(&list, "describe-custom-domains", "--service-arn", *svc.ServiceArn, "--max-results", "5")
		return append(list.CustomDomains, types.CustomDomain{})[0]
	}
	harness.Eventually(t, "the records are shown", func() (bool, string) {
		d := describe()
		harness.PublishRecords(dns, d)
		return len(d.CertificateValidationRecords) == 2, string(d.Status)
	})
	harness.Eventually(t, "the domain is active", func() (bool, string) { d := describe(); return d.Status == harness.DomainActive, string(d.Status) })
	s.WaitHostGreeting("cli.example.com", "cli")
	c.Run(&out, "disassociate-custom-domain", "--service-arn", *svc.ServiceArn, "--domain-name", "cli.example.com")
	if out.CustomDomain.Status != "deleting" || len(out.CustomDomain.CertificateValidationRecords) != 2 {
		t.Errorf("disassociate-custom-domain: %+v", out)
	}
	s.WaitHostStatus("cli.example.com", 404)
	harness.Eventually(t, "the domain is gone", func() (bool, string) { d := describe(); return d.Status == "", string(d.Status) })
}

// TestCustomDomainBoto3 does what Copilot's custom resource does, with Debian's
// boto3; the script says what it expects, and asks for records to be published.
func TestCustomDomainBoto3(t *testing.T) {
	t.Parallel()
	s, dns := harness.ServeWithDNS(t)
	svc := s.RunningService("copilot", harness.Spec{Image: s.Push(harness.WebImage(t, "1"), "boto:latest")})
	cmd := s.Python("domain.py", s.API, s.HostPort(), *svc.ServiceArn)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var d types.CustomDomain
		if err := json.Unmarshal(lines.Bytes(), &d); err != nil {
			t.Errorf("domain.py: %s", lines.Bytes())
			continue
		}
		harness.PublishRecords(dns, d)
		fmt.Fprintln(in, "published")
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("domain.py: %v", err)
	}
}
