package runtimetest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/runtime"
)

// Image is what a Machine knows of an image.
type Image struct {
	Program  Program
	FromArgv bool         // play what the instance's Argv holds (Program.Argv) instead of Program
	Handler  http.Handler // answers HTTP; nil: 200 and the instance's id

	PrepareTakes time.Duration
	PrepareError error
	StartTakes   time.Duration // how long Ensure takes
	StartFails   string        // the instance is known as exited, for this reason
}

// Machine is everything that outlives a daemon: images, instances, their output
// and how they ended. Its zero value is not usable; make it with NewMachine,
// inside the synctest bubble where there is one, and Close it there.
type Machine struct {
	outputKept int64

	mu       sync.Mutex // guards what follows
	images   map[string]Image
	prepared map[string]bool
	known    map[string]*process // by instance id, dead or alive
	history  []runtime.Spec      // everything that was ever started, in order
	removed  []string            // every id whose removal was completed, in order
	watchers map[*func(id string)]struct{}
	nextPID  int

	processes sync.WaitGroup
}

// NewMachine returns an empty machine, on which no image exists. Each instance's
// last 1 MiB of output is kept.
func NewMachine() *Machine {
	return &Machine{
		outputKept: 1 << 20,
		images:     map[string]Image{},
		prepared:   map[string]bool{},
		known:      map[string]*process{},
		watchers:   map[*func(string)]struct{}{},
		nextPID:    1000,
	}
}

// SetImage puts the image with this digest on the machine, or changes what
// instances started from now on do.
func (w *Machine) SetImage(digest string, img Image) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.images[digest] = img
}

// Kill ends an instance's process by SIGKILL, as the kernel or an operator could,
// and returns once it is dead. It does nothing for unknown and dead ones.
func (w *Machine) Kill(id string) {
	if p := w.process(id); p != nil {
		p.kill(false)
		<-p.done
	}
}

// Forget damages what drivers have written down of an instance: they list it without saying
// whose it is.
func (w *Machine) Forget(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p := w.known[id]; p != nil {
		p.spec.Service, p.spec.Release, p.spec.Run = "", "", 0
	}
}

// SetFull has a running instance, whose disk takes so many bytes, be unable to write to it.
func (w *Machine) SetFull(id string, full runtime.Full, disk int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p := w.known[id]; p != nil {
		p.full, p.disk = full, disk
	}
}

// Reboot loses all instances, as the end of the machine would.
func (w *Machine) Reboot() {
	w.mu.Lock()
	lost := w.known
	w.known = map[string]*process{}
	w.mu.Unlock()
	for _, p := range lost {
		p.kill(false)
		<-p.done
	}
}

// Close kills every instance and returns when all are gone.
func (w *Machine) Close() {
	w.Reboot()
	w.processes.Wait()
}

// Started returns the spec of every instance that was ever started, in order.
func (w *Machine) Started() []runtime.Spec {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.history)
}

// Removed returns the ids of all removed instances, in order.
func (w *Machine) Removed() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.removed)
}

// Running returns the ids of the instances that run, by release ("" for all of
// them), sorted.
func (w *Machine) Running(release string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var ids []string
	for id, p := range w.known {
		if p.exit == nil && (release == "" || p.spec.Release == release) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

func (w *Machine) process(id string) *process {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.known[id]
}

// prepare makes an image known to start.
func (w *Machine) prepare(ctx context.Context, digest string) error {
	w.mu.Lock()
	img, ok := w.images[digest]
	w.mu.Unlock()
	if !ok {
		return fmt.Errorf("image %s is not in the store", digest)
	}
	if err := wait(ctx, img.PrepareTakes); err != nil {
		return err
	}
	if img.PrepareError != nil {
		return img.PrepareError
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.prepared[digest] = true
	return nil
}

var errNotPrepared = errors.New("image is not prepared")

// ensure starts spec unless its id is known.
func (w *Machine) ensure(ctx context.Context, spec runtime.Spec) error {
	w.mu.Lock()
	img, ok := w.images[spec.Image]
	ok = ok && w.prepared[spec.Image]
	known := w.known[spec.ID] != nil
	w.mu.Unlock()
	if known {
		return nil
	}
	if !ok {
		return fmt.Errorf("start %s: %s: %w", spec.ID, spec.Image, errNotPrepared)
	}
	if err := wait(ctx, img.StartTakes); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.known[spec.ID] != nil { // another call was faster
		return nil
	}
	w.nextPID++
	p := newProcess(w, spec, img, w.nextPID)
	w.known[spec.ID] = p
	w.history = append(w.history, spec)
	w.processes.Add(1)
	go func() {
		defer w.processes.Done()
		p.run()
		w.changed(spec.ID)
	}()
	return nil
}

// stop ends an instance's process.
func (w *Machine) stop(ctx context.Context, id string, grace time.Duration) error {
	p := w.process(id)
	if p == nil {
		return nil
	}
	w.mu.Lock()
	p.rest(false)
	w.mu.Unlock()
	if grace > 0 {
		p.signal()
	}
	t := time.NewTimer(grace)
	defer t.Stop()
	select {
	case <-p.done:
	case <-t.C:
		p.kill(false)
		<-p.done
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// rest freezes or thaws an instance.
func (w *Machine) rest(id string, frozen bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch p := w.known[id]; {
	case p == nil:
		return runtime.ErrNotFound
	case p.exit != nil:
		return runtime.ErrNotRunning
	default:
		p.rest(frozen)
	}
	return nil
}

// remove stops and forgets an instance.
func (w *Machine) remove(ctx context.Context, id string, grace time.Duration) error {
	p := w.process(id)
	if p == nil {
		return nil
	}
	if err := w.stop(ctx, id, grace); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.known[id] == p {
		delete(w.known, id)
		w.removed = append(w.removed, id)
	}
	return nil
}

func (w *Machine) list() []runtime.Observed {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := make([]runtime.Observed, 0, len(w.known))
	for _, p := range w.known {
		list = append(list, p.observed())
	}
	return list
}

// changed nudges all watchers.
func (w *Machine) changed(id string) {
	w.mu.Lock()
	var nudges []func(string)
	for f := range w.watchers {
		nudges = append(nudges, *f)
	}
	w.mu.Unlock()
	for _, f := range nudges {
		f(id)
	}
}

// watch calls nudge at every change until ctx ends.
func (w *Machine) watch(ctx context.Context, nudge func(id string)) {
	w.mu.Lock()
	w.watchers[&nudge] = struct{}{}
	w.mu.Unlock()
	<-ctx.Done()
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.watchers, &nudge)
}

func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// exitBySignal describes an end by SIGKILL.
func exitBySignal(oom bool) slipway.Exit {
	return slipway.Exit{Code: 137, Signal: "SIGKILL", OOM: oom}
}
