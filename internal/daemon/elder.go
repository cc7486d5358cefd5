package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/openslipway/slipway/internal/router/proxy"
	"github.com/openslipway/slipway/internal/takeover"
)

// elder is the server that this one takes over from: another process, or what is left in
// this one of a server whose heir failed. ADR 038 has the order of the messages.
type elder struct {
	conn  *takeover.Conn
	given []given // its listening sockets that nobody has taken yet
	log   *slog.Logger

	passed sync.WaitGroup // connections on their way
	ended  chan struct{}  // closed when it has ended and its connections have found their place
}

// given is a listening socket of the elder.
type given struct {
	takeover.Socket
	file *os.File
}

// lockTime is how long an elder that was killed may still seem to hold a lock: a process
// that it was just starting has copies of its descriptors until it executes its program.
const lockTime = 10 * time.Second

// resumeTime is how long a connection waits for its listener to be served here.
const resumeTime = 30 * time.Second

func newElder(conn *takeover.Conn, log *slog.Logger) *elder {
	return &elder{conn: conn, log: log, ended: make(chan struct{})}
}

// meetElder asks the server of the data directory for its listening sockets. It returns nil
// if none runs, or none that can be replaced.
func meetElder(ctx context.Context, cfg Config, log *slog.Logger) (*elder, error) {
	conn, err := takeover.Dial(cfg.DataDir)
	if errors.Is(err, takeover.ErrNobody) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	e := newElder(conn, log)
	if err := e.greet(ctx); err != nil {
		return nil, errors.Join(err, e.close())
	}
	return e, nil
}

// greet says who this is and receives the sockets.
func (e *elder) greet(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { e.conn.Close() })()
	if err := e.conn.Send(takeover.Hello, takeover.Greeting{Protocol: takeover.Protocol, PID: os.Getpid()}, nil, -1); err != nil {
		return fmt.Errorf("ask the server that runs for its sockets: %w", err)
	}
	for {
		m, err := e.conn.Receive()
		if err != nil {
			return fmt.Errorf("ask the server that runs for its sockets: %w", err)
		}
		switch m.Kind {
		case takeover.Listener:
			g := given{file: m.File}
			if err := m.Into(&g.Socket); err != nil || m.File == nil {
				m.Drop()
				return errors.Join(errors.New("the server that runs sent a message without a socket"), err)
			}
			e.given = append(e.given, g)
		case takeover.Listed:
			return nil
		case takeover.Refused:
			return refusal(m)
		default:
			return fmt.Errorf("the server that runs sent message %q", m.Kind)
		}
	}
}

// refusal is the error of a message with a reason.
func refusal(m takeover.Message) error {
	var r takeover.Reason
	if err := m.Into(&r); err != nil {
		return err
	}
	return errors.New(r.Text)
}

// take returns the listeners of a role: those that somebody else opened, or the one at an
// address.
func (e *elder) take(role, addr string) (list []net.Listener, inherited bool, err error) {
	if e == nil {
		return nil, false, nil
	}
	takes := func(g given) bool { return g.Role == role && (g.Inherited || g.Addr == addr && addr != "") }
	for _, g := range e.given {
		if !takes(g) {
			continue
		}
		l, err := net.FileListener(g.file) // which takes a copy
		if err != nil {
			return list, false, fmt.Errorf("take over the socket of %s at %s: %w", role, g.Addr, err)
		}
		list, inherited = append(list, l), inherited || g.Inherited
	}
	e.given = slices.DeleteFunc(e.given, func(g given) bool {
		if takes(g) {
			g.file.Close()
			return true
		}
		return false
	})
	return list, inherited, nil
}

// release has the elder let go of the data directory, and returns when it has, or has ended.
func (e *elder) release(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { e.conn.Close() })()
	if err := e.conn.Send(takeover.Prepared, nil, nil, -1); err != nil {
		return nil // it has ended
	}
	m, err := e.conn.Receive()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		e.log.Warn("the server that was to be replaced has ended")
		return nil
	case m.Kind == takeover.Released:
		return nil
	case m.Kind == takeover.Refused:
		return refusal(m)
	}
	return fmt.Errorf("the server that runs sent message %q", m.Kind)
}

// assume tells the elder that everything is open, and returns once it takes no more
// requests and those that it has are known, or it has ended.
func (e *elder) assume(ctx context.Context, r *routerRole) error {
	stop := context.AfterFunc(ctx, func() { e.conn.Close() })
	defer stop()
	if err := e.conn.Send(takeover.Serving, nil, nil, -1); err == nil {
		for {
			m, err := e.conn.Receive()
			if err != nil {
				break
			}
			if m.Kind == takeover.Yours { // its requests came before
				return nil
			}
			if err := e.heed(ctx, r, m); err != nil {
				return err
			}
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return r.router.Lend(ctx, nil) // it has ended, and its requests with it
}

// heed does what a message of the elder says.
func (e *elder) heed(ctx context.Context, r *routerRole, m takeover.Message) error {
	switch m.Kind {
	case takeover.Loads:
		var loads map[string]int64
		if err := m.Into(&loads); err != nil {
			return err
		}
		return r.router.Lend(ctx, loads)
	case takeover.Client:
		var p takeover.Passed
		if err := m.Into(&p); err != nil || m.File == nil {
			m.Drop()
			return errors.Join(errors.New("the elder sent a message without a connection"), err)
		}
		conn, err := net.FileConn(m.File)
		m.File.Close() // FileConn takes a copy
		if err != nil {
			return fmt.Errorf("take over a connection: %w", err)
		}
		e.passed.Go(func() { r.resume(ctx, conn, proxy.Origin(p), m.Data) })
	case takeover.Logged:
		return r.takeLines(m)
	default:
		m.Drop()
	}
	return nil
}

// follow serves the connections that the elder passes on until it ends. Nothing of it is held
// afterwards.
func (e *elder) follow(ctx context.Context, r *routerRole) {
	defer context.AfterFunc(ctx, func() { e.conn.Close() })()
	for {
		m, err := e.conn.Receive()
		if err != nil {
			break
		}
		if err := e.heed(ctx, r, m); err != nil && ctx.Err() == nil {
			e.log.Warn("the elder could not be understood", "err", err)
		}
	}
	_ = e.conn.Close() // it has ended
	e.passed.Wait()
	if ctx.Err() == nil {
		_ = r.router.Lend(ctx, nil) // fails with ctx only
	}
	close(e.ended)
}

// fail tells the elder why this server does not take over.
func (e *elder) fail(err error) {
	if e != nil {
		_ = e.conn.Send(takeover.Failed, takeover.Reason{Text: err.Error()}, nil, -1) // it sees the connection end, too
	}
}

// dropGiven closes the sockets that nobody has taken.
func (e *elder) dropGiven() {
	closeGiven(e.given)
	e.given = nil
}

func (e *elder) close() error {
	if e == nil {
		return nil
	}
	e.dropGiven()
	return e.conn.Close()
}

// lockAfter locks the data directory that an elder has let go of.
func (c *core) lockAfter(ctx context.Context) error {
	until := time.Now().Add(lockTime)
	for {
		err := c.lock()
		if err == nil || !errors.Is(err, errLocked) || time.Now().After(until) {
			return err
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
