package gateway

import (
	"context"
	"time"

	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/wire"
)

// Auditor keeps records of the calls that may change something.
type Auditor interface {
	// Begun writes what is known of a call before its outcome. It is called in
	// the transaction of the call's first change, so that no change outlives a
	// crash without its record; not at all when the call changes no row.
	Begun(tx *store.Tx, c Call) error

	// Ended takes a call with its outcome, before the caller is told. It must
	// not fail the call.
	Ended(ctx context.Context, c Call)
}

// Call is a call as an Auditor sees it.
type Call struct {
	ID        string // of the request, as the caller is told
	At        time.Time
	Service   Service
	Operation Operation
	Caller    Caller
	Resources []string // ARNs that its permissions are about

	Input     any
	Output    any             // nil before the end and after a failure
	Exception *wire.Exception // nil before the end and after a success
	Recorded  bool            // Begun was committed
}

// audited returns the call for the auditor.
func (c *call) audited() Call {
	service := c.target.service
	if service.Source == "" {
		service.Source = service.SigningName + ".amazonaws.com"
	}
	return Call{
		ID: c.id, At: c.began, Service: service, Operation: c.target.Operation, Caller: c.caller,
		Resources: c.resources, Input: c.in, Recorded: c.recorded,
	}
}

// watched reports whether the call is one for the auditor: of somebody known,
// for an operation that may change something, with an input that could be read.
func (g *Gateway) watched(c *call) bool {
	return g.cfg.Audit != nil && c.target.Changes && c.caller.User != "" && c.understood
}

// withRecord returns a context whose first change is recorded with it.
func (g *Gateway) withRecord(ctx context.Context, c *call) context.Context {
	if !g.watched(c) {
		return ctx
	}
	return store.WithRider(ctx, func(tx *store.Tx) error {
		err := g.cfg.Audit.Begun(tx, c.audited())
		c.recorded = err == nil
		return err
	})
}
