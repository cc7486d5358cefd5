package certs

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openslipway/slipway/internal/seal"
	"github.com/openslipway/slipway/internal/seal/sealtest"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/store/storetest"
)

const suffix = "us-east-1.apps.example.com"

// shared is what several servers of one database have in common.
type shared struct {
	store *store.Store
	keys  *seal.Keyring
}

func newShared(t *testing.T) shared {
	t.Helper()
	s := storetest.Memory(t)
	return shared{s, sealtest.New(t, s)}
}

// open returns the certificates of a server that serves every name below the suffix and
// example.com.
func (s shared) open(t *testing.T, change func(*Config)) *Certs {
	t.Helper()
	cfg := Config{
		Store: s.store, Vault: s.keys, Log: slog.New(slog.DiscardHandler), Suffix: suffix,
	}
	change(&cfg)
	c, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func served(name string) bool {
	return name == "example.com" || name == "www.example.com" || strings.HasSuffix(name, "."+suffix) && name != "gone."+suffix
}

// shake does a handshake over TCP and returns what the client has seen of it.
func shake(t *testing.T, server, client *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		s := tls.Server(c, server)
		if s.Handshake() == nil {
			s.Write([]byte("x")) // with it come the tickets of TLS 1.3
			io.Copy(io.Discard, s)
		}
	}()
	conn, err := tls.Dial("tcp", l.Addr().String(), client)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer conn.Close()
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		return tls.ConnectionState{}, err
	}
	return conn.ConnectionState(), nil
}

// write writes a self-signed certificate and its key, and returns their files.
func write(t *testing.T, dir, name string, key crypto.Signer, until time.Time, names ...string) Pair {
	t.Helper()
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: names, NotBefore: time.Now().Add(-time.Hour), NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	p := Pair{filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")}
	put(t, p.Cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	put(t, p.Key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	return p
}

func put(t *testing.T, file string, content []byte) {
	t.Helper()
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func elliptical(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func later() time.Time { return time.Now().Add(90 * 24 * time.Hour) }

// A client that has installed the authority accepts every name that is served, and no other
// gets a certificate.
func TestLocalAuthority(t *testing.T) {
	t.Parallel()
	s := newShared(t)
	c := s.open(t, func(c *Config) { c.Local = true })
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(c.Authority()) {
		t.Fatalf("%q is no certificate", c.Authority())
	}
	for _, name := range []string{"shop." + suffix, "SHOP." + suffix, "example.com", "www.example.com"} {
		state, err := shake(t, c.Services(served), &tls.Config{RootCAs: roots, ServerName: name})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if state.Version != tls.VersionTLS13 {
			t.Errorf("%s: version %x", name, state.Version)
		}
	}
	// 127.0.0.1 is sent as no name.
	if _, err := shake(t, c.Services(served), &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}); err != nil {
		t.Errorf("an address: %v", err)
	}
	for _, name := range []string{"gone." + suffix, "example.org", "a.b." + "example.com"} {
		if _, err := shake(t, c.Services(served), &tls.Config{RootCAs: roots, ServerName: name}); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
			t.Errorf("%s: %v, want the alert unrecognized name", name, err)
		}
	}
	// Another server of the database has the same authority.
	if other := s.open(t, func(c *Config) { c.Local = true }); !bytes.Equal(other.Authority(), c.Authority()) {
		t.Error("two servers have two authorities")
	}
}

// The local authority issues a certificate again before its end, and one for all services.
func TestIssue(t *testing.T) {
	t.Parallel()
	now := time.Now()
	c := newShared(t).open(t, func(c *Config) { c.Local, c.Now = true, func() time.Time { return now } })
	issue := func(name string) *tls.Certificate {
		t.Helper()
		cert, err := c.local.issue(c.coveredBy(name))
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	first := issue("shop." + suffix)
	if issue("blog."+suffix) != first {
		t.Error("two services below the domain have two certificates")
	}
	if got := issue("a.b." + suffix).Leaf.DNSNames; got[0] != "a.b."+suffix {
		t.Errorf("a name of two labels is covered by %v", got)
	}
	now = now.Add(leafLife * 6 / 10)
	if issue("shop."+suffix) != first {
		t.Error("issued again after 0.6 of its time")
	}
	now = now.Add(leafLife / 10)
	second := issue("shop." + suffix)
	if second == first {
		t.Error("not issued again after 0.7 of its time")
	}
	now = now.Add(-2 * leafLife) // the clock is set back
	if third := issue("shop." + suffix); third == second || now.Before(third.Leaf.NotBefore) {
		t.Error("a certificate of the future is served")
	}
}

func TestFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pairs := []Pair{
		write(t, dir, "wild", elliptical(t), later(), "*."+suffix),
		write(t, dir, "ec", elliptical(t), later(), "example.com", "www.example.com"),
		write(t, dir, "rsa", rsaKey, later(), "example.com"),
	}
	c := newShared(t).open(t, func(c *Config) { c.Files = pairs })
	if c.Authority() != nil {
		t.Error("there is an authority that nobody asked for")
	}
	onlyRSA := &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}}
	for _, tc := range []struct {
		name   string
		client *tls.Config
		want   string // of the certificate; "" for an alert
		rsa    bool
	}{
		{"shop." + suffix, nil, "*." + suffix, false},
		{"example.com", nil, "example.com", false},
		{"example.com", onlyRSA, "example.com", true},
		{"www.example.com", nil, "example.com", false},
		{"gone." + suffix, nil, "", false}, // the wildcard has it, but no service
		{"a.b." + suffix, nil, "", false},  // no certificate has it
		{"", nil, "*." + suffix, false},
	} {
		client := &tls.Config{}
		if tc.client != nil {
			client = tc.client.Clone()
		}
		client.InsecureSkipVerify, client.ServerName = true, tc.name
		state, err := shake(t, c.Services(served), client)
		switch {
		case tc.want == "":
			if err == nil || !strings.Contains(err.Error(), "unrecognized name") {
				t.Errorf("%q: %v", tc.name, err)
			}
		case err != nil:
			t.Errorf("%q: %v", tc.name, err)
		case state.PeerCertificates[0].DNSNames[0] != tc.want:
			t.Errorf("%q gets the certificate of %v", tc.name, state.PeerCertificates[0].DNSNames)
		case (state.PeerCertificates[0].PublicKeyAlgorithm == x509.RSA) != tc.rsa:
			t.Errorf("%q gets a certificate with %v", tc.name, state.PeerCertificates[0].PublicKeyAlgorithm)
		}
	}
	for name, want := range map[string]bool{"shop." + suffix: true, "example.com": true, "other.example": false, "": false} {
		if c.Has(name) != want {
			t.Errorf("has a certificate of %q: %v", name, !want)
		}
	}
}

// A certificate that is replaced is served after the next look; one that is being replaced,
// or is broken, stays as it was.
func TestReread(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := write(t, dir, "a", elliptical(t), later(), "example.com")
	other := write(t, dir, "b", elliptical(t), later(), "www.example.com")
	f, err := readFiles([]Pair{p, other})
	if err != nil {
		t.Fatal(err)
	}
	if next, err := f.reread(); next != f || err != nil {
		t.Fatalf("files that are the same are read as others: %v", err)
	}
	old, first := f, f.find("example.com", nil)
	cert, key := content(t, p.Cert), content(t, p.Key)
	write(t, dir, "a", elliptical(t), later(), "example.com")
	newCert, newKey := content(t, p.Cert), content(t, p.Key)
	for name, half := range map[string][2][]byte{
		"only the certificate": {newCert, key}, "only the key": {cert, newKey}, "cut": {newCert[:len(newCert)/2], newKey},
		"empty": {nil, nil}, "not PEM": {[]byte("x"), []byte("y")},
	} {
		put(t, p.Cert, half[0])
		put(t, p.Key, half[1])
		next, err := f.reread()
		if err == nil || next.find("example.com", nil) != first || next.find("www.example.com", nil) == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	os.Remove(p.Cert)
	if next, err := f.reread(); err == nil || next.find("example.com", nil) != first {
		t.Errorf("removed: %v", err)
	}
	put(t, p.Cert, newCert)
	put(t, p.Key, newKey)
	next, err := f.reread()
	if err != nil || next == old || next.find("example.com", nil) == first {
		t.Errorf("the new certificate is not served: %v", err)
	}
}

func content(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What can't be served is refused at the start, with the file in the error.
func TestBadFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a := write(t, dir, "a", elliptical(t), later(), "a.example")
	b := write(t, dir, "b", elliptical(t), later(), "b.example")
	nameless := write(t, dir, "nameless", elliptical(t), later())
	for name, p := range map[string]Pair{
		"no file": {filepath.Join(dir, "none.pem"), a.Key}, "another key": {a.Cert, b.Key}, "a key as certificate": {a.Key, a.Key}, "no names": nameless,
	} {
		if _, err := readFiles([]Pair{p}); err == nil || !strings.Contains(err.Error(), p.Cert) {
			t.Errorf("%s: %v", name, err)
		}
	}
	both := filepath.Join(dir, "both.pem")
	put(t, both, slices.Concat(content(t, a.Cert), content(t, a.Key)))
	if _, err := readFiles([]Pair{{both, both}}); err != nil {
		t.Errorf("certificate and key in one file: %v", err)
	}
}

// Old versions and ciphers without forward secrecy or authentication of what they encrypt
// are refused.
func TestOldProtocols(t *testing.T) {
	t.Parallel()
	c := newShared(t).open(t, func(c *Config) { c.Local = true })
	base := tls.Config{InsecureSkipVerify: true, ServerName: "example.com"}
	for _, v := range []uint16{tls.VersionTLS10, tls.VersionTLS11} {
		client := base.Clone()
		client.MinVersion, client.MaxVersion = v, v
		if _, err := shake(t, c.Services(served), client); err == nil {
			t.Errorf("version %x is served", v)
		}
	}
	for _, s := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		if !slices.Contains(s.SupportedVersions, tls.VersionTLS12) {
			continue
		}
		client := base.Clone()
		client.MaxVersion, client.CipherSuites = tls.VersionTLS12, []uint16{s.ID}
		_, err := shake(t, c.Services(served), client)
		good := strings.HasPrefix(s.Name, "TLS_ECDHE_ECDSA_") && (strings.Contains(s.Name, "_GCM_") || strings.Contains(s.Name, "_POLY1305_"))
		if (err == nil) != good {
			t.Errorf("%s: %v", s.Name, err)
		}
	}
}

// A session goes on after a restart and at another server, but not once its key is too old.
func TestTickets(t *testing.T) {
	t.Parallel()
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		s := newShared(t)
		now := time.Now()
		open := func() *Certs {
			return s.open(t, func(c *Config) { c.Local, c.Now = true, func() time.Time { return now } })
		}
		first := open()
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(first.Authority())
		client := &tls.Config{RootCAs: roots, ServerName: "example.com", ClientSessionCache: tls.NewLRUClientSessionCache(1), MaxVersion: version, Time: func() time.Time { return now }}
		resumed := func(c *Certs) bool {
			t.Helper()
			state, err := shake(t, c.Services(served), client)
			if err != nil {
				t.Fatal(err)
			}
			return state.DidResume
		}
		if resumed(first) {
			t.Fatal("the first handshake resumes a session")
		}
		for step, c := range []*Certs{first, open(), first} {
			if !resumed(c) {
				t.Errorf("version %x, step %d: not resumed", version, step)
			}
		}
		now = now.Add(newTime + time.Minute)
		next := open() // has a new key
		if !resumed(next) {
			t.Errorf("version %x: not resumed with the key before", version)
		}
		if err := first.rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !resumed(first) {
			t.Errorf("version %x: the other server does not take the new key's ticket", version)
		}
		now = now.Add(keepTime + newTime)
		if resumed(open()) {
			t.Errorf("version %x: resumed with a key that is too old", version)
		}
	}
}

// The API has certificates for its own names and its addresses, whatever services have.
func TestAPI(t *testing.T) {
	t.Parallel()
	p := write(t, t.TempDir(), "api", elliptical(t), later(), "api.example.com")
	c := newShared(t).open(t, func(c *Config) { c.API, c.Files = true, []Pair{p} })
	own := func(name string) bool { return name == "api.example.com" || name == "localhost" }
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(c.Authority())
	for name, want := range map[string]string{"localhost": "", "127.0.0.1": "", "api.example.com": "unknown authority", "example.com": "unrecognized name"} {
		_, err := shake(t, c.API(own), &tls.Config{RootCAs: roots, ServerName: name})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	// Services get nothing of the authority that the API has.
	if _, err := shake(t, c.Services(served), &tls.Config{RootCAs: roots, ServerName: "example.com"}); err == nil || c.Has("example.com") {
		t.Errorf("a service has a certificate: %v", err)
	}
}

func TestRotated(t *testing.T) {
	t.Parallel()
	now := time.Now()
	made := func(ages ...time.Duration) (list []ticketKey) {
		for i, age := range ages {
			list = append(list, ticketKey{[32]byte{byte(i + 1)}, now.Add(-age)})
		}
		return list
	}
	for name, tc := range map[string]struct {
		have []ticketKey
		due  bool
		keep int // of those that are there
	}{
		"none":              {nil, true, 0},
		"fresh":             {made(0), false, 1},
		"due":               {made(newTime), true, 1},
		"due, with old":     {made(newTime, 2*newTime, keepTime), true, 2},
		"of a future clock": {made(-newTime), true, 1},
		"of years ahead":    {made(-1000 * newTime), true, 0},
		"too many":          {made(slices.Repeat([]time.Duration{newTime}, 20)...), true, maxKeys - 1},
	} {
		next, due := rotated(tc.have, [32]byte{99}, now)
		want := tc.keep
		if tc.due {
			want++
		}
		if due != tc.due || len(next) != want || due && next[0].Key != [32]byte{99} {
			t.Errorf("%s: due %v, %d keys, want %v, %d", name, due, len(next), tc.due, want)
		}
	}
}
