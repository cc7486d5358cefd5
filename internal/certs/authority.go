package certs

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"sync"
	"time"

	"github.com/openslipway/slipway/internal/store"
)

// Lifetimes of what the local authority signs. A certificate is in memory only: it is issued
// again when two thirds of its time are over, or after a restart.
const (
	rootLife = 10 * 365 * 24 * time.Hour
	leafLife = 30 * 24 * time.Hour
	leeway   = 24 * time.Hour // before now, for clients whose clock is late
)

// maxLeaves bounds the certificates in memory. All are forgotten when there are more.
const maxLeaves = 10_000

// authority issues certificates that only those trust who have installed its own.
type authority struct {
	now  func() time.Time
	root *x509.Certificate
	sign *ecdsa.PrivateKey
	key  *ecdsa.PrivateKey // of all certificates that this process issues

	mu     sync.Mutex // guards leaves
	leaves map[string]*tls.Certificate
}

// authorityItem is the name of the authority in the store, and the context of its seal.
const authorityItem = "authority"

// kept is the authority as it is sealed.
type kept struct {
	Certificate []byte // DER
	Key         []byte // PKCS #8
}

// openAuthority reads the authority of the store, or makes one. Of several servers that do
// it at once, one makes it.
func openAuthority(ctx context.Context, cfg Config) (*authority, error) {
	var k kept
	err := cfg.Store.Update(ctx, func(tx *store.Tx) error {
		sealed, err := tx.TLSItem(authorityItem)
		if err == nil {
			plain, err := cfg.Vault.Open("tls/"+authorityItem, sealed)
			if err != nil {
				return err
			}
			return json.Unmarshal(plain, &k)
		}
		if !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if k, err = newRoot(cfg.Now()); err != nil {
			return err
		}
		plain, err := json.Marshal(k)
		if err != nil {
			return err
		}
		return tx.PutTLSItem(authorityItem, cfg.Vault.Seal("tls/"+authorityItem, plain), cfg.Now())
	})
	if err != nil {
		return nil, err
	}
	a := &authority{now: cfg.Now, leaves: map[string]*tls.Certificate{}}
	if a.root, err = x509.ParseCertificate(k.Certificate); err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(k.Key)
	if err != nil {
		return nil, err
	}
	var ok bool
	if a.sign, ok = key.(*ecdsa.PrivateKey); !ok {
		return nil, fmt.Errorf("its key is a %T", key)
	}
	a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	return a, err
}

// newRoot makes an authority. It may sign certificates of servers and nothing else.
func newRoot(now time.Time) (k kept, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return k, err
	}
	host, err := os.Hostname()
	if err != nil {
		host = "this host"
	}
	serial, err := newSerial()
	if err != nil {
		return k, err
	}
	t := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{Organization: []string{"Slipway"}, CommonName: "Slipway local authority of " + host},
		NotBefore: now.Add(-leeway), NotAfter: now.Add(rootLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if k.Certificate, err = x509.CreateCertificate(rand.Reader, t, t, key.Public(), key); err != nil {
		return k, err
	}
	k.Key, err = x509.MarshalPKCS8PrivateKey(key)
	return k, err
}

func newSerial() (*big.Int, error) {
	return rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
}

// pem returns the authority's certificate.
func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.root.Raw})
}

// issue returns a certificate for a name, a wildcard or an address.
func (a *authority) issue(name string) (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	if c := a.leaves[name]; c != nil && now.Before(c.Leaf.NotAfter.Add(-leafLife/3)) && now.After(c.Leaf.NotBefore) {
		return c, nil
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{Organization: []string{"Slipway"}},
		NotBefore: now.Add(-leeway), NotAfter: now.Add(leafLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if ip := net.ParseIP(name); ip != nil {
		t.IPAddresses = []net.IP{ip}
	} else {
		t.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.root, a.key.Public(), a.sign)
	if err != nil {
		return nil, fmt.Errorf("issue a certificate for %s: %w", name, err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	if len(a.leaves) >= maxLeaves {
		clear(a.leaves)
	}
	c := &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: a.key, Leaf: leaf}
	a.leaves[name] = c
	return c, nil
}
