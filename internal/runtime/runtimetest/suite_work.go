package runtimetest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/runtime"
)

func testDial(b *fixture) {
	if _, err := b.driver.Dial(b.ctx, slipway.NewID(), port); !errors.Is(err, runtime.ErrNotFound) {
		b.Errorf("Dial of an unknown instance returned %v, want ErrNotFound", err)
	}
	unreachable := b.start(Program{NoListen: true})
	c, err := b.driver.Dial(b.ctx, unreachable, port)
	switch {
	case err == nil:
		c.Close()
		b.Error("Dial of an instance that does not listen succeeded")
	case errors.Is(err, runtime.ErrNotFound), errors.Is(err, runtime.ErrNotRunning):
		b.Errorf("Dial of an instance that does not listen returned %v", err)
	}

	// Two instances with the same port on 127.0.0.1 are told apart.
	one, two := b.start(Program{ListenAfter: 20 * time.Millisecond}), b.start(Program{})
	b.serves(one)
	b.serves(two)
	_, body1, err1 := b.get(one)
	_, body2, err2 := b.get(two)
	if err := errors.Join(err1, err2); err != nil || body1 == body2 {
		b.Errorf("two instances answer %q and %q (%v); each is to answer its own host name", body1, body2, err)
	}
	if c, err := b.driver.Dial(b.ctx, two, port+1); err == nil {
		c.Close()
		b.Error("Dial of a port without a listener succeeded")
	}
	testDialOnceEnded(b)
}

func testDialOnceEnded(b *fixture) {
	id := b.start(Program{Exit: &Exit{}})
	b.exited(id)
	if _, err := b.driver.Dial(b.ctx, id, port); !errors.Is(err, runtime.ErrNotRunning) {
		b.Errorf("Dial of an ended instance returned %v, want ErrNotRunning", err)
	}
	sick := b.start(Program{SickAfter: time.Nanosecond})
	b.eventually("the instance answers 503", func() error {
		status, _, err := b.get(sick)
		if err == nil && status != http.StatusServiceUnavailable {
			b.Fatalf("a sick instance answers %d", status)
		}
		return err
	})
}

func testOutput(b *fixture) {
	if _, _, err := b.driver.Output(b.ctx, slipway.NewID(), 0); !errors.Is(err, runtime.ErrNotFound) {
		b.Errorf("Output of an unknown instance returned %v, want ErrNotFound", err)
	}
	before := time.Now()
	stdout, stderr := "out \x00\xff1\nno end of line", "err\n"
	id := b.start(Program{Stdout: Bytes(stdout), Stderr: Bytes(stderr), NoListen: true, Exit: &Exit{}})
	b.exited(id)
	b.printed(id, false, stdout)
	b.printed(id, true, stderr)

	all := b.output(id, 0)
	if all[0].Pos != 0 {
		b.Errorf("output begins at %d", all[0].Pos)
	}
	for i, c := range all {
		if i > 0 && c.Pos != all[i-1].Pos+int64(len(all[i-1].Data)) {
			b.Errorf("chunk %d begins at %d, the one before ends elsewhere: %+v", i, c.Pos, all[i-1])
		}
		if c.At.Before(before.Add(-time.Second)) || c.At.After(time.Now().Add(time.Second)) || i > 0 && c.At.Before(all[i-1].At) {
			b.Errorf("chunk %d was written at %v, the test began at %v", i, c.At, before)
		}
	}
	testOutputFrom(b, id, stdout+stderr)
}

// testOutputFrom reads the ended instance's output from every position.
func testOutputFrom(b *fixture, id, written string) {
	var whole strings.Builder
	for _, c := range b.output(id, 0) {
		whole.Write(c.Data)
	}
	if len(whole.String()) != len(written) {
		b.Fatalf("output has %d bytes, %d were written", whole.Len(), len(written))
	}
	for from := range whole.Len() + 1 {
		var part strings.Builder
		for _, c := range b.output(id, int64(from)) {
			part.Write(c.Data)
		}
		if part.String() != whole.String()[from:] {
			b.Errorf("output from %d is %q, want %q", from, part.String(), whole.String()[from:])
		}
	}
}

func testOutputGap(b *fixture) {
	kept := b.harness.OutputKept
	if kept == 0 {
		b.Skip("this driver keeps all output")
	}
	flood := (2*kept/64 + 1) * 64
	id := b.start(Program{Flood: flood, NoListen: true, Exit: &Exit{}})
	b.exited(id)
	var all []runtime.Chunk
	b.eventually("all output can be read", func() error {
		all = b.output(id, 0)
		if len(all) == 0 {
			return errors.New("there is none")
		}
		last := all[len(all)-1]
		if end := last.Pos + int64(len(last.Data)); end != flood {
			return fmt.Errorf("it ends at %d, not at %d", end, flood)
		}
		return nil
	})
	if all[0].Pos == 0 {
		b.Fatalf("%d bytes were written and nothing was dropped", flood)
	}
	var rest strings.Builder
	for pos := all[0].Pos / 64 * 64; pos < flood; pos += 64 {
		rest.WriteString(FloodLine(pos))
	}
	if got, want := text(all, false), rest.String()[all[0].Pos%64:]; got != want {
		b.Errorf("after the gap follow %d bytes that are not what was written at position %d", len(got), all[0].Pos)
	}
}

func testWatch(b *fixture) {
	w, ok := b.driver.(runtime.Watcher)
	if !ok {
		b.Skip("this driver does not watch")
	}
	ctx, cancel := context.WithCancel(b.ctx)
	var mu sync.Mutex
	nudged := map[string]int{}
	result := make(chan error, 1)
	go func() {
		result <- w.Watch(ctx, func(id string) {
			mu.Lock()
			defer mu.Unlock()
			nudged[id]++
		})
	}()
	// Nothing tells when Watch has begun to look: exits are made until one shows.
	b.eventually("an exit is nudged", func() error {
		id := b.start(Program{NoListen: true, Exit: &Exit{}})
		b.exited(id)
		mu.Lock()
		defer mu.Unlock()
		if nudged[id]+nudged[""] == 0 {
			return errors.New("no nudge yet")
		}
		return nil
	})
	cancel()
	if err := <-result; err != nil && !errors.Is(err, context.Canceled) {
		b.Errorf("Watch returned %v when its context ended", err)
	}
}

func testStats(b *fixture) {
	s, ok := b.driver.(runtime.Statser)
	if !ok {
		b.Skip("this driver does not measure")
	}
	live, ended := b.start(Program{}), b.start(Program{NoListen: true, Exit: &Exit{}})
	b.serves(live)
	b.exited(ended)
	stats, err := s.Stats(b.ctx)
	if err != nil {
		b.Fatalf("Stats: %v", err)
	}
	if u := stats[live]; u.Memory <= 0 || u.Pids < 1 {
		b.Errorf("a live instance uses %+v", u)
	}
	if u, ok := stats[ended]; ok {
		b.Errorf("an ended instance uses %+v", u)
	}
}

func testRestart(b *fixture) {
	steady := b.start(Program{Stdout: "hello\n"})
	b.serves(steady)
	ended := b.start(Program{Stdout: "bye\n", NoListen: true, Exit: &Exit{Code: 5}})
	was := b.exited(ended)
	failed := b.spec(Program{})
	failed.Process.Argv = []string{"/no/such/program"}
	b.ensure(failed)
	// Ends while no driver looks, or just after: both must come out the same.
	ending := b.start(Program{Stdout: "going\n", NoListen: true, Exit: &Exit{After: 50 * time.Millisecond, Code: 6}})
	killed := b.start(Program{NoListen: true, Exit: &Exit{After: 50 * time.Millisecond, Kill: true}})
	removed := b.start(Program{})
	b.remove(removed, 0)
	before := b.observe(steady)

	b.restart()

	after := b.observe(steady)
	if after == nil || !after.Running || after.PID != before.PID || after.Service != before.Service || after.Release != before.Release {
		b.Errorf("after a restart %+v became %+v", before, after)
	}
	b.serves(steady)
	b.printed(steady, false, "hello\n")
	if got := b.exited(ended); got.Code != 5 || got.Ran != was.Ran || got.Tail != was.Tail {
		b.Errorf("after a restart an exit is %+v, before it was %+v", got, was)
	}
	if got := b.exited(failed.ID); !strings.Contains(got.Reason, "/no/such/program") {
		b.Errorf("after a restart a failed start is %+v", got)
	}
	if got := b.exited(ending); got.Code != 6 || !strings.Contains(got.Tail, "going") || got.Ran < 50*time.Millisecond {
		b.Errorf("an instance that ended meanwhile is known as %+v", got)
	}
	if got := b.exited(killed); got.Signal != "SIGKILL" || got.Code != 137 {
		b.Errorf("an instance that was killed meanwhile is known as %+v", got)
	}
	b.printed(ending, false, "going\n")
	if o := b.observe(removed); o != nil {
		b.Errorf("after a restart List shows a removed instance: %+v", o)
	}
	b.remove(steady, patience)
}

// testRestartOften drops the driver while calls are under way.
func testRestartOften(b *fixture) {
	for range 5 {
		s := b.spec(Program{Stdout: "hello\n"})
		done := make(chan struct{})
		d := b.driver
		go func() {
			defer close(done)
			d.Ensure(b.ctx, s) // either outcome is right: it dies meanwhile
		}()
		b.drop()
		<-done
		b.open()
		b.ensure(s)
		b.serves(s.ID)
		b.printed(s.ID, false, "hello\n")
		b.remove(s.ID, 0)
	}
}
