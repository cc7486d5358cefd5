package store

import (
	"cmp"
	"slices"
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

// EventQuery selects lines of a service's streams.
type EventQuery struct {
	ServiceID      string
	Stream, Prefix string        // exact name of a stream, else the beginning of names; both empty for all
	Since, Until   time.Time     // Since <= At < Until; zero for no bound
	After          slipway.Event // begin after this line; zero for the first
	Limit          int           // at most so many lines; 0 for all
}

// EventsByTime returns lines of several streams, oldest first, and by the name of
// the stream where times are equal. Lines of one stream with equal times keep
// their order.
func (tx *Tx) EventsByTime(q EventQuery) ([]slipway.Event, error) {
	first, last := q.streams()
	return all(tx, scanEvent, `SELECT `+eventColumns+` FROM event WHERE service_id = $1 AND stream >= $2 AND stream <= $3
		AND at >= $4 AND at < $5 AND (at, stream, id) > ($6, $7, $8) ORDER BY at, stream, id LIMIT $9`,
		q.ServiceID, first, last, nanos(q.Since), cmp.Or(nanos(q.Until), noBound),
		nanos(q.After.At), q.After.Stream, q.After.ID, atMost(q.Limit))
}

// LastEvents returns the last lines that q selects, in the order of EventsByTime.
// It does not use After.
func (tx *Tx) LastEvents(q EventQuery) ([]slipway.Event, error) {
	first, last := q.streams()
	list, err := all(tx, scanEvent, `SELECT `+eventColumns+` FROM event WHERE service_id = $1 AND stream >= $2 AND stream <= $3
		AND at >= $4 AND at < $5 ORDER BY at DESC, stream DESC, id DESC LIMIT $6`,
		q.ServiceID, first, last, nanos(q.Since), cmp.Or(nanos(q.Until), noBound), atMost(q.Limit))
	slices.Reverse(list)
	return list, err
}

// streams returns the range of names of streams, so that the index serves it.
func (q EventQuery) streams() (first, last string) {
	if q.Stream != "" {
		return q.Stream, q.Stream
	}
	return q.Prefix, q.Prefix + "\U0010FFFF" // sorts after every name with the prefix
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
