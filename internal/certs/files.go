package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"
)

// Pair names the files of a certificate and its key, in PEM. The first file has the
// certificate of the server and after it those that lead to its authority. Both may be one
// file.
type Pair struct{ Cert, Key string }

// files are the certificates of files, as they were read at one time.
type files struct {
	pairs  []read
	byName map[string][]*tls.Certificate // by name or wildcard, in the order of the pairs
}

// read is a pair and what was in its files.
type read struct {
	Pair
	cert, key []byte
	parsed    *tls.Certificate
}

// readFiles reads all pairs.
func readFiles(list []Pair) (*files, error) {
	f := &files{byName: map[string][]*tls.Certificate{}}
	for _, p := range list {
		r, err := readPair(p)
		if err != nil {
			return nil, err
		}
		f.add(r)
	}
	return f, nil
}

func readPair(p Pair) (r read, err error) {
	r.Pair = p
	if r.cert, err = os.ReadFile(p.Cert); err != nil {
		return r, fmt.Errorf("read the certificate: %w", err)
	}
	if r.key, err = os.ReadFile(p.Key); err != nil {
		return r, fmt.Errorf("read the key of %s: %w", p.Cert, err)
	}
	cert, err := tls.X509KeyPair(r.cert, r.key)
	if err != nil {
		return r, fmt.Errorf("certificate %s with key %s: %w", p.Cert, p.Key, err)
	}
	if len(cert.Leaf.DNSNames) == 0 && len(cert.Leaf.IPAddresses) == 0 {
		return r, fmt.Errorf("certificate %s has no subject alternative name, so no client accepts it", p.Cert)
	}
	r.parsed = &cert
	return r, nil
}

func (f *files) add(r read) {
	f.pairs = append(f.pairs, r)
	for _, name := range r.parsed.Leaf.DNSNames {
		name = strings.ToLower(name)
		f.byName[name] = append(f.byName[name], r.parsed)
	}
}

// reread returns f if no file has changed. A pair that can't be used stays as it was, and is
// in the error: an editor or a client of an authority may be between its two files.
func (f *files) reread() (*files, error) {
	next, changed := &files{byName: map[string][]*tls.Certificate{}}, false
	var failed error
	for _, old := range f.pairs {
		r, err := readPair(old.Pair)
		switch {
		case err != nil:
			failed = err
			r = old
		case bytes.Equal(r.cert, old.cert) && bytes.Equal(r.key, old.key):
			r = old
		default:
			changed = true
		}
		next.add(r)
	}
	if !changed {
		next = f
	}
	return next, failed
}

// find returns a certificate for a name that the client can use, or the first one if it can
// use none of them; nil if there is none. Any client will do if hello is nil.
func (f *files) find(name string, hello *tls.ClientHelloInfo) *tls.Certificate {
	list := f.byName[name]
	if len(list) == 0 {
		if _, parent, ok := strings.Cut(name, "."); ok {
			list = f.byName["*."+parent]
		}
	}
	return usable(list, hello)
}

// first is find for a client that names nobody.
func (f *files) first(hello *tls.ClientHelloInfo) *tls.Certificate {
	var list []*tls.Certificate
	for _, p := range f.pairs {
		list = append(list, p.parsed)
	}
	return usable(list, hello)
}

func usable(list []*tls.Certificate, hello *tls.ClientHelloInfo) *tls.Certificate {
	if len(list) == 0 {
		return nil
	}
	for _, c := range list {
		if hello == nil || hello.SupportsCertificate(c) == nil {
			return c
		}
	}
	return list[0]
}

// soon is how long before its end a certificate of a file is told of: whoever renews it should
// have done so.
const soon = 14 * 24 * time.Hour

// tell logs which certificates end soon or are over.
func (f *files) tell(log *slog.Logger, now time.Time) {
	for _, p := range f.pairs {
		if leaf := p.parsed.Leaf; now.Add(soon).After(leaf.NotAfter) {
			log.Warn("a certificate ends soon; renew its file", "file", p.Cert, "names", names(leaf), "end", leaf.NotAfter.UTC())
		}
	}
}

func names(c *x509.Certificate) string { return strings.Join(c.DNSNames, " ") }
