package faulttest

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
)

// sector is what a disk writes as a whole.
const sector = 512

// loss says what reaches the disk of that which was not synced before a power loss.
type loss struct {
	writes  func(*node) []write
	changes func([]*change) map[*change]bool
}

// losses are the ways in which a power loss is tried at each moment: nothing more reaches
// the disk, all does, all names and no bytes, all bytes and no names, and then by chance.
func losses(r *rand.Rand, way int) loss {
	noWrites, allWrites := func(*node) []write { return nil }, func(n *node) []write { return n.writes }
	noChanges := func([]*change) map[*change]bool { return map[*change]bool{} }
	allChanges := func(list []*change) map[*change]bool { return choose(list, func(int) bool { return true }) }
	switch way {
	case 0:
		return loss{noWrites, noChanges}
	case 1:
		return loss{allWrites, allChanges}
	case 2:
		return loss{noWrites, allChanges}
	case 3:
		return loss{allWrites, noChanges}
	}
	return loss{
		func(n *node) []write { return someWrites(r, n.writes) },
		func(list []*change) map[*change]bool { return choose(list, some(r, len(list))) },
	}
}

// certain is how many ways there are before those by chance.
const certain = 4

func choose(list []*change, yes func(i int) bool) map[*change]bool {
	chosen := map[*change]bool{}
	for i, c := range list {
		chosen[c] = yes(i)
	}
	return chosen
}

// some chooses among n in order: none, all, the first ones, or any.
func some(r *rand.Rand, n int) func(i int) bool {
	switch first := r.IntN(n + 1); r.IntN(4) {
	case 0:
		return func(int) bool { return false }
	case 1:
		return func(int) bool { return true }
	case 2:
		return func(i int) bool { return i < first }
	}
	return func(int) bool { return r.IntN(2) == 0 }
}

// someWrites chooses among writes, of which it may tear one.
func someWrites(r *rand.Rand, list []write) (chosen []write) {
	yes := some(r, len(list))
	for i, w := range list {
		if yes(i) {
			chosen = append(chosen, w)
		}
	}
	if len(chosen) > 0 && r.IntN(2) == 0 {
		i := r.IntN(len(chosen))
		chosen = slices.Concat(chosen[:i:i], torn(r, chosen[i]), chosen[i+1:])
	}
	return chosen
}

// torn returns the writes of some of a write's sectors.
func torn(r *rand.Rand, w write) (parts []write) {
	for at, rest := w.at, w.data; len(rest) > 0; {
		n := min(sector-at%sector, int64(len(rest)))
		if r.IntN(2) == 0 {
			parts = append(parts, write{id: w.id, at: at, data: rest[:n]})
		}
		at, rest = at+n, rest[n:]
	}
	return parts
}

// after returns what is on disk after a power loss: a tree of new nodes.
func (d *disk) after(l loss) *node {
	chosen := l.changes(d.changes)
	d.complete(chosen)
	names := map[*node]map[string]*node{}
	of := func(n *node) map[string]*node {
		if names[n] == nil {
			names[n] = maps.Clone(n.durable)
		}
		return names[n]
	}
	for _, c := range d.changes {
		if chosen[c] {
			set(c.names, of)
		}
	}
	copies := map[*node]*node{}
	var copied func(*node) *node
	copied = func(n *node) *node {
		if copies[n] != nil {
			return copies[n]
		}
		c := &node{target: n.target, data: bytes.Clone(n.stored)}
		copies[n] = c
		for _, w := range l.writes(n) {
			c.data = w.apply(c.data)
		}
		if n.names != nil {
			c.names = map[string]*node{}
			have := of(n)
			for _, is := range slices.Sorted(maps.Keys(have)) {
				c.names[is] = copied(have[is])
			}
		}
		return c
	}
	return copied(d.root)
}

var seed = maphash.MakeSeed()

// sum tells trees apart.
func (n *node) sum() uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	if n.names == nil {
		h.Write(n.data)
		h.WriteString(n.target)
		return h.Sum64()
	}
	h.WriteString("directory")
	for _, is := range slices.Sorted(maps.Keys(n.names)) {
		h.WriteString(is)
		h.Write(binary.NativeEndian.AppendUint64(nil, n.names[is].sum()))
	}
	return h.Sum64()
}

// put makes the tree in the file system.
func (n *node) put(path string) error {
	switch {
	case n.target != "":
		return os.Symlink(n.target, path)
	case n.names == nil:
		return os.WriteFile(path, n.data, 0o600)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		return err
	}
	for is, child := range n.names {
		if err := child.put(filepath.Join(path, is)); err != nil {
			return err
		}
	}
	return nil
}
