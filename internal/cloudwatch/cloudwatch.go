package cloudwatch

import (
	"context"
	"errors"

	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/store"
)

// Config is what the log calls need.
type Config struct {
	Store   *store.Store
	Region  string // of ARNs
	Account string // twelve digits
	Output  Output // what applications wrote; nil when nothing keeps it
}

// Logs are the log calls.
type Logs struct{ cfg Config }

// New checks cfg and returns the log calls.
func New(cfg Config) (*Logs, error) {
	if cfg.Store == nil || cfg.Region == "" || cfg.Account == "" {
		return nil, errors.New("cloudwatch: store, region and account are required")
	}
	if cfg.Output == nil {
		cfg.Output = noOutput{}
	}
	return &Logs{cfg}, nil
}

// Service returns the operations for the gateway.
func (l *Logs) Service() gateway.Service {
	m := map[string]gateway.Operation{}
	add(m, "DescribeLogGroups", l.describeLogGroups)
	add(m, "DescribeLogStreams", l.describeLogStreams)
	add(m, "GetLogEvents", l.getLogEvents)
	add(m, "FilterLogEvents", l.filterLogEvents)
	return gateway.Service{
		SigningName: "logs",
		ContentType: "application/x-amz-json-1.1",
		Internal:    "InternalFailure",
		Operations:  m,
	}
}

func add[I, O any](m map[string]gateway.Operation, name string, h func(context.Context, gateway.Caller, *I) (*O, error)) {
	m["Logs_20140328."+name] = gateway.Handle(name, nil, false, h)
}
