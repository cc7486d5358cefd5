package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

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

	Now func() time.Time // time.Now when nil
}

// Quotas limit what an account may have. Zero stands for App Runner's own
// limit, a negative number for none.
type Quotas struct {
	Services             int // not deleted ones; 30
	AutoScalingNames     int // names of auto scaling configurations, the provided one apart; 10
	AutoScalingRevisions int // active revisions of one name; 5
	Instances            int // per service, the largest MaxSize; 25
	VPCConnectors        int // active ones; 10

	VPCIngressConnections int // per service; 1
}

// within reports whether one more than n is within the quota.
func within(quota, n int) bool { return quota < 0 || n < quota }

// API is App Runner's operations.
type API struct{ cfg Config }

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
	q := &cfg.Quotas
	q.Services = cmp.Or(q.Services, 30)
	q.AutoScalingNames = cmp.Or(q.AutoScalingNames, 10)
	q.AutoScalingRevisions = cmp.Or(q.AutoScalingRevisions, 5)
	q.Instances = cmp.Or(q.Instances, 25)
	q.VPCConnectors = cmp.Or(q.VPCConnectors, 10)
	q.VPCIngressConnections = cmp.Or(q.VPCIngressConnections, 1)
	return &API{cfg}, nil
}

// Bootstrap writes the records that every installation has from the beginning,
// where they are missing: the provided auto scaling configuration.
func (a *API) Bootstrap(ctx context.Context) error {
	return a.cfg.Store.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.DefaultAutoScaling()
		if !errors.Is(err, store.ErrNotFound) {
			return err
		}
		return tx.InsertAutoScaling(slipway.AutoScaling{
			Configuration: slipway.Configuration{
				ARN:       a.arn("autoscalingconfiguration", providedName, "1", providedID),
				Name:      providedName,
				Revision:  1,
				Latest:    true,
				Active:    true,
				CreatedAt: a.now(),
			},
			Scaling: slipway.Scaling{MaxConcurrency: 100, MinSize: 1, MaxSize: 25},
			Default: true,
		})
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
