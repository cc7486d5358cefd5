package harness

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/internal/domain/dnstest"
)

// Statuses of domains on the wire. They are in lower case, unlike the SDK's
// constants.
const (
	DomainPending = "pending_certificate_dns_validation"
	DomainActive  = "active"
	DomainGone    = "" // there is no such domain
)

// ServeWithDNS starts a server that validates domains with the returned name
// server.
func ServeWithDNS(t testing.TB) (*Server, *dnstest.Server) {
	t.Helper()
	dns := dnstest.New(t)
	return Serve(t, "--dns-resolver", dns.Addr), dns
}

// Domain returns a custom domain of a service from DescribeCustomDomains. Without
// such a domain its status is empty.
func (s *Server) Domain(svc *types.Service, name string) types.CustomDomain {
	s.T.Helper()
	out, err := s.Client().DescribeCustomDomains(s.T.Context(), &apprunner.DescribeCustomDomainsInput{ServiceArn: svc.ServiceArn})
	if err != nil {
		s.T.Fatalf("DescribeCustomDomains: %v", err)
	}
	for _, d := range out.CustomDomains {
		if *d.DomainName == name {
			return d
		}
	}
	return types.CustomDomain{}
}

// WaitDomain waits until a domain has a status.
func (s *Server) WaitDomain(svc *types.Service, name, status string) types.CustomDomain {
	s.T.Helper()
	var d types.CustomDomain
	Eventually(s.T, name+" becomes "+status, func() (bool, string) {
		d = s.Domain(svc, name)
		return string(d.Status) == status, string(d.Status)
	})
	return d
}

// AssociateDomain calls AssociateCustomDomain.
func (s *Server) AssociateDomain(svc *types.Service, name string, www bool) {
	s.T.Helper()
	if _, err := s.Client().AssociateCustomDomain(s.T.Context(), &apprunner.AssociateCustomDomainInput{
		ServiceArn: svc.ServiceArn, DomainName: &name, EnableWWWSubdomain: &www,
	}); err != nil {
		s.T.Fatalf("AssociateCustomDomain: %v", err)
	}
}

// PublishRecords publishes the validation records of a domain.
func PublishRecords(dns *dnstest.Server, d types.CustomDomain) {
	for _, r := range d.CertificateValidationRecords {
		dns.Set(*r.Name, *r.Value)
	}
}

// atHost returns a copy of the service with another host name.
func atHost(svc *types.Service, host string) *types.Service {
	at := *svc
	at.ServiceUrl = &host
	return &at
}

// WaitHostStatus waits until requests to a host are answered with a status. Routers
// see a change a moment after its call.
func (s *Server) WaitHostStatus(host string, want int) {
	s.T.Helper()
	Eventually(s.T, fmt.Sprintf("%s answers %d", host, want), func() (bool, string) {
		code, body, err := s.Request(atHost(&types.Service{}, host), "/")
		return err == nil && code == want, fmt.Sprint(code, body, err)
	})
}

// WaitHostGreeting waits until the app answers requests to a host with a greeting.
func (s *Server) WaitHostGreeting(host, greeting string) {
	s.T.Helper()
	Eventually(s.T, host+" answers "+greeting, func() (bool, string) {
		r, err := s.Ask(atHost(&types.Service{}, host), "/")
		return err == nil && r.Greeting == greeting && r.Host == host, fmt.Sprint(r, err)
	})
}
