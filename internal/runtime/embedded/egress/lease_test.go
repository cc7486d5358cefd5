package egress

import (
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestLeases(t *testing.T) {
	t.Parallel()
	l := newLeases(mustPlan(t, "slipway", "198.18.0.0/28"))
	now := time.Now()
	var numbers []uint32
	for i := range 13 {
		n, err := l.take(strconv.Itoa(i))
		check(t, err)
		l.assign(n, strconv.Itoa(i), now)
		numbers = append(numbers, n)
	}
	if want := []uint32{2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14}; !slices.Equal(numbers, want) {
		t.Errorf("leases are %v, want %v", numbers, want)
	}
	if _, err := l.take("one more"); !errors.Is(err, errExhausted) {
		t.Errorf("lease 14 of 13: %v, want %v", err, errExhausted)
	}
	if n, had := l.end("3", now); !had || n != 5 {
		t.Errorf("3 had lease %d, %v; want 5", n, had)
	}
	if _, err := l.take("one more"); !errors.Is(err, errExhausted) {
		t.Errorf("a lease that ended but is not free: %v, want %v", err, errExhausted)
	}
	if l.live(l.plan.address(5)) || !l.live(l.plan.address(6)) {
		t.Error("the lease that ended is live, or another is not")
	}
	if got := l.ended(now); len(got) != 0 {
		t.Errorf("leases %v ended before the time at which one did", got)
	}
	ended := l.ended(now.Add(1))
	if !slices.Equal(ended, []uint32{5}) {
		t.Errorf("leases %v ended, want 5", ended)
	}
	l.free(ended)
	if n, err := l.take("one more"); err != nil || n != 5 {
		t.Errorf("the free lease: %d, %v; want 5", n, err)
	}
}

func TestLeasesFound(t *testing.T) {
	t.Parallel()
	l := newLeases(mustPlan(t, "slipway", "198.18.0.0/28"))
	now := time.Now()
	l.found(3, "kept", 0, 0)
	l.found(4, "lost", 0, 0)
	l.found(14, "", 0, 0) // made by a daemon that died before it named it
	n, err := l.take("new")
	check(t, err)
	if n != 2 {
		t.Errorf("after the last lease comes %d, want the first", n)
	}
	strays := l.strays(map[string][]string{"kept": nil}, now)
	slices.Sort(strays)
	if want := []uint32{4, 14}; !slices.Equal(strays, want) {
		t.Errorf("strays %v, want %v", strays, want)
	}
	if again := l.strays(map[string][]string{"kept": nil}, now); len(again) != 0 {
		t.Errorf("strays %v were found twice", again)
	}
	if _, had := l.end("lost", now); had {
		t.Error("a swept sandbox still has a lease")
	}
	if n, had := l.end("kept", now); !had || n != 3 {
		t.Errorf("kept had lease %d, %v; want 3", n, had)
	}
}

// TestLeasesHold checks that whatever the order of events, no two sandboxes have
// one lease and no number is in two states.
func TestLeasesHold(t *testing.T) {
	t.Parallel()
	p := mustPlan(t, "slipway", "198.18.0.0/28")
	rapid.Check(t, func(t *rapid.T) {
		l := newLeases(p)
		now := time.Unix(1, 0)
		holder := rapid.SampledFrom([]string{"a", "b", "c"})
		owners := map[uint32]string{} // of leases that were given and not ended
		t.Repeat(map[string]func(*rapid.T){
			"attach": func(t *rapid.T) {
				who := holder.Draw(t, "who")
				n, err := l.take(who)
				if err != nil {
					t.Skip("full")
				}
				if o, ok := owners[n]; ok {
					t.Fatalf("lease %d of %s was given to %s", n, o, who)
				}
				if old, had := l.assign(n, who, now); had {
					if owners[old] != who {
						t.Fatalf("%s lost lease %d of %q", who, old, owners[old])
					}
					delete(owners, old)
				}
				owners[n] = who
			},
			"detach": func(t *rapid.T) {
				who := holder.Draw(t, "who")
				n, had := l.end(who, now)
				if had != (owners[n] == who) {
					t.Fatalf("%s had %v, lease %d of %q", who, had, n, owners[n])
				}
				delete(owners, n)
			},
			"reap":  func(*rapid.T) { l.free(l.ended(now.Add(1))) },
			"sweep": func(*rapid.T) { l.free(l.strays(nil, now)) },
			"": func(t *rapid.T) {
				if len(l.held) != len(owners) {
					t.Fatalf("%v are held, want %v", l.held, owners)
				}
				for n, who := range owners {
					if l.held[who] != n || !l.live(p.address(n)) {
						t.Fatalf("lease %d of %s: held %v", n, who, l.held)
					}
				}
			},
		})
	})
}
