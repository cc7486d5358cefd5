package runtimetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/openslipway/slipway/internal/runtime"
)

func testPrepare(b *fixture) {
	if err := b.driver.Prepare(b.ctx, b.harness.Image); err != nil {
		b.Errorf("Prepare for the second time: %v", err)
	}
	if err := b.driver.Prepare(b.ctx, "sha256:"+strings.Repeat("0", 64)); err == nil {
		b.Error("Prepare of an image that does not exist succeeded")
	}
}

func testEnsure(b *fixture) {
	before := time.Now()
	s := b.spec(Program{Stdout: "hello\n"})
	b.ensure(s)
	o := b.observe(s.ID)
	if o == nil {
		b.Fatal("List does not show an instance after Ensure")
	}
	if !o.Running || o.Exit != nil {
		b.Errorf("List shows a started instance as %+v", o)
	}
	if o.Service != s.Service || o.Release != s.Release || o.Run != s.Run {
		b.Errorf("labels are %s, %s and %d, want %s, %s and %d", o.Service, o.Release, o.Run, s.Service, s.Release, s.Run)
	}
	// Drivers may keep times in whole seconds or the kernel's ticks.
	if o.StartedAt.Before(before.Add(-time.Second)) || o.StartedAt.After(time.Now().Add(time.Second)) {
		b.Errorf("StartedAt is %v, but it was started just now (%v)", o.StartedAt, before)
	}
	b.serves(s.ID)
	b.ensure(s)
	again := b.observe(s.ID)
	if again == nil || again.PID != o.PID || !again.StartedAt.Equal(o.StartedAt) {
		b.Errorf("Ensure for the second time made %+v out of %+v", again, o)
	}
	b.printed(s.ID, false, "hello\n")
}

func testEnsureAtOnce(b *fixture) {
	s := b.spec(Program{Stdout: "hello\n"})
	errs := make(chan error)
	for range 8 {
		go func() { errs <- b.driver.Ensure(b.ctx, s) }()
	}
	for range 8 {
		if err := <-errs; err != nil {
			b.Errorf("one of eight Ensure calls at once: %v", err)
		}
	}
	b.serves(s.ID)
	b.printed(s.ID, false, "hello\n")
}

func testEnsureAfterExit(b *fixture) {
	s := b.spec(Program{Stdout: "hello\n", NoListen: true, Exit: &Exit{Code: 4}})
	b.ensure(s)
	want := b.exited(s.ID)
	b.ensure(s)
	if got := b.exited(s.ID); got.Code != 4 || !got.At.Equal(want.At) {
		b.Errorf("Ensure of an ended instance made %+v out of %+v", got, want)
	}
	b.printed(s.ID, false, "hello\n")
}

func testStartFails(b *fixture) {
	s := b.spec(Program{})
	s.Process.Argv = []string{"/no/such/program"}
	b.ensure(s)
	exit := b.exited(s.ID)
	if exit.Code == 0 || !strings.Contains(exit.Reason, "/no/such/program") {
		b.Errorf("an instance whose program does not exist ended with %+v; the code must not be 0 and the reason must name the program", exit)
	}
	if _, err := b.driver.Dial(b.ctx, s.ID, port); !errors.Is(err, runtime.ErrNotRunning) {
		b.Errorf("Dial returned %v, want ErrNotRunning", err)
	}
	b.remove(s.ID, 0)
	if o := b.observe(s.ID); o != nil {
		b.Errorf("List shows %+v after Remove", o)
	}
}

func testExit(b *fixture) {
	const ran = 30 * time.Millisecond
	long := strings.Repeat("x", 4000) + "last words\n"
	for _, c := range []struct {
		name    string
		program Program
		code    int
		signal  string
	}{
		{"success", Program{Exit: &Exit{After: ran}}, 0, ""},
		{"code", Program{Exit: &Exit{After: ran, Code: 3}}, 3, ""},
		{"highest code", Program{Exit: &Exit{After: ran, Code: 255}}, 255, ""},
		{"signal", Program{Exit: &Exit{After: ran, Kill: true}}, 137, "SIGKILL"},
	} {
		before := time.Now()
		c.program.Stdout = Bytes(long)
		id := b.start(c.program)
		exit := b.exited(id)
		if exit.Code != c.code || exit.Signal != c.signal || exit.OOM {
			b.Errorf("%s: exit is %+v", c.name, exit)
		}
		if exit.Ran < ran || exit.At.Before(before) || exit.At.After(time.Now()) {
			b.Errorf("%s: ran %v until %v, but was started at %v to run %v", c.name, exit.Ran, exit.At, before, ran)
		}
		if len(exit.Tail) > 2048 || !strings.HasSuffix(exit.Tail, "x"+"last words\n") {
			b.Errorf("%s: Tail has %d bytes: %q", c.name, len(exit.Tail), exit.Tail)
		}
		if o := b.observe(id); o.PID != 0 {
			b.Errorf("%s: PID is %d after the exit", c.name, o.PID)
		}
	}
}

func testEnvironment(b *fixture) {
	id := b.start(Program{PrintEnv: []string{"PORT", "COLOUR", "UNSET"}})
	b.printed(id, false, fmt.Sprintf("PORT=%d\nCOLOUR=dark blue\nUNSET=\n", port))
}

func testRemove(b *fixture) {
	b.remove("00000000000000000000000000000000", time.Second) // never existed
	running := b.start(Program{})
	b.serves(running)
	ended := b.start(Program{NoListen: true, Exit: &Exit{}})
	b.exited(ended)
	for _, id := range []string{running, ended} {
		b.remove(id, patience)
		if o := b.observe(id); o != nil {
			b.Errorf("List shows %+v after Remove", o)
		}
		b.remove(id, patience)
		if _, err := b.driver.Dial(b.ctx, id, port); !errors.Is(err, runtime.ErrNotFound) {
			b.Errorf("Dial after Remove returned %v, want ErrNotFound", err)
		}
		if _, _, err := b.driver.Output(b.ctx, id, 0); !errors.Is(err, runtime.ErrNotFound) {
			b.Errorf("Output after Remove returned %v, want ErrNotFound", err)
		}
	}
}

func testRemoveGrace(b *fixture) {
	polite := b.start(Program{StopTakes: 20 * time.Millisecond})
	b.serves(polite)
	// A grace without end: Remove returns because the program does.
	b.remove(polite, 24*time.Hour)

	stubborn := b.start(Program{IgnoreStop: true})
	b.serves(stubborn)
	grace := 50 * time.Millisecond
	before := time.Now()
	b.remove(stubborn, grace)
	if took := time.Since(before); took < grace {
		b.Errorf("a program that ignores its stop signal was killed after %v, its grace is %v", took, grace)
	}
}

func testRemoveCutShort(b *fixture) {
	s := b.spec(Program{IgnoreStop: true})
	s.Process.StopSignal = "SIGUSR1"
	b.ensure(s)
	b.serves(s.ID)
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	result := make(chan error, 1)
	go func() { result <- b.driver.Remove(ctx, s.ID, 24*time.Hour) }()
	b.printed(s.ID, false, "signal SIGUSR1\n")
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		b.Errorf("Remove whose context was cancelled returned %v", err)
	}
	b.remove(s.ID, 0)
	if o := b.observe(s.ID); o != nil {
		b.Errorf("List shows %+v after Remove", o)
	}
}

func testStop(b *fixture) {
	d, ok := b.driver.(runtime.Stopper)
	if !ok {
		b.Skip("this driver stops instances only to remove them")
	}
	id := b.start(Program{Stdout: "hello\n", IgnoreStop: true})
	b.serves(id)
	// The program has all the time it needs to print its stop signal.
	ctx, cancel := context.WithCancel(b.ctx)
	result := make(chan error, 1)
	go func() { result <- d.Stop(ctx, id, 24*time.Hour) }()
	b.printed(id, false, "hello\nsignal SIGTERM\n")
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		b.Errorf("Stop whose context was cancelled returned %v", err)
	}
	for range 2 {
		if err := d.Stop(b.ctx, id, 0); err != nil {
			b.Fatalf("Stop: %v", err)
		}
		if o := b.observe(id); o == nil || o.Running {
			b.Fatalf("after Stop List shows %+v", o)
		}
	}
	b.printed(id, false, "hello\nsignal SIGTERM\n")
	b.remove(id, 0)
	if err := d.Stop(b.ctx, id, 0); err != nil {
		b.Errorf("Stop of an unknown instance: %v", err)
	}
}

// testIndependence checks that a call which takes long holds up no other.
func testIndependence(b *fixture) {
	slow := b.start(Program{IgnoreStop: true})
	b.serves(slow)
	ctx, cancel := context.WithCancel(b.ctx)
	result := make(chan error, 1)
	go func() { result <- b.driver.Remove(ctx, slow, 24*time.Hour) }()
	b.printed(slow, false, "signal SIGTERM\n")

	other := b.start(Program{})
	b.serves(other)
	b.remove(other, patience)

	cancel()
	<-result
}

// testMany starts and removes instances from many goroutines at once.
func testMany(b *fixture) {
	const n = 12
	specs := make([]runtime.Spec, n)
	for i := range specs {
		specs[i] = b.spec(Program{Stdout: "hello\n"})
	}
	var all sync.WaitGroup
	for i, s := range specs {
		all.Go(func() {
			if err := b.driver.Ensure(b.ctx, s); err != nil {
				b.Errorf("Ensure: %v", err)
			}
			if _, err := b.driver.List(b.ctx); err != nil {
				b.Errorf("List: %v", err)
			}
			if i%2 == 0 {
				if err := b.driver.Remove(b.ctx, s.ID, 0); err != nil {
					b.Errorf("Remove: %v", err)
				}
			}
		})
	}
	all.Wait()
	for i, s := range specs {
		if i%2 == 0 {
			if o := b.observe(s.ID); o != nil {
				b.Errorf("List shows %+v after Remove", o)
			}
			continue
		}
		b.serves(s.ID)
		b.printed(s.ID, false, "hello\n")
	}
}
