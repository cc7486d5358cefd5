// Package acmetest is a certificate authority for tests: Pebble, with the name server of its
// challenge test server, in this process. It validates for real, at ports and by a name server
// that the test names. A test can take it down, or have it refuse.
//
// Tests of more than one process start it in one of them.
package acmetest

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/letsencrypt/challtestsrv"
	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
)

// Options say how an authority works.
type Options struct {
	HTTPPort, TLSPort int    // where it validates
	Resolver          string // host:port of a name server, asked by TCP; see NewDNS

	Life time.Duration     // of certificates; a day when 0
	EAB  map[string]string // keys of customers, whom alone it serves; nil: it serves all
}

// Authority is an authority.
type Authority struct {
	URL   string // of its directory
	Roots []byte // of its API, PEM

	server *httptest.Server
	store  *db.MemoryStore
	root   []byte

	mu      sync.Mutex // guards what follows
	down    bool
	limited time.Duration
	hold    chan struct{} // nil, or orders wait until it is closed
	orders  int
	paths   []string
}

// quiet has Pebble neither wait nor refuse at random.
var quiet = sync.OnceFunc(func() {
	for _, v := range []string{"PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=0", "PEBBLE_AUTHZREUSE=0"} {
		name, value, _ := strings.Cut(v, "=")
		os.Setenv(name, value)
	}
})

// New starts an authority. It ends with the test.
func New(t testing.TB, o Options) *Authority {
	t.Helper()
	quiet()
	a := &Authority{store: db.NewMemoryStore()}
	none := log.New(io.Discard, "", 0)
	life := o.Life
	if life == 0 {
		life = 24 * time.Hour
	}
	profiles := map[string]ca.Profile{"default": {Description: "of tests", ValidityPeriod: uint64(life / time.Second)}}
	issuer := ca.New(none, a.store, "", "ecdsa", 0, 1, profiles)
	for id, key := range o.EAB {
		if err := a.store.AddExternalAccountKeyByID(id, key); err != nil {
			t.Fatal(err)
		}
	}
	front := wfe.New(none, a.store, va.New(none, o.HTTPPort, o.TLSPort, false, o.Resolver, a.store), issuer, []string{"pebble.test"}, false, o.EAB != nil, 0, 0)
	handler := front.Handler()
	a.server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { a.serve(w, r, handler) }))
	t.Cleanup(a.server.Close)
	a.URL = a.server.URL + wfe.DirectoryPath
	a.Roots = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.server.Certificate().Raw})
	root := httptest.NewRecorder()
	front.ManagementHandler().ServeHTTP(root, httptest.NewRequest(http.MethodGet, wfe.RootCertPath+"0", nil))
	a.root = root.Body.Bytes()
	return a
}

// newOrder is the path of Pebble's newOrder.
const newOrder = "/order-plz"

func (a *Authority) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	a.mu.Lock()
	down, limited, hold := a.down, a.limited, a.hold
	a.paths = append(a.paths, r.URL.Path)
	if r.URL.Path == newOrder {
		a.orders++
	}
	a.mu.Unlock()
	switch {
	case down:
		panic(http.ErrAbortHandler)
	case limited > 0 && r.URL.Path == newOrder:
		w.Header().Set("Content-Type", "application/problem+json")
		w.Header().Set("Retry-After", strconv.Itoa(int(limited/time.Second)))
		w.WriteHeader(http.StatusTooManyRequests)
		_ = json.NewEncoder(w).Encode(map[string]any{
			"type": "urn:ietf:params:acme:error:rateLimited", "status": http.StatusTooManyRequests,
			"detail": "too many certificates already issued for this domain",
		})
		return
	case hold != nil && strings.HasPrefix(r.URL.Path, "/chalZ/"):
		select {
		case <-hold:
		case <-r.Context().Done():
			return
		}
	}
	next.ServeHTTP(w, r)
}

// Down sets whether the authority answers nobody.
func (a *Authority) Down(down bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.down = down
}

// Limit has orders refused for their number, until it is called with 0. Clients are told to
// come again after the given time.
func (a *Authority) Limit(again time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.limited = again
}

// Hold has validations wait until the returned function is called.
func (a *Authority) Hold() (release func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	hold := make(chan struct{})
	a.hold = hold
	return sync.OnceFunc(func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		close(hold)
		a.hold = nil
	})
}

// Block has the authority refuse names at and below a domain.
func (a *Authority) Block(t testing.TB, domain string) {
	t.Helper()
	if err := a.store.AddBlockedDomain(domain); err != nil {
		t.Fatal(err)
	}
}

// Orders returns how many orders were made, those that were refused included.
func (a *Authority) Orders() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.orders
}

// Asked reports whether a path that begins so was asked for.
func (a *Authority) Asked(prefix string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, p := range a.paths {
		if strings.HasPrefix(p, prefix) {
			return true
		}
	}
	return false
}

// Revoked reports whether a certificate was revoked.
func (a *Authority) Revoked(c *x509.Certificate) bool {
	return a.store.GetRevokedCertificateBySerial(c.SerialNumber) != nil
}

// Pool has the root of the certificates that the authority issues.
func (a *Authority) Pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AppendCertsFromPEM(a.root)
	return p
}

// Root is the same root as PEM.
func (a *Authority) Root() []byte { return a.root }

// Client is a configuration of TLS that trusts the certificates that the authority issues.
func (a *Authority) Client(name string) *tls.Config {
	return &tls.Config{ServerName: name, RootCAs: a.Pool(), MinVersion: tls.VersionTLS12}
}

// NewDNS starts a name server in which all names lead to 127.0.0.1, until the test says
// otherwise. It ends with the test.
func NewDNS(t testing.TB, addr string) *challtestsrv.ChallSrv {
	t.Helper()
	s, err := challtestsrv.New(challtestsrv.Config{DNSAddrs: []string{addr}, Log: log.New(io.Discard, "", 0)})
	if err != nil {
		t.Fatal(err)
	}
	s.SetDefaultDNSIPv4("127.0.0.1")
	s.SetDefaultDNSIPv6("")
	s.Run()
	t.Cleanup(s.Shutdown)
	return s
}
