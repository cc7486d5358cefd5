package api

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
)

// Config is what the API needs.
type Config struct {
	Store   *store.Store
	Region  string // of ARNs, service URLs and signatures
	Account string // twelve digits
	Domain  string // under which services have their host names

	// URLPort is the port in service URLs; 0, 80 and 443 are not written.
	URLPort int

	// Networks names the subnets that VPC connectors may lead to: the networks
	// that instances can be let into.
	Networks []string

	// EndpointPort returns the port at which a VPC endpoint answers, 0 for one
	// that does not. Nil: none does.
	EndpointPort func(endpoint string) int

	Quotas Quotas

	// Provider and Vault are for the credentials of connections; without them
	// no connection can be completed.
	Provider Provider
	Vault    Vault

	Now func() time.Time // time.Now when nil
}

// API is App Runner's operations.
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

// Bootstrap writes the records that every installation has from the beginning,
// where they are missing: the provided configurations.
func (a *API) Bootstrap(ctx context.Context) error {
	return a.cfg.Store.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.DefaultAutoScaling()
		if errors.Is(err, store.ErrNotFound) {
			err = tx.InsertAutoScaling(slipway.AutoScaling{
				Configuration: a.scalings.provided(),
				Scaling:       slipway.DefaultScaling(),
				Default:       true,
			})
		}
		if err != nil {
			return err
		}
		o := slipway.Observability{Configuration: a.observabilities.provided(), TraceVendor: string(types.TracingVendorAwsxray)}
		_, err = tx.Observability(o.ARN)
		if errors.Is(err, store.ErrNotFound) {
			err = tx.InsertObservability(o)
		}
		return err
	})
}

// The auto scaling and the observability configuration that every account has
// share their name and, across all accounts, their id.
const (
	providedName = "DefaultConfiguration"
	providedID   = "00000000000000000000000000000001"
)

func (a *API) arn(kind string, parts ...string) string {
	return slipway.ARN{Region: a.cfg.Region, Account: a.cfg.Account, Type: kind, Parts: parts}.String()
}

// now is the time for records, in the milliseconds that the wire has.
func (a *API) now() time.Time { return a.cfg.Now().UTC().Truncate(time.Millisecond) }
