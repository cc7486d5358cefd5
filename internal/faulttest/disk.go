package faulttest

import (
	"bytes"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// disk is a directory as programs see it, and as much of it as is certain to be on disk. It
// promises as little as POSIX does: a file's bytes are on disk after a sync of the file, a
// name after a sync of its directory, both otherwise in any order or not at all. A rename
// is whole, in both directories.
type disk struct {
	root    *node
	changes []*change // of names, that need not be on disk yet, in order
	made    int       // how many writes and changes there were, which numbers them
}

// node is a file, a directory or a symbolic link.
type node struct {
	names   map[string]*node // of a directory; nil of others
	durable map[string]*node // those of names that are on disk
	target  string           // of a symbolic link
	data    []byte
	stored  []byte  // what is on disk of data
	writes  []write // to data, that need not be on disk yet, in order
}

// write is a write, or without data the setting of the size.
type write struct {
	id   int
	at   int64
	data []byte
}

func (w write) apply(b []byte) []byte {
	if w.data == nil {
		return resized(b, w.at)
	}
	if end := w.at + int64(len(w.data)); end > int64(len(b)) {
		b = resized(b, end)
	}
	copy(b[w.at:], w.data)
	return b
}

func resized(b []byte, size int64) []byte {
	if size <= int64(len(b)) {
		return b[:size]
	}
	return append(b, make([]byte, size-int64(len(b)))...)
}

// change is a change of names that a file system makes as a whole.
type change struct {
	id    int
	names []name
}

// name is a name and the file that it has from then on, nil for none.
type name struct {
	dir *node
	is  string
	of  *node
}

// overlap reports whether two changes concern the same name.
func (c *change) overlap(o *change) bool {
	return slices.ContainsFunc(c.names, func(a name) bool {
		return slices.ContainsFunc(o.names, func(b name) bool { return a.dir == b.dir && a.is == b.is })
	})
}

func newDir() *node { return &node{names: map[string]*node{}, durable: map[string]*node{}} }

// readDisk returns the disk that has what is in a directory.
func readDisk(dir string) (*disk, error) {
	d := &disk{root: newDir()}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		n := &node{}
		switch {
		case e.IsDir():
			n = newDir()
		case e.Type() == fs.ModeSymlink:
			n.target, err = os.Readlink(path)
		case e.Type().IsRegular():
			n.data, err = os.ReadFile(path)
			n.stored = bytes.Clone(n.data)
		}
		parent, is := d.parent(strings.TrimPrefix(path, dir))
		parent.names[is], parent.durable[is] = n, n
		return err
	})
	return d, err
}

// find returns what a path below the root is; nil if there is nothing.
func (d *disk) find(path string) *node {
	n := d.root
	for is := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		if is != "" && n != nil {
			n = n.names[is]
		}
	}
	return n
}

// parent returns the directory of a path, nil if there is none, and the name in it.
func (d *disk) parent(path string) (*node, string) {
	dir, is := filepath.Split(path)
	if n := d.find(dir); n != nil && n.names != nil {
		return n, is
	}
	return nil, is
}

// apply has the disk carry out a call, whose paths are below the root. Like the kernel it
// refuses what can't be done.
func (d *disk) apply(c Call) {
	n := d.find(c.Path)
	dir, is := d.parent(c.Path)
	switch c.Kind {
	case Create:
		d.create(n, dir, is, c.Flags)
	case Mkdir, Symlink, Node:
		if n == nil && dir != nil {
			made := map[Kind]*node{Mkdir: newDir(), Symlink: {target: c.To}, Node: {}}[c.Kind]
			d.change(name{dir, is, made})
		}
	case Write:
		d.write(n, c.Offset, c.Data)
	case Resize:
		d.resize(n, c)
	case Sync:
		if n != nil {
			d.sync(n)
		}
	case SyncAll:
		d.syncAll()
	case Rename:
		d.rename(n, dir, is, c)
	case Link:
		if to, as := d.parent(c.To); n != nil && to != nil && to.names[as] == nil {
			d.change(name{to, as, n})
		}
	case Remove, Rmdir:
		if n != nil && (c.Kind == Rmdir) == (n.names != nil) && len(n.names) == 0 {
			d.change(name{dir, is, nil})
		}
	}
}

func (d *disk) create(n, dir *node, is string, flags int) {
	switch {
	case n == nil && dir != nil && flags&unix.O_CREAT != 0:
		d.change(name{dir, is, &node{}})
	case n != nil && flags&unix.O_TRUNC != 0 && flags&unix.O_EXCL == 0 && len(n.data) > 0:
		d.add(n, write{at: 0})
	}
}

func (d *disk) write(n *node, at int64, b []byte) {
	if n == nil || n.names != nil || len(b) == 0 {
		return
	}
	if at == atEnd {
		at = int64(len(n.data))
	}
	d.add(n, write{at: at, data: b})
}

func (d *disk) resize(n *node, c Call) {
	switch {
	case n == nil || c.Name == "fallocate" && c.Flags&unix.FALLOC_FL_PUNCH_HOLE == 0 && c.Flags&unix.FALLOC_FL_KEEP_SIZE != 0:
	case c.Name == "fallocate" && c.Flags&unix.FALLOC_FL_PUNCH_HOLE != 0:
		if end := min(c.Size, int64(len(n.data))); end > c.Offset {
			d.add(n, write{at: c.Offset, data: make([]byte, end-c.Offset)})
		}
	case c.Name == "fallocate" && c.Size <= int64(len(n.data)):
	default:
		d.add(n, write{at: c.Size})
	}
}

func (d *disk) rename(n, dir *node, is string, c Call) {
	to, as := d.parent(c.To)
	if n == nil || to == nil || n == to.names[as] {
		return
	}
	old := to.names[as]
	if old != nil && (c.Flags&unix.RENAME_NOREPLACE != 0 || len(old.names) > 0) && c.Flags&unix.RENAME_EXCHANGE == 0 {
		return
	}
	if c.Flags&unix.RENAME_EXCHANGE == 0 {
		old = nil
	}
	d.change(name{dir, is, old}, name{to, as, n})
}

func (d *disk) add(n *node, w write) {
	d.made++
	w.id = d.made
	n.data, n.writes = w.apply(n.data), append(n.writes, w)
}

func (d *disk) change(names ...name) {
	d.made++
	d.changes = append(d.changes, &change{d.made, names})
	set(names, func(n *node) map[string]*node { return n.names })
}

// set gives names what they are to have in the maps that of returns.
func set(names []name, of func(*node) map[string]*node) {
	for _, n := range names {
		if n.of == nil {
			delete(of(n.dir), n.is)
		} else {
			of(n.dir)[n.is] = n.of
		}
	}
}

// sync has a file's bytes on disk, or a directory's names with what they depend on.
func (d *disk) sync(n *node) {
	n.store()
	if n.names == nil {
		return
	}
	chosen := map[*change]bool{}
	for _, c := range d.changes {
		chosen[c] = slices.ContainsFunc(c.names, func(a name) bool { return a.dir == n })
	}
	d.complete(chosen)
	d.changes = slices.DeleteFunc(d.changes, func(c *change) bool {
		if chosen[c] {
			set(c.names, func(n *node) map[string]*node { return n.durable })
		}
		return chosen[c]
	})
}

func (n *node) store() {
	for _, w := range n.writes {
		n.stored = w.apply(n.stored)
	}
	n.writes = nil
}

// complete adds to chosen changes the earlier ones of the same names.
func (d *disk) complete(chosen map[*change]bool) {
	for i, later := range slices.Backward(d.changes) {
		if !chosen[later] {
			continue
		}
		for _, c := range d.changes[:i] {
			chosen[c] = chosen[c] || c.overlap(later)
		}
	}
}

func (d *disk) syncAll() {
	for _, c := range d.changes {
		set(c.names, func(n *node) map[string]*node { return n.durable })
	}
	d.changes = nil
	d.each(func(n *node) { n.store() })
}

// each calls f for every file that has a name, or may have one after a power loss.
func (d *disk) each(f func(*node)) {
	seen := map[*node]bool{}
	var visit func(*node)
	visit = func(n *node) {
		if n == nil || seen[n] {
			return
		}
		seen[n] = true
		f(n)
		for _, of := range []map[string]*node{n.durable, n.names} {
			for _, is := range slices.Sorted(maps.Keys(of)) {
				visit(of[is])
			}
		}
	}
	visit(d.root)
	for _, c := range d.changes {
		for _, n := range c.names {
			visit(n.of)
		}
	}
}
