package router

import "slices"

// route is everything that the router knows of one service: the input of the
// table. load.go builds routes from the store.
type route struct {
	service string // id
	name    string // for metrics
	keys    []routeKey
	state   state

	maxConcurrency int // concurrent requests on each instance
	instances      []endpoint
	draining       []string // ids of releases that must drain
}

// routeKey is what a service is looked up by.
type routeKey struct {
	entry string // the listener: the id of a VPC endpoint, empty for the public listener
	host  string // in normal form; a wildcard begins with "*."
}

// targets returns the ids of the releases and instances that must drain: finish
// their requests and get no new ones.
func (r route) targets() []string {
	ids := slices.Clone(r.draining)
	for _, e := range r.instances {
		if e.draining {
			ids = append(ids, e.id)
		}
	}
	return ids
}

// endpoint is one live instance.
type endpoint struct {
	id, release string
	port        int
	open        bool // accepts new requests
	draining    bool // must drain
}

// state says how the requests of a service are met.
type state uint8

const (
	running     state = iota // requests go to instances, or wait for one
	paused                   // requests get a page at once
	notDeployed              // likewise: no version of it has ever run
	deleted                  // the service is unknown
)

// refusal returns the error for every request to a service in this state, nil
// if it serves them.
func (s state) refusal() error {
	switch s {
	case paused:
		return errPaused
	case notDeployed:
		return errNotDeployed
	case deleted:
		return errDeleted
	}
	return nil
}
