package main

import (
	"strings"
	"testing"
	"time"
)

func TestPage(t *testing.T) {
	t.Parallel()
	r := &report{options: options{rounds: 3}}
	for i := range 3 {
		extra := time.Duration(i) * time.Millisecond
		r.started("bare exec", 2*time.Millisecond+extra)
		r.started("slipway: resume", 5*time.Millisecond+extra)
		r.started("runc", 59*time.Millisecond+extra)
	}
	r.absent("Docker", "no engine answers")
	r.crowd, r.crowded = []time.Duration{time.Second, 3 * time.Second}, 3*time.Second
	r.scaledOut = []time.Duration{12 * time.Millisecond}
	r.shim = 3 << 19
	r.rests = []atRest{{"no services", 0, 30 << 20, 50 * time.Millisecond}, {"4 services", 4, 31 << 20, 60 * time.Millisecond}}
	r.noise = noise{busy: 30, all: 200}
	page := r.page()
	for _, want := range []string{
		"| bare exec | 3.00 | 2.00 - 4.00 | 0.00 | 1.0 |",
		"| slipway: resume | 6.00 | 5.00 - 7.00 | 3.00 | 2.0 |",
		"A resume is 10.0 times as fast as a start with runc.",
		"Docker was not measured: no engine answers.",
		"| 12.00 | 2.0 |",
		"| ... until all answered | 3000.00 | 500.0 |",
		"| no services | 30.0 | 50.00 |",
		"uses 1.50 MiB",
		"the server itself 256 KiB more for each running service.",
		"**Noisy.** Between the measurements 15% of the machine was busy",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
}

func TestQuantile(t *testing.T) {
	t.Parallel()
	all := []time.Duration{5, 1, 4, 2, 3}
	for q, want := range map[float64]time.Duration{0: 1, 0.5: 3, 0.9: 5, 1: 5} {
		if got := quantile(all, q); got != want {
			t.Errorf("quantile %v of %v is %d, want %d", q, all, got, want)
		}
	}
	if got := quantile(nil, 0.5); got != 0 {
		t.Errorf("quantile of nothing is %v", got)
	}
}

func TestParseTicks(t *testing.T) {
	t.Parallel()
	got, err := parseTicks("cpu  10 1 20 300 40 2 3 4 5 6\ncpu0 1 2 3\n")
	if want := (noise{busy: 40, all: 380}); got != want || err != nil {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	for _, bad := range []string{"", "cpu 1 2 3", "intr 1 2 3 4 5 6 7 8 9", "cpu a b c d e f g h i"} {
		if _, err := parseTicks(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestParseCalls(t *testing.T) {
	t.Parallel()
	const table = `strace: Process 7 attached with 2 threads
    calls    errors syscall
--------- --------- --------------
      200           sendto
      300       100 recvfrom
       50           epoll_pwait
       25         5 futex
--------- --------- --------------
      575       105 total
`
	got, err := parseCalls(table, 100)
	if want := (systemCalls{reads: 3, empty: 1, writes: 2, waits: 0.5, others: 0.25}); got != want || err != nil {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	for _, bad := range []string{"", "strace: attach: ptrace(PTRACE_SEIZE, 7): Operation not permitted\n", "      200        x  recvfrom\n"} {
		if _, err := parseCalls(bad, 100); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}
