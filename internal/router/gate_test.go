package router

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openslipway/slipway"
)

// newTestGate returns a gate with n open instances of limit slots each.
func newTestGate(n int, limit int64) (*gate, []*instance) {
	g := newGate(func() {}, func() {}, func() {})
	var list []*instance
	for i := range n {
		list = append(list, &instance{Target: Target{Instance: fmt.Sprint("i", i)}})
	}
	g.set(&view{limit: limit, queue: 1000, instances: list})
	return g, list
}

func mustAcquire(t *testing.T, g *gate) *instance {
	t.Helper()
	i, err := g.acquire(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func TestLeastLoadedIsClaimed(t *testing.T) {
	t.Parallel()
	g, list := newTestGate(3, 10)
	list[0].load.Store(2)
	list[1].load.Store(1)
	list[2].load.Store(2)
	if i := mustAcquire(t, g); i != list[1] {
		t.Errorf("claimed %s with %d in flight, want i1", i.Instance, i.inFlight()-1)
	}
}

func TestIdleInstancesTakeTurns(t *testing.T) {
	t.Parallel()
	g, list := newTestGate(4, 10)
	seen := map[*instance]int{}
	for range 40 {
		i := mustAcquire(t, g)
		seen[i]++
		g.release(i)
	}
	for _, i := range list {
		if seen[i] != 10 {
			t.Errorf("%s got %d of 40 requests, want 10", i.Instance, seen[i])
		}
	}
}

// With more than eight instances the two random choices still use every
// instance, find every slot, and spread evenly.
func TestManyInstancesFillEvenly(t *testing.T) {
	t.Parallel()
	g, list := newTestGate(50, 20)
	for range 500 {
		mustAcquire(t, g)
	}
	spread := 0.0 // mean squared distance from 10: about 1.4, and about 10 with one choice
	for _, i := range list {
		n := i.inFlight()
		spread += float64((n-10)*(n-10)) / float64(len(list))
		if n < 2 || n > 15 {
			t.Errorf("%s has %d in flight, want about 10", i.Instance, n)
		}
	}
	if spread > 4 {
		t.Errorf("the spread is %.1f, want at most 4", spread)
	}
	for range 500 {
		mustAcquire(t, g)
	}
	for _, i := range list {
		if n := i.inFlight(); n != 20 {
			t.Errorf("%s has %d in flight, want 20: all slots are claimed", i.Instance, n)
		}
	}
}

func TestWaitersAreServedInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, _ := newTestGate(1, 1)
		first := mustAcquire(t, g)
		var order []int
		for n := range 10 {
			go func() {
				i := mustAcquire(t, g)
				order = append(order, n) // one at a time: there is one slot
				g.release(i)
			}()
			synctest.Wait()
		}
		if w := g.waiting.Load(); w != 10 {
			t.Fatalf("%d wait, want 10", w)
		}
		g.release(first)
		synctest.Wait()
		if !slices.IsSorted(order) || len(order) != 10 {
			t.Errorf("served in the order %v", order)
		}
	})
}

func TestRetryGoesFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, _ := newTestGate(1, 1)
		first := mustAcquire(t, g)
		var order []bool
		for _, isRetry := range []bool{false, true} {
			go func() {
				i, err := g.acquire(t.Context(), isRetry)
				if err != nil {
					t.Error(err)
					return
				}
				order = append(order, isRetry)
				g.release(i)
			}()
			synctest.Wait()
		}
		g.release(first)
		synctest.Wait()
		if !slices.Equal(order, []bool{true, false}) {
			t.Errorf("served in the order %v, want the retry first", order)
		}
	})
}

func TestQueueIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, list := newTestGate(1, 1)
		g.set(&view{limit: 1, queue: 3, instances: list})
		first := mustAcquire(t, g)
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() { g.release(mustAcquire(t, g)) })
		}
		synctest.Wait()
		if _, err := g.acquire(t.Context(), false); !errors.Is(err, ErrQueueFull) {
			t.Errorf("the fourth in a queue of three: %v, want ErrQueueFull", err)
		}
		g.release(first)
		wg.Wait()
		g.release(mustAcquire(t, g))
	})
}

func TestWaitEndsWithContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, _ := newTestGate(0, 1)
		errLimit := errors.New("limit")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errLimit)
		defer cancel()
		start := time.Now()
		if _, err := g.acquire(ctx, false); !errors.Is(err, errLimit) {
			t.Errorf("err = %v, want the context's cause", err)
		}
		if waited := time.Since(start); waited != time.Minute {
			t.Errorf("waited %v, want a minute", waited)
		}
		if n := g.waiting.Load(); n != 0 || g.queue.Len() != 0 {
			t.Errorf("%d and %d still wait", n, g.queue.Len())
		}
	})
}

func TestWaitersGetNewInstances(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		nudged := 0
		g := newGate(func() { nudged++ }, func() {}, func() {})
		g.set(&view{limit: 2, queue: 10})
		var served atomic.Int32
		for range 5 {
			go func() {
				mustAcquire(t, g)
				served.Add(1)
			}()
			synctest.Wait()
		}
		if nudged != 5 {
			t.Errorf("nudged %d times for 5 that wait", nudged)
		}
		list := []*instance{{Target: Target{Instance: "a"}}}
		g.set(&view{limit: 2, queue: 10, instances: list})
		synctest.Wait()
		if n := served.Load(); n != 2 {
			t.Fatalf("%d served by one instance with 2 slots", n)
		}
		g.set(&view{limit: 2, queue: 10, instances: append(list, &instance{Target: Target{Instance: "b"}})})
		synctest.Wait()
		if n := served.Load(); n != 4 {
			t.Fatalf("%d served by two instances with 2 slots each", n)
		}
		g.release(list[0])
		synctest.Wait()
		if n := served.Load(); n != 5 {
			t.Errorf("%d served after a release", n)
		}
	})
}

func TestRefusalReachesThoseWhoWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, _ := newTestGate(0, 1)
		got := make(chan error, 1)
		go func() { _, err := g.acquire(t.Context(), false); got <- err }()
		synctest.Wait()
		g.set(&view{refuse: ErrPaused})
		if err := <-got; !errors.Is(err, ErrPaused) {
			t.Errorf("err = %v, want ErrPaused", err)
		}
		if _, err := g.acquire(t.Context(), false); !errors.Is(err, ErrPaused) {
			t.Errorf("err = %v, want ErrPaused", err)
		}
	})
}

func TestClosedInstanceIsNotClaimedFromAnOldView(t *testing.T) {
	t.Parallel()
	g, list := newTestGate(2, 10)
	old := g.view.Load()
	list[0].setOpen(false)
	list[1].setOpen(false)
	if i := old.claim(0); i != nil {
		t.Errorf("claimed %s, which is closed", i.Instance)
	}
	list[1].setOpen(true)
	if i := old.claim(0); i != list[1] {
		t.Errorf("claimed %v, want the one that was opened again", i)
	}
}

func TestClosedInstanceTellsWhenItIsIdle(t *testing.T) {
	t.Parallel()
	idle := 0
	g := newGate(func() {}, func() { idle++ }, func() {})
	i := &instance{Target: Target{Instance: "a"}}
	g.set(&view{limit: 2, queue: 1, instances: []*instance{i}})
	mustAcquire(t, g)
	mustAcquire(t, g)
	i.setOpen(false)
	g.release(i)
	if idle != 0 || i.idle() {
		t.Error("idle with a request in flight")
	}
	g.release(i)
	if idle != 1 || !i.idle() {
		t.Errorf("told %d times, idle is %v; want once, true", idle, i.idle())
	}
}

func TestEjectedInstanceGetsNoRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, list := newTestGate(2, 10)
		g.eject(list[0])
		for range 5 {
			if i := mustAcquire(t, g); i != list[1] {
				t.Fatalf("claimed %s, which could not be reached", i.Instance)
			}
		}
		g.eject(list[1])
		start := time.Now()
		mustAcquire(t, g)
		if d := time.Since(start); d != minEjection {
			t.Errorf("waited %v for one to be tried again, want %v", d, minEjection)
		}
	})
}

func TestEjectionTimeGrows(t *testing.T) {
	t.Parallel()
	last := time.Duration(0)
	for n := int32(1); n < 100; n++ {
		p := slipway.Backoff(minEjection, maxEjection, int(n))
		if p < last || p < minEjection || p > maxEjection {
			t.Fatalf("ejection %d lasts %v after one of %v", n, p, last)
		}
		last = p
	}
	if last != maxEjection {
		t.Errorf("never reaches %v", maxEjection)
	}
}

// With many requests, changing instances and clients that leave, the limit
// holds, every slot comes back and nobody waits forever.
func TestGateUnderChurn(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 3, 20} {
		t.Run(fmt.Sprint(n, " instances"), func(t *testing.T) {
			t.Parallel()
			const limit, clients, each = 2, 50, 200
			g, list := newTestGate(n, limit)
			stop := make(chan struct{})
			var churn, work sync.WaitGroup
			churn.Go(func() {
				tick := time.NewTicker(20 * time.Microsecond)
				defer tick.Stop()
				for open := 0; ; open = (open + 1) % n {
					select {
					case <-stop:
						return
					case <-tick.C:
					}
					list[open].setOpen(false)
					g.set(&view{limit: limit, queue: clients, instances: slices.Delete(slices.Clone(list), open, open+1)})
					list[open].setOpen(true)
					g.set(&view{limit: limit, queue: clients, instances: list})
				}
			})
			over, served := atomic.Int64{}, atomic.Int64{}
			for range clients {
				work.Go(func() {
					for range each {
						ctx, cancel := context.WithCancel(t.Context())
						if rand.IntN(10) == 0 {
							cancel()
						}
						i, err := g.acquire(ctx, false)
						if err == nil {
							served.Add(1)
							if i.inFlight() > limit {
								over.Add(1)
							}
							g.release(i)
						}
						cancel()
					}
				})
			}
			work.Wait()
			close(stop)
			churn.Wait()
			if over.Load() > 0 {
				t.Errorf("limit of %d exceeded %d times", limit, over.Load())
			}
			if least := int64(clients * each * 8 / 10); served.Load() < least {
				t.Errorf("%d served, want over %d", served.Load(), least)
			}
			for _, i := range list {
				if i.load.Load() != 0 {
					t.Errorf("%s ends with a load of %#x", i.Instance, i.load.Load())
				}
			}
			if g.waiting.Load() != 0 || g.queue.Len() != 0 {
				t.Errorf("%d wait, %d in the queue", g.waiting.Load(), g.queue.Len())
			}
		})
	}
}

func BenchmarkGate(b *testing.B) {
	for _, n := range []int{1, 4, 8, 25} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			g, _ := newTestGate(n, 100)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					i, err := g.acquire(b.Context(), false)
					if err != nil {
						b.Fatal(err)
					}
					g.release(i)
				}
			})
		})
	}
}

// Sampling stops without demand and starts with the next, however the two
// coincide.
func TestDemandIsNotOverlooked(t *testing.T) {
	t.Parallel()
	for range 2000 {
		var told atomic.Int32
		g := newGate(func() {}, func() {}, func() { told.Add(1) })
		g.set(&view{limit: 2, instances: []*instance{{Target: Target{Instance: "a"}}}})
		g.release(mustAcquire(t, g)) // sampled from now on
		var stopped atomic.Bool
		var both sync.WaitGroup
		both.Go(func() { mustAcquire(t, g) })
		both.Go(func() {
			f, w := g.demand()
			stopped.Store(f+w == 0 && g.stopSampling())
		})
		both.Wait()
		if !g.sampled.Load() {
			t.Fatal("there is demand, and nobody samples it")
		}
		if want := map[bool]int32{false: 1, true: 2}[stopped.Load()]; told.Load() != want {
			t.Fatalf("told %d times, want %d: stopped is %v", told.Load(), want, stopped.Load())
		}
	}
}
