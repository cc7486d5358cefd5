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
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/smithy-go"

	"github.com/openslipway/slipway/internal/sdkhttp"
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
	IAM      *iam.Client
	Secrets  *secretsmanager.Client
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
	return t.as(id), nil
}

// ConnectKnown is Connect for a key that the server knows. The environment's
// may be meant for AWS: when the server says that it does not know it, that of
// the data directory is used, if there is one.
func ConnectKnown(ctx context.Context, t Target) (*Client, error) {
	c, err := Connect(ctx, t)
	if err != nil {
		return nil, err
	}
	own, ok := t.ownFile()
	if !ok || c.Identity.File == own {
		return c, nil
	}
	_, err = c.API.ListServices(ctx, &apprunner.ListServicesInput{MaxResults: aws.Int32(1)})
	if api, ok := errors.AsType[smithy.APIError](err); !ok || api.ErrorCode() != "UnrecognizedClientException" {
		return c, nil // an error of another kind is for the caller's own calls to meet
	}
	id, err := t.fromFile(ctx, own, "the server's data directory")
	if err != nil {
		return nil, err
	}
	return t.as(id), nil
}

// as returns a client with this identity.
func (t Target) as(id Identity) *Client {
	hc := &http.Client{Timeout: callTimeout, Transport: sdkhttp.Transport(http.DefaultTransport)}
	cfg := aws.Config{
		BaseEndpoint: aws.String(t.Endpoint.String()),
		Region:       id.Region,
		Credentials:  id.Provider,
		HTTPClient:   hc,
		Retryer:      func() aws.Retryer { return aws.NopRetryer{} },
	}
	own := caller{
		endpoint: t.Endpoint.String(), region: id.Region, service: "apprunner", contentType: "application/x-amz-json-1.0",
		keys: id.Provider, http: hc,
	}
	return &Client{
		Target: t, Identity: id, API: apprunner.NewFromConfig(cfg), IAM: iam.NewFromConfig(cfg), Secrets: secretsmanager.NewFromConfig(cfg),
		Logs: newLogs(own), Registry: newRegistry(t, id), own: own,
	}
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
