package daemon

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"strconv"

	"github.com/openslipway/slipway/internal/atomicfile"
	"github.com/openslipway/slipway/internal/certs"
	"github.com/openslipway/slipway/internal/router"
)

// TLS says where services answer with TLS, and with which certificates.
type TLS struct {
	Addr  string   // host:port; port 0 for any, "" for nowhere
	Certs []string // files of certificates
	Keys  []string // those of their keys, in the same order; for "" the file of the certificate

	// Local has names that nothing else has certified by the local authority.
	// Without ACME it does that for all names where there are no files.
	Local bool

	// API has the API's address speak TLS, with certificates of files, or of the local
	// authority for names that have none.
	API bool

	ACME ACME // for names that no file has
}

// check returns the first mistake. other says that there is TLS elsewhere: at an inherited
// socket or a VPC endpoint.
func (t TLS) check(other bool) error {
	if t.Addr == "" && !other && t.ACME != (ACME{}) {
		return fmt.Errorf("--acme is for --https-addr, which is not set; set it to where services answer with TLS, such as :443")
	}
	if t.Addr == "" && !other && !t.API && (len(t.Certs)+len(t.Keys) > 0 || t.Local) {
		return fmt.Errorf("--tls-cert, --tls-key and --tls-local are for --https-addr, --api-tls and VPC endpoints with tls, of which there is none; set --https-addr to where services answer with TLS, such as :443")
	}
	if _, _, err := net.SplitHostPort(t.Addr); err != nil && t.Addr != "" {
		return fmt.Errorf("--https-addr is %q; it must be host:port, where port 0 means any", t.Addr)
	}
	if len(t.Keys) > 0 && len(t.Keys) != len(t.Certs) {
		return fmt.Errorf("--tls-cert is given %d times and --tls-key %d times; give a key for each certificate in the same order, or no --tls-key if each file has both", len(t.Certs), len(t.Keys))
	}
	return t.ACME.check()
}

// pairs returns the files of certificates with those of their keys.
func (t TLS) pairs() (list []certs.Pair) {
	for i, file := range t.Certs {
		p := certs.Pair{Cert: file, Key: file}
		if len(t.Keys) > 0 {
			p.Key = t.Keys[i]
		}
		list = append(list, p)
	}
	return list
}

// openTLS makes the certificates of services, if the server has TLS.
func (r *routerRole) openTLS(ctx context.Context) (err error) {
	t := r.cfg.TLS
	endpoints := r.cfg.Endpoints.secure()
	services := len(r.listeners.https) > 0 || len(endpoints) > 0
	if !services && !t.API {
		return nil
	}
	issuer, err := r.acmeConfig()
	if err != nil {
		return err
	}
	r.certs, err = certs.New(ctx, certs.Config{
		Store: r.store, Vault: r.keys, Log: r.part("certs"), Loops: r.loops, Files: t.pairs(), ACME: issuer,
		Local: services && (t.Local || len(t.Certs) == 0 && issuer == nil), API: t.API, Suffix: r.cfg.Region + "." + r.cfg.Domain,
	})
	if err != nil {
		return err
	}
	r.secure = map[string]*tls.Config{}
	for _, id := range append(endpoints, "") {
		r.secure[id] = r.certs.Services(func(name string) bool { return r.router.Find(router.RouteKey{Listener: id, Host: name}) != nil })
	}
	return r.keepAuthority()
}

// keepAuthority has the data directory tell the local authority's certificate, which is no
// secret, to those who install it or name it to a client.
func (r *routerRole) keepAuthority() error {
	root := r.certs.Authority()
	if root == nil {
		return nil
	}
	return atomicfile.Write(r.dirs.authority(), root, 0o644)
}

// authority returns the certificate of the local authority, nil without one.
func (r *routerRole) authority() []byte {
	if r.certs == nil {
		return nil
	}
	return r.certs.Authority()
}

// tlsOf returns the configuration of a VPC endpoint, nil for a plain one.
func (r *routerRole) tlsOf(endpoint string) *tls.Config {
	if !r.cfg.Endpoints[endpoint].TLS {
		return nil
	}
	return r.secure[endpoint]
}

// tls is the configuration of the API.
func (r *routerRole) tls() *tls.Config { return r.certs.API(r.cfg.ownHosts().own) }

// secureHost is router.Listener.HTTPS of the plain listener.
func (r *routerRole) secureHost(host string) string {
	if !r.certs.Has(host) {
		return ""
	}
	if port := r.listeners.httpsPort(); port != 443 {
		return net.JoinHostPort(host, strconv.Itoa(port))
	}
	return host
}

// withScheme tells clients of the API by which scheme services are reached: App Runner's
// ServiceUrl has none.
func (a *apiRole) withScheme(next http.Handler) http.Handler {
	if len(a.listeners.https) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Slipway-Service-Scheme", "https")
		next.ServeHTTP(w, r)
	})
}

// secured returns listeners that speak TLS, if the API does.
func (a *apiRole) secured(list []net.Listener) []net.Listener {
	if !a.cfg.TLS.API {
		return list
	}
	out := make([]net.Listener, len(list))
	conf := a.tls()
	for i, l := range list {
		out[i] = tls.NewListener(l, conf)
	}
	return out
}

// authorityPEM answers with the certificate of the local authority.
func (a *apiRole) authorityPEM(w http.ResponseWriter, r *http.Request) {
	root := a.authority()
	if root == nil {
		http.Error(w, "This server has no certificate authority of its own.", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/x-pem-file")
	_, _ = w.Write(root) // a client that has gone needs none
}

// fingerprint is the SHA-256 of a certificate in PEM, as people compare it.
func fingerprint(b []byte) string {
	block, _ := pem.Decode(b)
	if block == nil {
		return ""
	}
	sum := sha256.Sum256(block.Bytes)
	return hex.EncodeToString(sum[:])
}
