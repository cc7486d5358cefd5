package logs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/openslipway/slipway/internal/room"
)

// Config configures a Store. Zero limits are replaced by the defaults.
type Config struct {
	Dir string
	Log *slog.Logger

	SegmentBytes int64         // plain size at which a segment is closed; 4 MiB
	ServiceBytes int64         // on disk per service; 128 MiB
	TotalBytes   int64         // on disk over all services; 4 GiB
	MaxAge       time.Duration // of a segment's last line; 30 days

	// Trusted reports whether the clock may be trusted with the removal of old segments;
	// nil: always. Sizes are enforced all the same.
	Trusted func() bool
}

// Store stores lines. It is safe for concurrent use; different streams do not
// block one another.
type Store struct {
	cfg  Config
	work chan struct{} // a segment was closed
	disk *room.Gauge
	pass *passer

	mu        sync.Mutex // guards what follows
	appenders map[Stream]*appender
	dirty     map[string]bool     // services with closed segments since the last sweep
	written   map[string]struct{} // services to sweep with the next sweep of all
	use       map[string]usage    // by service that has segments, as the last sweep left it
	followers map[string]map[*follower]struct{}

	listed bool // use and written have all services that are in the directory; used by sweepAll only
}

// New returns a store in cfg.Dir, which is created if it does not exist. Run
// enforces limits and compresses segments.
func New(cfg Config) (*Store, error) {
	if cfg.Dir == "" || cfg.Log == nil {
		return nil, errors.New("logs: Dir and Log must be set")
	}
	cfg.SegmentBytes = cmp.Or(cfg.SegmentBytes, 4<<20)
	cfg.ServiceBytes = cmp.Or(cfg.ServiceBytes, 128<<20)
	cfg.TotalBytes = cmp.Or(cfg.TotalBytes, 4<<30)
	cfg.MaxAge = cmp.Or(cfg.MaxAge, 30*24*time.Hour)
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of logs: %w", err)
	}
	return &Store{
		cfg:       cfg,
		work:      make(chan struct{}, 1),
		disk:      &room.Gauge{Dir: cfg.Dir, Own: true},
		pass:      &passer{log: cfg.Log, told: map[string]bool{}},
		appenders: map[Stream]*appender{},
		dirty:     map[string]bool{},
		written:   map[string]struct{}{},
		use:       map[string]usage{},
		followers: map[string]map[*follower]struct{}{},
	}, nil
}

// Append appends lines to a stream, in their order. A time before the last line's
// becomes the last line's, and a time in the future becomes now. If it fails, for
// instance with a *room.Error while the disk has only half of its reserve left, it returns
// how many of the first lines are stored.
// Nothing is synced.
func (s *Store) Append(ctx context.Context, stream Stream, lines []Line) (int, error) {
	if err := errors.Join(ctx.Err(), stream.check()); err != nil {
		return 0, err
	}
	if len(lines) == 0 {
		return 0, nil
	}
	for {
		n, rotated, err := s.appender(stream).append(lines)
		if errors.Is(err, errGone) {
			continue
		}
		if rotated {
			s.closed(stream.Service)
		}
		if n > 0 {
			s.wrote(stream.Service)
			s.tell(stream)
		}
		if err != nil {
			return n, fmt.Errorf("append to log stream %s of %s: %w", stream.Name, stream.Service, err)
		}
		return n, nil
	}
}

// appender returns the only appender of a stream. If it is retired before it is
// used, the next call returns another one.
func (s *Store) appender(stream Stream) *appender {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.appenders[stream]
	if a == nil || a.gone.Load() {
		a = &appender{dir: stream.dir(s.cfg.Dir), limit: s.cfg.SegmentBytes, disk: s.disk, pass: s.pass}
		s.appenders[stream] = a
	}
	return a
}

// Rest closes the stream's file, which otherwise stays open until nothing was written to
// it for ten minutes. The next line opens it again.
func (s *Store) Rest(stream Stream) {
	s.mu.Lock()
	a := s.appenders[stream]
	delete(s.appenders, stream)
	s.mu.Unlock()
	if a != nil {
		a.remove()
	}
}

// Remove deletes all lines of a service. It is idempotent.
func (s *Store) Remove(service string) error {
	if err := checkPart(service); err != nil {
		return err
	}
	s.mu.Lock()
	var open []*appender
	for stream, a := range s.appenders {
		if stream.Service == service {
			open = append(open, a)
			delete(s.appenders, stream)
		}
	}
	s.mu.Unlock()
	for _, a := range open {
		a.remove()
	}
	if err := os.RemoveAll(filepath.Join(s.cfg.Dir, service)); err != nil {
		return fmt.Errorf("remove the logs of %s: %w", service, err)
	}
	s.wrote(service)
	return nil
}

// Position is where to continue to collect an instance's output.
type Position struct {
	Next int64 // read from here on

	// Output of these kinds before these positions is stored already.
	Stdout, Stderr int64
}

// Resume returns the position in the stream's last line, zero for a stream
// without lines.
func (s *Store) Resume(stream Stream) (Position, error) {
	var p Position
	if err := stream.check(); err != nil {
		return p, err
	}
	dir := stream.dir(s.cfg.Dir)
	list, err := segments(dir, s.pass)
	if err != nil {
		return p, err
	}
	for _, seg := range newestFirst(list) {
		lines, err := s.tailOf(seg)
		if err != nil {
			return p, fmt.Errorf("read the last position of %s: %w", stream.Name, err)
		}
		if len(lines) > 0 {
			return position(lines), nil
		}
	}
	return p, nil
}

func (s *Store) tailOf(g segment) ([]Line, error) {
	c, err := open(g.dir, g.first, s.pass)
	if c == nil || err != nil {
		return nil, err
	}
	defer c.Close()
	lines, _, err := lastLines(c)
	return lines, err
}

// position returns the position after a stream's last lines.
func position(lines []Line) Position {
	last := lines[len(lines)-1]
	p := Position{Next: last.Next - last.Pending}
	p.Stdout, p.Stderr = p.Next, p.Next
	for _, l := range lines { // Next never goes down: earlier ones do no harm
		switch l.Kind {
		case Stdout:
			p.Stdout = max(p.Stdout, l.Next)
		case Stderr:
			p.Stderr = max(p.Stderr, l.Next)
		}
	}
	return p
}

// closed records that a segment of the service can be compressed.
func (s *Store) closed(service string) {
	s.mu.Lock()
	s.dirty[service] = true
	s.mu.Unlock()
	select {
	case s.work <- struct{}{}:
	default:
	}
}

// follower collects which streams of a service were appended to.
type follower struct {
	service string
	nudge   chan struct{}

	mu      sync.Mutex // guards streams
	streams map[string]struct{}
}

func (s *Store) follow(service string) *follower {
	f := &follower{service: service, nudge: make(chan struct{}, 1), streams: map[string]struct{}{}}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.followers[service] == nil {
		s.followers[service] = map[*follower]struct{}{}
	}
	s.followers[service][f] = struct{}{}
	return f
}

func (s *Store) unfollow(f *follower) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.followers[f.service], f)
	if len(s.followers[f.service]) == 0 {
		delete(s.followers, f.service)
	}
}

// followed reports whether the service's lines are being followed.
func (s *Store) followed(service string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.followers[service]) > 0
}

func (s *Store) tell(stream Stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for f := range s.followers[stream.Service] {
		f.add(stream.Name)
	}
}

func (f *follower) add(stream string) {
	f.mu.Lock()
	f.streams[stream] = struct{}{}
	f.mu.Unlock()
	select {
	case f.nudge <- struct{}{}:
	default:
	}
}

// take returns the streams that were appended to since the last call.
func (f *follower) take() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []string
	for name := range f.streams {
		list = append(list, name)
	}
	clear(f.streams)
	return list
}
