// Package acme gets certificates from an authority by ACME (RFC 8555), and renews them: for
// the host names of services, or with a DNS provider for a wildcard above them, and for
// custom domains whose claim was proved.
//
// One row of the store for each name says what became of it (decide.go): until when its
// certificate is valid, when it is renewed, and why that has failed, in the authority's own
// words. A loop compares the rows with what is wanted and makes the attempts that are due. An
// attempt is one order: certmagic makes the key, keeps it with the certificate in the store,
// has one server at a time ask for a name, and staples answers of OCSP; the issuer in this
// package speaks to the authority. A certificate that can't be renewed is served to its end
// and beyond.
//
// The package does not decide who gets which certificate: package certs does. It opens no
// listeners: whoever has them asks it for the answers to the authority's questions.
package acme

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/loop"
	"github.com/openslipway/slipway/internal/store"
)

// Vault seals what is kept in the store.
type Vault interface {
	Seal(context string, secret []byte) []byte
	Open(context string, sealed []byte) ([]byte, error)
}

// EAB binds the account to one that the authority's customer has with it already.
type EAB = acme.EAB

// Config configures a Manager.
type Config struct {
	Store *store.Store
	Vault Vault
	Log   *slog.Logger
	Loops *loop.Set // of the server; nil counts nothing

	// Node is the id of this server among those that share the store.
	Node string

	Directory string         // URL of the authority
	Email     string         // at which it reaches the operator; may be empty
	Roots     *x509.CertPool // of its API; nil for those of the host
	EAB       *EAB           // nil for none

	// DNS changes the zone of Suffix; nil if nothing here can. Resolvers are the name servers
	// that show it, host:port each; none for those of the host.
	DNS       certmagic.DNSProvider
	Resolvers []string

	// Suffix is the domain below which services have a name of one label.
	Suffix string

	// Covered reports whether a name has a certificate already, of a file: none is asked for.
	Covered func(name string) bool

	// Resolves reports whether a name has an address in DNS. An error means that it is not
	// known. nil asks the authority without looking.
	Resolves func(ctx context.Context, name string) (bool, error)

	// TrustClock reports whether what is old may be removed by the time of day.
	TrustClock func() bool

	Now func() time.Time // time.Now when nil
}

// attempts is how many names are asked for at once.
const attempts = 16

// silent keeps what certmagic logs: this package tells it once, in its own words.
var silent = zap.NewNop()

// Manager gets certificates and has those that were got.
type Manager struct {
	cfg        Config
	life       context.Context // of what happens for handshakes; never ends
	storage    *storage
	challenges *challenges
	issuer     *issuer
	magic      *certmagic.Config
	cache      *certmagic.Cache

	nudge chan struct{} // an attempt has ended
	slots chan struct{} // of attempts
	work  sync.WaitGroup

	mu      sync.Mutex // guards what follows
	rows    map[string]slipway.Certificate
	served  map[string]*x509.Certificate // in the cache, by name
	running map[string]bool

	failures map[string]int // attempts, by name
	cleaned  time.Time      // when what is old was removed last, by the monotonic clock
}

// Open prepares a manager. It asks the authority nothing before Run.
func Open(ctx context.Context, cfg Config) (*Manager, error) {
	if cfg.Store == nil || cfg.Vault == nil || cfg.Log == nil || cfg.Node == "" || cfg.Directory == "" {
		return nil, errors.New("certs/acme: Store, Vault, Log, Node and Directory are required")
	}
	if u, err := url.Parse(cfg.Directory); err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("the authority is %q; it must be an https URL", cfg.Directory)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	m := &Manager{
		cfg: cfg, life: context.WithoutCancel(ctx),
		nudge: make(chan struct{}, 1), slots: make(chan struct{}, attempts),
		rows: map[string]slipway.Certificate{}, served: map[string]*x509.Certificate{}, running: map[string]bool{}, failures: map[string]int{},
	}
	m.storage = &storage{store: cfg.Store, vault: cfg.Vault, node: cfg.Node, now: cfg.Now}
	if err := m.storage.open(ctx); err != nil {
		return nil, err
	}
	m.challenges = &challenges{storage: m.storage, list: map[string]acme.Challenge{}}
	m.issuer = newIssuer(&m.cfg, m.storage, m.challenges)
	// The cache staples OCSP. Renewals are this package's: it never comes to its own.
	m.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert:   func(certmagic.Certificate) (*certmagic.Config, error) { return m.magic, nil },
		RenewCheckInterval: 100 * 365 * 24 * time.Hour, Logger: silent,
	})
	m.magic = certmagic.New(m.cache, certmagic.Config{
		Storage: m.storage, Issuers: []certmagic.Issuer{m.issuer}, Logger: silent, DisableARI: true, DisableStorageCheck: true,
		OCSP:      certmagic.OCSPConfig{HTTPProxy: http.ProxyFromEnvironment}, // without one it has no time limit
		KeySource: certmagic.StandardKeyGenerator{KeyType: certmagic.P256},
	})
	return m, m.prime(ctx)
}

// prime has the certificates of the store served from the first handshake on.
func (m *Manager) prime(ctx context.Context) error {
	var rows []slipway.Certificate
	err := m.cfg.Store.ViewUnsynced(ctx, func(tx *store.Tx) (err error) { rows, err = tx.Certificates(); return err })
	if err != nil {
		return err
	}
	m.keep(rows)
	done := make(chan struct{})
	m.work.Go(func() {
		defer close(done)
		var g errgroup.Group
		g.SetLimit(attempts)
		for _, c := range rows {
			g.Go(func() error { m.load(m.life, c); return nil })
		}
		_ = g.Wait() // none fails
	})
	select { // a responder of OCSP that does not answer holds no server up
	case <-done:
	case <-time.After(primeTime):
	}
	return nil
}

// primeTime is how long the start waits for certificates.
const primeTime = 5 * time.Second

// Close ends what the cache does. The manager must not be used afterwards.
func (m *Manager) Close() { m.cache.Stop() }

// Run gets and renews certificates until ctx ends, and returns nil when the last attempt has
// stopped.
func (m *Manager) Run(ctx context.Context) error {
	defer m.work.Wait()
	watch := m.cfg.Store.Watch(store.Domains | store.Operations)
	defer watch.Close()
	return loop.RunDue(ctx, loop.Config{
		Name: "acme", Set: m.cfg.Loops, Log: m.cfg.Log, Watch: watch.C, Nudge: m.nudge, Every: time.Minute, Backoff: 5 * time.Second,
	}, func(ctx context.Context) (time.Time, error) {
		watch.Take() // the rows say what is due
		return m.pass(ctx)
	})
}

// pass starts the attempts that are due and returns when the next ones are.
func (m *Manager) pass(ctx context.Context) (next time.Time, err error) {
	var want []wanted
	var have []slipway.Certificate
	read := func(tx *store.Tx) (err error) {
		if have, err = tx.Certificates(); err == nil {
			want, err = m.wanted(tx)
		}
		return err
	}
	if err := m.cfg.Store.ViewUnsynced(ctx, read); err != nil {
		return next, err
	}
	p := decide(want, have, m.cfg.Now())
	if len(p.add)+len(p.drop) > 0 {
		err := m.cfg.Store.UpdateUnsynced(ctx, func(tx *store.Tx) error {
			if err := read(tx); err != nil {
				return err
			}
			p = decide(want, have, m.cfg.Now())
			return apply(tx, p)
		})
		if err != nil {
			return next, err
		}
		have = merged(have, p)
	}
	m.keep(have)
	for _, c := range have {
		m.load(ctx, c)
	}
	byName := map[string]wanted{}
	for _, w := range want {
		byName[w.name] = w
	}
	for _, c := range p.due {
		m.start(ctx, c, byName[c.Name])
	}
	m.clean(ctx)
	return p.next, nil
}

func apply(tx *store.Tx, p plan) error {
	for _, c := range p.add {
		if err := tx.SaveCertificate(c); err != nil {
			return err
		}
	}
	for _, name := range p.drop {
		if err := tx.DeleteCertificate(name); err != nil {
			return err
		}
	}
	return nil
}

// merged returns the rows as apply has left them.
func merged(have []slipway.Certificate, p plan) (list []slipway.Certificate) {
	changed := map[string]bool{}
	for _, c := range p.add {
		changed[c.Name] = true
	}
	for _, name := range p.drop {
		changed[name] = true
	}
	for _, c := range have {
		if !changed[c.Name] {
			list = append(list, c)
		}
	}
	return append(list, p.add...)
}

// wanted returns the names that should have a certificate.
func (m *Manager) wanted(tx *store.Tx) (list []wanted, err error) {
	if m.cfg.DNS != nil {
		list = append(list, wanted{name: "*." + m.cfg.Suffix})
	} else {
		services, err := tx.Services(time.Time{}, "", 0)
		if err != nil {
			return nil, err
		}
		for _, s := range services {
			if s.VisibleSpec().Public() {
				list = append(list, wanted{name: s.Label + "." + m.cfg.Suffix, service: s.ID})
			}
		}
	}
	hosts, err := tx.ProvedHosts()
	if err != nil {
		return nil, err
	}
	for _, h := range hosts {
		list = append(list, wanted{name: h.Name, service: h.ServiceID, target: h.Label + "." + m.cfg.Suffix})
	}
	return slices.DeleteFunc(list, func(w wanted) bool {
		return !Certifiable(w.name) || m.cfg.Covered != nil && m.cfg.Covered(w.name)
	}), nil
}

// Certifiable reports whether an authority may issue certificates for a name. None does for
// this machine's own names (RFC 6761).
func Certifiable(name string) bool {
	return name != "localhost" && !strings.HasSuffix(name, ".localhost")
}

// keep notes the rows, and no longer serves the certificates of names that have none.
func (m *Manager) keep(rows []slipway.Certificate) {
	next := make(map[string]slipway.Certificate, len(rows))
	for _, c := range rows {
		next[c.Name] = c
	}
	var gone []certmagic.SubjectIssuer
	m.mu.Lock()
	m.rows = next
	maps.DeleteFunc(m.failures, func(name string, _ int) bool { _, ok := next[name]; return !ok })
	for name := range m.served {
		if _, ok := next[name]; !ok {
			delete(m.served, name)
			gone = append(gone, certmagic.SubjectIssuer{Subject: name})
		}
	}
	m.mu.Unlock()
	m.cache.RemoveManaged(gone)
}

// load serves the certificate of a row that is not served yet: this process has just begun,
// or another server got it.
func (m *Manager) load(ctx context.Context, c slipway.Certificate) {
	m.mu.Lock()
	now := m.served[c.Name]
	m.mu.Unlock()
	if c.NotAfter.IsZero() || now != nil && now.NotAfter.Equal(c.NotAfter) {
		return
	}
	_, err := m.serve(ctx, c.Name)
	if errors.Is(err, fs.ErrNotExist) { // --acme-url is another one now
		c.NotAfter, c.RenewAt, c.NextAt = time.Time{}, time.Time{}, m.cfg.Now()
		err = m.cfg.Store.UpdateUnsynced(ctx, func(tx *store.Tx) error { return tx.SaveCertificate(c) })
	}
	if err != nil && ctx.Err() == nil {
		m.cfg.Log.Warn("a certificate of the store can't be served", "name", c.Name, "err", err)
	}
}

// serve has the certificate of the store served, in place of those before it.
func (m *Manager) serve(ctx context.Context, name string) (*x509.Certificate, error) {
	before := m.cache.AllMatchingCertificates(name)
	cert, err := m.magic.CacheManagedCertificate(ctx, name)
	if err != nil {
		return nil, err
	}
	var old []string
	for _, b := range before {
		if b.Hash() != cert.Hash() && b.Leaf != nil && len(b.Leaf.DNSNames) > 0 && b.Leaf.DNSNames[0] == name {
			old = append(old, b.Hash())
		}
	}
	m.cache.Remove(old)
	m.mu.Lock()
	m.served[name] = cert.Leaf
	m.mu.Unlock()
	return cert.Leaf, nil
}

// knows reports whether a name has a row.
func (m *Manager) knows(name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.rows[strings.ToLower(name)]
	return ok
}

// Has reports whether a name, or the wildcard above it, has a certificate that has not ended.
func (m *Manager) Has(name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	leaf := m.served[name]
	if leaf == nil {
		_, parent, _ := strings.Cut(name, ".")
		leaf = m.served["*."+parent]
	}
	return leaf != nil && m.cfg.Now().Before(leaf.NotAfter)
}

// Certificate returns the certificate for a name, nil if there is none. One that has ended is
// better than none: its client says why it refuses it.
func (m *Manager) Certificate(name string) *tls.Certificate {
	var best *certmagic.Certificate
	list := m.cache.AllMatchingCertificates(name)
	for i := range list {
		if c := &list[i]; c.Leaf != nil && (best == nil || c.Leaf.NotAfter.After(best.Leaf.NotAfter)) {
			best = c
		}
	}
	if best == nil {
		return nil
	}
	return &best.Certificate
}

// cleanEvery is how often what is old is removed from the storage: certificates a week after
// their end, and answers of OCSP.
const cleanEvery = 24 * time.Hour

func (m *Manager) clean(ctx context.Context) {
	m.mu.Lock()
	now := time.Now()
	isDue := now.Sub(m.cleaned) > cleanEvery && (m.cfg.TrustClock == nil || m.cfg.TrustClock())
	if isDue {
		m.cleaned = now
	}
	m.mu.Unlock()
	if !isDue {
		return
	}
	err := certmagic.CleanStorage(ctx, m.storage, certmagic.CleanStorageOptions{
		Logger: silent, OCSPStaples: true, ExpiredCerts: true, ExpiredCertGracePeriod: 7 * 24 * time.Hour,
	})
	if err != nil && ctx.Err() == nil && !errors.Is(err, fs.ErrNotExist) {
		m.cfg.Log.Warn("certificates that have ended can't be removed", "err", err)
	}
}
