package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
)

// AuthorityFile is where a server of this machine keeps the certificate of its local
// certificate authority.
func (t Target) AuthorityFile() string { return filepath.Join(t.DataDir, "authority.pem") }

// transport returns what calls go through. The authority of a server of this machine is
// trusted without being installed: whoever may write to its data directory is that server.
func (t Target) transport() http.RoundTripper {
	if t.Endpoint.Scheme != "https" {
		return http.DefaultTransport
	}
	own, err := os.ReadFile(t.AuthorityFile())
	if err != nil {
		return http.DefaultTransport
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	roots.AppendCertsFromPEM(own)
	base, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return http.DefaultTransport
	}
	base = base.Clone()
	base.TLSClientConfig = &tls.Config{RootCAs: roots}
	return base
}

// Authority returns the certificate of the local certificate authority of a server as PEM,
// nil if it has none. It needs no access key. Nothing proves that the server has sent it:
// it is for somebody who compares its fingerprint.
func Authority(ctx context.Context, t Target) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.Endpoint.String()+"/tls/authority.pem", nil)
	if err != nil {
		return nil, fmt.Errorf("ask %s for its certificate authority: %w", t.Endpoint, err)
	}
	blind := &http.Client{Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}
	resp, err := blind.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	switch {
	case err != nil:
		return nil, err
	case resp.StatusCode == http.StatusNotFound:
		return nil, nil
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("ask %s for its certificate authority: %s", t.Endpoint, resp.Status)
	}
	return text, nil
}
