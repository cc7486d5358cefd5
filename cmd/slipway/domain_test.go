package main

import (
	"context"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/internal/wire"
)

// fakeDomain is a custom domain that advances by one status with each
// DescribeCustomDomains.
type fakeDomain struct {
	types.CustomDomain
	next []types.CustomDomainAssociationStatus // next statuses; a removed domain does not exist after the last one
}

// callDomain answers the calls about a service's custom domains.
func (f *fakeServer) callDomain(s *types.Service, operation string, body []byte) (any, error) {
	in, err := decode[apprunner.AssociateCustomDomainInput](body)
	if err != nil {
		return nil, err
	}
	arn := *s.ServiceArn
	target, _, _ := strings.Cut(*s.ServiceUrl, ":")
	none := []types.VpcDNSTarget{}
	switch operation {
	case "AssociateCustomDomain":
		d := f.addDomain(arn, *in.DomainName, aws.ToBool(in.EnableWWWSubdomain))
		return &apprunner.AssociateCustomDomainOutput{DNSTarget: &target, ServiceArn: &arn, CustomDomain: &d.CustomDomain, VpcDNSTargets: none}, nil
	case "DisassociateCustomDomain":
		for _, d := range f.domains[arn] {
			if *d.DomainName == *in.DomainName {
				d.Status, d.next = "deleting", []types.CustomDomainAssociationStatus{""}
				return &apprunner.DisassociateCustomDomainOutput{DNSTarget: &target, ServiceArn: &arn, CustomDomain: &d.CustomDomain, VpcDNSTargets: none}, nil
			}
		}
		return nil, wire.NewException("ResourceNotFoundException", "No custom domain "+*in.DomainName+" found for the provided service")
	}
	out := &apprunner.DescribeCustomDomainsOutput{DNSTarget: &target, ServiceArn: &arn, CustomDomains: []types.CustomDomain{}, VpcDNSTargets: none}
	for _, d := range f.domains[arn] {
		if d.Status != "" {
			out.CustomDomains = append(out.CustomDomains, d.CustomDomain)
		}
		if len(d.next) > 0 {
			d.Status, d.next = d.next[0], d.next[1:]
		}
	}
	f.domains[arn] = slices.DeleteFunc(f.domains[arn], func(d *fakeDomain) bool { return d.Status == "" })
	return out, nil
}

func (f *fakeServer) addDomain(arn, name string, www bool) *fakeDomain {
	d := &fakeDomain{next: []types.CustomDomainAssociationStatus{"creating", "pending_certificate_dns_validation"}}
	d.DomainName, d.EnableWWWSubdomain, d.Status = &name, &www, "creating"
	if strings.HasSuffix(name, ".localhost") {
		d.next = append(d.next, "binding_certificate", "active")
	}
	if strings.HasPrefix(name, "late.") {
		d.next = append(d.next, "create_failed")
	}
	for _, record := range []string{"_0123456789abcdef0123456789abcdef.", "_fedcba9876543210fedcba9876543210.2a57j7abcdefghijklmnopqrstuvwx."} {
		d.CertificateValidationRecords = append(d.CertificateValidationRecords, types.CertificateValidationRecord{
			Type: aws.String("CNAME"), Name: aws.String(record + name + "."), Value: aws.String(record[:34] + "abcdefghij.acm-validations.aws."),
			Status: types.CertificateValidationRecordStatusPendingValidation,
		})
	}
	f.domains[arn] = append(f.domains[arn], d)
	return d
}

func TestDomain(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.server.add("shop", types.ServiceStatusRunning)
	s.server.add("blog", types.ServiceStatusRunning)
	s.run("domain", "ls")
	s.run("domain", "add", "shop", "shop.example.com")
	s.run("domain", "add", "shop", "example.com", "--www", "--json")
	s.run("domain", "add", "blog", "blog.localhost", "--wait")
	s.run("domain", "add", "blog", "late.example.com", "--wait")
	s.run("domain", "add", "blog", "late.example.net", "--wait", "--json")
	s.run("domain", "ls")
	s.run("domain", "ls", "blog")
	s.run("domain", "ls", "shop", "--json")
	s.run("domain", "rm", "blog", "blog.localhost", "--yes")
	s.run("domain", "rm", "blog", "blog.localhost", "--yes")
	s.run("domain", "rm", "blog", "late.example.com", "--wait=false", "--json", "--yes")
	s.run("domain", "add", "shop")
	s.run("domain", "add", "shp", "example.com")
	s.run("domain", "sell")
	s.golden()
}

// The DNS targets of a private service are its VPC ingress connections.
func TestDomainTargets(t *testing.T) {
	t.Parallel()
	public := aws.String("abc.us-east-1.slipway.localhost")
	if got := targetsOf(public, nil); !slices.Equal(got, []dnsTarget{{host: *public}}) {
		t.Errorf("public: %v", got)
	}
	private := []types.VpcDNSTarget{{DomainName: aws.String("xyz.slipway.localhost"), VpcId: aws.String("vpc-1")}}
	if got := targetsOf(public, private); !slices.Equal(got, []dnsTarget{{"xyz.slipway.localhost", "vpc-1"}}) {
		t.Errorf("private: %v", got)
	}
}

// A user who stops waiting for a domain's validation is told that the server
// continues.
func TestDomainWaitStops(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.server.add("shop", types.ServiceStatusRunning)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan struct{})
	var code int
	var stdout, stderr string
	go func() {
		defer close(done)
		code, stdout, stderr = s.quietly(ctx, "domain", "add", "shop", "example.com", "--wait")
	}()
	for pending := false; !pending; {
		s.server.mu.Lock()
		for _, list := range s.server.domains {
			pending = len(list) == 1 && len(list[0].next) == 0
		}
		s.server.mu.Unlock()
		runtime.Gosched()
	}
	cancel()
	<-done
	if code != exitInterrupted || !strings.Contains(stderr, "stopped waiting; the server goes on") {
		t.Errorf("exit %d\n%s%s", code, stdout, stderr)
	}
}
