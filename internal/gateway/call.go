package gateway

import (
	"context"
	"errors"
	"time"

	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/wire"
)

// Auditor keeps records of the calls that may change something, that show secrets or that
// are refused.
type Auditor interface {
	// Begun writes what is known of a call before its outcome. It is called in
	// the transaction of the call's first change, so that no change survives a
	// crash without its record; not at all when the call changes no row.
	Begun(tx *store.Tx, c Call) error

	// Ended takes a call with its outcome, before the caller is told. It must
	// not fail the call.
	Ended(ctx context.Context, c Call)

	// Refused takes a call whose signature was refused. Its caller is the owner of
	// the key that it named, without a user's name if nobody has the key.
	Refused(ctx context.Context, c Call)
}

// Call is one call of an operation, as its handler and the auditor see it. The
// goroutine that runs the handler owns it.
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
	Unproved  bool            // its signature was refused: Caller is whose key it named

	gateway  *Gateway
	store    *store.Store
	audit    Auditor // nil when nothing keeps records of this call
	repeated bool    // the reply is that of an earlier attempt
	rights   *rights // of the caller; nil until they are asked for
}

// Update runs f in a write transaction, as [store.Store.Update] does. The call's
// first Update also writes its audit record, after f and in the same
// transaction: both are committed or neither is. Updates of one call must not
// run at the same time.
func (c *Call) Update(ctx context.Context, f func(*store.Tx) error) error {
	if c.audit == nil || c.Recorded {
		return c.store.Update(ctx, f)
	}
	err := c.store.Update(ctx, func(tx *store.Tx) error {
		if err := f(tx); err != nil {
			return err
		}
		return c.audit.Begun(tx, *c)
	})
	c.Recorded = err == nil
	return err
}

// Record writes the call's audit record if no Update has yet. A handler calls it
// before it changes something outside of Update.
func (c *Call) Record(ctx context.Context) error {
	if c.audit == nil || c.Recorded {
		return nil
	}
	return c.Update(ctx, func(*store.Tx) error { return nil })
}

// Permits reports whether the caller has all permissions, besides those that the operation
// requires: for what a reply or a refusal shows of other resources. The action "" is the
// call's own.
func (c *Call) Permits(tx *store.Tx, required ...Permission) (bool, error) {
	err := c.Require(tx, required...)
	if _, denied := errors.AsType[*wire.Exception](err); denied {
		return false, nil
	}
	return err == nil, err
}

// Require is Permits with the AccessDeniedException that says what is missing.
func (c *Call) Require(tx *store.Tx, required ...Permission) error {
	if c.Caller.User == Root {
		return nil
	}
	if c.rights == nil {
		var err error
		if c.rights, err = c.gateway.authorizer.rights(tx, c.Caller); err != nil {
			return err
		}
	}
	for i := range required {
		if required[i].Action == "" {
			required[i].Action = c.Service.Name + ":" + c.Operation.Name
		}
	}
	return c.rights.permit(tx, required)
}

// Shows reports whether a call may show a thing in a list: whether the caller may do the
// call's own action on it. The permission to list is one on a resource that stands for
// all, to which neither a Deny by ARN nor a tag of a thing applies.
func (c *Call) Shows(tx *store.Tx, arn string) (bool, error) {
	return c.Permits(tx, Permission{Resource: arn})
}

// Shown returns the entries of a list that the call shows.
func Shown[T any](tx *store.Tx, c *Call, list []T, arn func(T) string) ([]T, error) {
	return Permitted(tx, c, list, func(v T) Permission { return Permission{Resource: arn(v)} })
}

// Permitted returns the entries of a list for which the caller has a permission.
func Permitted[T any](tx *store.Tx, c *Call, list []T, required func(T) Permission) ([]T, error) {
	var shown []T
	for _, v := range list {
		ok, err := c.Permits(tx, required(v))
		if err != nil {
			return nil, err
		}
		if ok {
			shown = append(shown, v)
		}
	}
	return shown, nil
}
