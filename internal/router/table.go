package router

import (
	"maps"
	"slices"
	"strings"
)

// table finds services. It is never changed once it is published.
type table struct {
	byHost   map[place]*service
	byParent map[place]*service // wildcards: what follows their "*."
	byID     map[string]*service
}

func newTable() *table {
	return &table{byHost: map[place]*service{}, byParent: map[place]*service{}, byID: map[string]*service{}}
}

// find returns the service at a place, nil when there is none. A wildcard stands
// for one label, and only where no name says more.
func (t *table) find(p place) *service {
	if s := t.byHost[p]; s != nil {
		return s
	}
	_, p.host, _ = strings.Cut(p.host, ".")
	return t.byParent[p]
}

// with returns a table in which the moved services, new ones among them, are
// found under their present hosts, and the gone ones not at all. Copying the
// maps is left to these rare cases: a service's instances come and go without.
func (t *table) with(moved, gone []*service) *table {
	if len(moved)+len(gone) == 0 {
		return t
	}
	n := &table{byHost: maps.Clone(t.byHost), byParent: maps.Clone(t.byParent), byID: maps.Clone(t.byID)}
	for _, s := range slices.Concat(moved, gone) {
		if n.byID[s.id] == s {
			maps.DeleteFunc(n.byHost, func(_ place, of *service) bool { return of == s })
			maps.DeleteFunc(n.byParent, func(_ place, of *service) bool { return of == s })
			delete(n.byID, s.id)
		}
	}
	for _, s := range moved {
		n.byID[s.id] = s
		for _, p := range s.places {
			if parent, ok := strings.CutPrefix(p.host, "*."); ok {
				n.byParent[place{p.entry, parent}] = s
			} else {
				n.byHost[p] = s
			}
		}
	}
	return n
}
