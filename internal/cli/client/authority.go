package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
)

// Authority returns the certificate of the local certificate authority of a server as PEM,
// nil if it has none. It needs no access key.
func Authority(ctx context.Context, t Target) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.Endpoint.String()+"/tls/authority.pem", nil)
	if err != nil {
		return nil, fmt.Errorf("ask %s for its certificate authority: %w", t.Endpoint, err)
	}
	resp, err := http.DefaultClient.Do(req)
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
