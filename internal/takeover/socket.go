//go:build linux

package takeover

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// SocketName is the name of the socket in the data directory.
const SocketName = "takeover.sock"

// ErrNobody says that no server listens.
var ErrNobody = errors.New("no server that can be replaced runs on this data directory")

// Door is where a server is asked to be replaced.
type Door struct {
	l    *net.UnixListener
	file string
}

// Listen opens the socket in a data directory, which the caller has locked: a socket that
// is there was left by a server that has ended, and is replaced. Only its owner may
// connect.
func Listen(dir string) (*Door, error) {
	d := &Door{file: filepath.Join(dir, SocketName)}
	if err := os.Remove(d.file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open the socket for the next server: %w", err)
	}
	err := inDir(dir, func(at string) (err error) {
		d.l, err = net.ListenUnix("unixpacket", &net.UnixAddr{Name: at, Net: "unixpacket"})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open the socket for the next server: %w", err)
	}
	d.l.SetUnlinkOnClose(false) // it knows the socket by another path
	if err := os.Chmod(d.file, 0o600); err != nil {
		d.l.Close()
		return nil, fmt.Errorf("open the socket for the next server: %w", err)
	}
	return d, nil
}

// inDir calls f with a path of the socket that is short enough for the address of one,
// however long that of the directory is.
func inDir(dir string, f func(at string) error) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return f("/proc/self/fd/" + strconv.Itoa(int(d.Fd())) + "/" + SocketName)
}

// Accept waits for the next server or command. It refuses the processes of other users.
func (d *Door) Accept() (*Conn, error) {
	for {
		c, err := d.l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		conn, err := known(c)
		if err == nil {
			return conn, nil
		}
		c.Close()
	}
}

// Close closes the socket and removes it. The data directory must still be locked:
// afterwards the socket there is another server's.
func (d *Door) Close() error { return errors.Join(d.Leave(), os.Remove(d.file)) }

// Leave closes the socket, in whose place another server has opened its own.
func (d *Door) Leave() error { return d.l.Close() }

// Dial connects to the server of a data directory. The error is ErrNobody if there is
// none that knows of this.
func Dial(dir string) (*Conn, error) {
	var c *net.UnixConn
	err := inDir(dir, func(at string) (err error) {
		c, err = net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: at, Net: "unixpacket"})
		return err
	})
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ECONNREFUSED) {
		return nil, ErrNobody
	}
	if err != nil {
		return nil, fmt.Errorf("reach the server that runs: %w", err)
	}
	conn, err := known(c)
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("reach the server that runs: %w", err)
	}
	return conn, nil
}

// known returns the connection, if its other end is this user's or root's.
func known(c *net.UnixConn) (*Conn, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	var cred *unix.Ucred
	if cerr := raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); cerr != nil {
		return nil, cerr
	}
	if err != nil {
		return nil, os.NewSyscallError("getsockopt", err)
	}
	if cred.Uid != 0 && int(cred.Uid) != os.Geteuid() {
		return nil, fmt.Errorf("the other end is a process of user %d", cred.Uid)
	}
	conn := &Conn{c: c, pid: int(cred.Pid)}
	if conn.pid == os.Getpid() {
		return conn, nil
	}
	fd, err := unix.PidfdOpen(conn.pid, 0)
	if err != nil {
		return nil, os.NewSyscallError("pidfd_open", err)
	}
	conn.peer = os.NewFile(uintptr(fd), "peer")
	return conn, nil
}

// Ask asks the server of a data directory to be replaced by its own program, and returns
// once it is. An error says why it is not; then the server goes on, unless the error is
// ErrNobody.
func Ask(ctx context.Context, dir string, r Renewal) error {
	conn, err := Dial(dir)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if err := conn.Send(Renew, r, nil, -1); err != nil {
		return fmt.Errorf("ask the server: %w", err)
	}
	m, err := conn.Receive()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return fmt.Errorf("the server has not said whether it was replaced: %w", err)
	case m.Kind != Renewed:
		return fmt.Errorf("the server answered with message %q", m.Kind)
	}
	var reason Reason
	if err := m.Into(&reason); err != nil || reason.Text == "" {
		return err
	}
	return errors.New(reason.Text)
}
