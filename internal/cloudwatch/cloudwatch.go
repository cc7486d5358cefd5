package cloudwatch

import (
	"context"
	"errors"
	"strings"

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
	add(m, "DescribeLogGroups", l.describeLogGroups, on(l, func(*describeLogGroupsInput) (group, identifier, stream *string) { return }))
	add(m, "DescribeLogStreams", l.describeLogStreams, on(l, func(in *describeLogStreamsInput) (group, identifier, stream *string) {
		return in.Group, in.Identifier, nil
	}))
	add(m, "GetLogEvents", l.getLogEvents, on(l, func(in *getLogEventsInput) (group, identifier, stream *string) {
		return in.Group, in.Identifier, in.Stream
	}))
	add(m, "FilterLogEvents", l.filterLogEvents, on(l, func(in *filterLogEventsInput) (group, identifier, stream *string) {
		return in.Group, in.Identifier, nil
	}))
	return gateway.Service{
		SigningName: "logs",
		ContentType: "application/x-amz-json-1.1",
		Internal:    "InternalFailure",
		Operations:  m,
	}
}

func add[I, O any](m map[string]gateway.Operation, name string, h func(context.Context, gateway.Caller, *I) (*O, error), n gateway.RequiredPermissions) {
	m["Logs_20140328."+name] = gateway.Handle(name, nil, false, h).Requiring(n)
}

// on are the permissions required by an operation on a group, given by name or ARN, or on one
// of its streams. Policies see a group as all of its streams:
// arn:aws:logs:<region>:<account>:log-group:<group>:log-stream:<stream>, where
// what the call does not name is empty.
func on[I any](l *Logs, of func(*I) (group, identifier, stream *string)) gateway.RequiredPermissions {
	return gateway.PermissionsOf(func(_ *store.Tx, in *I) ([]gateway.Permission, error) {
		group, identifier, stream := of(in)
		name := value(group)
		if id := value(identifier); id != "" {
			name = strings.TrimSuffix(strings.TrimPrefix(id, l.logARN("")), ":*")
		}
		return []gateway.Permission{{Resource: l.logARN(name) + ":log-stream:" + value(stream)}}, nil
	})
}
