package daemon

import (
	"context"
	"crypto/sha256"
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

	// Local has names that no file has certified by the local authority. It does that for
	// all names where there are no files.
	Local bool
}

// check returns the first mistake. inherited says that there is a socket already.
func (t TLS) check(inherited bool) error {
	if t.Addr == "" && !inherited {
		if len(t.Certs)+len(t.Keys) > 0 || t.Local {
			return fmt.Errorf("--tls-cert, --tls-key and --tls-local are for --https-addr, which is not set; set it to where services answer with TLS, such as :443")
		}
		return nil
	}
	if _, _, err := net.SplitHostPort(t.Addr); err != nil && t.Addr != "" {
		return fmt.Errorf("--https-addr is %q; it must be host:port, where port 0 means any", t.Addr)
	}
	if len(t.Keys) > 0 && len(t.Keys) != len(t.Certs) {
		return fmt.Errorf("--tls-cert is given %d times and --tls-key %d times; give a key for each certificate in the same order, or no --tls-key if each file has both", len(t.Certs), len(t.Keys))
	}
	return nil
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
	if len(r.listeners.https) == 0 {
		return nil
	}
	r.certs, err = certs.New(ctx, certs.Config{
		Store: r.store, Vault: r.keys, Log: r.part("certs"), Loops: r.loops, Files: t.pairs(), Local: t.Local || len(t.Certs) == 0,
		Suffix: r.cfg.Region + "." + r.cfg.Domain,
		Served: func(name string) bool { return r.router.Find(router.RouteKey{Host: name}) != nil },
	})
	if err != nil {
		return err
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
