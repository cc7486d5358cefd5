package acme_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/certs/acme"
	"github.com/openslipway/slipway/internal/certs/acme/acmetest"
	"github.com/openslipway/slipway/internal/metrics"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/store/storetest"
)

const suffix = "us-east-1.apps.test"

// vault seals by marking. A value that is opened under another name is an error.
type vault struct{}

func (vault) Seal(context string, secret []byte) []byte {
	return append([]byte("sealed "+context+"\x00"), secret...)
}

func (vault) Open(context string, sealed []byte) ([]byte, error) {
	plain, ok := bytes.CutPrefix(sealed, []byte("sealed "+context+"\x00"))
	if !ok {
		return nil, errors.New("it was sealed as something else")
	}
	return plain, nil
}

// lines is a log.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// fixture is a store, an authority, and the listeners at which it validates.
type fixture struct {
	*testing.T
	store     *store.Store
	authority *acmetest.Authority
	log       lines
	cfg       acme.Config

	mu      sync.Mutex // guards manager, now and solved
	manager *acme.Manager
	ahead   time.Duration
	solved  map[string]int // by kind of challenge
}

func setUp(t *testing.T, o acmetest.Options) *fixture {
	t.Helper()
	f := &fixture{T: t, store: storetest.Memory(t), solved: map[string]int{}}
	t.Cleanup(func() { f.store.Close() })
	plain := httptest.NewServer(http.HandlerFunc(f.serveHTTP))
	t.Cleanup(plain.Close)
	secure, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{GetCertificate: f.certificate, NextProtos: []string{"http/1.1", acme.Proto}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { secure.Close() })
	go func() {
		for c, err := secure.Accept(); err == nil; c, err = secure.Accept() {
			go func() { _ = c.(*tls.Conn).Handshake(); c.Close() }()
		}
	}()
	o.HTTPPort = plain.Listener.Addr().(*net.TCPAddr).Port
	o.TLSPort = secure.Addr().(*net.TCPAddr).Port
	if o.Resolver == "" {
		o.Resolver = freeAddr(t)
		acmetest.NewDNS(t, o.Resolver)
	}
	f.authority = acmetest.New(t, o)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(f.authority.Roots)
	f.cfg = acme.Config{
		Store: f.store, Vault: vault{}, Log: slog.New(slog.NewTextHandler(&f.log, nil)), Node: "node",
		Directory: f.authority.URL, Email: "ops@example.com", Roots: roots, Suffix: suffix, Now: f.now,
	}
	return f
}

// freeAddr returns a loopback address for which nobody listens by TCP.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (f *fixture) now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Now().Add(f.ahead)
}

// advance sets the clock of the manager forward.
func (f *fixture) advance(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ahead += d
}

func (f *fixture) current() *acme.Manager {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.manager
}

func (f *fixture) count(kind string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.solved[kind]++
}

func (f *fixture) serveHTTP(w http.ResponseWriter, r *http.Request) {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	m := f.current()
	if m == nil {
		http.NotFound(w, r)
		return
	}
	answer, ok := m.Challenge(host, r.URL.Path)
	if !ok {
		http.NotFound(w, r)
		return
	}
	f.count("http-01")
	_, _ = io.WriteString(w, answer)
}

func (f *fixture) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	m := f.current()
	if m == nil {
		return nil, nil
	}
	if acme.IsChallenge(hello) {
		c, err := m.ChallengeCertificate(hello.ServerName)
		if c != nil {
			f.count("tls-alpn-01")
		}
		return c, err
	}
	return m.Certificate(hello.ServerName), nil
}

// run runs a manager until the returned function is called.
func (f *fixture) run() (stop func()) {
	f.Helper()
	m, err := acme.Open(context.Background(), f.cfg)
	if err != nil {
		f.Fatal(err)
	}
	f.mu.Lock()
	f.manager = m
	f.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	end := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			f.Errorf("Run: %v", err)
		}
		m.Close()
	})
	f.Cleanup(end)
	return end
}

func (f *fixture) update(do func(*store.Tx) error) {
	f.Helper()
	if err := f.store.Update(context.Background(), do); err != nil {
		f.Fatal(err)
	}
}

// add adds a service, whose host has this label.
func (f *fixture) add(label string) {
	f.Helper()
	f.update(func(tx *store.Tx) error {
		return tx.InsertService(slipway.Service{ID: label, Name: label, ARN: "arn:aws:apprunner:us-east-1:000000000000:service/" + label + "/1", Label: label, Wanted: slipway.WantedRunning})
	})
}

// domain adds a custom domain whose claim was proved.
func (f *fixture) domain(service, name string, www bool) slipway.CustomDomain {
	f.Helper()
	d := slipway.CustomDomain{ID: slipway.NewID(), ServiceID: service, Name: name, WWW: www, CreatedAt: time.Now(), State: slipway.DomainBinding, Since: time.Now()}
	f.update(func(tx *store.Tx) error { return tx.InsertCustomDomain(d) })
	return d
}

func (f *fixture) row(name string) (c slipway.Certificate) {
	f.Helper()
	err := f.store.View(context.Background(), func(tx *store.Tx) (err error) { c, err = tx.Certificate(name); return err })
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		f.Fatal(err)
	}
	return c
}

// await waits until ok.
func (f *fixture) await(what string, ok func() bool) {
	f.Helper()
	for end := time.Now().Add(time.Minute); !ok(); <-time.After(20 * time.Millisecond) {
		if time.Now().After(end) {
			f.Fatalf("%s: it did not come to that; log:\n%s", what, f.log.String())
		}
	}
}

// nudge has the manager look at the clock.
func (f *fixture) nudge() {
	f.Helper()
	f.update(func(tx *store.Tx) error {
		d, err := tx.CustomDomain("shop", "nudge.example.com")
		if errors.Is(err, store.ErrNotFound) {
			return tx.InsertCustomDomain(slipway.CustomDomain{ID: slipway.NewID(), ServiceID: "shop", Name: "nudge.example.com", CreatedAt: time.Now(), State: slipway.DomainPending, Since: time.Now()})
		}
		return errors.Join(err, tx.SaveCustomDomain(d))
	})
}

// served returns the certificate that clients get, checked against the authority's root.
func (f *fixture) served(name string) *x509.Certificate {
	f.Helper()
	c := f.current().Certificate(name)
	if c == nil {
		f.Fatalf("%s has no certificate; log:\n%s", name, f.log.String())
	}
	between := x509.NewCertPool()
	for _, der := range c.Certificate[1:] {
		if p, err := x509.ParseCertificate(der); err == nil {
			between.AddCert(p)
		}
	}
	if _, err := c.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: f.authority.Pool(), Intermediates: between}); err != nil {
		f.Errorf("%s: %v", name, err)
	}
	return c.Leaf
}

func (f *fixture) events(service string) (text string) {
	f.Helper()
	f.update(func(tx *store.Tx) error {
		list, err := tx.LastEvents(store.EventQuery{ServiceID: service})
		for _, e := range list {
			text += e.Text + "\n"
		}
		return err
	})
	return text
}

// A service and a custom domain with its www name get certificates that clients accept.
// What is kept is sealed.
func TestIssue(t *testing.T) {
	t.Parallel()
	f := setUp(t, acmetest.Options{})
	f.add("shop")
	f.domain("shop", "example.com", true)
	f.run()
	for _, name := range []string{"shop." + suffix, "example.com", "www.example.com"} {
		f.await(name, func() bool { return f.row(name).State() == slipway.CertificateIssued })
		leaf := f.served(name)
		if c := f.row(name); !c.NotAfter.Equal(leaf.NotAfter) || !c.RenewAt.Before(c.NotAfter.Add(-7*time.Hour)) {
			t.Errorf("the row of %s: %+v; the certificate ends %s", name, c, leaf.NotAfter)
		}
		if !f.current().Has(name) {
			t.Errorf("%s counts as without a certificate", name)
		}
	}
	if got := f.events("shop"); !strings.Contains(got, "www.example.com has a certificate") {
		t.Errorf("events: %s", got)
	}
	f.update(func(tx *store.Tx) error {
		names, err := tx.TLSItems("")
		for _, n := range names {
			b, err := tx.TLSItem(n)
			if err != nil || !bytes.HasPrefix(b, []byte("sealed tls/"+n+"\x00")) {
				t.Errorf("%s is kept as %.60q, %v", n, b, err)
			}
			if strings.Contains(n, "challenge") {
				t.Errorf("%s is left", n)
			}
		}
		if len(names) < 10 { // three each, and the account
			t.Errorf("kept: %q", names)
		}
		return err
	})
	var left, failures int
	acme.Source{Of: f.current()}.Sample(func(s metrics.Sample) {
		switch s.Desc.Name {
		case "slipway_certificate_left_seconds":
			left++
		case "slipway_certificate_failures_total":
			failures++
		}
	})
	if left != 3 || failures != 3 {
		t.Errorf("metrics of %d and %d names, want 3", left, failures)
	}
	// The last attempt may still be telling; a name that nobody has is not asked for.
	if f.current().Certificate("other.test") != nil || f.current().Has("other.test") {
		t.Error("a stranger has a certificate")
	}
	if n := f.authority.Orders(); n > 6 { // a second kind of challenge is another order
		t.Errorf("%d orders for 3 names", n)
	}
}

// A hundred domains that come at once have one order each.
func TestHundredDomains(t *testing.T) {
	t.Parallel()
	f := setUp(t, acmetest.Options{})
	f.add("shop")
	for i := range 100 {
		f.domain("shop", fmt.Sprintf("d%d.example.com", i), false)
	}
	begun := time.Now()
	f.run()
	f.await("all issued", func() bool {
		n := 0
		f.update(func(tx *store.Tx) error {
			list, err := tx.CertificatesOf("shop")
			for _, c := range list {
				if c.State() == slipway.CertificateIssued {
					n++
				}
			}
			return err
		})
		return n == 101
	})
	t.Logf("101 certificates in %v", time.Since(begun).Round(time.Millisecond))
	for i := range 100 {
		f.served(fmt.Sprintf("d%d.example.com", i))
	}
}

// renewed waits until a name has another certificate, and returns it.
func (f *fixture) renewed(name string, old *x509.Certificate) (leaf *x509.Certificate) {
	f.Helper()
	f.await(name+" has another certificate", func() bool {
		leaf = f.served(name)
		return !leaf.Equal(old)
	})
	return leaf
}

// issue runs a manager until shop.example.com has its first certificate.
func (f *fixture) issue() (leaf *x509.Certificate, stop func()) {
	f.Helper()
	f.add("shop")
	f.domain("shop", "shop.example.com", false)
	stop = f.run()
	f.await("the first certificate", func() bool { return f.row("shop.example.com").State() == slipway.CertificateIssued })
	return f.served("shop.example.com"), stop
}

// A certificate is renewed when its time has come, with a new key, and the old one leaves.
func TestRenew(t *testing.T) {
	t.Parallel()
	f := setUp(t, acmetest.Options{})
	old, _ := f.issue()
	f.advance(15 * time.Hour) // of 24
	f.nudge()
	f.await("the authority is asked when to renew", func() bool { return f.authority.Asked("/draft-ietf-acme-ari-03/renewalInfo/") })
	if got := f.served("shop.example.com"); !got.Equal(old) {
		t.Error("renewed before its time")
	}
	f.advance(2 * time.Hour)
	f.nudge()
	leaf := f.renewed("shop.example.com", old)
	if bytes.Equal(leaf.RawSubjectPublicKeyInfo, old.RawSubjectPublicKeyInfo) {
		t.Error("the key is the old one")
	}
	f.await("events", func() bool {
		return strings.Contains(f.events("shop"), "The certificate for shop.example.com was renewed")
	})
}

// While the authority is down at the time of renewal, and refuses, the old certificate is
// served, after a restart, too, and somebody is told. Then it is renewed.
func TestRenewalFails(t *testing.T) {
	t.Parallel()
	f := setUp(t, acmetest.Options{})
	old, stop := f.issue()
	f.authority.Down(true)
	f.advance(17 * time.Hour)
	f.nudge()
	f.await("the failure is kept", func() bool { return f.row("shop.example.com").State() == slipway.CertificateNotRenewed })
	c := f.row("shop.example.com")
	if c.Failures != 1 || !strings.Contains(c.Advice, "asked again") || !c.NotAfter.Equal(old.NotAfter) || !c.NextAt.After(f.now()) {
		t.Errorf("the row: %+v", c)
	}
	if !f.served("shop.example.com").Equal(old) || !f.current().Has("shop.example.com") {
		t.Error("the old certificate is gone")
	}
	stop()
	f.run()
	if !f.served("shop.example.com").Equal(old) {
		t.Error("after a restart the old certificate is gone")
	}
	f.authority.Down(false)
	f.authority.Limit(3 * time.Hour)
	f.advance(5 * time.Minute)
	f.nudge()
	f.await("the refusal is kept", func() bool { return f.row("shop.example.com").Failures == 2 })
	c = f.row("shop.example.com")
	if !strings.Contains(c.Failure, "too many certificates already issued for this domain (rateLimited)") || c.NextAt.Sub(f.now()) < 2*time.Hour {
		t.Errorf("the row: %+v", c)
	}
	if got := f.events("shop"); !strings.Contains(got, "too many certificates") || !strings.Contains(got, "it is served until") {
		t.Errorf("events: %s", got)
	}
	f.authority.Limit(0)
	f.advance(3*time.Hour + time.Minute)
	f.nudge()
	f.renewed("shop.example.com", old)
	f.await("all is well", func() bool { return f.row("shop.example.com").Failures == 0 })
}

// A limited authority is asked once for each name, and again when it allows.
func TestRateLimited(t *testing.T) {
	t.Parallel()
	f := setUp(t, acmetest.Options{})
	f.authority.Limit(time.Hour)
	f.add("shop")
	f.run()
	name := "shop." + suffix
	f.await("the refusal is kept", func() bool { return f.row(name).State() == slipway.CertificateRefused })
	c := f.row(name)
	if until := c.NextAt.Sub(f.now()); until < 59*time.Minute || until > time.Hour || !strings.Contains(c.Advice, "limits what it issues") {
		t.Errorf("the row: %+v, next in %v", c, until)
	}
	f.nudge()
	f.advance(58 * time.Minute)
	f.nudge()
	if n := f.authority.Orders(); n != 1 {
		t.Errorf("%d orders within the hour, want 1", n)
	}
	f.authority.Limit(0)
	f.advance(2 * time.Minute)
	f.nudge()
	f.await("it is issued", func() bool { return f.row(name).State() == slipway.CertificateIssued })
}

// A certificate that is revoked is replaced at once: by whoever has the key, as soon as the
// authority tells, or by this server.
func TestRevoke(t *testing.T) {
	t.Parallel()
	f := setUp(t, acmetest.Options{})
	first, _ := f.issue()
	if err := f.current().Revoke(context.Background(), "shop.example.com"); err != nil {
		t.Fatal(err)
	}
	if !f.authority.Revoked(first) {
		t.Error("it is not revoked")
	}
	second := f.renewed("shop.example.com", first)
	if f.authority.Revoked(second) {
		t.Error("the new one is revoked")
	}
	f.await("the row", func() bool { return f.row("shop.example.com").NotAfter.Equal(second.NotAfter) })
	if !f.row("shop.example.com").RenewAt.After(f.now().Add(time.Hour)) {
		t.Errorf("the row: %+v", f.row("shop.example.com"))
	}
}

// A server that is stopped in the middle of an order begins another one at its next start.
func TestRestartWithinOrder(t *testing.T) {
	t.Parallel()
	f := setUp(t, acmetest.Options{})
	release := f.authority.Hold()
	f.add("shop")
	f.domain("shop", "shop.example.com", false)
	stop := f.run()
	f.await("an order is made", func() bool { return f.authority.Asked("/chalZ/") })
	stop()
	if c := f.row("shop.example.com"); c.Failure != "" || c.State() != slipway.CertificateRequested {
		t.Errorf("the row: %+v", c)
	}
	release()
	f.run()
	f.await("it is issued", func() bool { return f.row("shop.example.com").State() == slipway.CertificateIssued })
	f.served("shop.example.com")
}

// What the authority refuses is told in its own words with what to do, once, and the name is
// asked for again later.
func TestRefused(t *testing.T) {
	t.Parallel()
	f := setUp(t, acmetest.Options{})
	f.authority.Block(t, "blocked.test")
	f.add("shop")
	f.domain("shop", "www.blocked.test", false)
	f.domain("shop", "*.example.com", false)
	f.domain("shop", "shop.localhost", false)
	f.domain("shop", "covered.test", false)
	f.cfg.Covered = func(name string) bool { return name == "covered.test" }
	f.run()
	f.await("both are refused", func() bool {
		return f.row("www.blocked.test").Failures == 1 && f.row("*.example.com").Failures == 1
	})
	f.update(func(tx *store.Tx) error {
		list, err := tx.Certificates()
		for _, c := range list {
			if strings.HasSuffix(c.Name, "localhost") || c.Name == "covered.test" {
				t.Errorf("%s should have a certificate", c.Name)
			}
		}
		return err
	})
	for name, want := range map[string]string{"www.blocked.test": "rejectedIdentifier", "*.example.com": "only by DNS-01"} {
		c := f.row(name)
		if !strings.Contains(c.Failure, want) || c.Advice == "" || c.NextAt.Sub(f.now()) < time.Minute {
			t.Errorf("%s: %+v", name, c)
		}
		if n := strings.Count(f.events("shop"), want); n != 1 {
			t.Errorf("%s is told %d times", want, n)
		}
	}
}

// A custom domain that does not lead anywhere yet costs no order; it gets its certificate
// soon after it does.
func TestUnknownName(t *testing.T) {
	t.Parallel()
	f := setUp(t, acmetest.Options{})
	var mu sync.Mutex
	there := false
	f.cfg.Resolves = func(context.Context, string) (bool, error) {
		mu.Lock()
		defer mu.Unlock()
		return there, nil
	}
	f.add("shop")
	f.domain("shop", "shop.example.com", false)
	f.run()
	f.await("it is looked for", func() bool { return f.row("shop.example.com").Failures > 0 })
	c := f.row("shop.example.com")
	if c.Failure != "shop.example.com has no address in DNS" || !strings.Contains(c.Advice, "CNAME record from shop.example.com to shop."+suffix) {
		t.Errorf("the row: %+v", c)
	}
	f.await("the service has its own", func() bool { return f.row("shop."+suffix).State() == slipway.CertificateIssued })
	if n := f.authority.Orders(); n > 2 {
		t.Errorf("%d orders", n)
	}
	mu.Lock()
	there = true
	mu.Unlock()
	f.advance(time.Minute)
	f.nudge()
	f.await("it is issued", func() bool { return f.row("shop.example.com").State() == slipway.CertificateIssued })
}

// A name that is removed is forgotten and not served. Added again, it costs no order.
func TestRemoved(t *testing.T) {
	t.Parallel()
	f := setUp(t, acmetest.Options{})
	leaf, _ := f.issue()
	f.await("all is quiet", func() bool { return f.row("shop."+suffix).State() == slipway.CertificateIssued })
	orders := f.authority.Orders()
	remove := func() {
		f.update(func(tx *store.Tx) error {
			d, err := tx.CustomDomain("shop", "shop.example.com")
			return errors.Join(err, tx.DeleteCustomDomain(d))
		})
	}
	remove()
	f.await("it is not served", func() bool { return f.current().Certificate("shop.example.com") == nil })
	if f.row("shop.example.com").Name != "" {
		t.Error("its row is left")
	}
	f.domain("shop", "shop.example.com", false)
	f.await("it is served again", func() bool { return f.current().Certificate("shop.example.com") != nil })
	if got := f.served("shop.example.com"); !got.Equal(leaf) || f.authority.Orders() != orders {
		t.Errorf("%d further orders", f.authority.Orders()-orders)
	}
}

// Two servers that share a store make one order for a name, and both serve what it brings.
func TestTwoServers(t *testing.T) {
	t.Parallel()
	f := setUp(t, acmetest.Options{})
	f.run()
	first := f.current()
	f.cfg.Node = "other"
	f.run()
	second := f.current() // it answers all challenges, the first one's as well
	f.add("shop")
	name := "shop." + suffix
	f.await("both serve it", func() bool { return first.Certificate(name) != nil && second.Certificate(name) != nil })
	if !first.Certificate(name).Leaf.Equal(second.Certificate(name).Leaf) {
		t.Error("they serve two certificates")
	}
	if n := f.authority.Orders(); n > 2 { // a second kind of challenge is another order
		t.Errorf("%d orders", n)
	}
}

// Both kinds of challenge work, and whoever is not expected gets no answer.
func TestChallenges(t *testing.T) {
	t.Parallel()
	f := setUp(t, acmetest.Options{})
	f.add("shop")
	for i := range 8 { // the client chooses at random
		f.domain("shop", fmt.Sprintf("d%d.example.com", i), false)
	}
	release := f.authority.Hold()
	f.run()
	f.await("an order is made", func() bool { return f.authority.Asked("/chalZ/") })
	for i := range 8 { // these are asked for now, but not so
		if answer, ok := f.current().Challenge(fmt.Sprintf("d%d.example.com", i), "/.well-known/acme-challenge/x"); ok {
			t.Errorf("another token is answered with %q", answer)
		}
	}
	release()
	for i := range 8 {
		f.await("issued", func() bool { return f.row(fmt.Sprintf("d%d.example.com", i)).State() == slipway.CertificateIssued })
	}
	m := f.current()
	for _, path := range []string{"/", "/.well-known/acme-challenge/", "/.well-known/acme-challenge/x", "/.well-known/acme-challenge/../x"} {
		for _, host := range []string{"d1.example.com", "stranger.test", ""} {
			if answer, ok := m.Challenge(host, path); ok {
				t.Errorf("%q at %q: %q", path, host, answer)
			}
		}
	}
	if c, err := m.ChallengeCertificate("d1.example.com"); c != nil || err != nil {
		t.Errorf("a challenge that is over is answered: %v", err)
	}
}

// A customer's key is needed where the authority serves customers only.
func TestEAB(t *testing.T) {
	t.Parallel()
	key := "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
	f := setUp(t, acmetest.Options{EAB: map[string]string{"kid-1": key}})
	f.add("shop")
	stop := f.run()
	name := "shop." + suffix
	f.await("it is refused", func() bool { return f.row(name).State() == slipway.CertificateRefused })
	if c := f.row(name); !strings.Contains(c.Failure, "externalAccountRequired") || !strings.Contains(c.Advice, "--acme-eab-file") {
		t.Errorf("the row: %+v", c)
	}
	stop()
	f.cfg.EAB = &acme.EAB{KeyID: "kid-1", MACKey: key}
	f.advance(3 * time.Minute)
	f.run()
	f.await("it is issued", func() bool { return f.row(name).State() == slipway.CertificateIssued })
}
