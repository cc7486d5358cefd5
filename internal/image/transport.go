package image

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/openslipway/slipway/internal/outbound"
)

// Limits on a registry's answers.
const (
	handshakeLimit = 10 * time.Second
	headerLimit    = 60 * time.Second
	stallLimit     = 60 * time.Second // between two parts of a download
	answerLimit    = 2 * time.Minute  // of all answers but downloads
)

// downloadLimit is how long a download of so many bytes may take: one that drips never
// stalls. It allows 32 KiB a second.
func downloadLimit(size int64) time.Duration {
	return 10*time.Minute + time.Duration(max(size, 0)/(32<<10))*time.Second
}

// plainHTTPError is the refusal to speak to a registry without TLS.
type plainHTTPError struct{ host string }

func (e *plainHTTPError) Error() string { return "plain HTTP to " + e.host + " is not allowed" }

// transport speaks to registries: with TLS, except on this machine and to the
// hosts that the configuration lists, and with limits on the time and the size
// of all answers but the content of blobs.
type transport struct {
	next interface {
		http.RoundTripper
		CloseIdleConnections()
	}
	insecure []string
}

func newTransport(reach *outbound.Policy, insecure []string) (*transport, error) {
	for _, h := range insecure {
		if u, err := url.Parse("//" + h); err != nil || u.Host != h {
			return nil, fmt.Errorf("--insecure-registry is %q; it must be host or host:port", h)
		}
	}
	return &transport{insecure: insecure, next: reach.Transport(&http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		ForceAttemptHTTP2:     true,
		TLSHandshakeTimeout:   handshakeLimit,
		ResponseHeaderTimeout: headerLimit,
		IdleConnTimeout:       30 * time.Second,
		MaxIdleConnsPerHost:   4,
	})}, nil
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != "https" && !t.mayBePlain(req.URL) {
		return nil, &plainHTTPError{req.URL.Host}
	}
	if !isDownload(req) {
		return t.ask(req)
	}
	resp, err := noticing(req, t.next.RoundTrip)
	if err == nil && resp.StatusCode >= http.StatusMultipleChoices {
		resp.Body = &answerBody{io.LimitReader(resp.Body, MaxManifest+1), resp.Body, func() {}}
	}
	return resp, err
}

// isDownload reports whether a request is for the content of a blob, also where a
// registry redirects it to elsewhere.
func isDownload(req *http.Request) bool {
	for req.Response != nil && req.Response.Request != nil {
		req = req.Response.Request
	}
	return req.Method == http.MethodGet && strings.Contains(req.URL.Path, "/blobs/")
}

// ask is RoundTrip for a manifest, a token or whatever else is small. The limit of time
// holds for the body, too.
func (t *transport) ask(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(req.Context(), answerLimit)
	resp, err := noticing(req.WithContext(ctx), t.next.RoundTrip)
	if err != nil {
		cancel()
		return nil, err
	}
	resp.Body = &answerBody{io.LimitReader(resp.Body, MaxManifest+1), resp.Body, cancel}
	return resp, nil
}

// answerBody is the body of a small answer.
type answerBody struct {
	io.Reader
	body io.Closer
	end  func()
}

// Close implements io.Closer.
func (b *answerBody) Close() error {
	defer b.end()
	return b.body.Close()
}

func (t *transport) mayBePlain(u *url.URL) bool {
	if slices.Contains(t.insecure, u.Host) || u.Hostname() == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return err == nil && ip.IsLoopback()
}

// mayBePlain reports whether host may be used without TLS.
func (s *Store) mayBePlain(host string) bool {
	return s.client.mayBePlain(&url.URL{Host: host})
}

// keychain finds credentials in the configuration, then in the Docker
// configuration file.
type keychain struct{ s *Store }

var _ authn.ContextKeychain = keychain{}

// Resolve implements authn.Keychain.
func (k keychain) Resolve(target authn.Resource) (authn.Authenticator, error) {
	return k.ResolveContext(context.Background(), target)
}

// ResolveContext implements authn.ContextKeychain.
func (k keychain) ResolveContext(ctx context.Context, target authn.Resource) (authn.Authenticator, error) {
	host := target.RegistryStr()
	for _, h := range []string{host, strings.TrimPrefix(host, "index.")} {
		if c, ok := k.s.cfg.Credentials[h]; ok {
			return &authn.Basic{Username: c.User, Password: c.Password}, nil
		}
	}
	next := k.s.cfg.Keychain
	if next == nil {
		next = authn.DefaultKeychain
	}
	a, err := authn.Resolve(ctx, next, target)
	if err != nil {
		return nil, &credentialError{host, err}
	}
	return a, nil
}

// credentialError says that the Docker configuration file, or a helper it
// names, could not be used.
type credentialError struct {
	host string
	err  error
}

func (e *credentialError) Error() string { return "credentials for " + e.host + ": " + e.err.Error() }
func (e *credentialError) Unwrap() error { return e.err }

// stallReader reads from a body and calls cancel when nothing arrives for
// stallLimit.
type stallReader struct {
	r     io.Reader
	timer *time.Timer
}

func newStallReader(r io.Reader, cancel func()) *stallReader {
	return &stallReader{r, time.AfterFunc(stallLimit, cancel)}
}

func (s *stallReader) Read(p []byte) (int, error) {
	s.timer.Reset(stallLimit)
	n, err := s.r.Read(p)
	s.timer.Stop()
	return n, err
}
