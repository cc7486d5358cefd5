package store

import (
	"cmp"
	"time"

	"github.com/openslipway/slipway"
)

func scanEvent(s scanner) (e slipway.Event, err error) {
	err = s.Scan(&e.ID, &e.ServiceID, &e.Operation, &e.Stream, instant{&e.At}, &e.Text)
	return e, err
}

const eventColumns = `id, service_id, operation_id, stream, at, text`

// keepEvents is how many lines are kept of a stream.
const keepEvents = 10_000

// InsertEvent appends a line to one of the service's streams. A stream keeps
// about its last keepEvents lines.
func (tx *Tx) InsertEvent(e slipway.Event) error {
	n, err := tx.count(`INSERT INTO event (service_id, operation_id, stream, at, text) VALUES ($1, $2, $3, $4, $5)
		RETURNING id`, e.ServiceID, e.Operation, e.Stream, nanos(e.At), e.Text)
	if err != nil {
		return err
	}
	if n%1000 != 0 { // delete only with every thousandth line of all streams
		return nil
	}
	_, err = tx.exec(`DELETE FROM event WHERE service_id = $1 AND stream = $2 AND id <= (SELECT id FROM event
		WHERE service_id = $1 AND stream = $2 ORDER BY id DESC LIMIT 1 OFFSET $3)`, e.ServiceID, e.Stream, keepEvents)
	return err
}

// Events returns at most limit lines of a service's stream, oldest first, with ids
// above afterID and times in [since, until). Zero times and limit 0 mean no bound.
func (tx *Tx) Events(serviceID, stream string, afterID int64, since, until time.Time, limit int) ([]slipway.Event, error) {
	return all(tx, scanEvent, `SELECT `+eventColumns+` FROM event WHERE service_id = $1 AND stream = $2 AND id > $3
		AND at >= $4 AND at < $5 ORDER BY id LIMIT $6`, serviceID, stream, afterID, nanos(since), cmp.Or(nanos(until), noBound), atMost(limit))
}

// EventStream is one of a service's streams of events.
type EventStream struct {
	Name        string
	First, Last time.Time
}

// EventStreams returns a service's streams by name.
func (tx *Tx) EventStreams(serviceID string) ([]EventStream, error) {
	return all(tx, func(s scanner) (e EventStream, err error) {
		err = s.Scan(&e.Name, instant{&e.First}, instant{&e.Last})
		return
	}, `SELECT stream, min(at), max(at) FROM event WHERE service_id = $1 GROUP BY stream ORDER BY stream`, serviceID)
}
