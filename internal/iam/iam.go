package iam

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/gateway/share"
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
	return gateway.Service{
		Name: "iam", Internal: "ServiceFailure",
		Protocol: gateway.Protocol{
			ContentType: "text/xml", Version: "2010-05-08", Namespace: "https://iam.amazonaws.com/doc/2010-05-08/", Global: true,
		},
		Operations: slices.Concat(
			i.users(), i.stubs(), i.keys(), i.managed(), i.policyTags(), i.versions(), i.attachments(), i.inline(), i.simulations(),
		),
	}
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

// take notes that a call makes a thing, within the share of its caller.
func take(tx *store.Tx, call *gateway.Call, k share.Kind, arn string) error {
	err := share.Take(tx, call.Caller, k, arn, 0)
	if full, ok := errors.AsType[*share.FullError](err); ok {
		return quota("%s", full.Error())
	}
	return err
}

func invalid(format string, args ...any) error {
	return wire.NewException("ValidationError", fmt.Sprintf(format, args...))
}
