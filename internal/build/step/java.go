package step

import (
	"bytes"
	"crypto/sha1"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// javaFile is where Java finds the operator's certificates.
const javaFile = "/run/slipway/cacerts.jks"

// WithJavaStore returns the way with its certificates in Java's form too, in a file that
// it writes to a directory. Java reads no bundle and no variables of proxies.
func (w Way) WithJavaStore(dir string) (Way, error) {
	if w.CAFile == "" {
		return w, nil
	}
	bundle, err := os.ReadFile(w.CAFile)
	if err != nil {
		return w, fmt.Errorf("read the certificates of builds: %w", err)
	}
	store, err := javaStore(bundle)
	if err != nil {
		return w, fmt.Errorf("%s: %w", w.CAFile, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return w, err
	}
	w.JavaStore = filepath.Join(dir, "cacerts.jks")
	return w, os.WriteFile(w.JavaStore, store, 0o644)
}

// javaStore makes a trust store (JKS) of a bundle of certificates (PEM). Java checks the
// password, "changeit", only if it is given one.
func javaStore(bundle []byte) ([]byte, error) {
	var certificates [][]byte
	for block, rest := pem.Decode(bundle); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" && block.Type != "TRUSTED CERTIFICATE" {
			continue
		}
		// OpenSSL's trusted certificates have more behind the certificate: left out, as
		// are those that Go cannot read, and which Java would stumble over.
		if c, err := x509.ParseCertificate(block.Bytes); err == nil {
			certificates = append(certificates, c.Raw)
		}
	}
	if len(certificates) == 0 {
		return nil, errors.New("there is no certificate in it")
	}
	var b bytes.Buffer
	number := func(n uint32) { b.Write(binary.BigEndian.AppendUint32(nil, n)) }
	text := func(s string) {
		b.Write(binary.BigEndian.AppendUint16(nil, uint16(len(s))))
		b.WriteString(s)
	}
	number(0xfeedfeed)
	number(2) // version
	number(uint32(len(certificates)))
	for i, c := range certificates {
		number(2) // a trusted certificate
		text(fmt.Sprintf("ca%d", i))
		b.Write(make([]byte, 8)) // its date, which nobody reads
		text("X.509")
		number(uint32(len(c)))
		b.Write(c)
	}
	hash := sha1.New() //nolint:gosec // the format's
	for _, r := range "changeit" {
		hash.Write([]byte{0, byte(r)})
	}
	hash.Write([]byte("Mighty Aphrodite"))
	hash.Write(b.Bytes())
	return hash.Sum(b.Bytes()), nil
}

// javaOptions are what makes Java take the way.
func (w Way) javaOptions() string {
	var list []string
	if w.JavaStore != "" {
		list = append(list, "-Djavax.net.ssl.trustStore="+javaFile, "-Djavax.net.ssl.trustStoreType=JKS")
	}
	if u, err := url.Parse(w.Proxy); err == nil && u.Hostname() != "" {
		port := u.Port()
		if port == "" {
			port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
		}
		for _, scheme := range []string{"http", "https"} {
			list = append(list, fmt.Sprintf("-D%s.proxyHost=%s", scheme, u.Hostname()), fmt.Sprintf("-D%s.proxyPort=%s", scheme, port))
		}
		if w.NoProxy != "" {
			list = append(list, "-Dhttp.nonProxyHosts="+javaHosts(w.NoProxy))
		}
	}
	return strings.Join(list, " ")
}

// javaHosts translates the hosts of NO_PROXY.
func javaHosts(list string) string {
	var hosts []string
	for _, h := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' }) {
		if strings.HasPrefix(h, ".") {
			h = "*" + h
		}
		if !strings.Contains(h, "/") { // Java knows no prefixes of addresses
			hosts = append(hosts, h)
		}
	}
	return strings.Join(hosts, "|")
}
