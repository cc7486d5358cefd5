package router

import "slices"

// route is what the router must know of one service: the table's input. Only
// load.go makes them from what the store holds.
type route struct {
	service string // id
	name    string // for metrics
	places  []place
	state   state

	maxConcurrency int // requests at once on each instance
	instances      []endpoint
	leaving        []string // ids of releases that are to have nothing in flight
}

// place is where requests of a service come in.
type place struct {
	entry string // id of a VPC endpoint; "" for the public listener
	host  string // in normal form; wildcards begin with "*."
}

// targets returns the ids of the releases and instances that are to have
// nothing in flight.
func (r route) targets() []string {
	ids := slices.Clone(r.leaving)
	for _, e := range r.instances {
		if e.leaving {
			ids = append(ids, e.id)
		}
	}
	return ids
}

// endpoint is one instance that lives.
type endpoint struct {
	id, release string
	port        int
	open        bool // may take new requests
	leaving     bool // is to have nothing in flight
}

// state tells how a service's requests are met.
type state uint8

const (
	running state = iota // by its instances; they wait while there are none
	paused               // at once, by a page
	unborn               // likewise: no version of it ever ran
	deleted              // as if it had never been
)

// refusal is the answer of a service in this state to every request, nil when
// it serves them.
func (s state) refusal() error {
	switch s {
	case paused:
		return errPaused
	case unborn:
		return errUnborn
	case deleted:
		return errDeleted
	}
	return nil
}
