package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/sigv4"
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

	Output Output // what applications wrote; nil when nothing keeps it
	Quotas Quotas
	Log    *slog.Logger

	Now func() time.Time // time.Now when nil

	// Observe, if not nil, is called after each call with the name of its
	// operation ("" for an unknown one) and of its exception ("" for success).
	Observe func(operation, exception string, took time.Duration)
}

// Quotas limit what an account may have. Zero stands for App Runner's own
// limit, a negative number for none.
type Quotas struct {
	Services             int // not deleted ones; 30
	AutoScalingNames     int // names of auto scaling configurations, the provided one apart; 10
	AutoScalingRevisions int // active revisions of one name; 5
	Instances            int // per service, the largest MaxSize; 25
}

// within reports whether one more than n is within the quota.
func within(quota, n int) bool { return quota < 0 || n < quota }

// API is the endpoint. It is an http.Handler for POST /.
type API struct {
	cfg       Config
	verifier  *sigv4.Verifier
	endpoints map[string]endpoint // by X-Amz-Target
}

// maxBody bounds a request's body in bytes. It leaves room for some twenty
// environment variables of the longest value that the model allows; no process
// can be started with more.
const maxBody = 1 << 20

// New checks cfg and returns the endpoint. Call Bootstrap before it serves.
func New(cfg Config) (*API, error) {
	if cfg.Store == nil || cfg.Log == nil {
		return nil, errors.New("api: store and log are required")
	}
	if cfg.Region == "" || len(cfg.Account) != 12 || cfg.Domain == "" {
		return nil, fmt.Errorf("api: region %q, account %q (twelve digits) and domain %q are required", cfg.Region, cfg.Account, cfg.Domain)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Output == nil {
		cfg.Output = noOutput{}
	}
	q := &cfg.Quotas
	q.Services = cmp.Or(q.Services, 30)
	q.AutoScalingNames = cmp.Or(q.AutoScalingNames, 10)
	q.AutoScalingRevisions = cmp.Or(q.AutoScalingRevisions, 5)
	q.Instances = cmp.Or(q.Instances, 25)
	a := &API{cfg: cfg, verifier: &sigv4.Verifier{Region: cfg.Region, MaxBody: maxBody, Now: cfg.Now}}
	a.endpoints = a.operations()
	return a, nil
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
			ARN:       a.arn("autoscalingconfiguration", providedName, "1", providedID),
			Name:      providedName,
			Revision:  1,
			Scaling:   slipway.Scaling{MaxConcurrency: 100, MinSize: 1, MaxSize: 25},
			Latest:    true,
			Default:   true,
			Active:    true,
			CreatedAt: a.now(),
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
