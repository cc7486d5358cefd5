package router

import (
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"runtime"
	"testing"
)

// An index holds what a map holds after the same changes, and its earlier versions what
// they held.
func TestIndexIsAMap(t *testing.T) {
	t.Parallel()
	x, want := newIndex[string, int](func(k string) string { return k }), map[string]int{}
	for round := range 200 {
		before, held := x, maps.Clone(want)
		x = x.edit()
		for range rand.IntN(50) {
			k := fmt.Sprint(rand.IntN(2000))
			if rand.IntN(3) == 0 {
				x.remove(k)
				delete(want, k)
			} else {
				x.put(k, round)
				want[k] = round
			}
		}
		x.publish()
		if !maps.Equal(maps.Collect(x.all()), want) || x.len() != len(want) {
			t.Fatalf("round %d: %d entries, want %d", round, x.len(), len(want))
		}
		if !maps.Equal(maps.Collect(before.all()), held) || before.len() != len(held) {
			t.Fatalf("round %d changed an earlier version", round)
		}
		for k, v := range want {
			if x.get(k) != v {
				t.Fatalf("round %d: %s is %d, want %d", round, k, x.get(k), v)
			}
		}
	}
}

// manyRoutes returns the routes of n services, each with an instance.
func manyRoutes(n int) []Route {
	routes := make([]Route, n)
	for i := range routes {
		id := fmt.Sprintf("%032x", i)
		routes[i] = Route{
			Service: id, Name: fmt.Sprint("service-", i), Keys: public(fmt.Sprintf("%010x.us-east-1.slipway.test", i)), MaxConcurrency: 100,
			Instances: []Endpoint{{ID: "i" + id, Port: 8080, Open: true}},
		}
	}
	return routes
}

// A change of one service copies no more of a large table than of a small one, but for a
// share that is the same for all.
func TestChangeOfALargeTable(t *testing.T) {
	allocated := func(n int) uint64 {
		r := newRouter(Config{Log: slog.New(slog.DiscardHandler)})
		routes := manyRoutes(n)
		r.Apply(routes, 1)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		const changes = 100
		for i := range changes {
			rt := routes[i%n]
			rt.Keys = public(fmt.Sprintf("moved%d.slipway.test", i))
			r.Apply([]Route{rt}, int64(i))
			if s := r.Find(RouteKey{Host: rt.Keys[0].Host}); s == nil || s.id != rt.Service {
				t.Fatalf("%v is served by %v", rt.Keys, s)
			}
		}
		runtime.ReadMemStats(&after)
		return (after.TotalAlloc - before.TotalAlloc) / changes
	}
	small, large := allocated(100), allocated(20_000)
	t.Logf("a change allocates %d bytes with 100 services, %d with 20,000", small, large)
	if large > 200<<10 { // all of the table are some 3 MiB
		t.Errorf("a change of one service of 20,000 allocates %d bytes, of 100 %d", large, small)
	}
}

// BenchmarkTable measures look-ups in, and changes of, a table of 100,000 services.
func BenchmarkTable(b *testing.B) {
	const n = 100_000
	var before, after runtime.MemStats
	routes := manyRoutes(n)
	runtime.GC()
	runtime.ReadMemStats(&before)
	r := newRouter(Config{Log: slog.New(slog.DiscardHandler)})
	r.Apply(routes, 1)
	runtime.GC()
	runtime.ReadMemStats(&after)
	perService := float64(after.HeapAlloc-before.HeapAlloc) / n

	b.Run("lookup", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if r.Find(routes[i*7919%n].Keys[0]) == nil {
				b.Fatal("not found")
			}
		}
		b.ReportMetric(perService, "B/service")
	})
	b.Run("instance", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			rt := routes[i*7919%n]
			rt.Instances = []Endpoint{{ID: fmt.Sprint("j", i), Port: 8080, Open: true}}
			r.Apply([]Route{rt}, int64(i))
		}
	})
	b.Run("host", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			rt := routes[i*7919%n]
			rt.Keys = public(fmt.Sprintf("m%d.slipway.test", i))
			r.Apply([]Route{rt}, int64(i))
		}
	})
}
