package cloudwatch

import (
	"errors"

	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/store"
)

// Config configures Logs.
type Config struct {
	Store   *store.Store
	Region  string // of ARNs
	Account string // twelve digits
	Output  Output // the output of instances and builds; nil if there is none
}

// Logs implements the operations.
type Logs struct{ cfg Config }

// New checks cfg and returns Logs.
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
	return gateway.Service{
		Name:     "logs",
		Internal: "InternalFailure",
		Protocol: gateway.Protocol{ContentType: "application/x-amz-json-1.1", Targets: []string{"Logs_20140328."}},
		Operations: []gateway.Operation{
			gateway.Read("DescribeLogGroups", l.describeLogGroups, on(l, func(*describeLogGroupsInput) (group, identifier, stream *string) { return })),
			gateway.Read("DescribeLogStreams", l.describeLogStreams, on(l, func(in *describeLogStreamsInput) (group, identifier, stream *string) {
				return in.Group, in.Identifier, nil
			})),
			gateway.Read("GetLogEvents", l.getLogEvents, on(l, func(in *getLogEventsInput) (group, identifier, stream *string) {
				return in.Group, in.Identifier, in.Stream
			})),
			gateway.Read("FilterLogEvents", l.filterLogEvents, on(l, func(in *filterLogEventsInput) (group, identifier, stream *string) {
				return in.Group, in.Identifier, nil
			})),
		},
	}
}

// on returns the permissions required by an operation on a group, given by name or
// ARN, or on one of its streams. The resource is
// arn:aws:logs:<region>:<account>:log-group:<group>:log-stream:<stream>; names
// that the call does not give are empty.
func on[I any](l *Logs, of func(*I) (group, identifier, stream *string)) gateway.Permissions[I] {
	return func(_ *store.Tx, in *I) ([]gateway.Permission, error) {
		group, identifier, stream := of(in)
		return []gateway.Permission{{Resource: streamARN(l.logARN(l.nameOf(group, identifier)), value(stream))}}, nil
	}
}

// streamARN returns the ARN of a group's stream; the name "" stands for the group.
func streamARN(group, stream string) string { return group + ":log-stream:" + stream }
