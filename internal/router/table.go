package router

import (
	"maps"
	"slices"
)

// table finds services. It is never changed once it is published.
type table struct {
	byHost map[string]*service
	byID   map[string]*service
}

// with returns a table in which the moved services, new ones among them, are
// found under their present hosts, and the gone ones not at all. Copying the
// maps is left to these rare cases: a service's instances come and go without.
func (t *table) with(moved, gone []*service) *table {
	if len(moved)+len(gone) == 0 {
		return t
	}
	n := &table{byHost: maps.Clone(t.byHost), byID: maps.Clone(t.byID)}
	for _, s := range slices.Concat(moved, gone) {
		if n.byID[s.id] == s {
			maps.DeleteFunc(n.byHost, func(_ string, of *service) bool { return of == s })
			delete(n.byID, s.id)
		}
	}
	for _, s := range moved {
		n.byID[s.id] = s
		for _, h := range s.hosts {
			n.byHost[h] = s
		}
	}
	return n
}
