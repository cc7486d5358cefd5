package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
)

// callTimeout bounds one API call, from dialling to the last byte. Every call
// only starts work or reads, so that it is long.
const callTimeout = 30 * time.Second

// Client is a connection to one server.
type Client struct {
	Target   Target
	Identity Identity

	// API is App Runner's own. Its calls are sent once: a create must not be
	// repeated blindly, and those who wait repeat their questions anyway.
	API      *apprunner.Client
	Logs     *Logs
	Registry *Registry

	own caller // of Slipway's operations, which App Runner's SDK does not know
}

// Connect finds our identity and returns a client. It sends nothing, unless it
// finds no credentials: then it says whether the lack of a server is why.
func Connect(ctx context.Context, t Target) (*Client, error) {
	id, err := t.Identity(ctx)
	switch {
	case errors.Is(err, errNoCredentials):
		if err := Probe(ctx, t); err != nil {
			return nil, err
		}
		return nil, &Problem{Text: "no access key for " + t.Endpoint.String(), Hint: t.identityHint(), Err: err}
	case err != nil:
		return nil, err
	}
	hc := &http.Client{Timeout: callTimeout}
	api := apprunner.New(apprunner.Options{
		BaseEndpoint: aws.String(t.Endpoint.String()),
		Region:       id.Region,
		Credentials:  id.Provider,
		HTTPClient:   hc,
		Retryer:      aws.NopRetryer{},
	})
	own := caller{
		endpoint: t.Endpoint.String(), region: id.Region, service: "apprunner", contentType: "application/x-amz-json-1.0",
		keys: id.Provider, http: hc,
	}
	return &Client{Target: t, Identity: id, API: api, Logs: newLogs(own), Registry: newRegistry(t, id), own: own}, nil
}

// Probe returns nil when a server answers at the target, and otherwise an error
// of which Unreachable is true.
func Probe(ctx context.Context, t Target) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.Endpoint.String()+"/healthz", nil)
	if err != nil {
		return fmt.Errorf("probe %s: %w", t.Endpoint, err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<16))
	return resp.Body.Close()
}
