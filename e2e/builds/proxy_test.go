package builds

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// inspector is a proxy that inspects TLS, as companies have it: it answers every host
// with a certificate of its own authority. What an answer lacks it fetches.
type inspector struct {
	addr   string // where builds reach it
	CAFile string // its authority

	t       *testing.T
	key     *ecdsa.PrivateKey
	ca      *x509.Certificate
	answers map[string]http.HandlerFunc // by host, in place of the host itself

	mu   sync.Mutex // guards what follows
	seen []string   // hosts that were asked through TLS
}

// inspect starts a proxy at an address of this machine that sandboxes can reach.
func inspect(t *testing.T, answers map[string]http.HandlerFunc) *inspector {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := &inspector{t: t, key: key, answers: answers, CAFile: filepath.Join(t.TempDir(), "proxy.pem")}
	p.ca = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "The proxy's authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, p.ca, p.ca, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.CAFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp4", net.JoinHostPort(ownAddress(t), "0"))
	if err != nil {
		t.Fatal(err)
	}
	p.addr = l.Addr().String()
	server := &http.Server{Handler: p, ReadHeaderTimeout: time.Minute}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return p
}

// ownAddress returns an address of this machine that is not loopback. Addresses of the
// loopback device are those of other tests' servers, which end before this one.
func ownAddress(t *testing.T) string {
	t.Helper()
	devices, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range devices {
		addrs, err := d.Addrs()
		if err != nil || d.Flags&net.FlagLoopback != 0 {
			continue
		}
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
				return n.IP.String()
			}
		}
	}
	t.Skip("this machine has only loopback addresses")
	return ""
}

// certificate makes a certificate for a host.
func (p *inspector) certificate(host string) (*tls.Certificate, error) {
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, c, p.ca, &p.key.PublicKey, p.key)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: p.key}, err
}

func (p *inspector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		p.forward(w, r)
		return
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	host, _, _ := strings.Cut(r.Host, ":")
	cert, err := p.certificate(host)
	if _, werr := io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n"); err != nil || werr != nil {
		return
	}
	inner := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{*cert}, MinVersion: tls.VersionTLS12})
	defer inner.Close()
	if inner.Handshake() != nil { // the client does not trust us
		return
	}
	p.mu.Lock()
	p.seen = append(p.seen, host)
	p.mu.Unlock()
	in := bufio.NewReader(inner)
	for {
		q, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		q.URL.Scheme, q.URL.Host = "https", r.Host
		answer := &response{header: http.Header{}, code: http.StatusOK}
		if h := p.answers[host]; h != nil {
			h(answer, q)
		} else {
			p.forward(answer, q)
		}
		if answer.writeTo(inner) != nil || q.Close {
			return
		}
	}
}

// forward fetches what is not answered here.
func (p *inspector) forward(w http.ResponseWriter, r *http.Request) {
	q := r.Clone(r.Context())
	q.RequestURI = ""
	q.Header.Del("Proxy-Connection")
	res, err := http.DefaultTransport.RoundTrip(q)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer res.Body.Close()
	for name, values := range res.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(res.StatusCode)
	io.Copy(w, res.Body)
}

func (p *inspector) saw(host string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Contains(p.seen, host)
}

// response is an answer that is written when it is complete.
type response struct {
	header http.Header
	code   int
	body   strings.Builder
}

func (r *response) Header() http.Header         { return r.header }
func (r *response) WriteHeader(code int)        { r.code = code }
func (r *response) Write(b []byte) (int, error) { return r.body.Write(b) }

func (r *response) writeTo(w io.Writer) error {
	r.header.Del("Transfer-Encoding")
	r.header.Set("Content-Length", fmt.Sprint(r.body.Len()))
	out := &http.Response{
		StatusCode: r.code, ProtoMajor: 1, ProtoMinor: 1, Header: r.header,
		Body: io.NopCloser(strings.NewReader(r.body.String())), ContentLength: int64(r.body.Len()),
	}
	return out.Write(w)
}

// index answers for a Python package index that has one package.
func index(t *testing.T) http.HandlerFunc {
	package1 := wheel(t)
	return func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/simple/greet/":
			w.Header().Set("Content-Type", "text/html")
			io.WriteString(w, `<!DOCTYPE html><html><body><a href="/files/greet-1.0-py3-none-any.whl">greet-1.0-py3-none-any.whl</a></body></html>`)
		case "/files/greet-1.0-py3-none-any.whl":
			io.WriteString(w, package1)
		default:
			http.NotFound(w, r)
		}
	}
}

// TestLanguagesBehindProxy builds where the only way out is a proxy that inspects TLS:
// pip, npm, Go and Java find it and trust it, since the server does.
func TestLanguagesBehindProxy(t *testing.T) {
	t.Parallel()
	if os.Getenv(languagesEnv) != "all" {
		t.Skip("needs the runtimes of several languages: " + languagesEnv + "=all or `make languages` runs it")
	}
	proxy := inspect(t, map[string]http.HandlerFunc{
		"pypi.org": index(t), "java.example": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") },
	})
	_, port, _ := net.SplitHostPort(proxy.addr)
	s := prepareCode(t, "--public-ports", port)
	s.Env = append(s.Env, "HTTPS_PROXY=http://"+proxy.addr, "NO_PROXY=127.0.0.1,localhost", "SSL_CERT_FILE="+trustBoth(t, s.git.CAFile, proxy.CAFile))
	giveRuntimes(t, s.DataDir)
	s.begin(t)
	python, node, shop := projectFiles(t, "python"), projectFiles(t, "nodejs"), projectFiles(t, "go")
	delete(python, "wheels/greet-1.0-py3-none-any.whl")
	python["apprunner.yaml"] = strings.Replace(python["apprunner.yaml"], "--no-index --find-links wheels ", "", 1)
	for _, c := range []struct {
		name, host, directory, configuration string
		files                                map[string]string
	}{
		{"python", "pypi.org", "", fromFile, python},
		{"nodejs", "registry.npmjs.org", "", fromFile, node},
		{"go", "proxy.golang.org", "services/shop", fromFile, shop},
		{"java", "java.example", "", apiValues("CORRETTO_11", "java Fetch.java https://java.example/", "java Serve.java", "8082", "prod"), map[string]string{
			"Fetch.java": `public class Fetch {
    public static void main(String[] args) throws Exception {
        var c = (java.net.HttpURLConnection) new java.net.URL(args[0]).openConnection();
        if (c.getResponseCode() != 200) System.exit(1);
    }
}`,
			"Serve.java": projectFiles(t, "java")["src/Shop.java"],
		}},
	} {
		t.Run(c.name, func(t *testing.T) { //nolint:paralleltest // two cores: one build after the other
			r := s.repository(t, c.name, c.files)
			s.createBySDK(t, "shop-"+c.name, s.source(r, c.directory, c.configuration))
			if !proxy.saw(c.host) {
				t.Errorf("the proxy was not asked for %s", c.host)
			}
		})
	}
}
