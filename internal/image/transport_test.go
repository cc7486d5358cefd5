package image

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/outbound"
)

func TestPlainHTTP(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	tr, err := newTransport(nil, []string{"registry.internal:5000"})
	if err != nil {
		t.Fatal(err)
	}
	// Every name leads to this server.
	tr.next = &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, srv.Listener.Addr().String())
	}}
	for target, want := range map[string]bool{
		srv.URL:                         true,
		"http://localhost/v2/":          true,
		"http://127.8.9.1:5000/v2/":     true,
		"http://[::1]:5000/v2/":         true,
		"http://registry.internal:5000": true,
		"http://registry.internal":      false,
		"http://10.0.0.1/v2/":           false,
		"http://localhost.example.com/": false,
		"http://169.254.169.254/":       false,
	} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", target, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := tr.RoundTrip(req)
		if err == nil {
			res.Body.Close()
		}
		if _, refused := errors.AsType[*plainHTTPError](err); refused == want {
			t.Errorf("%s: %v, want it allowed: %v", target, err, want)
		}
	}
}

func TestStalledDownloadIsCancelled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		stall := newStallReader(r, func() { w.CloseWithError(errStalled) })
		go func() {
			for range 5 { // slow, but not stalled
				time.Sleep(stallLimit - time.Second)
				w.Write([]byte("x"))
			}
		}()
		start := time.Now()
		n, err := io.Copy(io.Discard, stall)
		if want := 5*(stallLimit-time.Second) + stallLimit; n != 5 || !errors.Is(err, errStalled) || time.Since(start) != want {
			t.Errorf("%d bytes, %v after %v, want %v", n, err, time.Since(start), want)
		}
	})
}

func TestExplain(t *testing.T) {
	t.Parallel()
	s := &Store{log: slog.New(slog.DiscardHandler)}
	c := &source{s: s, t: target{reference: reference{text: "reg.example.com/a:1", host: "reg.example.com", repo: "a", tag: "1"}}}
	get := func(err error) error { return &url.Error{Op: "Get", URL: "https://reg.example.com/v2/", Err: err} }
	dial := &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	tests := []struct {
		name  string
		err   error
		text  string
		again bool
	}{
		{"certificate", get(x509.UnknownAuthorityError{}), "is not trusted", false},
		{"name", get(x509.HostnameError{Certificate: &x509.Certificate{}, Host: "reg.example.com"}), "is not trusted", false},
		{"plain", get(http.ErrSchemeMismatch), "does not speak HTTPS", false},
		{"plain redirect", get(&plainHTTPError{"cdn.example.com"}), "does not speak HTTPS", false},
		{"down, and plain not tried", errors.Join(get(dial), get(&plainHTTPError{"10.0.0.1"})), "cannot be reached", true},
		{"credentials", &credentialError{"reg.example.com", errors.New("no helper")}, "no usable credentials", false},
		{"else", errors.New("odd"), "cannot be used: odd", false},
	}
	for _, tt := range tests {
		err := c.explain(t.Context(), tt.err)
		if slipway.CodeOf(err) != slipway.InvalidRequest || !strings.Contains(err.Error(), tt.text) || !strings.Contains(err.Error(), `"reg.example.com/a:1"`) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.text)
		}
		if !errors.Is(err, tt.err) {
			t.Errorf("%s: the cause is lost", tt.name)
		}
		if errors.Is(err, ErrUnavailable) != tt.again {
			t.Errorf("%s: another try: %v", tt.name, !tt.again)
		}
	}
}

func TestBytesText(t *testing.T) {
	t.Parallel()
	if got := bytesText(1234567); got != "1.2 MiB" {
		t.Errorf("%q", got)
	}
	if got := bytesText(999); got != "999 B" {
		t.Errorf("%q", got)
	}
}

// TestRegistriesAtForbiddenAddresses: neither the registry, nor what it redirects to, nor
// the server of its tokens may be at a forbidden address.
func TestRegistriesAtForbiddenAddresses(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 10)
	inner := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Path
		http.Error(w, "the inner answer", http.StatusTeapot)
	}))
	defer inner.Close()
	outer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/" {
			return
		}
		http.Redirect(w, r, inner.URL+"/redirected", http.StatusTemporaryRedirect)
	}))
	defer outer.Close()
	private := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="`+inner.URL+`/token",service="x"`)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer private.Close()
	for _, c := range []struct{ allow, at, says string }{
		{outer.Listener.Addr().String(), outer.Listener.Addr().String(), "--allow-address"},
		{private.Listener.Addr().String(), private.Listener.Addr().String(), "realm host"},
		{"", inner.Listener.Addr().String(), "--allow-address"},
		{"", "localhost:1", "--allow-address"},
		{"", "169.254.169.254", "--allow-address"},
	} {
		reach, err := outbound.New(slices.DeleteFunc([]string{c.allow}, func(s string) bool { return s == "" })...)
		if err != nil {
			t.Fatal(err)
		}
		s, err := Open(Config{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler), Keychain: authn.NewMultiKeychain(), Reach: reach})
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Pull(t.Context(), c.at+"/app:1", nil)
		if slipway.CodeOf(err) != slipway.InvalidRequest || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "the inner answer") {
			t.Errorf("%s: %v", c.at, err)
		}
		s.Close()
	}
	if len(asked) != 0 {
		t.Errorf("the inner server was asked for %s", <-asked)
	}
}

// A download has the time of its size, however steadily it drips.
func TestDownloadLimit(t *testing.T) {
	t.Parallel()
	for size, want := range map[int64]time.Duration{-1: 10 * time.Minute, 0: 10 * time.Minute, 32 << 10: 601 * time.Second, 1 << 30: 10*time.Minute + 32768*time.Second} {
		if got := downloadLimit(size); got != want {
			t.Errorf("%d bytes have %s, want %s", size, got, want)
		}
	}
}

// A redirect of a download to elsewhere stays one; nothing else is.
func TestIsDownload(t *testing.T) {
	t.Parallel()
	request := func(method, url string, from *http.Request) *http.Request {
		r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if from != nil {
			r.Response = &http.Response{Request: from}
		}
		return r
	}
	blob := request("GET", "https://a.test/v2/x/blobs/sha256:1", nil)
	for r, want := range map[*http.Request]bool{
		blob: true,
		request("GET", "https://storage.test/1?sig", request("GET", "https://b.test", blob)):            true,
		request("HEAD", "https://a.test/v2/x/blobs/sha256:1", nil):                                      false,
		request("GET", "https://a.test/v2/x/manifests/1", nil):                                          false,
		request("GET", "https://a.test/blobs/", request("GET", "https://a.test/v2/x/manifests/1", nil)): false,
		request("GET", "https://a.test/token", nil):                                                     false,
	} {
		if got := isDownload(r); got != want {
			t.Errorf("%s %s: %v", r.Method, r.URL, got)
		}
	}
}
