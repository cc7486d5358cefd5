package network

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openslipway/slipway/e2e/harness"
	"github.com/openslipway/slipway/internal/certs/acme/acmetest"
)

// TestACME has a server get certificates from Pebble for a service and a custom domain with
// its www name. The domain is served once they are there. A kill changes nothing; strangers
// get no handshake, and cost no order.
func TestACME(t *testing.T) {
	t.Parallel()
	plain, secure, names := harness.FreeAddr(t), harness.FreeAddr(t), harness.FreeAddr(t)
	dns := acmetest.NewDNS(t, names)
	a := acmetest.New(t, acmetest.Options{HTTPPort: portOf(t, plain), TLSPort: portOf(t, secure), Resolver: names})
	roots := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(roots, a.Roots, 0o600); err != nil {
		t.Fatal(err)
	}
	s := harness.Serve(t, "--http-addr", plain, "--https-addr", secure, "--dns-resolver", names, "--domain", "apps.test",
		"--acme", "--acme-email", "ops@example.com", "--acme-url", a.URL, "--acme-ca-file", roots)
	shop := s.RunningService("shop", harness.Spec{Image: s.Push(harness.WebImage(t, "1"), "acme:latest"), Env: map[string]string{"GREETING": "shop"}})
	host, _, _ := strings.Cut(*shop.ServiceUrl, ":")
	answers := func(host string) (text string) {
		harness.Eventually(t, "https://"+host, func() (bool, string) {
			var err error
			text, err = secureGet(t, a.Client(host), secure, host)
			return err == nil && strings.Contains(text, " 200 ") && strings.Contains(text, "shop"), fmt.Sprint(text, err)
		})
		serial, _, _ := strings.Cut(text, " ")
		return serial
	}
	answers(host)

	s.AssociateDomain(shop, "example.com", true)
	d := s.WaitDomain(shop, "example.com", harness.DomainPending)
	for _, r := range d.CertificateValidationRecords {
		dns.AddDNSCNAMERecord(strings.TrimSuffix(*r.Name, "."), strings.TrimSuffix(*r.Value, "."))
	}
	s.WaitDomain(shop, "example.com", harness.DomainActive)
	serial := answers("example.com")
	answers("www.example.com")
	if resp := redirected(t, plain, "example.com"); resp.StatusCode != 301 || !strings.HasPrefix(resp.Header.Get("Location"), "https://example.com") {
		t.Errorf("plain HTTP: %d, Location %q", resp.StatusCode, resp.Header.Get("Location"))
	}

	s.Kill()
	s.Start()
	if again := answers("example.com"); again != serial {
		t.Errorf("after a kill the certificate is %s, was %s", again, serial)
	}
	orders := a.Orders()
	if c, err := tls.Dial("tcp", secure, a.Client("stranger.test")); err == nil {
		c.Close()
		t.Error("a stranger got a handshake")
	}
	if n := a.Orders(); n != orders {
		t.Errorf("a stranger made %d orders", n-orders)
	}
	if out := s.MustSlipway(t, "domain", "ls", "shop"); !strings.Contains(out, "CERTIFICATE") || !strings.Contains(out, "until ") {
		t.Errorf("slipway domain ls:\n%s", out)
	}
	if got := s.Events(shop); !strings.Contains(got, "www.example.com has a certificate") {
		t.Errorf("events:\n%s", got)
	}
}

// secureGet asks for the page of a host at a listener, and returns the number of its
// certificate, the status and the page.
func secureGet(t *testing.T, trust *tls.Config, addr, host string) (string, error) {
	c := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		TLSClientConfig: trust, DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, addr)
		},
	}}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+host+"/", nil)
	if err != nil {
		return "", err
	}
	resp, err := c.Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return fmt.Sprint(resp.TLS.PeerCertificates[0].SerialNumber, " ", resp.StatusCode, " ", string(b)), err
}

func portOf(t *testing.T, addr string) int {
	t.Helper()
	a, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return a.Port
}

// redirected asks for a host without TLS and follows nothing.
func redirected(t *testing.T, addr, host string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp
}
