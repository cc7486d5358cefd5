package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/router/proxy"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/takeover"
)

const (
	// askedTime is how long whoever connects has to say what it wants, and how long an heir
	// that is prepared waits for a server that ends.
	askedTime = 10 * time.Second

	// prepareTime is how long an heir may take to check what it can before it has the data
	// directory.
	prepareTime = time.Minute

	// heirTime is how long an heir may take from the release of the data directory until
	// it serves. It opens and migrates the database meanwhile.
	heirTime = 5 * time.Minute

	// loadsEvery is how often the heir is told how many requests are left, and gets the
	// lines of access logs.
	loadsEvery = 20 * time.Millisecond

	// retryTime is how long a server waits between attempts to go on after its heir failed.
	retryTime = time.Second
)

// succession is what a server knows of the one that takes over from it.
type succession struct {
	doorway sync.Mutex // guards door
	door    *takeover.Door
	heirs   chan *takeover.Conn // those that are prepared; Run lets one in
	tasks   *sync.WaitGroup     // goroutines of connections

	released bool       // the data directory was let go of
	next     chan error // what the daemon returned that goes on in this process; nil if none does
	failure  string     // why the heir failed after the release, as it said; "" if none did

	renewals
}

func newSuccession() succession {
	return succession{heirs: make(chan *takeover.Conn), tasks: &sync.WaitGroup{}}
}

// openDoor lets other servers and commands in. The data directory is locked.
func (d *Daemon) openDoor() (err error) {
	d.doorway.Lock()
	defer d.doorway.Unlock()
	return d.listenAtDoor()
}

// listenAtDoor is openDoor while doorway is held.
func (d *Daemon) listenAtDoor() (err error) {
	if d.door, err = takeover.Listen(string(d.core.dirs)); err != nil {
		return err
	}
	door := d.door
	d.tasks.Go(func() {
		for {
			conn, err := door.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil { // a lack of descriptors, which passes
				time.Sleep(retryTime)
				continue
			}
			d.tasks.Go(func() { d.meet(conn) })
		}
	})
	return nil
}

// closeDoor stops accepting connections to the socket in the data directory. ours says that
// no other server uses its name, so that the file can be removed.
func (d *Daemon) closeDoor(ours bool) {
	d.doorway.Lock()
	defer d.doorway.Unlock()
	if d.door == nil {
		return
	}
	closes := d.door.Leave
	if ours {
		closes = d.door.Close
	}
	if err := closes(); err != nil && !errors.Is(err, net.ErrClosed) {
		d.core.log.Warn("close", "err", err)
	}
	d.door = nil
}

// meet does what somebody asks for.
func (d *Daemon) meet(conn *takeover.Conn) {
	patience := time.AfterFunc(askedTime, func() { conn.Close() })
	m, err := conn.Receive()
	patience.Stop()
	if err != nil {
		conn.Close()
		return
	}
	switch m.Kind {
	case takeover.Hello:
		d.meetHeir(conn, m)
	case takeover.Renew:
		defer conn.Close()
		text := d.renew(m)
		_ = conn.Send(takeover.Renewed, takeover.Reason{Text: text}, nil, -1) // nobody may wait any more
	case takeover.Failed: // an heir that did not come to say hello
		defer conn.Close()
		d.failedBefore(conn.PID(), refusal(m).Error())
	default:
		conn.Close()
	}
}

// meetHeir gives an heir the listening sockets and, once it is prepared, passes it on to
// Run.
func (d *Daemon) meetHeir(conn *takeover.Conn, hello takeover.Message) {
	refuse := func(err error) {
		_ = conn.Send(takeover.Refused, takeover.Reason{Text: err.Error()}, nil, -1) // it may have gone
		conn.Close()
	}
	var g takeover.Greeting
	if err := hello.Into(&g); err != nil {
		refuse(err)
		return
	}
	if g.Protocol != takeover.Protocol {
		refuse(fmt.Errorf("the server that runs knows version %d of taking over, and this one version %d: stop it and start this one", takeover.Protocol, g.Protocol))
		return
	}
	if !d.serving.Load() {
		refuse(errors.New("the server that runs is just starting: try again when it serves"))
		return
	}
	if err := d.enterHeir(conn.PID()); err != nil {
		refuse(err)
		return
	}
	patience := time.AfterFunc(prepareTime, func() { conn.Close() })
	err := d.prepare(conn)
	if !patience.Stop() && err != nil {
		err = fmt.Errorf("it was not prepared after %v", prepareTime)
	}
	if err == nil {
		select {
		case d.heirs <- conn:
			return
		case <-time.After(askedTime):
			err = errors.New("the server that runs is ending")
		}
	}
	d.core.log.Error("the next server does not take over; this one goes on", "err", err)
	d.leaveHeir(err.Error())
	refuse(err)
}

// prepare gives an heir the listening sockets and waits until it is ready to have the data
// directory.
func (d *Daemon) prepare(conn *takeover.Conn) error {
	if err := d.listeners.give(conn); err != nil {
		return err
	}
	if err := conn.Send(takeover.Listed, takeover.Greeting{Protocol: takeover.Protocol, PID: os.Getpid()}, nil, -1); err != nil {
		return err
	}
	return await(conn, takeover.Prepared)
}

// errHeirEnded says that an heir ended without a reason.
var errHeirEnded = errors.New("it ended")

// await receives a message of one kind. Any other is an error: the reason of the heir, if
// it gave one.
func await(conn *takeover.Conn, kind takeover.Kind) error {
	m, err := conn.Receive()
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed), errors.Is(err, os.ErrDeadlineExceeded):
		return errHeirEnded
	case err != nil:
		return err
	}
	m.Drop()
	switch m.Kind {
	case kind:
		return nil
	case takeover.Failed:
		_, _ = conn.Receive() // until it has let go of everything
		return refusal(m)
	}
	return fmt.Errorf("it sent message %q", m.Kind)
}

// succeed lets an heir take over, if one comes before ctx ends. release lets go of all but
// the requests in flight; endRequests has those end.
func (d *Daemon) succeed(ctx context.Context, release func() error, endRequests func()) error {
	var conn *takeover.Conn
	select {
	case conn = <-d.heirs:
	case <-ctx.Done():
		return nil
	}
	began := time.Now()
	d.core.log.Info("another server takes over", "pid", conn.PID())
	d.released = true
	d.listeners.hold()
	if err := release(); err != nil {
		d.core.log.Warn("close", "err", err)
	}
	_ = conn.Send(takeover.Released, nil, nil, -1) // await sees if it has gone
	for {
		err := d.awaitHeir(ctx, conn)
		if err == nil {
			err = d.commit(conn)
		}
		if err == nil {
			break
		}
		conn.Close()
		if ctx.Err() != nil {
			return d.abandon(ctx)
		}
		d.core.log.Error("the next server does not take over; this one goes on", "err", err)
		if !conn.Own() {
			d.failure = err.Error()
		}
		if conn, err = d.goOn(ctx); err != nil {
			return err
		}
	}
	d.core.log.Debug("no calls were answered and no loop ran", "for", time.Since(began))
	d.yield(conn, endRequests)
	return nil
}

// abandon ends an attempt with the server, which was told to end: the next one finds the
// database as this one had it.
func (d *Daemon) abandon(ctx context.Context) error {
	err := d.core.lockAfter(context.WithoutCancel(ctx)) // the heir was killed
	if err == nil {
		err = store.SpareOf(d.core.dirs.database()).PutBack()
	}
	return errors.Join(err, d.core.close())
}

// awaitHeir waits until the heir serves.
func (d *Daemon) awaitHeir(ctx context.Context, conn *takeover.Conn) error {
	// One that hangs has the data directory until it is dead.
	patience := time.AfterFunc(heirTime, conn.Kill)
	defer patience.Stop()
	// This server was told to end, and the heir is a part of its end.
	defer context.AfterFunc(ctx, func() {
		conn.Kill()
		conn.Close()
	})()
	return await(conn, takeover.Serving)
}

// goOn opens a daemon in this process, which takes over from what is left of this one as
// another process would, and returns the connection to it.
func (d *Daemon) goOn(ctx context.Context) (*takeover.Conn, error) {
	select {
	case <-time.After(retryTime / 10): // what the heir had may take a moment to be free
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	ours, theirs, err := takeover.Pair()
	if err != nil {
		return nil, err
	}
	done := make(chan error, 1)
	d.next = done
	d.tasks.Go(func() {
		ctx := d.life // the other one ends when this server's last request has
		before := newElder(theirs, d.core.log)
		if err := before.greet(ctx); err != nil {
			done <- errors.Join(err, before.close())
			return
		}
		next, err := newDaemon(ctx, d.core.cfg, d.core.log, before)
		if err != nil {
			if ctx.Err() == nil {
				d.core.log.Error("this server could not go on and tries again", "err", err)
				time.Sleep(retryTime)
			}
			done <- err
			return
		}
		err = next.Run(ctx)
		next.Close()
		done <- err
	})
	if err := await(ours, takeover.Hello); err != nil {
		return nil, errors.Join(err, ours.Close())
	}
	if err := d.prepare(ours); err != nil {
		return ours, nil // awaitHeir finds out that it has ended
	}
	_ = ours.Send(takeover.Released, nil, nil, -1)
	return ours, nil
}

// commit has the heir serve: from here on no request of this server gets to an instance.
// The error is that the heir has ended before it knew; the next one may have it all.
func (d *Daemon) commit(conn *takeover.Conn) error {
	d.router.router.Seal()
	handed := d.core.cfg.Handed
	if conn.Own() {
		handed = nil
	}
	return hand(conn, d.router.router.InFlight(), handed)
}

// hand tells the heir that it serves, and then handed which process it is. Not before: a
// service manager whose main process ends starts another server, which could not serve
// beside this one.
func hand(conn *takeover.Conn, loads map[string]int64, handed func(pid int)) error {
	if err := conn.Send(takeover.Loads, loads, nil, -1); err != nil {
		return errHeirEnded
	}
	if err := conn.Send(takeover.Yours, nil, nil, -1); err != nil {
		return errHeirEnded
	}
	if handed != nil {
		handed(conn.PID())
	}
	return nil
}

// yield passes all connections on to the heir, which serves. It returns when the requests
// that this server has taken have ended.
func (d *Daemon) yield(conn *takeover.Conn, endRequests func()) {
	defer conn.Close()
	r := d.router
	r.proxy.Yield(func(c *net.TCPConn, from proxy.Origin, received []byte) error {
		fd, err := dupSocket(c)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return conn.Send(takeover.Client, takeover.Passed(from), received, fd)
	})
	d.core.log.Info("another server has taken over; requests in flight end here", "pid", conn.PID())
	d.closeDoor(false)
	d.listeners.dropHeld()
	failure := ""
	if conn.Own() {
		failure = d.failure
	}
	d.settle(failure)
	endRequests()
	ended := make(chan struct{})
	go func() {
		r.serving.Wait()
		if d.elder != nil {
			<-d.elder.ended // what it passes on goes on to the heir
		}
		close(ended)
	}()
	tick := time.NewTicker(loadsEvery)
	defer tick.Stop()
	for loads, on := map[string]int64{}, true; on; {
		select {
		case <-ended:
			on = false
		case <-tick.C:
		}
		r.passLines(conn)
		if now := r.router.InFlight(); !maps.Equal(now, loads) {
			loads = now
			_ = conn.Send(takeover.Loads, loads, nil, -1) // an heir that has ended counts nothing
		}
	}
}

// endAfterRelease returns what Run returns after the data directory was let go of.
func (d *Daemon) endAfterRelease(ctx context.Context, err error) error {
	d.closeDoor(false)
	d.settle("the server was told to end")
	d.listeners.dropHeld()
	if way, werr := d.node.driver.Way(context.WithoutCancel(ctx)); werr == nil {
		way.Close() // the last request has ended; what is gone may go
	}
	if d.next != nil {
		return <-d.next
	}
	d.tasks.Wait()
	if ctx.Err() == nil && err == nil {
		d.core.log.Info("server ended; another one has taken over")
	}
	return err
}
