package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/internal/domain/dnstest"
)

// Statuses of domains as they are on the wire: in lower case, unlike the SDK's
// constants.
const (
	domainPending = "pending_certificate_dns_validation"
	domainActive  = "active"
	domainGone    = "" // there is no such domain
)

// serveWithDNS starts a server that proves domains by a name server of the
// test's.
func serveWithDNS(t testing.TB) (*server, *dnstest.Server) {
	t.Helper()
	dns := dnstest.New(t)
	return serve(t, "--dns-resolver", dns.Addr), dns
}

// domain returns a service's domain as DescribeCustomDomains tells it, with no
// status when there is none.
func (s *server) domain(svc *types.Service, name string) types.CustomDomain {
	s.t.Helper()
	out, err := s.client().DescribeCustomDomains(s.t.Context(), &apprunner.DescribeCustomDomainsInput{ServiceArn: svc.ServiceArn})
	if err != nil {
		s.t.Fatalf("DescribeCustomDomains: %v", err)
	}
	for _, d := range out.CustomDomains {
		if *d.DomainName == name {
			return d
		}
	}
	return types.CustomDomain{}
}

// domainGets waits until a domain has a status.
func (s *server) domainGets(svc *types.Service, name, status string) types.CustomDomain {
	s.t.Helper()
	var d types.CustomDomain
	eventually(s.t, name+" becomes "+status, func() (bool, string) {
		d = s.domain(svc, name)
		return string(d.Status) == status, string(d.Status)
	})
	return d
}

func (s *server) associate(svc *types.Service, name string, www bool) {
	s.t.Helper()
	if _, err := s.client().AssociateCustomDomain(s.t.Context(), &apprunner.AssociateCustomDomainInput{
		ServiceArn: svc.ServiceArn, DomainName: &name, EnableWWWSubdomain: &www,
	}); err != nil {
		s.t.Fatalf("AssociateCustomDomain: %v", err)
	}
}

// activate associates a domain and publishes its records.
func (s *server) activate(svc *types.Service, dns *dnstest.Server, name string, www bool) {
	s.t.Helper()
	s.associate(svc, name, www)
	// Records may be there from another domain: then it is pending for a moment.
	eventually(s.t, "the records of "+name+" are told", func() (bool, string) {
		d := s.domain(svc, name)
		publish(dns, d)
		return len(d.CertificateValidationRecords) > 0, string(d.Status)
	})
	s.domainGets(svc, name, domainActive)
}

func publish(dns *dnstest.Server, d types.CustomDomain) {
	for _, r := range d.CertificateValidationRecords {
		dns.Set(*r.Name, *r.Value)
	}
}

// under is the service as it is reached by another host name.
func under(svc *types.Service, host string) *types.Service {
	at := *svc
	at.ServiceUrl = &host
	return &at
}

// hostAnswers waits until a host is answered with a status: routers learn of a
// change a moment after its call.
func (s *server) hostAnswers(host string, want int) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("%s answers %d", host, want), func() (bool, string) {
		code, body, err := s.request(under(&types.Service{}, host), "/")
		return err == nil && code == want, fmt.Sprint(code, body, err)
	})
}

// hostAnswersAs waits until a host is answered by the app with the greeting.
func (s *server) hostAnswersAs(host, greeting string) {
	s.t.Helper()
	eventually(s.t, host+" answers "+greeting, func() (bool, string) {
		r, err := s.ask(under(&types.Service{}, host), "/")
		return err == nil && r.Greeting == greeting && r.Host == host, fmt.Sprint(r, err)
	})
}

// TestCustomDomains leads domains of two services through their lives, with a
// server that is killed in every state.
func TestCustomDomains(t *testing.T) {
	t.Parallel()
	s, dns := serveWithDNS(t)
	image := s.push(web(t, "1"), "domains:latest")
	shop := s.runningService("shop", spec{image: image, env: map[string]string{"GREETING": "shop"}})
	blog := s.runningService("blog", spec{image: image, env: map[string]string{"GREETING": "blog"}})
	again := func() { s.kill(); s.start() }

	s.associate(shop, "example.com", true)
	again() // creating
	d := s.domainGets(shop, "example.com", domainPending)
	if len(d.CertificateValidationRecords) != 3 {
		t.Errorf("%d records, want 3", len(d.CertificateValidationRecords))
	}
	s.hostAnswers("example.com", 404)
	again() // pending
	publish(dns, d)
	s.domainGets(shop, "example.com", "binding_certificate")
	again() // binding
	s.domainGets(shop, "example.com", domainActive)
	s.hostAnswersAs("example.com", "shop")
	again() // active
	s.hostAnswersAs("www.example.com", "shop")
	s.hostAnswers("blog.example.com", 404)

	// A wildcard has what no name is spelt out for, whosever that is.
	s.activate(blog, dns, "*.example.com", false)
	s.hostAnswersAs("blog.example.com", "blog")
	s.hostAnswersAs("www.example.com", "shop")
	s.hostAnswersAs("example.com", "shop")
	s.hostAnswers("a.b.example.com", 404)
	for _, taken := range []string{"example.com", "www.example.com"} {
		_, err := s.client().AssociateCustomDomain(t.Context(), &apprunner.AssociateCustomDomainInput{
			ServiceArn: blog.ServiceArn, DomainName: &taken, EnableWWWSubdomain: aws.Bool(false),
		})
		if err == nil || !strings.Contains(err.Error(), taken+" is already associated with") {
			t.Errorf("%s taken by another service: %v", taken, err)
		}
	}

	dns.Clear() // it stays served when its records go
	pause, err := s.client().PauseService(t.Context(), &apprunner.PauseServiceInput{ServiceArn: shop.ServiceArn})
	if err != nil {
		t.Fatal(err)
	}
	s.succeeds(shop, *pause.OperationId)
	s.hostAnswers("example.com", 503)
	resume, err := s.client().ResumeService(t.Context(), &apprunner.ResumeServiceInput{ServiceArn: shop.ServiceArn})
	if err != nil {
		t.Fatal(err)
	}
	s.hostAnswersAs("example.com", "shop") // and a request waits for the service
	s.succeeds(shop, *resume.OperationId)

	if _, err := s.client().DisassociateCustomDomain(t.Context(), &apprunner.DisassociateCustomDomainInput{
		ServiceArn: shop.ServiceArn, DomainName: aws.String("example.com"),
	}); err != nil {
		t.Fatal(err)
	}
	again() // deleting
	s.hostAnswers("example.com", 404)
	s.hostAnswersAs("www.example.com", "blog") // by the wildcard
	s.domainGets(shop, "example.com", domainGone)

	// A deleted service gives its domains back.
	del, err := s.client().DeleteService(t.Context(), &apprunner.DeleteServiceInput{ServiceArn: blog.ServiceArn})
	if err != nil {
		t.Fatal(err)
	}
	s.succeeds(blog, *del.OperationId)
	s.hostAnswers("www.example.com", 404)
	s.domainGets(blog, "*.example.com", domainGone)
	s.associate(shop, "*.example.com", false)
}

// TestLocalhostNeedsNoProof tries a domain on one machine, with our own client.
func TestLocalhostNeedsNoProof(t *testing.T) {
	t.Parallel()
	s, _ := serveWithDNS(t)
	svc := s.runningService("local", spec{image: s.push(web(t, "1"), "local:latest"), env: map[string]string{"GREETING": "hello"}})
	if out, err := s.slipway("domain", "add", "local", "shop.localhost", "--wait"); err != nil || !strings.Contains(out, "shop.localhost is active") {
		t.Fatalf("slipway domain add: %v\n%s", err, out)
	}
	s.hostAnswersAs("shop.localhost", "hello")
	if out, err := s.slipway("domain", "ls"); err != nil || !strings.Contains(out, "shop.localhost") {
		t.Errorf("slipway domain ls: %v\n%s", err, out)
	}
	if out, err := s.slipway("domain", "rm", "local", "shop.localhost"); err != nil {
		t.Errorf("slipway domain rm: %v\n%s", err, out)
	}
	s.domainGets(svc, "shop.localhost", domainGone)
	s.hostAnswers("shop.localhost", 404)
}

// TestPrivateCustomDomain reaches a private service by a domain of its own: at
// the VPC endpoint that leads to it, and nowhere else.
func TestPrivateCustomDomain(t *testing.T) {
	t.Parallel()
	door := freeAddr(t)
	s := serve(t, "--vpc-endpoint", "vpce-1="+door)
	svc := s.runningService("private", spec{image: s.push(web(t, "1"), "private:latest"), network: private(true)})
	made, err := s.client().CreateVpcIngressConnection(t.Context(), &apprunner.CreateVpcIngressConnectionInput{
		ServiceArn: svc.ServiceArn, VpcIngressConnectionName: aws.String("door"),
		IngressVpcConfiguration: &types.IngressVpcConfiguration{VpcId: aws.String("vpc-1"), VpcEndpointId: aws.String("vpce-1")},
	})
	if err != nil {
		t.Fatal(err)
	}
	c := s.ingress(*made.VpcIngressConnection.VpcIngressConnectionArn, types.VpcIngressConnectionStatusAvailable)
	out, err := s.client().AssociateCustomDomain(t.Context(), &apprunner.AssociateCustomDomainInput{
		ServiceArn: svc.ServiceArn, DomainName: aws.String("private.localhost"), EnableWWWSubdomain: aws.Bool(false),
	})
	if err != nil {
		t.Fatal(err)
	}
	host, _, _ := strings.Cut(*c.DomainName, ":")
	if len(out.VpcDNSTargets) != 1 || *out.VpcDNSTargets[0].DomainName != host || *out.VpcDNSTargets[0].VpcId != "vpc-1" {
		t.Errorf("the domain's targets are %v, want %s in vpc-1", out.VpcDNSTargets, host)
	}
	s.domainGets(svc, "private.localhost", domainActive)
	s.answers(door, "private.localhost", 200)
	s.answers(s.hostPort(), "private.localhost", 404)

	if _, err := s.client().DeleteVpcIngressConnection(t.Context(), &apprunner.DeleteVpcIngressConnectionInput{VpcIngressConnectionArn: c.VpcIngressConnectionArn}); err != nil {
		t.Fatal(err)
	}
	s.ingress(*c.VpcIngressConnectionArn, types.VpcIngressConnectionStatusDeleted)
}

// TestCustomDomainAWSCLI does it with the AWS CLI.
func TestCustomDomainAWSCLI(t *testing.T) {
	t.Parallel()
	s, dns := serveWithDNS(t)
	c := newAWSCLI(t, s)
	svc := s.runningService("domains", spec{image: s.push(web(t, "1"), "domains:latest"), env: map[string]string{"GREETING": "cli"}})
	var out struct {
		DNSTarget    string
		CustomDomain types.CustomDomain
	}
	c.run(&out, "associate-custom-domain", "--service-arn", *svc.ServiceArn, "--domain-name", "cli.example.com", "--no-enable-www-subdomain")
	if host, _, _ := strings.Cut(*svc.ServiceUrl, ":"); out.DNSTarget != host || out.CustomDomain.Status != "creating" || *out.CustomDomain.EnableWWWSubdomain {
		t.Errorf("associate-custom-domain: %+v, want the target %s", out, host)
	}
	describe := func() types.CustomDomain {
		var list struct{ CustomDomains []types.CustomDomain }
		c.run(&list, "describe-custom-domains", "--service-arn", *svc.ServiceArn, "--max-results", "5")
		return append(list.CustomDomains, types.CustomDomain{})[0]
	}
	eventually(t, "the records are shown", func() (bool, string) {
		d := describe()
		publish(dns, d)
		return len(d.CertificateValidationRecords) == 2, string(d.Status)
	})
	eventually(t, "the domain is active", func() (bool, string) { d := describe(); return d.Status == domainActive, string(d.Status) })
	s.hostAnswersAs("cli.example.com", "cli")
	c.run(&out, "disassociate-custom-domain", "--service-arn", *svc.ServiceArn, "--domain-name", "cli.example.com")
	if out.CustomDomain.Status != "deleting" || len(out.CustomDomain.CertificateValidationRecords) != 2 {
		t.Errorf("disassociate-custom-domain: %+v", out)
	}
	s.hostAnswers("cli.example.com", 404)
	eventually(t, "the domain is gone", func() (bool, string) { d := describe(); return d.Status == "", string(d.Status) })
}

// TestCustomDomainBoto3 does what Copilot's custom resource does, with Debian's
// boto3; the script says what it expects, and asks for records to be published.
func TestCustomDomainBoto3(t *testing.T) {
	t.Parallel()
	s, dns := serveWithDNS(t)
	svc := s.runningService("copilot", spec{image: s.push(web(t, "1"), "boto:latest")})
	cmd := s.python("domain.py", s.API, s.hostPort(), *svc.ServiceArn)
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
		publish(dns, d)
		fmt.Fprintln(in, "published")
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("domain.py: %v", err)
	}
}

// TestTerraformCustomDomain applies an association whose records nobody
// publishes, as Terraform's users have it after their first apply, finds no
// drift, imports it, and, once it is proved, still finds none; then it replaces
// it by one that needs no proof, and destroys that.
func TestTerraformCustomDomain(t *testing.T) {
	t.Parallel()
	s, dns := serveWithDNS(t)
	f := newTerraform(t, s, s.push(web(t, "1"), "terraform:latest"), "domain.tf")
	named := func(domain string) { f.env = append(f.env, "TF_VAR_domain="+domain) }
	named("tf.example.com")
	f.run(0, "", "init", "-input=false", "-no-color")
	f.apply("hello")
	out := f.outputs()
	svc := &types.Service{ServiceArn: aws.String(out["arn"]), ServiceUrl: aws.String(out["url"]), ServiceName: aws.String("from-terraform")}
	host, _, _ := strings.Cut(out["url"], ":")
	if status := s.domain(svc, "tf.example.com").Status; out["records"] != "3" || out["target"] != host || status != domainPending {
		t.Errorf("after apply: %s records, target %s, status %s; want 3, %s, %s", out["records"], out["target"], status, host, domainPending)
	}
	f.plan(0, "hello")

	const own = "aws_apprunner_custom_domain_association.own"
	f.run(0, "hello", "state", "rm", own)
	f.run(0, "hello", "import", "-input=false", "-no-color", own, "tf.example.com,"+out["arn"])
	f.plan(0, "hello")

	publish(dns, s.domain(svc, "tf.example.com"))
	s.domainGets(svc, "tf.example.com", domainActive)
	s.hostAnswersAs("www.tf.example.com", "hello")
	f.plan(0, "hello")

	named("other.localhost") // which shows no state that lasts before it is bound
	f.apply("hello")
	s.hostAnswers("tf.example.com", 404)
	if d := s.domain(svc, "tf.example.com"); d.Status != "" {
		t.Errorf("the domain that was replaced is %s", d.Status)
	}
	f.run(0, "hello", "destroy", "-auto-approve", "-input=false", "-no-color")
	s.assertDeleted(svc)
}
