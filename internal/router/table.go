package router

import (
	"slices"
	"strings"
)

// table looks up services. It is immutable once published.
type table struct {
	byHost   *index[RouteKey, *Service]
	byParent *index[RouteKey, *Service] // wildcards, by what follows their "*."
	byID     *index[string, entry]
}

// entry is a service and the keys by which the table has it.
type entry struct {
	service *Service
	keys    []RouteKey
}

func newTable() *table {
	host := func(k RouteKey) string { return k.Host }
	return &table{
		byHost:   newIndex[RouteKey, *Service](host),
		byParent: newIndex[RouteKey, *Service](host),
		byID:     newIndex[string, entry](func(id string) string { return id }),
	}
}

// find returns the service of a key, nil if there is none. A wildcard matches
// one label, and only if no exact name does.
func (t *table) find(p RouteKey) *Service {
	if s := t.byHost.get(p); s != nil {
		return s
	}
	_, p.Host, _ = strings.Cut(p.Host, ".")
	return t.byParent.get(p)
}

// service returns the service with an id, nil if there is none.
func (t *table) service(id string) *Service { return t.byID.get(id).service }

// with returns a copy of the table in which the moved services, including new ones,
// have their present keys and the gone ones are missing.
func (t *table) with(moved, gone []*Service) *table {
	if len(moved)+len(gone) == 0 {
		return t
	}
	n := &table{byHost: t.byHost.edit(), byParent: t.byParent.edit(), byID: t.byID.edit()}
	for _, s := range slices.Concat(moved, gone) {
		if e := n.byID.get(s.id); e.service == s {
			for _, p := range e.keys {
				// A key may have gone to another service already.
				if in, p := n.of(p); in.get(p) == s {
					in.remove(p)
				}
			}
			n.byID.remove(s.id)
		}
	}
	for _, s := range moved {
		n.byID.put(s.id, entry{s, s.keys})
		for _, p := range s.keys {
			in, p := n.of(p)
			in.put(p, s)
		}
	}
	for _, done := range []interface{ publish() }{n.byHost, n.byParent, n.byID} {
		done.publish()
	}
	return n
}

// of returns the index of a key, and the key in it.
func (t *table) of(p RouteKey) (*index[RouteKey, *Service], RouteKey) {
	if parent, ok := strings.CutPrefix(p.Host, "*."); ok {
		return t.byParent, RouteKey{p.Listener, parent}
	}
	return t.byHost, p
}
