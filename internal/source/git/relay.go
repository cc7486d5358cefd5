package git

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/openslipway/slipway/internal/outbound"
	"github.com/openslipway/slipway/internal/room"
)

// errTooMuch ends a connection that brought more than the limit.
var errTooMuch = errors.New("more was sent than the limit allows")

const (
	greetLimit = 10 * time.Second // for the requests of the program itself
	maxStreams = 16               // connections of one run at a time
)

// dialer connects to addresses that users give.
func (c Config) dialer() func(ctx context.Context, address string) (net.Conn, error) {
	if c.Dial != nil {
		return c.Dial
	}
	return func(ctx context.Context, address string) (net.Conn, error) { return c.Reach.Dial(ctx, "tcp", address) }
}

// relay carries the connections of one run. It is a SOCKS5 proxy for the programs
// that can use one, or connects everything to one fixed address.
type relay struct {
	dial  func(ctx context.Context, address string) (net.Conn, error)
	fixed string // host:port; "": the program asks for addresses by SOCKS5
	left  *atomic.Int64
	disk  *room.Gauge // that what is read is written to

	mu     sync.Mutex
	failed error // the first failure to connect, guarded by mu
}

// serve accepts connections until l is closed or ctx ends. It returns when all have
// ended.
func (r *relay) serve(ctx context.Context, l net.Listener) {
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	slots := make(chan struct{}, maxStreams)
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		select {
		case slots <- struct{}{}:
			all.Go(func() {
				r.carry(ctx, c)
				<-slots
			})
		default:
			c.Close()
		}
	}
}

// failure returns why a connection could not be made or was ended; nil if all were
// carried.
func (r *relay) failure() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

func (r *relay) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed == nil {
		r.failed = err
	}
}

// carry carries one connection to its end.
func (r *relay) carry(ctx context.Context, c net.Conn) {
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	address := r.fixed
	if address == "" {
		_ = c.SetDeadline(time.Now().Add(greetLimit))
		var err error
		if address, err = readSOCKS(c); err != nil {
			return
		}
		_ = c.SetDeadline(time.Time{})
	}
	to, err := r.dial(ctx, address)
	if err != nil {
		r.fail(err)
	}
	if r.fixed == "" {
		if _, err := c.Write(replySOCKS(err)); err != nil {
			return
		}
	}
	if err != nil {
		return
	}
	defer to.Close()
	defer context.AfterFunc(ctx, func() { to.Close() })()
	r.splice(c, to)
}

// splice copies in both directions until the far end has said all, or the near end
// is gone.
func (r *relay) splice(near, far net.Conn) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(far, near)
		if half, ok := far.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	}()
	_, err := io.Copy(near, &counted{far, r.left, r.disk})
	if _, full := errors.AsType[*room.Error](err); full || errors.Is(err, errTooMuch) {
		r.fail(err)
	}
	near.Close()
	far.Close()
	<-ended
}

// counted is a reader that fails when all that is left was read, or the disk has only
// its reserve left.
type counted struct {
	io.Reader
	left *atomic.Int64
	disk *room.Gauge
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if c.left.Add(-int64(n)) < 0 {
		return 0, errTooMuch
	}
	if full := c.disk.Take(int64(n)); full != nil {
		return 0, full
	}
	return n, err
}

// Values of the SOCKS protocol, version 5 (RFC 1928).
const (
	socksVersion     = 5
	socksNoAuth      = 0
	socksConnect     = 1
	socksIPv4        = 1
	socksName        = 3
	socksIPv6        = 4
	socksUnreachable = 4
	socksForbidden   = 2
)

var errSOCKS = errors.New("no request of SOCKS5")

// readSOCKS answers the greeting of a client and reads the address to connect to.
func readSOCKS(c io.ReadWriter) (address string, err error) {
	var b [256]byte
	if _, err := io.ReadFull(c, b[:2]); err != nil || b[0] != socksVersion {
		return "", errors.Join(errSOCKS, err)
	}
	if _, err := io.ReadFull(c, b[:b[1]]); err != nil {
		return "", err
	}
	if _, err := c.Write([]byte{socksVersion, socksNoAuth}); err != nil {
		return "", err
	}
	if _, err := io.ReadFull(c, b[:4]); err != nil || b[0] != socksVersion || b[1] != socksConnect {
		return "", errors.Join(errSOCKS, err)
	}
	size := 0
	switch b[3] {
	case socksIPv4:
		size = net.IPv4len
	case socksIPv6:
		size = net.IPv6len
	case socksName:
		var length [1]byte
		if _, err := io.ReadFull(c, length[:]); err != nil {
			return "", err
		}
		size = int(length[0])
	default:
		return "", errSOCKS
	}
	name := b[3] == socksName
	if _, err := io.ReadFull(c, b[:size]); err != nil || size == 0 {
		return "", errors.Join(errSOCKS, err)
	}
	host := string(b[:size])
	if !name {
		host = net.IP(b[:size]).String()
	}
	if _, err := io.ReadFull(c, b[:2]); err != nil {
		return "", err
	}
	return net.JoinHostPort(host, strconv.Itoa(int(binary.BigEndian.Uint16(b[:2])))), nil
}

// replySOCKS tells a client whether it was connected.
func replySOCKS(err error) []byte {
	code := byte(0)
	if err != nil {
		code = socksUnreachable
	}
	if _, forbidden := errors.AsType[*outbound.ForbiddenError](err); forbidden {
		code = socksForbidden
	}
	return []byte{socksVersion, code, 0, socksIPv4, 0, 0, 0, 0, 0, 0}
}

// timedOut reports whether a connection could not be made in time.
func timedOut(err error) bool {
	var n net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &n) && n.Timeout()
}
