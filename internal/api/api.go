package api

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/store"
)

// Config configures the API.
type Config struct {
	Store   *store.Store
	Region  string // of ARNs, service URLs and signatures
	Account string // twelve digits
	Domain  string // the parent of the host names of services

	// URLPort is the port in service URLs, which omit it if it is 0, 80 or 443.
	URLPort int

	// Networks names the subnets that VPC connectors may use: the networks that
	// instances can join.
	Networks []string

	// EndpointPort returns the port at which a VPC endpoint listens, 0 if it
	// does not listen. Nil means that none does.
	EndpointPort func(endpoint string) int

	Quotas Quotas

	// CheckRepository refuses, in a sentence, a URL that the server fetches no code
	// from. Nil: it builds no code.
	CheckRepository func(url string) error

	// WebhookURL is where providers of source code reach this server, without a slash
	// at its end.
	WebhookURL string

	// SBOM returns the list of software in an image that this server built, as a
	// CycloneDX document. slipway.NotFound if there is none. Nil: there are none.
	SBOM func(digest string) ([]byte, error)

	// Explain tells why a service has its instances and how it takes requests. ServiceArn
	// is set by the caller. Nil: nothing is known.
	Explain func(serviceID string) DescribeScalingOutput

	// Usage returns what live instances use, by their ids. Nil: it is not measured.
	Usage func(ctx context.Context) map[string]Usage

	// Traffic returns what the router knows of a service's requests, false if it does not
	// know the service. Nil: no requests pass this server.
	Traffic func(serviceID string) (Traffic, bool)

	// Sleep returns what is known of the sleep of a service, nil if it has never slept. Nil:
	// nothing is known.
	Sleep func(serviceID string) *SleepDescription

	// Provider and Vault serve the credentials of connections. Without them no
	// connection can be completed.
	Provider Provider
	Vault    Vault

	// CompleteImage returns what an ImageIdentifier without a registry's host means, or
	// says in a sentence that it means nothing. Others it returns as they are. The
	// completed name is stored, so that a name leads to the same place for ever. Nil:
	// all are complete.
	CompleteImage func(identifier string) (string, error)

	// SecretNeed returns the permission, with Named, to read what a reference in
	// RuntimeEnvironmentSecrets names. Nil: services cannot have secrets.
	SecretNeed func(tx *store.Tx, reference string) (gateway.Permission, error)

	// ImageNeeds returns the permissions to have a service run the image of a name, which
	// may be of this server's own registry. Its error is a *slipway.Error for a text that is
	// no name. Nil: images need none.
	ImageNeeds func(identifier string) ([]gateway.Permission, error)

	// SecretsOfAWS says that deployments read the secrets and parameters of other
	// accounts and regions from AWS.
	SecretsOfAWS bool

	Now func() time.Time // time.Now when nil
}

// API holds App Runner's operations.
type API struct {
	cfg             Config
	scalings        configurations[slipway.AutoScaling]
	observabilities configurations[slipway.Observability]
}

// New checks cfg and returns the operations. Call Bootstrap before they serve.
func New(cfg Config) (*API, error) {
	if cfg.Store == nil {
		return nil, errors.New("api: the store is required")
	}
	if cfg.Region == "" || len(cfg.Account) != 12 || cfg.Domain == "" {
		return nil, fmt.Errorf("api: region %q, account %q (twelve digits) and domain %q are required", cfg.Region, cfg.Account, cfg.Domain)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.EndpointPort == nil {
		cfg.EndpointPort = func(string) int { return 0 }
	}
	cfg.Quotas.setDefaults()
	a := &API{cfg: cfg}
	a.scalings, a.observabilities = newScalings(a), newObservabilities(a)
	return a, nil
}

// Bootstrap inserts the records that every installation has, where they are
// missing: the default configurations.
func (a *API) Bootstrap(ctx context.Context) error {
	return a.cfg.Store.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.DefaultAutoScaling()
		if errors.Is(err, store.ErrNotFound) {
			err = tx.InsertAutoScaling(slipway.AutoScaling{
				Configuration: a.scalings.defaultRevision(),
				Scaling:       slipway.DefaultScaling(),
				Default:       true,
			})
		}
		if err != nil {
			return err
		}
		o := slipway.Observability{Configuration: a.observabilities.defaultRevision(), TraceVendor: string(types.TracingVendorAwsxray)}
		_, err = tx.Observability(o.ARN)
		if errors.Is(err, store.ErrNotFound) {
			err = tx.InsertObservability(o)
		}
		return err
	})
}

// The default auto scaling configuration and the default observability
// configuration share their name and, across all accounts, their id.
const (
	defaultName = "DefaultConfiguration"
	defaultID   = "00000000000000000000000000000001"
)

func (a *API) arn(kind string, parts ...string) string {
	return slipway.ARN{Region: a.cfg.Region, Account: a.cfg.Account, Type: kind, Parts: parts}.String()
}

// now returns the time for records, in the milliseconds of the wire format.
func (a *API) now() time.Time { return a.cfg.Now().UTC().Truncate(time.Millisecond) }
