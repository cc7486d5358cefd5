package api_test

import (
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/api"
	"github.com/openslipway/slipway/internal/store"
)

func domainBody(arn, name string, members ...string) string {
	return arnBody(arn, append([]string{`"DomainName":"` + name + `"`}, members...)...)
}

const noWWW = `"EnableWWWSubdomain":false`

// settled plays internal/domain: the domain comes to a state, its records to a
// status.
func (b *bench) settled(arn, name string, state slipway.DomainStatus, records slipway.RecordStatus) {
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

// gone plays internal/domain: nothing is left of a domain that was asked to go.
func (b *bench) gone(arn, name string) {
	b.Helper()
	b.Update(func(tx *store.Tx) error {
		d, err := tx.CustomDomain(path.Base(arn), name)
		if err != nil {
			return err
		}
		return tx.DeleteCustomDomain(d)
	})
}

func (b *bench) domains(arn string) []any {
	b.Helper()
	return at(b, b.ok("DescribeCustomDomains", arnBody(arn)), "CustomDomains").([]any)
}

// The life of a domain as its members show it.
func TestCustomDomain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	arn := b.create("shop")
	host := strings.TrimSuffix(at(t, b.ok("DescribeService", arnBody(arn)), "Service", "ServiceUrl").(string), ":8080")

	out := b.ok("AssociateCustomDomain", domainBody(arn, "Shop.Example.com"))
	if out["DNSTarget"] != host || out["ServiceArn"] != arn || len(out["VpcDNSTargets"].([]any)) != 0 {
		t.Errorf("associated: %v, want the target %s and the service %s", out, host, arn)
	}
	d := out["CustomDomain"].(map[string]any)
	if d["DomainName"] != "Shop.Example.com" || d["EnableWWWSubdomain"] != true || d["Status"] != "creating" {
		t.Errorf("associated: %v", d)
	}
	if _, ok := d["CertificateValidationRecords"]; ok {
		t.Error("the answer holds the records, which App Runner's does not")
	}
	if got := b.domains(arn)[0].(map[string]any); len(got) != 3 || got["Status"] != "creating" {
		t.Errorf("while it is being created: %v", got)
	}

	b.settled(arn, "shop.example.com", slipway.DomainPending, slipway.RecordPending)
	d = b.domains(arn)[0].(map[string]any)
	if d["Status"] != "pending_certificate_dns_validation" {
		t.Errorf("status %v", d["Status"])
	}
	records := d["CertificateValidationRecords"].([]any)
	for i, form := range []string{
		`^_[0-9a-f]{32}\.shop\.example\.com\.$`, `^_[0-9a-f]{32}\.2a57j7[a-z]{24}\.shop\.example\.com\.$`, `^_[0-9a-f]{32}\.www\.shop\.example\.com\.$`,
	} {
		r := records[i].(map[string]any)
		if !regexp.MustCompile(form).MatchString(r["Name"].(string)) || r["Type"] != "CNAME" || r["Status"] != "PENDING_VALIDATION" ||
			!regexp.MustCompile(`^_[0-9a-f]{32}\.[a-z]{10}\.acm-validations\.aws\.$`).MatchString(r["Value"].(string)) {
			t.Errorf("record %d is %v", i, r)
		}
	}
	if len(records) != 3 {
		t.Errorf("%d records, want 3 with www", len(records))
	}

	b.settled(arn, "shop.example.com", slipway.DomainActive, slipway.RecordValid)
	if d = b.domains(arn)[0].(map[string]any); d["Status"] != "active" || at(t, d, "CertificateValidationRecords").([]any)[0].(map[string]any)["Status"] != "SUCCESS" {
		t.Errorf("active: %v", d)
	}

	for range 2 { // the second call changes nothing
		out = b.ok("DisassociateCustomDomain", domainBody(arn, "SHOP.example.com"))
		d = out["CustomDomain"].(map[string]any)
		if d["Status"] != "deleting" || len(d["CertificateValidationRecords"].([]any)) != 3 || out["DNSTarget"] != host {
			t.Errorf("disassociated: %v", out)
		}
	}
	if d = b.domains(arn)[0].(map[string]any); d["Status"] != "deleting" {
		t.Errorf("until it is gone it is %v", d["Status"])
	}
	b.refused("AssociateCustomDomain", domainBody(arn, "shop.example.com"), "InvalidStateException", "is being disassociated from "+arn)
	b.gone(arn, "shop.example.com")
	if got := b.domains(arn); len(got) != 0 {
		t.Errorf("%v is left", got)
	}

	// Who associates it anew finds the records that are in DNS already.
	b.ok("AssociateCustomDomain", domainBody(arn, "shop.example.com", noWWW))
	b.settled(arn, "shop.example.com", slipway.DomainPending, slipway.RecordPending)
	again := b.domains(arn)[0].(map[string]any)["CertificateValidationRecords"].([]any)
	if len(again) != 2 || again[0].(map[string]any)["Name"] != records[0].(map[string]any)["Name"] {
		t.Errorf("associated anew without www: records %v, want the first two of %v", again, records)
	}
}

// A domain that was never more than asked for is removed with its records, too.
func TestDisassociateWhileCreating(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	arn := b.create("shop")
	b.ok("AssociateCustomDomain", domainBody(arn, "example.com"))
	out := b.ok("DisassociateCustomDomain", domainBody(arn, "example.com"))
	if d := out["CustomDomain"].(map[string]any); len(at(t, d, "CertificateValidationRecords").([]any)) != 3 {
		t.Errorf("%v lacks records", d)
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
			body := domainBody(b.create("shop"), c.name, noWWW)
			if c.refusal == "" {
				b.ok("AssociateCustomDomain", body)
				return
			}
			b.refused("AssociateCustomDomain", body, "InvalidRequestException", c.refusal)
		})
	}
}

func TestWildcardHasNoWWW(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	arn := b.create("shop")
	for _, members := range [][]string{{`"EnableWWWSubdomain":true`}, nil} {
		b.refused("AssociateCustomDomain", domainBody(arn, "*.example.com", members...), "InvalidRequestException", "EnableWWWSubdomain")
	}
	// It has the records of its root, as a certificate for both would.
	b.ok("AssociateCustomDomain", domainBody(arn, "*.example.com", noWWW))
	b.ok("AssociateCustomDomain", domainBody(arn, "example.com", noWWW))
	b.settled(arn, "*.example.com", slipway.DomainPending, slipway.RecordPending)
	b.settled(arn, "example.com", slipway.DomainPending, slipway.RecordPending)
	list := b.domains(arn)
	name := func(i int) any {
		return list[i].(map[string]any)["CertificateValidationRecords"].([]any)[0].(map[string]any)["Name"]
	}
	if name(0) != name(1) {
		t.Errorf("the wildcard's record is %v, its root's %v", name(0), name(1))
	}
}

// A host has one domain, whichever way it is meant and whosever service it is.
func TestDomainIsTaken(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	shop, blog := b.create("shop"), b.create("blog")
	b.ok("AssociateCustomDomain", domainBody(shop, "example.com"))
	b.ok("AssociateCustomDomain", domainBody(shop, "www.example.net", noWWW))
	for _, c := range []struct{ arn, name, taken string }{
		{shop, "example.com", "example.com is already associated with " + shop},
		{blog, "EXAMPLE.com", "example.com is already associated with " + shop},
		{blog, "www.example.com", "www.example.com is already associated with " + shop},
		{blog, "example.net", "www.example.net is already associated with " + shop},
	} {
		b.refused("AssociateCustomDomain", domainBody(c.arn, c.name), "InvalidRequestException", c.taken)
	}
	b.refused("DisassociateCustomDomain", domainBody(blog, "example.com"), "ResourceNotFoundException",
		"No custom domain example.com found for the provided service")
	b.refused("DisassociateCustomDomain", domainBody(shop, "www.example.com"), "ResourceNotFoundException",
		"No custom domain www.example.com found for the provided service")
	b.ok("AssociateCustomDomain", domainBody(blog, "example.net", noWWW))
}

// Of many who ask for one domain at once one gets it, and all others are told
// whose it is.
func TestDomainRace(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	arns := []string{b.create("shop"), b.create("blog"), b.create("cart")}
	var got atomic.Int64
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			name := []string{"example.com", "www.example.com"}[i%2]
			switch w := b.call("AssociateCustomDomain", domainBody(arns[i%3], name)); {
			case w.Code == 200:
				got.Add(1)
			case w.Doc["__type"] != "InvalidRequestException" || !strings.Contains(w.Doc["Message"].(string), " is already associated with "):
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
	wg.Wait()
	left := len(b.domains(arns[0])) + len(b.domains(arns[1])) + len(b.domains(arns[2]))
	if got.Load() != 1 || left != 1 {
		t.Errorf("%d calls succeeded and %d domains are there, want 1", got.Load(), left)
	}
}

func TestFiveDomains(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	arn := b.create("shop")
	for i := range 5 {
		b.ok("AssociateCustomDomain", domainBody(arn, strconv.Itoa(i)+".example.com"))
		b.Clock.Advance(time.Millisecond)
	}
	b.refused("AssociateCustomDomain", domainBody(arn, "example.com"), "InvalidRequestException", "the 5 custom domains")
	b.ok("DisassociateCustomDomain", domainBody(arn, "3.example.com"))
	b.ok("AssociateCustomDomain", domainBody(arn, "example.com"))

	b = newBench(t, func(c *api.Config) { c.Quotas.CustomDomains = 1 })
	arn = b.create("shop")
	b.ok("AssociateCustomDomain", domainBody(arn, "example.com"))
	b.refused("AssociateCustomDomain", domainBody(arn, "example.net"), "InvalidRequestException", "the 1 custom domains")
}

func TestDomainPages(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	arn, other := b.create("shop"), b.create("blog")
	for i := range 5 {
		b.ok("AssociateCustomDomain", domainBody(arn, strconv.Itoa(i)+".example.com"))
		b.Clock.Advance(time.Millisecond)
	}
	if got := b.domains(arn); len(got) != 5 {
		t.Fatalf("%d domains at once, want 5", len(got))
	}
	token := b.ok("DescribeCustomDomains", arnBody(arn, `"MaxResults":2`))["NextToken"].(string)
	b.refused("DescribeCustomDomains", arnBody(other, `"NextToken":"`+token+`"`), "InvalidRequestException", "NextToken")
	first := true
	got := b.list("DescribeCustomDomains", "CustomDomains", 2, `,"ServiceArn":"`+arn+`"`, member("DomainName"), func() {
		if first {
			b.gone(arn, "1.example.com") // what a token stands after may go
		}
		first = false
	})
	slices.Sort(got)
	if d := cmp.Diff([]string{"0.example.com", "1.example.com", "2.example.com", "3.example.com", "4.example.com"}, got); d != "" {
		t.Errorf("the domains of all pages (-want +got):\n%s", d)
	}
}

// Only a running service has its domains changed; they can be described always.
func TestDomainStates(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for op, verb := range map[string]string{"AssociateCustomDomain": "associated with", "DisassociateCustomDomain": "disassociated from"} {
		unknown := "ResourceNotFoundException"
		if op == "AssociateCustomDomain" { // which has none in the model
			unknown = "InvalidRequestException"
		}
		b.refused(op, domainBody(noService, "example.com"), unknown, "Service not found: "+noService)

		name := strings.ToLower(op)
		doc := b.ok("CreateService", `{"ServiceName":"`+name+`",`+image+`}`)
		arn := at(t, doc, "Service", "ServiceArn").(string)
		for _, status := range []slipway.Status{slipway.StatusOperationInProgress, slipway.StatusCreateFailed, slipway.StatusPaused, slipway.StatusDeleteFailed} {
			switch status {
			case slipway.StatusCreateFailed:
				b.end(arn, slipway.OperationFailed, status)
			case slipway.StatusPaused, slipway.StatusDeleteFailed:
				b.ok("DeleteService", arnBody(arn))
				b.end(arn, slipway.OperationFailed, status)
			}
			b.refused(op, domainBody(arn, "example.com"), "InvalidStateException",
				"Service cannot be "+verb+" a custom domain in the current state: "+string(status)+".")
			b.domains(arn)
		}
	}
}
