package takeover

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openslipway/slipway/e2e/harness"
)

// certify replaces the certificate of a file, which has its key as well, and returns the new
// one.
func certify(t *testing.T, file, name string) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	b := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
	if err := os.WriteFile(file+".new", b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// TestSecureClients changes the certificate, rotates the master key and replaces the server
// under load of clients of TLS: no connection is refused and no request is lost. Connections
// end, after an answer that says so.
func TestSecureClients(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "cert.pem")
	certify(t, file, "*.us-east-1.slipway.localhost")
	s := harness.Serve(t, "--https-addr", harness.FreeAddr(t), "--tls-cert", file)
	svc := s.RunningService("steady", harness.Spec{Image: s.Push(harness.WebImage(t, "1"), "steady:1"), Scaling: s.CreateAutoScaling("wide", 200, 1, 2), Health: harness.QuickHealthCheck()})
	b := loaded(t, s, svc)
	host, _, err := net.SplitHostPort(*svc.ServiceUrl)
	if err != nil {
		t.Fatal(err)
	}
	b.clients.addr = strings.TrimPrefix(s.HTTPS, "https://")
	b.clients.tls = &tls.Config{ServerName: host, InsecureSkipVerify: true, ClientSessionCache: tls.NewLRUClientSessionCache(0)}
	b.clients.usual(b.ctx)
	b.goesOn("before", 200)

	next := certify(t, file, "*.us-east-1.slipway.localhost")
	harness.Eventually(t, "the new certificate is served", func() (bool, string) {
		c, err := tls.Dial("tcp", b.clients.addr, &tls.Config{ServerName: host, InsecureSkipVerify: true})
		if err != nil {
			return false, err.Error()
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].Equal(next), "another one"
	})
	b.goesOn("the certificate changed", 200)
	if out, err := s.RunSlipway("key", "rotate", "--yes"); err != nil {
		t.Fatal(err, out)
	}
	b.goesOn("the key was rotated", 200)
	for range 2 {
		if out, err := s.Upgrade(); err != nil {
			t.Fatal(err, out)
		}
		b.goesOn("the server was replaced", 200)
	}
	resumes(t, b)
	b.AwaitFormers()
	b.ends()
}

// resumes checks that a session goes on at another server.
func resumes(t *testing.T, b *busy) {
	t.Helper()
	conf := b.clients.tls.Clone()
	conf.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	for _, want := range []bool{false, true} {
		c := clientsAt(b.clients.addr, b.clients.host)
		c.tls = conf
		at, err := c.dial()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.exchange(at, "/", "", whole); err != nil {
			t.Fatal(err)
		}
		if got := at.Conn.(*tls.Conn).ConnectionState().DidResume; got != want {
			t.Errorf("the session was resumed: %v, want %v", got, want)
		}
		at.Close()
		if !want {
			if out, err := b.Upgrade(); err != nil {
				t.Fatal(err, out)
			}
		}
	}
}
