package iam

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/wire"
)

// Config is what the package needs.
type Config struct {
	Store   *store.Store
	Account string // twelve digits
	Keys    Keys
	Now     func() time.Time // time.Now when nil
}

// IAM answers the calls of IAM and STS.
type IAM struct {
	cfg   Config
	cache documents
}

// New checks cfg and returns the calls.
func New(cfg Config) (*IAM, error) {
	if cfg.Store == nil || len(cfg.Account) != 12 {
		return nil, errors.New("iam: a store and an account of twelve digits are required")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &IAM{cfg: cfg}, nil
}

// now is the time for records, in the seconds that the wire has.
func (i *IAM) now() time.Time { return i.cfg.Now().UTC().Truncate(time.Second) }

// Service returns IAM's operations for the gateway.
func (i *IAM) Service() gateway.Service {
	m := map[string]gateway.Operation{}
	i.users(m)
	i.stubs(m)
	i.keys(m)
	i.managed(m)
	i.policyTags(m)
	i.versions(m)
	i.attachments(m)
	i.inline(m)
	i.simulations(m)
	return gateway.Service{
		SigningName: "iam", ContentType: "text/xml", Internal: "ServiceFailure",
		Version: "2010-05-08", Namespace: "https://iam.amazonaws.com/doc/2010-05-08/", Global: true,
		Operations: m,
	}
}

// add adds an operation. changes tells whether it may change something.
func add[I, O any](m map[string]gateway.Operation, name string, changes bool, n gateway.RequiredPermissions, h func(context.Context, gateway.Caller, *I) (*O, error)) {
	m[name] = gateway.Handle(name, nil, changes, h).Requiring(n)
}

// The faults of callers that several operations have.

func noSuchEntity(format string, args ...any) error {
	return wire.NewException("NoSuchEntity", fmt.Sprintf(format, args...))
}

func exists(format string, args ...any) error {
	return wire.NewException("EntityAlreadyExists", fmt.Sprintf(format, args...))
}

func inUse(format string, args ...any) error {
	return wire.NewException("DeleteConflict", fmt.Sprintf(format, args...))
}

func quota(format string, args ...any) error {
	return wire.NewException("LimitExceeded", fmt.Sprintf(format, args...))
}

func invalid(format string, args ...any) error {
	return wire.NewException("ValidationError", fmt.Sprintf(format, args...))
}
