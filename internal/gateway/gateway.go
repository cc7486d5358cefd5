package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/openslipway/slipway/internal/store"
)

// Config is what the gateway needs.
type Config struct {
	Store    *store.Store // of access keys
	Region   string       // aws:RequestedRegion in policies
	Account  string       // twelve digits; of the ARNs of callers
	Services []Service
	Log      *slog.Logger

	// Policies returns what users except root may do; nil is nothing.
	Policies Policies

	// Unseal opens the secret of an access key as the store holds it; nil when
	// the store holds plain secrets.
	Unseal func(keyID, sealed string) (string, error)

	Audit Auditor // nil when nothing keeps records

	// Await, if not nil, returns when requests to services meet all changes up to a version
	// of the store's routes. A reply waits for it: who reads that a service is deleted does not
	// get an answer of it any more.
	Await func(ctx context.Context, version int64)

	Now func() time.Time // time.Now when nil

	// Observe, if not nil, is called after each call with the name of its
	// operation ("" for an unknown one) and of its exception ("" for success).
	Observe func(operation, exception string, took time.Duration)
}

// Gateway makes calls.
type Gateway struct {
	cfg        Config
	authorizer Authorizer
	operations map[string]target // by service and name: "apprunner:CreateService"
}

// target is an operation and the service it belongs to.
type target struct {
	service   Service
	operation Operation
}

// New checks cfg and returns the gateway.
func New(cfg Config) (*Gateway, error) {
	if cfg.Store == nil || cfg.Log == nil || cfg.Region == "" || cfg.Account == "" || len(cfg.Services) == 0 {
		return nil, errors.New("gateway: store, region, account, services and log are required")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	g := &Gateway{cfg: cfg, operations: map[string]target{}}
	g.authorizer = Authorizer{Region: cfg.Region, Policies: cfg.Policies, Now: cfg.Now}
	g.cfg.Services = make([]Service, len(cfg.Services))
	for i, s := range cfg.Services {
		var err error
		if g.cfg.Services[i], err = g.register(s); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// register adds a service's operations and returns the service with what they
// inherit from it.
func (g *Gateway) register(s Service) (Service, error) {
	if s.Source == "" {
		s.Source = s.Name + ".amazonaws.com"
	}
	s.Operations = slices.Clone(s.Operations)
	for i := range s.Operations {
		o := &s.Operations[i]
		id := s.Name + ":" + o.Name
		if o.permissions == nil {
			return s, fmt.Errorf("gateway: %s of %s does not declare what permissions it requires", o.Name, s.Name)
		}
		if _, twice := g.operations[id]; twice {
			return s, fmt.Errorf("gateway: two operations are called %s", id)
		}
		o.Redact = append(slices.Clone(o.Redact), s.Redact...)
		if s.Model != nil && o.Target == "" {
			var ok bool
			if o.Model, ok = s.Model(o.Name); !ok {
				return s, fmt.Errorf("gateway: the model of %s has no operation %s", s.Name, o.Name)
			}
		}
		g.operations[id] = target{s, *o}
	}
	return s, nil
}

// Services returns the services, for a transport.
func (g *Gateway) Services() []Service { return g.cfg.Services }
