package api_test

import (
	"errors"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/api"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/wire"
)

// newDomain returns the input that associates a custom domain and its www name.
func newDomain(service, name string) *apprunner.AssociateCustomDomainInput {
	return &apprunner.AssociateCustomDomainInput{ServiceArn: &service, DomainName: &name}
}

// newDomainWithoutWWW returns the input that associates a custom domain without
// its www name.
func newDomainWithoutWWW(service, name string) *apprunner.AssociateCustomDomainInput {
	return &apprunner.AssociateCustomDomainInput{ServiceArn: &service, DomainName: &name, EnableWWWSubdomain: aws.Bool(false)}
}

// removeDomain returns the input that disassociates a custom domain.
func removeDomain(service, name string) *apprunner.DisassociateCustomDomainInput {
	return &apprunner.DisassociateCustomDomainInput{ServiceArn: &service, DomainName: &name}
}

// reconcileDomain acts for internal/domain: the domain reaches a state, and its
// records a status.
func (b *bench) reconcileDomain(arn, name string, state slipway.DomainStatus, records slipway.RecordStatus) {
	b.Helper()
	b.Update(func(tx *store.Tx) error {
		d, err := tx.CustomDomain(path.Base(arn), name)
		if err != nil {
			return err
		}
		d.State = state
		for i := range d.Records {
			d.Records[i].Status = records
		}
		return tx.SaveCustomDomain(d)
	})
}

// prove acts for internal/domain: the claim to a domain is proved.
func (b *bench) prove(arn, name string) {
	b.Helper()
	b.reconcileDomain(arn, name, slipway.DomainActive, slipway.RecordValid)
	b.Update(func(tx *store.Tx) error {
		d, err := tx.CustomDomain(path.Base(arn), name)
		return errors.Join(err, tx.HoldHosts(d))
	})
}

// deleteDomain acts for internal/domain: it deletes a domain whose deletion was
// requested.
func (b *bench) deleteDomain(arn, name string) {
	b.Helper()
	b.Update(func(tx *store.Tx) error {
		d, err := tx.CustomDomain(path.Base(arn), name)
		if err != nil {
			return err
		}
		return tx.DeleteCustomDomain(d)
	})
}

// domains returns the domains of a service as App Runner's clients read them.
func (b *bench) domains(arn string) (list []types.CustomDomain) {
	b.Helper()
	for _, d := range invoke[api.DescribeCustomDomainsOutput](b, &apprunner.DescribeCustomDomainsInput{ServiceArn: &arn}).CustomDomains {
		list = append(list, types.CustomDomain{
			DomainName: d.DomainName, EnableWWWSubdomain: d.EnableWWWSubdomain, Status: d.Status, CertificateValidationRecords: d.CertificateValidationRecords,
		})
	}
	return list
}

// checkRecords checks the forms of the records of shop.example.com and its www
// name.
func checkRecords(t *testing.T, records []types.CertificateValidationRecord) {
	t.Helper()
	forms := []string{
		`^_[0-9a-f]{32}\.shop\.example\.com\.$`, `^_[0-9a-f]{32}\.2a57j7[a-z]{24}\.shop\.example\.com\.$`, `^_[0-9a-f]{32}\.www\.shop\.example\.com\.$`,
	}
	if len(records) != len(forms) {
		t.Fatalf("%d records, want 3 with www", len(records))
	}
	for i, form := range forms {
		r := records[i]
		if !regexp.MustCompile(form).MatchString(*r.Name) || *r.Type != "CNAME" || r.Status != types.CertificateValidationRecordStatusPendingValidation ||
			!regexp.MustCompile(`^_[0-9a-f]{32}\.[a-z]{10}\.acm-validations\.aws\.$`).MatchString(*r.Value) {
			t.Errorf("record %d is %s %s %s, %s", i, *r.Name, *r.Type, *r.Value, r.Status)
		}
	}
}

// The life of a domain as its members show it.
func TestCustomDomain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	arn := b.create("shop")
	host := strings.TrimSuffix(*b.describe(arn).ServiceUrl, ":8080")

	want := types.CustomDomain{
		DomainName: aws.String("Shop.Example.com"), EnableWWWSubdomain: aws.Bool(true), Status: "creating", // without records, as App Runner's answer
	}
	associated := invoke[apprunner.AssociateCustomDomainOutput](b, newDomain(arn, "Shop.Example.com"))
	if d := diff(&apprunner.AssociateCustomDomainOutput{
		CustomDomain: &want, DNSTarget: &host, ServiceArn: &arn, VpcDNSTargets: []types.VpcDNSTarget{},
	}, associated); d != "" {
		t.Errorf("associated (-want +got):\n%s", d)
	}
	shows := func(step string) {
		t.Helper()
		if d := diff([]types.CustomDomain{want}, b.domains(arn)); d != "" {
			t.Errorf("%s (-want +got):\n%s", step, d)
		}
	}
	shows("being created")

	b.reconcileDomain(arn, "shop.example.com", slipway.DomainPending, slipway.RecordPending)
	records := b.domains(arn)[0].CertificateValidationRecords
	checkRecords(t, records)
	want.Status, want.CertificateValidationRecords = "pending_certificate_dns_validation", records
	shows("pending")

	b.reconcileDomain(arn, "shop.example.com", slipway.DomainActive, slipway.RecordValid)
	want.Status, want.CertificateValidationRecords = "active", slices.Clone(records)
	for i := range records {
		want.CertificateValidationRecords[i].Status = types.CertificateValidationRecordStatusSuccess
	}
	shows("active")

	want.Status = "deleting"
	for range 2 { // the second call changes nothing
		out := invoke[apprunner.DisassociateCustomDomainOutput](b, removeDomain(arn, "SHOP.example.com"))
		if d := diff(&want, out.CustomDomain); d != "" || *out.DNSTarget != host {
			t.Errorf("disassociated from %s, want %s (-want +got):\n%s", *out.DNSTarget, host, d)
		}
	}
	if st := b.domains(arn)[0].Status; st != "deleting" {
		t.Errorf("until it is deleted it is %v", st)
	}
	b.refuse(newDomain(arn, "shop.example.com"), "InvalidStateException", "is being disassociated from "+arn)
	b.deleteDomain(arn, "shop.example.com")
	if got := b.domains(arn); len(got) != 0 {
		t.Errorf("%v is left", got)
	}

	// If the domain is associated anew, it has the records that are in DNS already.
	b.must(newDomainWithoutWWW(arn, "shop.example.com"))
	b.reconcileDomain(arn, "shop.example.com", slipway.DomainPending, slipway.RecordPending)
	again := b.domains(arn)[0].CertificateValidationRecords
	if len(again) != 2 || *again[0].Name != *records[0].Name {
		t.Errorf("associated anew without www: records %v, want the first two of %v", again, records)
	}
}

// A domain that is still being created is removed with its records, too.
func TestDisassociateWhileCreating(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	arn := b.create("shop")
	b.must(newDomain(arn, "example.com"))
	out := invoke[apprunner.DisassociateCustomDomainOutput](b, removeDomain(arn, "example.com"))
	if n := len(out.CustomDomain.CertificateValidationRecords); n != 3 {
		t.Errorf("%d records, want 3", n)
	}
}

func TestDomainNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, refusal string }{
		{"example.com", ""},
		{"a.b.c.d.example.com", ""},
		{"www.example.com", ""},
		{"example.co.uk", ""},
		{"*.example.com", ""},
		{"*.example.co.uk", ""},
		{"*.shop.localhost", ""},
		{"xn--bcher-kva.example", ""},
		{"1.2.3.4.example.com", ""},
		{strings.Repeat("a.", 87) + "a.example.com", ""},

		{"*.login.example.com", "*.example.com"},
		{"*.example.example.co.uk", "*.example.co.uk"},
		{"login*.example.com", "has a *"},
		{"a.*.example.com", "has a *"},
		{"*.*.example.com", "has a *"},
		{"*", "has a *"},
		{"*.com", "single label"},
		{"com", "single label"},
		{"localhost", "single label"},
		{"co.uk", "public suffix"},
		{"*.co.uk", "public suffix"},
		{"example..com", "no host name"},
		{"example.com.", "no host name"},
		{".example.com", "no host name"},
		{"-a.example.com", "no host name"},
		{"a-.example.com", "no host name"},
		{strings.Repeat("a", 64) + ".example.com", "no host name"},
		{strings.Repeat("a.", 90) + "example.com", "too long"},
		{"192.0.2.1", "IP address"},
		{"slipway.localhost", "own domain"},
		{"us-east-1.slipway.localhost", "own domain"},
		{"Abc.us-east-1.Slipway.localhost", "own domain"},
		{"*.slipway.localhost", "own domain"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			in := newDomainWithoutWWW(b.create("shop"), c.name)
			if c.refusal == "" {
				b.must(in)
				return
			}
			b.refuse(in, "InvalidRequestException", c.refusal)
		})
	}
}

// The host that EnableWWWSubdomain adds is not the server's own domain either.
func TestOwnDomainByWWW(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *api.Config) { c.Domain = "www.example.com" })
	arn := b.create("shop")
	b.refuse(newDomain(arn, "example.com"), "InvalidRequestException", "own domain www.example.com")
	b.must(newDomainWithoutWWW(arn, "example.com"))
}

func TestWildcardHasNoWWW(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	arn := b.create("shop")
	for _, www := range []*bool{aws.Bool(true), nil} {
		in := newDomain(arn, "*.example.com")
		in.EnableWWWSubdomain = www
		b.refuse(in, "InvalidRequestException", "EnableWWWSubdomain")
	}
	// It has the records of its root, as a certificate for both would.
	for _, domain := range []string{"*.example.com", "example.com"} {
		b.must(newDomainWithoutWWW(arn, domain))
		b.reconcileDomain(arn, domain, slipway.DomainPending, slipway.RecordPending)
	}
	list := b.domains(arn)
	name := func(i int) string { return *list[i].CertificateValidationRecords[0].Name }
	if name(0) != name(1) {
		t.Errorf("the wildcard's record is %v, its root's %v", name(0), name(1))
	}
}

// A host name that was proved belongs to one domain, as its name or its www name, of
// whichever service.
func TestDomainIsTaken(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	shop, blog := b.create("shop"), b.create("blog")
	b.must(newDomain(shop, "example.com"))
	b.must(newDomainWithoutWWW(shop, "www.example.net"))
	b.prove(shop, "example.com")
	b.prove(shop, "www.example.net")
	for _, c := range []struct{ arn, name, taken string }{
		{shop, "example.com", "example.com is already associated with " + shop},
		{blog, "EXAMPLE.com", "example.com is already associated with " + shop},
		{blog, "www.example.com", "www.example.com is already associated with " + shop},
		{blog, "example.net", "www.example.net is already associated with " + shop},
	} {
		b.refuse(newDomain(c.arn, c.name), "InvalidRequestException", c.taken)
	}
	b.refuse(removeDomain(blog, "example.com"), "ResourceNotFoundException", "No custom domain example.com found for the provided service")
	b.refuse(removeDomain(shop, "www.example.com"), "ResourceNotFoundException", "No custom domain www.example.com found for the provided service")
	b.must(newDomainWithoutWWW(blog, "example.net"))
}

// Services compete for a domain until one proves its claim, each by records of its own.
func TestDomainClaims(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	shop, blog := b.create("shop"), b.create("blog")
	names := map[string]bool{}
	for _, arn := range []string{shop, blog} {
		b.must(newDomain(arn, "example.com"))
		b.reconcileDomain(arn, "example.com", slipway.DomainPending, slipway.RecordPending)
		for _, r := range b.domains(arn)[0].CertificateValidationRecords {
			if names[*r.Name] || names[*r.Value] {
				t.Errorf("both claims have the record %s %s", *r.Name, *r.Value)
			}
			names[*r.Name], names[*r.Value] = true, true
		}
	}
	b.refuse(newDomain(shop, "www.example.com"), "InvalidRequestException", "www.example.com is already associated with "+shop)
	b.prove(shop, "example.com")
	b.refuse(newDomain(b.create("cart"), "example.com"), "InvalidRequestException", "example.com is already associated with "+shop)
	b.must(removeDomain(blog, "example.com"))
}

// Who may not describe the service that has a domain is not told which it is.
func TestDomainHolderIsHidden(t *testing.T) {
	t.Parallel()
	root, ann := limited(t, `{"Effect":"Allow","Action":"apprunner:*","Resource":"*"},
		{"Effect":"Deny","Action":"apprunner:Describe*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/owner":"bob"}}}`)
	theirs := root.create("theirs", func(in *apprunner.CreateServiceInput) {
		in.Tags = []types.Tag{{Key: aws.String("owner"), Value: aws.String("bob")}}
	})
	shown, mine := root.create("shown"), root.create("mine")
	for name, arn := range map[string]string{"example.com": theirs, "example.net": shown} {
		root.must(newDomain(arn, name))
		root.prove(arn, name)
	}
	for range 2 { // held, then being deleted
		e := ann.refuse(newDomain(mine, "example.com"), "InvalidRequestException", "example.com is already associated with another service.")
		if strings.Contains(e.Message, theirs) {
			t.Errorf("the refusal shows the holder: %s", e.Message)
		}
		root.must(removeDomain(theirs, "example.com"))
	}
	ann.refuse(newDomain(mine, "example.net"), "InvalidRequestException", "example.net is already associated with "+shown)
}

// Of many calls at once of one service for one domain one succeeds; the others are told
// which service has it.
func TestDomainRace(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	arn := b.create("shop")
	var got atomic.Int64
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			name := []string{"example.com", "www.example.com"}[i%2]
			_, err := b.Invoke("apprunner:AssociateCustomDomain", newDomain(arn, name))
			if err == nil {
				got.Add(1)
			} else if e, ok := errors.AsType[*wire.Exception](err); !ok || e.Name != "InvalidRequestException" || !strings.Contains(e.Message, " is already associated with ") {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	left := len(b.domains(arn))
	if got.Load() != 1 || left != 1 {
		t.Errorf("%d calls succeeded and %d domains are there, want 1", got.Load(), left)
	}
}

func TestFiveDomains(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	arn := b.create("shop")
	for i := range 5 {
		b.must(newDomain(arn, strconv.Itoa(i)+".example.com"))
		b.Clock.Advance(time.Millisecond)
	}
	b.refuse(newDomain(arn, "example.com"), "InvalidRequestException", "the 5 custom domains")
	b.must(removeDomain(arn, "3.example.com"))
	b.must(newDomain(arn, "example.com"))

	b = newBench(t, func(c *api.Config) { c.Quotas.CustomDomains = 1 })
	arn = b.create("shop")
	b.must(newDomain(arn, "example.com"))
	b.refuse(newDomain(arn, "example.net"), "InvalidRequestException", "the 1 custom domains")
}

func TestDomainPages(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	arn, other := b.create("shop"), b.create("blog")
	for i := range 5 {
		b.must(newDomain(arn, strconv.Itoa(i)+".example.com"))
		b.Clock.Advance(time.Millisecond)
	}
	if got := b.domains(arn); len(got) != 5 {
		t.Fatalf("%d domains at once, want 5", len(got))
	}
	describe := func(arn string, max *int32, token *string) *apprunner.DescribeCustomDomainsInput {
		return &apprunner.DescribeCustomDomainsInput{ServiceArn: &arn, MaxResults: max, NextToken: token}
	}
	token := invoke[api.DescribeCustomDomainsOutput](b, describe(arn, aws.Int32(2), nil)).NextToken
	b.refuse(describe(other, nil, token), "InvalidRequestException", "NextToken")
	first := true
	got := pages(b, 2, func(max *int32, token *string) ([]string, *string) {
		out := invoke[api.DescribeCustomDomainsOutput](b, describe(arn, max, token))
		return each(out.CustomDomains, func(d api.DescribedDomain) *string { return d.DomainName }), out.NextToken
	}, func() {
		if first {
			b.deleteDomain(arn, "1.example.com") // the entry that the token points at may go
		}
		first = false
	})
	slices.Sort(got)
	if d := cmp.Diff([]string{"0.example.com", "1.example.com", "2.example.com", "3.example.com", "4.example.com"}, got); d != "" {
		t.Errorf("the domains of all pages (-want +got):\n%s", d)
	}
}

// Only a running service's domains can be changed; they can always be described.
func TestDomainStates(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for name, c := range map[string]struct {
		input   func(service string) any
		verb    string
		unknown string // the exception of an unknown service
	}{
		// The model gives this operation no exception for an unknown resource.
		"associate":    {func(service string) any { return newDomain(service, "example.com") }, "associated with", "InvalidRequestException"},
		"disassociate": {func(service string) any { return removeDomain(service, "example.com") }, "disassociated from", "ResourceNotFoundException"},
	} {
		b.refuse(c.input(noService), c.unknown, "Service not found: "+noService)
		arn := *invoke[apprunner.CreateServiceOutput](b, newService(name)).Service.ServiceArn
		for _, status := range []slipway.Status{slipway.StatusOperationInProgress, slipway.StatusCreateFailed, slipway.StatusPaused, slipway.StatusDeleteFailed} {
			switch status {
			case slipway.StatusCreateFailed:
				b.end(arn, slipway.OperationFailed, status)
			case slipway.StatusPaused, slipway.StatusDeleteFailed:
				b.delete(arn)
				b.end(arn, slipway.OperationFailed, status)
			}
			b.refuse(c.input(arn), "InvalidStateException", "Service cannot be "+c.verb+" a custom domain in the current state: "+string(status)+".")
			b.domains(arn)
		}
	}
}

// A domain shows what became of the certificates for its names, and of no others.
func TestDomainCertificates(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	arn := b.create("shop")
	invoke[apprunner.AssociateCustomDomainOutput](b, newDomain(arn, "Example.com"))
	describe := func() []api.DescribedCertificate {
		return invoke[api.DescribeCustomDomainsOutput](b, &apprunner.DescribeCustomDomainsInput{ServiceArn: &arn}).CustomDomains[0].Certificates
	}
	if got := describe(); got != nil {
		t.Errorf("without an authority: %+v", got)
	}
	end, next := time.Unix(1_900_000_000, 0).UTC(), time.Unix(1_890_000_000, 0).UTC()
	b.Update(func(tx *store.Tx) error {
		d, err := tx.CustomDomain(path.Base(arn), "example.com")
		return errors.Join(err,
			tx.SaveCertificate(slipway.Certificate{Name: "example.com", ServiceID: d.ServiceID, NotAfter: end, Failure: "the authority is tired", Advice: "Wait", Failures: 2, NextAt: next}),
			tx.SaveCertificate(slipway.Certificate{Name: "www.example.com", ServiceID: d.ServiceID, NextAt: next}),
			tx.SaveCertificate(slipway.Certificate{Name: "other.example.com", ServiceID: d.ServiceID}))
	})
	want := []api.DescribedCertificate{
		{Name: aws.String("example.com"), Status: aws.String("renewal failed"), NotAfter: &end, Failure: aws.String("the authority is tired"), Advice: aws.String("Wait"), NextAt: &next},
		{Name: aws.String("www.example.com"), Status: aws.String("requested")},
	}
	if d := diff(want, describe()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
