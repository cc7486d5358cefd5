package build

import (
	"context"
	"sync"
	"time"
)

// queue admits builds in the order in which they came: at most so many at once, one of
// each service, and as many as there is memory for.
type queue struct {
	most  int
	spare func() (int64, error)

	mu      sync.Mutex      // guards what follows
	running map[string]bool // services
	waiting []*ticket
}

// ticket is a place in the queue.
type ticket struct {
	service string
	memory  int64
	turn    chan struct{} // closed when it may run
}

func newQueue(most int, spare func() (int64, error)) *queue {
	return &queue{most: most, spare: spare, running: map[string]bool{}}
}

// lookAgain is how often a build that waits looks whether there is memory for it.
const lookAgain = time.Second

// enter waits until a build of the service may run. It calls tell with the number of
// builds that are ahead of it, first and whenever that changes. The caller calls leave
// when the build has ended.
func (q *queue) enter(ctx context.Context, service string, memory int64, tell func(ahead int)) (leave func(), err error) {
	t := &ticket{service, memory, make(chan struct{})}
	q.mu.Lock()
	q.waiting = append(q.waiting, t)
	q.admit()
	q.mu.Unlock()
	again := time.NewTicker(lookAgain)
	defer again.Stop()
	for told := -1; ; {
		select {
		case <-t.turn:
			return func() { q.leave(service) }, nil
		default:
		}
		if ahead := q.ahead(t); ahead != told {
			told = ahead
			tell(ahead)
		}
		select {
		case <-t.turn:
		case <-again.C:
			q.mu.Lock()
			q.admit()
			q.mu.Unlock()
		case <-ctx.Done():
			q.cancel(t)
			return nil, context.Cause(ctx)
		}
	}
}

// admit lets in whoever's turn it is. A build whose service builds already lets others
// pass; one that waits for memory does not, or a large one would wait for ever. The
// caller holds q.mu.
func (q *queue) admit() {
	for i := 0; i < len(q.waiting) && len(q.running) < q.most; {
		t := q.waiting[i]
		if q.running[t.service] {
			i++
			continue
		}
		if len(q.running) > 0 {
			if spare, err := q.spare(); err == nil && spare < t.memory {
				return
			}
		}
		q.running[t.service] = true
		q.waiting = append(q.waiting[:i:i], q.waiting[i+1:]...)
		close(t.turn)
	}
}

// ahead returns how many builds wait before t, and run when there is no place for t.
func (q *queue) ahead(t *ticket) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	for _, w := range q.waiting {
		if w == t {
			break
		}
		n++
	}
	if len(q.running) >= q.most {
		n += len(q.running) - q.most + 1
	}
	return n
}

// cancel gives a place up, also one whose turn has just come.
func (q *queue) cancel(t *ticket) {
	q.mu.Lock()
	for i, w := range q.waiting {
		if w == t {
			q.waiting = append(q.waiting[:i:i], q.waiting[i+1:]...)
			q.admit()
			q.mu.Unlock()
			return
		}
	}
	q.mu.Unlock()
	q.leave(t.service)
}

func (q *queue) leave(service string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.running, service)
	q.admit()
}

// idle calls f while no build of the service can begin, unless one runs.
func (q *queue) idle(service string, f func() (int64, error)) (int64, error) {
	q.mu.Lock()
	busy := q.running[service]
	if !busy {
		q.running[service] = true
	}
	q.mu.Unlock()
	if busy {
		return 0, nil
	}
	defer q.leave(service)
	return f()
}
