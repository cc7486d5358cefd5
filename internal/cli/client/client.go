package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/smithy-go"

	"github.com/openslipway/slipway/internal/sdkhttp"
)

// callTimeout is the time limit of an API call, from dialling to the last byte.
// Calls only read or start work, so that it is ample.
const callTimeout = 30 * time.Second

// Client is a connection to one server.
type Client struct {
	Target   Target
	Identity Identity

	// API is App Runner's API. Its calls are not retried: a create must not be
	// repeated blindly, and whatever waits polls anyway.
	API      *apprunner.Client
	IAM      *iam.Client
	Secrets  *secretsmanager.Client
	Logs     *Logs
	Registry *Registry

	scheme *schemes

	own        caller // of Slipway's operations, which App Runner's SDK lacks
	parameters caller // of Parameter Store
	ecr        caller // of ECR
}

// Connect finds the access key and returns a client. It sends nothing, unless it
// finds no key: then it checks whether a server answers, for a better error.
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

// ConnectKnown is Connect with a key that the server recognizes. The environment's
// key may be one of AWS: if the server does not recognize it, the key in the data
// directory is used, if there is one.
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
		return c, nil // the caller's next call returns other errors
	}
	id, err := t.fromFile(ctx, own, "the server's data directory")
	if err != nil {
		return nil, err
	}
	return t.as(id), nil
}

// as returns a client with the identity.
func (t Target) as(id Identity) *Client {
	scheme := &schemes{base: t.transport()}
	hc := &http.Client{Timeout: callTimeout, Transport: sdkhttp.Transport(scheme)}
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
	parameters := own
	parameters.service, parameters.contentType = "ssm", "application/x-amz-json-1.1"
	ecr := own
	ecr.service, ecr.contentType = "ecr", "application/x-amz-json-1.1"
	return &Client{
		scheme: scheme, Target: t, Identity: id, API: apprunner.NewFromConfig(cfg), IAM: iam.NewFromConfig(cfg), Secrets: secretsmanager.NewFromConfig(cfg),
		Logs: newLogs(own), Registry: newRegistry(t, id), own: own, parameters: parameters, ecr: ecr,
	}
}

// ServiceURL returns the URL of a service of which the API gives the host, possibly with a
// port. The scheme is what the answer to the last call said.
func (c *Client) ServiceURL(host string) string {
	if host == "" {
		return ""
	}
	if c.scheme.secure.Load() {
		return "https://" + host
	}
	return "http://" + host
}

// schemes notes the scheme of services that answers tell.
type schemes struct {
	base   http.RoundTripper
	secure atomic.Bool
}

// RoundTrip implements http.RoundTripper.
func (s *schemes) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := s.base.RoundTrip(req)
	if err == nil {
		s.secure.Store(resp.Header.Get("Slipway-Service-Scheme") == "https")
	}
	return resp, err
}

// Probe returns nil if a server answers at the target, and otherwise an error for
// which Unreachable is true.
func Probe(ctx context.Context, t Target) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.Endpoint.String()+"/healthz", nil)
	if err != nil {
		return fmt.Errorf("probe %s: %w", t.Endpoint, err)
	}
	resp, err := (&http.Client{Transport: t.transport()}).Do(req)
	if err != nil {
		return err
	}
	io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<16))
	return resp.Body.Close()
}
