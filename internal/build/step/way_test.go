package step

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway/internal/source/config"
)

// certificate makes a certificate in PEM form.
func certificate(t *testing.T, name string) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// A builder has the host's bundle, proxy and registries, in the variables of all
// programs that documents name.
func TestHostWay(t *testing.T) {
	t.Parallel()
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(bundle, certificate(t, "one"), 0o644); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{
		"SSL_CERT_FILE": bundle, "HTTPS_PROXY": "http://proxy.example:3128", "NO_PROXY": "localhost,.example,10.0.0.0/8",
		"GOPROXY": "https://go.example", "HOME": "/root", "AWS_SECRET_ACCESS_KEY": "secret",
	}
	w, err := HostWay(func(name string) string { return env[name] }).WithJavaStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, v := range w.Variables() {
		got[v.Name] = v.Value
	}
	const ca, proxy, no = "/run/slipway/ca-certificates.crt", "http://proxy.example:3128", "localhost,.example,10.0.0.0/8"
	want := map[string]string{
		"SSL_CERT_FILE": ca, "CURL_CA_BUNDLE": ca, "GIT_SSL_CAINFO": ca, "NODE_EXTRA_CA_CERTS": ca, "npm_config_cafile": ca, "PIP_CERT": ca,
		"REQUESTS_CA_BUNDLE": ca, "AWS_CA_BUNDLE": ca, "BUNDLE_SSL_CA_CERT": ca, "COMPOSER_CAFILE": ca,
		"http_proxy": proxy, "https_proxy": proxy, "HTTP_PROXY": proxy, "HTTPS_PROXY": proxy, "no_proxy": no, "NO_PROXY": no,
		"GOPROXY": "https://go.example",
		"JAVA_TOOL_OPTIONS": "-Djavax.net.ssl.trustStore=/run/slipway/cacerts.jks -Djavax.net.ssl.trustStoreType=JKS " +
			"-Dhttp.proxyHost=proxy.example -Dhttp.proxyPort=3128 -Dhttps.proxyHost=proxy.example -Dhttps.proxyPort=3128 -Dhttp.nonProxyHosts=localhost|*.example",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var targets []string
	for _, b := range w.Binds() {
		if b.Write {
			t.Errorf("%+v can be written to", b)
		}
		targets = append(targets, b.Target)
	}
	if diff := cmp.Diff([]string{ca, javaFile}, targets); diff != "" {
		t.Errorf("binds (-want +got):\n%s", diff)
	}
	page, err := os.ReadFile("../../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range want {
		if !strings.Contains(string(page), name) && !strings.Contains(string(page), strings.ToLower(name)) {
			t.Errorf("docs/operating.md does not name %s", name)
		}
	}
	if none := (Way{Env: []config.Variable{{Name: "A", Value: "b"}}}); len(none.Variables()) != 1 || none.Binds() != nil {
		t.Errorf("without a way: %v, %v", none.Variables(), none.Binds())
	}
}

// Java reads the store, where there is a Java to ask.
func TestJavaStore(t *testing.T) {
	t.Parallel()
	bundle := append(certificate(t, "one"), certificate(t, "two")...)
	bundle = append(bundle, []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")...)
	store, err := javaStore(bundle)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"", "no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
		if _, err := javaStore([]byte(bad)); err == nil {
			t.Errorf("%q makes a store", bad)
		}
	}
	if _, err := (Way{CAFile: "/does/not/exist"}).WithJavaStore(t.TempDir()); err == nil {
		t.Error("a missing bundle makes a store")
	}
	keytool, err := exec.LookPath("keytool")
	if err != nil {
		t.Skip("no keytool")
	}
	file := filepath.Join(t.TempDir(), "cacerts.jks")
	if err := os.WriteFile(file, store, 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(keytool, "-list", "-keystore", file, "-storepass", "changeit").CombinedOutput()
	if err != nil || strings.Count(string(out), "trustedCertEntry") != 2 {
		t.Errorf("keytool: %v\n%s", err, out)
	}
}
