//go:build linux

package takeover

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A listening socket goes from one end to the other: connections that came before are
// accepted by the receiver.
func TestPass(t *testing.T) {
	t.Parallel()
	a, b, err := Pair()
	check(t, err)
	defer a.Close()
	defer b.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	client, err := net.Dial("tcp", l.Addr().String())
	check(t, err)
	defer client.Close()
	f, err := l.(*net.TCPListener).File()
	check(t, err)
	data := bytes.Repeat([]byte("x\n"), MaxData/2)
	sent := make(chan error, 1)
	go func() { sent <- a.Send(Listener, Socket{Role: "http", Addr: ":80"}, data, int(f.Fd())) }()
	m, err := b.Receive()
	check(t, err)
	check(t, <-sent)
	f.Close()
	l.Close()
	var s Socket
	check(t, m.Into(&s))
	if m.Kind != Listener || s != (Socket{Role: "http", Addr: ":80"}) || !bytes.Equal(m.Data, data) || m.File == nil {
		t.Fatalf("received %q, %+v, %d bytes, file %v", m.Kind, s, len(m.Data), m.File)
	}
	passed, err := net.FileListener(m.File)
	check(t, err)
	m.File.Close()
	defer passed.Close()
	conn, err := passed.Accept()
	check(t, err)
	conn.Close()

	if err := a.Send(Client, nil, make([]byte, MaxData+16<<10), -1); !errors.Is(err, ErrTooLong) {
		t.Errorf("too long a message: %v", err)
	}
	a.Close()
	if _, err := b.Receive(); err != io.EOF {
		t.Errorf("after the end: %v", err)
	}
}

// A server replaces the socket file of one that was killed. Only the file's owner may
// connect.
func TestDoor(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 40)) // longer than the address of a socket
	check(t, os.Mkdir(dir, 0o700))
	if _, err := Dial(dir); !errors.Is(err, ErrNobody) {
		t.Errorf("nobody: %v", err)
	}
	first, err := Listen(dir)
	check(t, err)
	first.l.Close() // as if its process had been killed
	if _, err := Dial(dir); !errors.Is(err, ErrNobody) {
		t.Errorf("a socket that was left: %v", err)
	}
	second, err := Listen(dir)
	check(t, err)
	info, err := os.Stat(filepath.Join(dir, SocketName))
	check(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	c, err := Dial(dir)
	check(t, err)
	defer c.Close()
	accepted, err := second.Accept()
	check(t, err)
	defer accepted.Close()
	if accepted.PID() != os.Getpid() || !accepted.Own() {
		t.Errorf("the other end is %d", accepted.PID())
	}
	check(t, c.Send(Hello, Greeting{Protocol: Protocol}, nil, -1))
	if m, err := accepted.Receive(); err != nil || m.Kind != Hello {
		t.Errorf("%v, %v", m, err)
	}
	check(t, second.Close())
	if _, err := os.Stat(filepath.Join(dir, SocketName)); err == nil {
		t.Error("the socket stays")
	}
}

// A packet that is no message is refused, and what came with it is closed.
func TestBadMessage(t *testing.T) {
	t.Parallel()
	a, b, err := Pair()
	check(t, err)
	defer a.Close()
	defer b.Close()
	for _, packet := range []string{"x", "{}", "{\n", "[]\n"} {
		r, w, err := os.Pipe()
		check(t, err)
		_, _, err = a.c.WriteMsgUnix([]byte(packet), unix.UnixRights(int(w.Fd())), nil)
		check(t, err)
		w.Close()
		if m, err := b.Receive(); err == nil {
			t.Errorf("%q is message %+v", packet, m)
		}
		if _, err := r.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("%q: its descriptor stays open: %v", packet, err)
		}
		r.Close()
	}
}
