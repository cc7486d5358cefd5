package deploy

import (
	"errors"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
)

// publishBegin puts the events of an operation's beginning where webhooks find
// them, in the transaction of what they tell.
func publishBegin(tx *store.Tx, op *slipway.Operation, s slipway.Service) error {
	before := s.Status
	if op.Kind == slipway.CreateService {
		before = "" // what is stored is where a failure would end
	}
	w := wording[op.Kind]
	return publish(tx, s, op.StartedAt, w.event+"Started", w.started, false, before, slipway.StatusOperationInProgress)
}

// publishEnd puts the events of an operation's end there; message is the last
// line of its story.
func publishEnd(tx *store.Tx, op *slipway.Operation, s slipway.Service, rest slipway.Status, message string) error {
	status, failed := wording[op.Kind].event+"CompletedSuccessfully", op.Status != slipway.OperationSucceeded
	if failed {
		status = wording[op.Kind].event + "Failed"
	}
	return publish(tx, s, op.EndedAt, status, message, failed, slipway.StatusOperationInProgress, rest)
}

func publish(tx *store.Tx, s slipway.Service, at time.Time, status, message string, failed bool, from, to slipway.Status) error {
	operation, err := slipway.NewOperationEvent(s, status, message, failed, at)
	if err != nil {
		return err
	}
	change, err := slipway.NewStatusEvent(s, from, to, at)
	if err != nil {
		return err
	}
	return errors.Join(tx.InsertBusEvent(operation), tx.InsertBusEvent(change))
}
