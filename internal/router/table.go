package router

import (
	"maps"
	"slices"
	"strings"
)

// table looks up services. It is immutable once published.
type table struct {
	byHost   map[RouteKey]*Service
	byParent map[RouteKey]*Service // wildcards, by what follows their "*."
	byID     map[string]*Service
}

func newTable() *table {
	return &table{byHost: map[RouteKey]*Service{}, byParent: map[RouteKey]*Service{}, byID: map[string]*Service{}}
}

// find returns the service of a key, nil if there is none. A wildcard matches
// one label, and only if no exact name does.
func (t *table) find(p RouteKey) *Service {
	if s := t.byHost[p]; s != nil {
		return s
	}
	_, p.Host, _ = strings.Cut(p.Host, ".")
	return t.byParent[p]
}

// with returns a copy of the table in which the moved services, including new
// ones, have their present keys and the gone ones are missing. The maps are
// copied only for such changes, which are rare: instances come and go without
// one.
func (t *table) with(moved, gone []*Service) *table {
	if len(moved)+len(gone) == 0 {
		return t
	}
	n := &table{byHost: maps.Clone(t.byHost), byParent: maps.Clone(t.byParent), byID: maps.Clone(t.byID)}
	for _, s := range slices.Concat(moved, gone) {
		if n.byID[s.id] == s {
			maps.DeleteFunc(n.byHost, func(_ RouteKey, of *Service) bool { return of == s })
			maps.DeleteFunc(n.byParent, func(_ RouteKey, of *Service) bool { return of == s })
			delete(n.byID, s.id)
		}
	}
	for _, s := range moved {
		n.byID[s.id] = s
		for _, p := range s.keys {
			if parent, ok := strings.CutPrefix(p.Host, "*."); ok {
				n.byParent[RouteKey{p.Listener, parent}] = s
			} else {
				n.byHost[p] = s
			}
		}
	}
	return n
}
