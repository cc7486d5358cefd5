package gatewaytest

import (
	"fmt"
	"slices"

	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/store"
)

// Calls is a bench with one service, whose operations are called by their names.
type Calls struct {
	*Bench
	service gateway.Service
	prefix  string
}

// Serve opens the gateway for one service, whose targets are the prefix and an
// operation's name.
func (b *Bench) Serve(s gateway.Service, prefix string) Calls {
	b.Helper()
	b.Open([]gateway.Service{s})
	return Calls{b, s, prefix}
}

// Limited is [Bench.Limited] for the service.
func (c Calls) Limited(statements string) Calls {
	c.Helper()
	return Calls{c.Bench.Limited([]gateway.Service{c.service}, statements), c.service, c.prefix}
}

// OK makes a call that must succeed, with a body of a format and its arguments.
func (c Calls) OK(operation, body string, args ...any) map[string]any {
	c.Helper()
	return c.Bench.OK(c.prefix+operation, fmt.Sprintf(body, args...))
}

// Refused makes a call that must fail with the exception and a message that
// contains the text.
func (c Calls) Refused(operation, body, exception, message string) {
	c.Helper()
	c.Bench.Refused(c.prefix+operation, body, exception, message)
}

// RequiredPermissions returns the permissions that a call with the input requires.
func (c Calls) RequiredPermissions(operation string, in any) (required []gateway.Permission) {
	c.Helper()
	i := slices.IndexFunc(c.service.Operations, func(o gateway.Operation) bool { return o.Name == operation })
	if i < 0 {
		c.Fatalf("there is no operation %s", operation)
	}
	err := c.Store.View(c.Context(), func(tx *store.Tx) (err error) {
		required, err = c.service.Operations[i].RequiredPermissions(tx, in)
		return err
	})
	if err != nil {
		c.Fatalf("the permissions of %s: %v", operation, err)
	}
	return required
}
