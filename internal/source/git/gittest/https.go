package gittest

import (
	"encoding/pem"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/openslipway/slipway/internal/outbound"
)

// Loopback is the policy of outgoing connections that reaches the servers of this package.
func Loopback(t testing.TB) *outbound.Policy {
	t.Helper()
	p, err := outbound.New("127.0.0.0/8", "::1")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// HTTPS serves the repositories below a directory, as https://127.0.0.1:port/name.
type HTTPS struct {
	URL    string // without a slash at its end
	CAFile string // the certificate to trust

	mu       sync.Mutex
	requests []*http.Request // guarded by mu
}

// Options of a server by https.
type Options struct {
	Token       string // password of basic authentication, or bearer token; "": none wanted
	OldProtocol bool   // speak only version 0, which gives commits only at references

	// Before answers a request in place of git, if it returns true.
	Before func(w http.ResponseWriter, r *http.Request) bool
}

// ServeHTTPS serves the repositories below root until the test ends.
func ServeHTTPS(t testing.TB, root string, o Options) *HTTPS {
	t.Helper()
	program, err := exec.LookPath("git")
	if err != nil {
		t.Skip("git is not installed")
	}
	config := filepath.Join(t.TempDir(), "gitconfig")
	if err := os.WriteFile(config, []byte("[safe]\n\tdirectory = *\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	backend := &cgi.Handler{
		Path: program, Args: []string{"http-backend"},
		Env:    []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + config},
		Stderr: &discard{},
	}
	h := &HTTPS{}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		h.requests = append(h.requests, r)
		h.mu.Unlock()
		if o.Before != nil && o.Before(w, r) {
			return
		}
		_, password, _ := r.BasicAuth()
		if o.Token != "" && password != o.Token && r.Header.Get("Authorization") != "Bearer "+o.Token {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			http.Error(w, "a token is needed", http.StatusUnauthorized)
			return
		}
		if protocol := r.Header.Get("Git-Protocol"); protocol != "" && !o.OldProtocol {
			with := *backend
			with.Env = append(backend.Env[:len(backend.Env):len(backend.Env)], "GIT_PROTOCOL="+protocol)
			with.ServeHTTP(w, r)
			return
		}
		backend.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	h.URL = server.URL
	h.CAFile = filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(h.CAFile, block, 0o644); err != nil {
		t.Fatal(err)
	}
	return h
}

// Requests returns the requests so far.
func (h *HTTPS) Requests() []*http.Request {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]*http.Request(nil), h.requests...)
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
