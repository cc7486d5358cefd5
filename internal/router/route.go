package router

import (
	"slices"

	"github.com/openslipway/slipway"
)

// Route is everything that the router knows of one service: the input of the
// table. load.go builds routes from the store.
type Route struct {
	Service string // id
	Name    string // for metrics
	Keys    []RouteKey
	State   State

	Settings       slipway.RoutingSettings
	MaxConcurrency int // concurrent requests on each instance
	Instances      []Endpoint
	Outlook        Outlook  // when an instance may be ready, if none is
	Stopped        bool     // no instance is to run: the next request has one started
	Draining       []string // ids of releases that must drain
}

// RouteKey is what a service is looked up by.
type RouteKey struct {
	Listener string // id of the listener
	Host     string // in normal form; a wildcard begins with "*."
}

// mustDrain returns the ids of the releases and instances that must drain: finish
// their requests and get no new ones.
func (r Route) mustDrain() []string {
	ids := slices.Clone(r.Draining)
	for _, e := range r.Instances {
		if e.Draining {
			ids = append(ids, e.ID)
		}
	}
	return ids
}

// Endpoint is one live instance.
type Endpoint struct {
	ID, Release string
	Port        int
	Open        bool // accepts new requests
	Draining    bool // must drain
}

// State says how the requests of a service are met.
type State uint8

const (
	Running     State = iota // requests go to instances, or wait for one
	Paused                   // requests get a page at once
	NotDeployed              // likewise: no version of it has ever run
	Deleted                  // the service is unknown
)

// refusal returns the error for every request to a service in this state, nil
// if it serves them.
func (s State) refusal() error {
	switch s {
	case Paused:
		return ErrPaused
	case NotDeployed:
		return ErrNotDeployed
	case Deleted:
		return ErrDeleted
	}
	return nil
}
