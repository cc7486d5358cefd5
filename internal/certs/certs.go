// Package certs decides which certificate a client of TLS gets, and keeps what TLS needs
// besides: the local certificate authority and the keys of session tickets, both sealed in
// the store, so that they outlive a restart and several servers share them.
//
// A certificate comes from files that the operator keeps up to date, from an authority by
// ACME (package acme), or from the local authority, which is for development and networks
// without a public one. A name that belongs to no service gets none: the handshake ends there.
//
// It opens no listeners and reads no requests: the router and the API have the
// configuration that it makes.
package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/openslipway/slipway/internal/certs/acme"
	"github.com/openslipway/slipway/internal/loop"
	"github.com/openslipway/slipway/internal/store"
)

// Vault seals what is kept in the store.
type Vault interface {
	Seal(context string, secret []byte) []byte
	Open(context string, sealed []byte) ([]byte, error)
}

// Config configures Certs.
type Config struct {
	Store *store.Store
	Vault Vault
	Log   *slog.Logger
	Loops *loop.Set // of the server; nil counts nothing

	// Files are certificates with their keys. They are read again when they change.
	Files []Pair

	// Local says that names without a certificate in files get one of the local authority,
	// which is made if there is none yet.
	Local bool

	// ACME gets certificates from an authority for names that no file has; nil without. Its
	// Store, Vault, Log, Loops, Suffix, Covered and Now are set here.
	ACME *acme.Config

	// Suffix is the domain below which services have a name of one label. The local
	// authority issues one certificate for all of them.
	Suffix string

	// API says that API will be called: for names of the API that no file has there is a local
	// authority in any case.
	API bool

	Now func() time.Time // time.Now when nil
}

// Certs has the certificates of a server.
type Certs struct {
	cfg     Config
	files   atomic.Pointer[files]
	local   *authority    // nil without one
	acme    *acme.Manager // nil without one
	tickets tickets

	mu      sync.Mutex    // guards what follows
	configs []*tls.Config // all that were made
	keys    [][32]byte    // of session tickets
}

// New reads the files, and makes or reads what the store keeps. A file that can't be used is
// an error: a server that starts without its certificate would be noticed by its clients.
func New(ctx context.Context, cfg Config) (*Certs, error) {
	if cfg.Store == nil || cfg.Vault == nil || cfg.Log == nil {
		return nil, errors.New("certs: Store, Vault and Log are required")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	c := &Certs{cfg: cfg}
	list, err := readFiles(cfg.Files)
	if err != nil {
		return nil, err
	}
	c.files.Store(list)
	if cfg.Local || cfg.API {
		if c.local, err = openAuthority(ctx, cfg); err != nil {
			return nil, fmt.Errorf("the local certificate authority: %w", err)
		}
	}
	if cfg.ACME != nil {
		if c.acme, err = c.openACME(ctx); err != nil {
			return nil, fmt.Errorf("certificates by ACME: %w", err)
		}
	}
	c.tickets = tickets{store: cfg.Store, vault: cfg.Vault, now: cfg.Now}
	return c, c.rotate(ctx)
}

func (c *Certs) openACME(ctx context.Context) (*acme.Manager, error) {
	cfg := *c.cfg.ACME
	cfg.Store, cfg.Vault, cfg.Log, cfg.Loops, cfg.Suffix, cfg.Now = c.cfg.Store, c.cfg.Vault, c.cfg.Log, c.cfg.Loops, c.cfg.Suffix, c.cfg.Now
	cfg.Covered = func(name string) bool { return c.files.Load().find(name, nil) != nil }
	return acme.Open(ctx, cfg)
}

// ACME returns what gets certificates from an authority, nil if nothing does.
func (c *Certs) ACME() *acme.Manager { return c.acme }

// Challenge answers a question of an authority by HTTP-01, at a plain listener.
func (c *Certs) Challenge(host, path string) (answer string, ok bool) {
	if c.acme == nil {
		return "", false
	}
	return c.acme.Challenge(host, path)
}

// newTLS returns a configuration with what all listeners of this server have in common. TLS
// 1.2 has only what has forward secrecy and authenticates what it encrypts.
func (c *Certs) newTLS(choose func(*tls.ClientHelloInfo) (*tls.Certificate, error)) *tls.Config {
	conf := &tls.Config{
		MinVersion: tls.VersionTLS12,
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		NextProtos:     []string{"http/1.1"},
		GetCertificate: choose,
		Time:           c.cfg.Now,
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	conf.SetSessionTicketKeys(c.keys)
	c.configs = append(c.configs, conf)
	return conf
}

// Services returns a configuration for a listener of services. served reports whether a name, in
// lower case and without a port, is one of a service there.
func (c *Certs) Services(served func(name string) bool) *tls.Config {
	conf := c.newTLS(func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) { return c.certificate(hello, served) })
	conf.NextProtos = []string{"h2", "http/1.1"}
	if c.acme != nil {
		conf.NextProtos = append(conf.NextProtos, acme.Proto)
	}
	return conf
}

// API returns a configuration for listeners of the API. own reports whether a name is one of
// its own.
func (c *Certs) API(own func(name string) bool) *tls.Config {
	return c.newTLS(func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) { return c.ownCertificate(hello, own) })
}

// Authority returns the certificate of the local authority as PEM, nil if there is none.
func (c *Certs) Authority() []byte {
	if c.local == nil {
		return nil
	}
	return c.local.pem()
}

// Has reports whether clients that ask for a name get a certificate: whether they may be sent
// to HTTPS.
func (c *Certs) Has(name string) bool {
	return c.cfg.Local || c.files.Load().find(name, nil) != nil || c.acme != nil && c.acme.Has(name)
}

// certificate chooses the certificate of a service. Without one it returns nil, and the client
// gets the alert unrecognized_name.
func (c *Certs) certificate(hello *tls.ClientHelloInfo, served func(string) bool) (*tls.Certificate, error) {
	name := strings.ToLower(hello.ServerName)
	if name == "" {
		return c.nameless(hello)
	}
	if c.acme != nil && acme.IsChallenge(hello) { // also for names that are not served yet
		return c.acme.ChallengeCertificate(name)
	}
	if !served(name) {
		return nil, nil
	}
	if cert := c.files.Load().find(name, hello); cert != nil {
		return cert, nil
	}
	if c.acme != nil {
		if cert := c.acme.Certificate(name); cert != nil {
			return cert, nil
		}
	}
	if !c.cfg.Local {
		return nil, nil
	}
	return c.local.issue(c.coveredBy(name))
}

// ownCertificate chooses the certificate of the API.
func (c *Certs) ownCertificate(hello *tls.ClientHelloInfo, own func(string) bool) (*tls.Certificate, error) {
	name := strings.ToLower(hello.ServerName)
	if name == "" {
		return c.local.issue(localAddr(hello, "localhost"))
	}
	if !own(name) {
		return nil, nil
	}
	if cert := c.files.Load().find(name, hello); cert != nil {
		return cert, nil
	}
	return c.local.issue(name)
}

// localAddr returns the address that a client has connected to, or a name in its place.
func localAddr(hello *tls.ClientHelloInfo, instead string) string {
	if a, ok := hello.Conn.LocalAddr().(*net.TCPAddr); ok {
		return a.IP.String()
	}
	return instead
}

// nameless chooses for a client that does not say whom it wants: one that connects to an
// address, or is old. Its request names the service.
func (c *Certs) nameless(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if cert := c.files.Load().first(hello); cert != nil {
		return cert, nil
	}
	if !c.cfg.Local {
		return nil, nil
	}
	return c.local.issue(localAddr(hello, c.coveredBy("")))
}

// coveredBy returns the name for which the local authority issues the certificate of a
// service: one for all below the suffix.
func (c *Certs) coveredBy(name string) string {
	if label, ok := strings.CutSuffix(name, "."+c.cfg.Suffix); name == "" || ok && !strings.Contains(label, ".") {
		return "*." + c.cfg.Suffix
	}
	return name
}

// Run reads files again that have changed and keeps the keys of session tickets fresh, until
// ctx ends. It returns nil.
func (c *Certs) Run(ctx context.Context) error {
	if c.acme == nil {
		return c.look(ctx)
	}
	var both errgroup.Group
	both.Go(func() error { return c.acme.Run(ctx) })
	both.Go(func() error { return c.look(ctx) })
	defer c.acme.Close()
	return both.Wait()
}

// look is Run for files and keys.
func (c *Certs) look(ctx context.Context) error {
	var known *files
	var told string
	var rotated time.Time // with a reading of the monotonic clock
	return loop.Run(ctx, loop.Config{Name: "certificates", Set: c.cfg.Loops, Log: c.cfg.Log, Every: lookTime}, func(ctx context.Context) error {
		now := c.files.Load()
		next, err := now.reread()
		switch {
		case err != nil && err.Error() != told:
			told = err.Error()
			c.cfg.Log.Warn("a certificate that has changed can't be used; the one before it stays", "err", err)
		case err == nil && next != now:
			told = ""
			c.files.Store(next)
			c.cfg.Log.Info("certificates read again", "files", len(next.pairs))
		}
		if next != known && err == nil {
			known = next
			next.tell(c.cfg.Log, c.cfg.Now())
		}
		if time.Since(rotated) < rotateTime {
			return nil
		}
		if err := c.rotate(ctx); err != nil {
			return err
		}
		rotated = time.Now()
		return nil
	})
}

// How often files are looked at, and the keys of session tickets: another server may have
// made one.
const (
	lookTime   = 10 * time.Second
	rotateTime = 5 * time.Minute
)

// rotate has the configuration use the current keys of session tickets.
func (c *Certs) rotate(ctx context.Context) error {
	keys, err := c.tickets.current(ctx)
	if err != nil {
		return fmt.Errorf("keys of session tickets: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keys = keys
	for _, conf := range c.configs {
		conf.SetSessionTicketKeys(keys)
	}
	return nil
}
