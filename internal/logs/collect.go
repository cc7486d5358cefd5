package logs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/runtime"
)

const (
	fastest  = 20 * time.Millisecond  // between polls while output comes
	slowest  = time.Second            // between polls of a silent instance
	watched  = 100 * time.Millisecond // the same while a client follows its service
	unended  = time.Second            // after which an unfinished line is written
	maxFinal = 64 << 20               // bytes, as for the rate, that are read after an instance has ended
	batch    = 64 << 10               // bytes of lines that are written at once, about
	piece    = 4 << 10                // bytes of output that are cut into lines at once
	poll     = 1 << 20                // bytes of lines that one poll takes, about
)

// Outputter is the part of runtime.Driver that the collector uses.
type Outputter interface {
	Output(ctx context.Context, id string, from int64) (chunks []runtime.Chunk, next int64, err error)
}

// Freezer is an Outputter whose instances may be frozen: see runtime.Freezer.
type Freezer interface {
	Freezes(id string) (times int, thawed <-chan struct{})
}

// Collector reads the output of followed instances and appends it to their
// streams.
type Collector struct {
	store  *Store
	driver Outputter
	log    *slog.Logger

	mu      sync.Mutex // guards what follows
	tails   map[string]*tail
	waiting []*tail // followed, but not started by Run yet
	wake    chan struct{}
	dropped int64
	flood   flood
}

// NewCollector returns a collector that reads nothing before Run.
func NewCollector(store *Store, driver Outputter, log *slog.Logger) *Collector {
	return &Collector{store: store, driver: driver, log: log, tails: map[string]*tail{}, wake: make(chan struct{}, 1)}
}

// Run reads until ctx ends. The next process continues from there.
func (c *Collector) Run(ctx context.Context) error {
	var all sync.WaitGroup
	defer all.Wait()
	for {
		for _, t := range c.take() {
			all.Go(func() { c.follow(ctx, t) })
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.wake:
		}
	}
}

func (c *Collector) take() []*tail {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := c.waiting
	c.waiting = nil
	return list
}

// Follow starts to collect an instance's output where the last process stopped.
// It is idempotent.
func (c *Collector) Follow(service, instance string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tails[instance] != nil {
		return
	}
	t := &tail{
		stream: InstanceStream(service, instance),
		id:     instance,
		nudge:  make(chan struct{}, 1),
		final:  make(chan struct{}),
		done:   make(chan struct{}),
	}
	c.tails[instance] = t
	c.waiting = append(c.waiting, t)
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Nudge makes the collector poll an instance soon; "" means all.
func (c *Collector) Nudge(instance string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, t := range c.tails {
		if id == instance || instance == "" {
			t.wake()
		}
	}
}

// Finish reads the rest of an ended instance's output, ends its last line and
// stops following it. It waits until that is done or ctx ends. For an instance
// that is not followed it returns nil.
func (c *Collector) Finish(ctx context.Context, instance string) error {
	c.mu.Lock()
	t := c.tails[instance]
	if t != nil && !t.finishing {
		t.finishing = true
		close(t.final)
	}
	c.mu.Unlock()
	if t == nil {
		return nil
	}
	select {
	case <-t.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("read the last output of %s: %w", instance, ctx.Err())
	}
}

// Dropped returns how many lines could not be written since the start.
func (c *Collector) Dropped() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dropped
}

// tail collects the output of one instance.
type tail struct {
	stream    Stream
	id        string
	nudge     chan struct{}
	final     chan struct{} // closed when the instance has ended
	finishing bool          // guarded by Collector.mu
	done      chan struct{} // closed when nothing more is read

	// Used only by the goroutine that reads.
	cut  *cutter // nil until the position is known
	kept Line    // last line that was written
	lost int     // lines dropped since the last notice of it
	full bool    // they were dropped because the disk was full
	use  use     // of the rate
	read int64   // what the final read cost, in bytes
}

func (t *tail) wake() {
	select {
	case t.nudge <- struct{}{}:
	default:
	}
}

// follow polls one instance until it is finished or ctx ends.
func (c *Collector) follow(ctx context.Context, t *tail) {
	defer c.forget(t)
	defer c.store.Rest(t.stream) // services whose instances end often have many
	defer c.flood.leave(&t.use)
	pause := fastest
	for {
		thawed := c.frozen(t)
		n, err := c.poll(ctx, t)
		switch {
		case ctx.Err() != nil, errors.Is(err, runtime.ErrNotFound):
			return
		case err != nil:
			c.log.Warn("read output", "instance", t.id, "err", err)
			pause = slowest
		case n > 0:
			pause = fastest
		default:
			pause = min(2*pause, c.slowest(t))
		}
		if !t.isFinal() {
			// A frozen instance writes nothing. What it had written has been read, to the
			// beginning of a line that it has not ended.
			if n > 0 || err != nil || pause < unended {
				thawed = nil
			}
			t.sleep(ctx, pause, c.flood.wait(&t.use, time.Now()), thawed)
		} else if n == 0 || t.read > maxFinal {
			c.end(ctx, t, n > 0)
			return
		}
	}
}

// frozen returns a channel that is closed when the instance is frozen no more, nil if it is
// not frozen.
func (c *Collector) frozen(t *tail) <-chan struct{} {
	f, ok := c.driver.(Freezer)
	if !ok {
		return nil
	}
	_, thawed := f.Freezes(t.id)
	return thawed
}

// end writes unfinished lines.
func (c *Collector) end(ctx context.Context, t *tail, more bool) {
	if t.cut == nil {
		return // not even the position could be read
	}
	lines := t.cut.end()
	if more {
		lines = append(lines, Line{
			At: time.Now(), Kind: Notice, Next: t.cut.pos,
			Text: "The instance has ended with more output than is kept.",
		})
	}
	c.append(ctx, t, lines)
}

func (c *Collector) forget(t *tail) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.tails, t.id)
	close(t.done)
}

func (c *Collector) slowest(t *tail) time.Duration {
	if c.store.followed(t.stream.Service) {
		return watched
	}
	return slowest
}

func (t *tail) isFinal() bool {
	select {
	case <-t.final:
		return true
	default:
		return false
	}
}

// sleep waits for the next poll, longer if the instance exceeds its rate, and until it is
// thawed if thawed is not nil.
func (t *tail) sleep(ctx context.Context, pause, over time.Duration, thawed <-chan struct{}) {
	nudge := t.nudge
	if thawed != nil {
		select {
		case <-thawed:
		case <-nudge:
		case <-t.final:
		case <-ctx.Done():
		}
		return
	}
	timer := time.NewTimer(max(pause, over))
	defer timer.Stop()
	if over > 0 {
		nudge = nil // a nudge does not lift the rate
	}
	select {
	case <-timer.C:
	case <-nudge:
	case <-t.final:
	case <-ctx.Done():
	}
}

// poll reads once and returns how many bytes there were.
func (c *Collector) poll(ctx context.Context, t *tail) (int64, error) {
	if t.cut == nil {
		p, err := c.store.Resume(t.stream)
		if err != nil {
			return 0, err
		}
		t.cut = newCutter(p)
		t.kept.Next = p.Next
	}
	chunks, _, err := c.driver.Output(ctx, t.id, t.cut.pos)
	if err != nil {
		return 0, err
	}
	if len(chunks) > 0 {
		c.flood.turn.Lock()
		defer c.flood.turn.Unlock()
	}
	return c.ingest(ctx, t, chunks), nil
}

// ingest writes the lines of chunks, a batch at a time, so that however short the lines
// are, few are in memory. It stops once they cost as much as one poll may: the next poll
// reads the rest again. It returns the bytes of the chunks that it has taken.
func (c *Collector) ingest(ctx context.Context, t *tail, chunks []runtime.Chunk) (n int64) {
	var lines []Line
	var size, cost int64
	add := func(more []Line, least int64) {
		lines, size = append(lines, more...), size+sizeOf(more)
		if size >= least {
			c.append(ctx, t, lines)
			clear(lines)
			lines, cost, size = lines[:0], cost+size, 0
		}
	}
	for i, chunk := range chunks {
		for first := true; (first || len(chunk.Data) > 0) && cost < poll; first = false {
			part := chunk
			part.Data = chunk.Data[:min(len(chunk.Data), piece)]
			chunk.Pos, chunk.Data = chunk.Pos+int64(len(part.Data)), chunk.Data[len(part.Data):]
			n += int64(len(part.Data))
			add(t.cut.cut(part), batch)
		}
		chunks[i].Data = nil // it shares a block of memory with others
	}
	add(t.cut.flushBefore(time.Now().Add(-unended)), 0)
	cost = max(n, cost)
	c.flood.spend(&t.use, cost, time.Now())
	if t.isFinal() {
		t.read += cost
	}
	return n
}

// append writes lines. Lines that cannot be written are dropped and counted; a
// notice of them precedes the next line that can be written.
func (c *Collector) append(ctx context.Context, t *tail, lines []Line) {
	if len(lines) == 0 {
		return
	}
	notices := 0
	if t.lost > 0 {
		// The notice has the position of the last written line, so that a new
		// process can read the dropped lines again.
		notice := Line{
			At: lines[0].At, Kind: Notice, Next: t.kept.Next, Pending: t.kept.Pending,
			Text: fmt.Sprintf("%d lines are missing here: they could not be written.", t.lost),
		}
		if t.full {
			notice.Text = fmt.Sprintf("%d lines are missing here: the server's disk was full.", t.lost)
		}
		lines, notices = append([]Line{notice}, lines...), 1
	}
	n, err := c.store.Append(context.WithoutCancel(ctx), t.stream, lines)
	if n > 0 {
		t.kept = lines[n-1]
		t.lost, t.full = 0, false // the notice is the first line, if there is one
	}
	if err == nil {
		return
	}
	lost := len(lines) - max(n, notices)
	if t.lost == 0 {
		c.log.Error("drop output", "instance", t.id, "lines", lost, "err", err)
	}
	t.lost += lost
	t.full = t.full || errors.Is(err, unix.ENOSPC)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropped += int64(lost)
}
