package faulttest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// Recording is what processes did to a directory, and what they acknowledged meanwhile. They
// acknowledge by writing a line to the file that [Recording.Promises] names; a test does it
// by [Recording.Promise].
type Recording struct {
	*Supervisor
	first *disk

	mu     sync.Mutex // guards what follows
	events []event
	killAt int // the number of the event at which the process is killed instead; 0 for never
}

// event is a call or, with promise set, an acknowledgement.
type event struct {
	call    Call
	promise string
}

// promises is the name of the file of acknowledgements in the directory. It is no part of
// what is recorded.
const promises = ".promises"

// Record begins to record what is done to a directory from now on by processes that the
// supervisor in the recording starts.
func Record(t testing.TB, dir string) *Recording {
	t.Helper()
	first, err := readDisk(dir)
	if err != nil {
		t.Fatal(err)
	}
	r := &Recording{first: first}
	r.Supervisor = &Supervisor{root: dir, decide: r.note}
	r.begin(t)
	return r
}

// Promises returns the file to which the processes write a line for each acknowledgement.
func (r *Recording) Promises() string { return filepath.Join(r.root, promises) }

// Promise adds an acknowledgement that the test has received.
func (r *Recording) Promise(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, event{promise: text})
}

// Len returns how many calls and acknowledgements there are.
func (r *Recording) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.events)
}

// RunKilled has a process do a work until its call number n, counting from 1 with what it
// promises, and kills it then.
func (r *Recording) RunKilled(t testing.TB, work string, n int) {
	t.Helper()
	r.setKill(r.Len() + n)
	_, _ = r.Supervisor.Run(t, work) // it may have ended before
	r.setKill(0)
}

func (r *Recording) setKill(at int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.killAt = at
}

// note keeps a call. Copies inside the kernel are refused: programs then write, which shows
// the bytes.
func (r *Recording) note(c Call) unix.Errno {
	switch {
	case c.Kind == Open || c.Kind == Descriptor:
		return 0
	case c.Kind == Copy:
		return unix.EINVAL
	case c.Kind == Map:
		if !strings.HasSuffix(c.Path, "-shm") {
			r.problem("%s is mapped into shared memory: the recording does not see what is written there", c.Path)
		}
		return 0
	case c.Path == r.Promises():
		if c.Kind == Write {
			r.Promise(strings.TrimSpace(string(c.Data)))
		}
		return 0
	}
	c.Path = strings.TrimPrefix(c.Path, r.root)
	if c.Kind != Symlink {
		c.To = strings.TrimPrefix(c.To, r.root)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.killAt > 0 && len(r.events)+1 >= r.killAt {
		r.killAt = 0
		_ = unix.Kill(c.PID, unix.SIGKILL)
		return unix.EINTR // it never sees that
	}
	r.events = append(r.events, event{call: c})
	return 0
}

// Loss is a power loss: what was acknowledged before it, and what the disk has after it.
type Loss struct {
	Promised []string
	what     string
	tree     *node
}

// String says when the power was lost and what reached the disk.
func (l Loss) String() string { return l.what }

// In calls f with a directory of what the disk has, and removes it afterwards.
func (l Loss) In(t testing.TB, f func(dir string)) {
	t.Helper()
	parent, err := os.MkdirTemp("", "loss-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(parent)
	dir := filepath.Join(parent, "data")
	if err := l.tree.put(dir); err != nil {
		t.Fatal(err)
	}
	f(dir)
}

// Last returns the power loss at the end after which the disk has nothing that was not
// synced. story says what happened.
func (r *Recording) Last(story string) Loss {
	var last Loss
	r.mu.Lock()
	events := slices.Clone(r.events)
	r.mu.Unlock()
	d := r.copyOfFirst()
	for _, e := range events {
		if e.promise != "" {
			last.Promised = append(last.Promised, e.promise)
		} else {
			d.apply(e.call)
		}
	}
	last.what, last.tree = story, d.after(losses(nil, 0))
	return last
}

// PowerLosses yields about as many different power losses as wanted, of all moments. It
// tries ways by chance at each moment beside those that are always tried.
func (r *Recording) PowerLosses(seed uint64, ways, want int) func(yield func(Loss) bool) {
	r.mu.Lock()
	events := slices.Clone(r.events)
	r.mu.Unlock()
	ways += certain
	chance := float64(want) / float64((len(events)+1)*ways)
	return func(yield func(Loss) bool) {
		random := rand.New(rand.NewPCG(seed, 0))
		seen := map[string]bool{}
		d, promised := r.copyOfFirst(), []string(nil)
		for i := 0; i <= len(events); i++ {
			for way := range ways {
				// Right after an acknowledgement only what is certain to be there counts.
				told := way == 0 && i > 0 && events[i-1].promise != ""
				if !told && random.Float64() >= chance {
					continue
				}
				tree := d.after(losses(random, way))
				if key := fmt.Sprint(tree.sum(), len(promised)); !seen[key] {
					seen[key] = true
					what := fmt.Sprintf("way %d after event %d of %d (%s)", way, i, len(events), describe(events, i-1))
					if !yield(Loss{slices.Clone(promised), what, tree}) {
						return
					}
				}
			}
			if i == len(events) {
				return
			}
			if e := events[i]; e.promise != "" {
				promised = append(promised, e.promise)
			} else {
				d.apply(e.call)
			}
		}
	}
}

func describe(events []event, i int) string {
	switch {
	case i < 0:
		return "the start"
	case events[i].promise != "":
		return "promised " + events[i].promise
	}
	c := events[i].call
	return strings.TrimSpace(fmt.Sprintf("%s %s %s", c.Name, c.Path, c.To))
}

// copyOfFirst returns the disk as it was at the beginning.
func (r *Recording) copyOfFirst() *disk {
	d := &disk{root: newDir()}
	copied := map[*node]*node{}
	var of func(n *node) *node
	of = func(n *node) *node {
		if copied[n] != nil {
			return copied[n]
		}
		c := &node{target: n.target, data: slices.Clone(n.data), stored: slices.Clone(n.stored)}
		copied[n] = c
		if n.names != nil {
			c.names, c.durable = map[string]*node{}, map[string]*node{}
			for is, child := range n.names {
				c.names[is], c.durable[is] = of(child), of(child)
			}
		}
		return c
	}
	d.root = of(r.first.root)
	return d
}
