package domain

import (
	"errors"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/hooks/eventbridge"
	"github.com/openslipway/slipway/internal/store"
)

// publish stores the event of a state change for webhooks, and tells of a failure in the
// service's events, in the transaction of the change.
func publish(tx *store.Tx, c step) error {
	if c.before.State == c.after.State {
		return nil
	}
	s, err := tx.Service(c.after.ServiceID)
	if errors.Is(err, store.ErrNotFound) {
		return nil // the service was forgotten, and its domains with it
	}
	if err != nil {
		return err
	}
	why := ""
	if c.after.State == slipway.DomainFailed {
		why = c.why
		text := "Custom domain " + c.after.Name + " was not validated: " + why + "."
		if err := tx.InsertEvent(slipway.Event{ServiceID: s.ID, Stream: "events", At: c.after.Since, Text: text}); err != nil {
			return err
		}
	}
	e, err := eventbridge.DomainEvent(s.Service, c.after, c.before.State, why)
	if err != nil {
		return err
	}
	return tx.InsertBusEvent(e)
}
