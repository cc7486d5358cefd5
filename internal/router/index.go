package router

import (
	"iter"
	"maps"
)

// shards is the number of maps of an index. With 100,000 keys a change copies maps of some
// 400 keys.
const shards = 256

// index is a map that is immutable once published, and of which an edited copy shares all
// maps that the edit does not change. A lookup costs a hash of the name and a lookup in a map.
type index[K comparable, V any] struct {
	name   func(K) string // by which keys are spread
	shards [shards]map[K]V
	own    *[shards]bool // the maps that no other index has; nil once it is published
	n      int
}

func newIndex[K comparable, V any](name func(K) string) *index[K, V] {
	return &index[K, V]{name: name}
}

// shard returns the number of a key's map.
func (x *index[K, V]) shard(k K) uint8 {
	h := uint32(2166136261) // FNV-1a
	for _, c := range []byte(x.name(k)) {
		h = (h ^ uint32(c)) * 16777619
	}
	return uint8(h ^ h>>8 ^ h>>16 ^ h>>24)
}

func (x *index[K, V]) get(k K) V { return x.shards[x.shard(k)][k] }

func (x *index[K, V]) len() int { return x.n }

func (x *index[K, V]) all() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for _, m := range x.shards {
			for k, v := range m {
				if !yield(k, v) {
					return
				}
			}
		}
	}
}

// edit returns a copy to be changed and then published.
func (x *index[K, V]) edit() *index[K, V] {
	e := *x
	e.own = new([shards]bool)
	return &e
}

func (x *index[K, V]) publish() { x.own = nil }

// writable returns the map of a key, which nobody else has.
func (x *index[K, V]) writable(k K) map[K]V {
	i := x.shard(k)
	if !x.own[i] {
		m := maps.Clone(x.shards[i])
		if m == nil {
			m = map[K]V{}
		}
		x.shards[i], x.own[i] = m, true
	}
	return x.shards[i]
}

func (x *index[K, V]) put(k K, v V) {
	m := x.writable(k)
	x.n -= len(m)
	m[k] = v
	x.n += len(m)
}

func (x *index[K, V]) remove(k K) {
	m := x.writable(k)
	x.n -= len(m)
	delete(m, k)
	x.n += len(m)
}
