package deploy

import (
	"errors"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/hooks/eventbridge"
	"github.com/openslipway/slipway/internal/store"
)

// publishStart queues the bus events of an operation's start for webhooks, in the
// transaction that starts the operation.
func publishStart(tx *store.Tx, op *slipway.Operation, s slipway.Service) error {
	before := s.Status
	if op.Kind == slipway.CreateService {
		before = "" // the stored status is the one after a failed creation
	}
	w := messages[op.Kind]
	return publish(tx, s, op.StartedAt, w.event+"Started", w.started, false, before, slipway.StatusOperationInProgress)
}

// publishEnd queues the bus events of an operation's end; message is the last
// line of its log.
func publishEnd(tx *store.Tx, op *slipway.Operation, s slipway.Service, rest slipway.Status, message string) error {
	status, failed := messages[op.Kind].event+"CompletedSuccessfully", op.Status != slipway.OperationSucceeded
	if failed {
		status = messages[op.Kind].event + "Failed"
	}
	return publish(tx, s, op.EndedAt, status, message, failed, slipway.StatusOperationInProgress, rest)
}

func publish(tx *store.Tx, s slipway.Service, at time.Time, status, message string, failed bool, from, to slipway.Status) error {
	operation, err := eventbridge.OperationEvent(s, status, message, failed, at)
	if err != nil {
		return err
	}
	change, err := eventbridge.StatusEvent(s, from, to, at)
	if err != nil {
		return err
	}
	return errors.Join(tx.InsertBusEvent(operation), tx.InsertBusEvent(change))
}
