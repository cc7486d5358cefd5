package acme

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"
)

// Bounds of what the authority does with one attempt.
const (
	attemptTime = 5 * time.Minute
	answerTime  = 30 * time.Second // of one request
	maxAnswer   = 1 << 20          // bytes
)

// issuer asks an authority for certificates. It tries once: whoever calls decides when to try
// again. certmagic's own would open port 80 by itself and retry for 30 days, where nobody
// sees why.
type issuer struct {
	cfg        *Config
	storage    *storage
	challenges *challenges
	client     *acme.Client
	dns        acmez.Solver // nil without

	mu      sync.Mutex // guards account, and has one goroutine register it
	account acme.Account
}

var _ certmagic.Issuer = (*issuer)(nil)

func newIssuer(cfg *Config, s *storage, ch *challenges) *issuer {
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		TLSClientConfig:     &tls.Config{RootCAs: cfg.Roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: answerTime, ResponseHeaderTimeout: answerTime, ForceAttemptHTTP2: true,
		MaxIdleConnsPerHost: attempts, IdleConnTimeout: time.Minute,
	}
	i := &issuer{cfg: cfg, storage: s, challenges: ch, client: &acme.Client{
		Directory: cfg.Directory, UserAgent: "slipway", PollTimeout: attemptTime,
		HTTPClient: &http.Client{Transport: bounded{transport}, Timeout: answerTime},
	}}
	if cfg.DNS != nil {
		i.dns = &certmagic.DNS01Solver{DNSManager: certmagic.DNSManager{
			DNSProvider: cfg.DNS, TTL: time.Minute, Resolvers: cfg.Resolvers, Logger: silent,
		}}
	}
	return i
}

// IssuerKey implements certmagic.Issuer: certificates of two authorities are kept apart.
func (i *issuer) IssuerKey() string {
	u, err := url.Parse(i.cfg.Directory)
	if err != nil {
		return i.cfg.Directory
	}
	return strings.Trim(u.Host+strings.ReplaceAll(u.Path, "/", "-"), "-")
}

type replacesKey struct{} // of the certificate that is renewed, in a context

// Issue implements certmagic.Issuer.
func (i *issuer) Issue(ctx context.Context, csr *x509.CertificateRequest) (*certmagic.IssuedCertificate, error) {
	chain, err := i.order(ctx, csr)
	if p, ok := errors.AsType[acme.Problem](err); ok && p.Type == acme.ProblemTypeAccountDoesNotExist {
		// The authority has forgotten it, as a new one at the same address has.
		if err = i.forgetAccount(ctx); err == nil {
			chain, err = i.order(ctx, csr)
		}
	}
	if err != nil {
		return nil, certmagic.ErrNoRetry{Err: err}
	}
	return &certmagic.IssuedCertificate{Certificate: chain.ChainPEM, Metadata: chain}, nil
}

func (i *issuer) order(ctx context.Context, csr *x509.CertificateRequest) (chain acme.Certificate, err error) {
	account, err := i.openAccount(ctx)
	if err != nil {
		return chain, err
	}
	params, err := acmez.OrderParametersFromCSR(account, csr)
	if err != nil {
		return chain, err
	}
	params.Replaces, _ = ctx.Value(replacesKey{}).(*x509.Certificate)
	client := acmez.Client{Client: i.client, ChallengeSolvers: i.solvers(csr.DNSNames[0])}
	chains, err := client.ObtainCertificate(ctx, params)
	if err == nil && len(chains) == 0 {
		err = errors.New("the authority sent no certificate")
	}
	if err != nil {
		return chain, err
	}
	return chains[0], nil
}

// solvers returns the ways in which control of a name may be shown. The authority asks for
// DNS-01 for wildcards. The provider is taken for no other names of users: it does not have
// their zones.
func (i *issuer) solvers(name string) map[string]acmez.Solver {
	if i.dns != nil && (strings.HasPrefix(name, "*.") || strings.HasSuffix(name, "."+i.cfg.Suffix)) {
		return map[string]acmez.Solver{acme.ChallengeTypeDNS01: i.dns}
	}
	s := solver{i.challenges}
	return map[string]acmez.Solver{acme.ChallengeTypeHTTP01: s, acme.ChallengeTypeTLSALPN01: s}
}

// keptAccount is an account as it is sealed.
type keptAccount struct {
	Location string
	Contact  []string
	Key      []byte // PKCS #8
}

func (i *issuer) accountKey() string {
	return "account/" + i.IssuerKey() + "/" + strings.ToLower(i.cfg.Email)
}

// openAccount returns the account of the store, or registers one. Of several servers, one does.
func (i *issuer) openAccount(ctx context.Context) (acme.Account, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.account.Location != "" {
		return i.account, nil
	}
	if err := i.storage.Lock(ctx, i.accountKey()); err != nil {
		return acme.Account{}, err
	}
	defer func() { _ = i.storage.Unlock(ctx, i.accountKey()) }() // others wait for a while then
	a, err := i.loadAccount(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		a, err = i.register(ctx)
	}
	if err == nil {
		i.account = a
	}
	return a, err
}

func (i *issuer) loadAccount(ctx context.Context) (a acme.Account, err error) {
	b, err := i.storage.Load(ctx, i.accountKey())
	if err != nil {
		return a, err
	}
	var k keptAccount
	if err := json.Unmarshal(b, &k); err != nil {
		return a, fmt.Errorf("the account in the store: %w", err)
	}
	key, err := x509.ParsePKCS8PrivateKey(k.Key)
	if err != nil {
		return a, fmt.Errorf("the account's key in the store: %w", err)
	}
	signer, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return a, fmt.Errorf("the account's key in the store is a %T", key)
	}
	return acme.Account{Status: acme.StatusValid, Location: k.Location, Contact: k.Contact, PrivateKey: signer}, nil
}

// register makes an account. One that is registered and, at a crash, not kept stays unused.
func (i *issuer) register(ctx context.Context) (a acme.Account, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return a, err
	}
	a = acme.Account{TermsOfServiceAgreed: true, PrivateKey: key}
	if i.cfg.Email != "" {
		a.Contact = []string{"mailto:" + i.cfg.Email}
	}
	if e := i.cfg.EAB; e != nil {
		if err := a.SetExternalAccountBinding(ctx, i.client, *e); err != nil {
			return a, err
		}
	}
	if a, err = i.client.NewAccount(ctx, a); err != nil {
		return a, fmt.Errorf("register an account: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return a, err
	}
	b, err := json.Marshal(keptAccount{Location: a.Location, Contact: a.Contact, Key: der})
	if err != nil {
		return a, err
	}
	return a, i.storage.Store(ctx, i.accountKey(), b)
}

func (i *issuer) forgetAccount(ctx context.Context) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.account = acme.Account{}
	return i.storage.Delete(ctx, i.accountKey())
}

// revoke has the authority declare a certificate invalid, for one of the reasons of RFC 5280,
// 5.3.1.
func (i *issuer) revoke(ctx context.Context, leaf *x509.Certificate, reason int) error {
	account, err := i.openAccount(ctx)
	if err != nil {
		return err
	}
	return i.client.RevokeCertificate(ctx, account, leaf, account.PrivateKey, reason)
}

type pauseKey struct{} // of a *pause, in a context

// pause is how long the authority wants to be left alone. acmez does not tell it.
type pause struct {
	mu    sync.Mutex // guards least
	least time.Duration
}

func (p *pause) get() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.least
}

// bounded bounds the answers of an authority, and notes what it says about coming again.
type bounded struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, maxAnswer), resp.Body}
	p, ok := r.Context().Value(pauseKey{}).(*pause)
	if ok && (resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable) {
		p.mu.Lock()
		p.least = retryAfter(resp.Header.Get("Retry-After"), time.Now())
		p.mu.Unlock()
	}
	return resp, nil
}
