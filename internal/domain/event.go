package domain

import (
	"errors"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/hooks/eventbridge"
	"github.com/openslipway/slipway/internal/store"
)

// publish stores the event of a state change for webhooks, in the transaction
// of the change.
func publish(tx *store.Tx, before, after slipway.CustomDomain) error {
	if before.State == after.State {
		return nil
	}
	s, err := tx.Service(after.ServiceID)
	if errors.Is(err, store.ErrNotFound) {
		return nil // the service was forgotten, and its domains with it
	}
	if err != nil {
		return err
	}
	e, err := eventbridge.DomainEvent(s.Service, after, before.State)
	if err != nil {
		return err
	}
	return tx.InsertBusEvent(e)
}
