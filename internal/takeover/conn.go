//go:build linux

package takeover

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Protocol is the version of the messages. Two servers with different ones can't meet.
const Protocol = 1

// Kind says what a message is.
type Kind string

// Messages of the heir, and of the command that asks a server for its own replacement.
const (
	Hello    Kind = "hello"    // a server wants to take over; Body is a Greeting
	Prepared Kind = "prepared" // it can: its flags are right, and it knows the database
	Serving  Kind = "serving"  // it has opened everything and waits to be let in
	Failed   Kind = "failed"   // it ends; Body is a Reason
	Renew    Kind = "renew"    // the server shall start its program again; Body is a Renewal
)

// Messages of the elder.
const (
	Listener Kind = "listener" // a listening socket comes with it; Body is a Socket
	Listed   Kind = "listed"   // these were all; Body is a Greeting
	Refused  Kind = "refused"  // Body is a Reason
	Released Kind = "released" // the elder has let go of the data directory
	Loads    Kind = "loads"    // Body is the number of requests that the elder still has, by instance
	Yours    Kind = "yours"    // the elder accepts no more connections and takes no more requests
	Client   Kind = "client"   // a client's connection comes with it; Body is a Passed, Data what was received
	Logged   Kind = "logged"   // lines of a service's access log; Body is a Log, Data their text
	Renewed  Kind = "renewed"  // the answer to Renew: Body is a Reason, or empty if it succeeded
)

// Greeting is who one side is.
type Greeting struct {
	Protocol int    `json:"protocol"`
	PID      int    `json:"pid"`
	Version  string `json:"version,omitempty"` // of the program, for people
}

// Socket is a listening socket.
type Socket struct {
	Role string `json:"role"` // api, http, metrics or the id of a VPC endpoint
	Addr string `json:"addr"` // as the flag has it

	// Inherited says that somebody else opened it, such as systemd: the heir takes it
	// whatever its flags say.
	Inherited bool `json:"inherited"`
}

// Passed is the connection of a client that the heir goes on with.
type Passed struct {
	Listener string `json:"listener"` // id of the VPC endpoint through which it came; empty for none

	// Secure says that the client speaks TLS with the elder, which relays its bytes. Client
	// and Local are the ends of the client's own connection, if that is another one.
	Secure bool           `json:"secure,omitempty"`
	Client netip.AddrPort `json:"client,omitzero"`
	Local  netip.AddrPort `json:"local,omitzero"`
}

// Log is a part of a service's access log that the heir writes.
type Log struct {
	Service string    `json:"service"`
	Lines   []LogLine `json:"lines"`
}

// LogLine is a line of a Log.
type LogLine struct {
	At    time.Time `json:"at"`
	Bytes int       `json:"bytes"`          // of the message's Data, behind those of the lines before it
	Lost  int64     `json:"lost,omitempty"` // lines that were dropped before it
	None  bool      `json:"none,omitempty"` // there is no line, only what was dropped
}

// Reason is why something is not done.
type Reason struct {
	Text string `json:"text"`
}

// Renewal says what a server is to be replaced by. Members that are empty are as they are
// with the server that runs.
type Renewal struct {
	Program string `json:"program,omitempty"` // absolute path

	// Environment replaces the variables whose names begin with SLIPWAY_, if it is not
	// nil.
	Environment []string `json:"environment"`
}

const (
	// MaxData bounds what comes behind a message's header, in bytes. A packet and its
	// header must fit into a socket's send buffer, 208 KiB unless a machine has it smaller.
	MaxData = 160 << 10

	maxPacket = MaxData + 16<<10
)

// ErrTooLong is returned for a message that no packet holds.
var ErrTooLong = errors.New("the message is too long")

// Message is a message that was received.
type Message struct {
	Kind Kind
	Data []byte   // what follows the header
	File *os.File // that came with it, for the receiver to close; nil for none

	body json.RawMessage
}

// Into decodes the message's body.
func (m Message) Into(v any) error {
	if err := json.Unmarshal(m.body, v); err != nil {
		return fmt.Errorf("message %q of the other server: %w", m.Kind, err)
	}
	return nil
}

// Drop closes the descriptor that came with the message, if one did.
func (m Message) Drop() {
	if m.File != nil {
		m.File.Close()
	}
}

// header is the JSON of a packet.
type header struct {
	Kind Kind            `json:"kind"`
	Body json.RawMessage `json:"body,omitempty"`
}

// Conn is one end of a connection between two servers. One goroutine at a time may
// receive; any may send.
type Conn struct {
	c    *net.UnixConn
	pid  int
	peer *os.File // pidfd of the other process; nil if it is this one

	packet []byte // that was received last

	send   sync.Mutex
	close  sync.Once
	closed error
}

// sendTime is how long the other end may take to receive before a message is given up.
const sendTime = 30 * time.Second

// Pair returns the two ends of a connection within this process.
func Pair() (a, b *Conn, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	var ends [2]*Conn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "takeover")
		c, err := net.FileConn(f)
		f.Close() // FileConn takes a copy
		if err != nil {
			return nil, nil, err
		}
		ends[i] = &Conn{c: c.(*net.UnixConn), pid: os.Getpid()}
	}
	return ends[0], ends[1], nil
}

// PID returns the id of the other process.
func (c *Conn) PID() int { return c.pid }

// Own reports whether the other end is in this process.
func (c *Conn) Own() bool { return c.peer == nil }

// Kill kills the other process, unless it is this one or has ended.
func (c *Conn) Kill() {
	if c.peer != nil {
		_ = unix.PidfdSendSignal(int(c.peer.Fd()), unix.SIGKILL, nil, 0)
	}
}

// Close closes the connection. It may be called again.
func (c *Conn) Close() error {
	c.close.Do(func() {
		c.closed = c.c.Close()
		if c.peer != nil {
			c.closed = errors.Join(c.closed, c.peer.Close())
		}
	})
	return c.closed
}

// Send sends a message. body is encoded as JSON; nil is none. A descriptor of 0 or more
// goes with it, and stays the caller's.
func (c *Conn) Send(kind Kind, body any, data []byte, fd int) error {
	h := header{Kind: kind}
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		h.Body = b
	}
	packet, err := json.Marshal(h)
	if err != nil {
		return err
	}
	packet = append(append(packet, '\n'), data...)
	if len(packet) > maxPacket {
		return ErrTooLong
	}
	var rights []byte
	if fd >= 0 {
		rights = unix.UnixRights(fd)
	}
	c.send.Lock()
	defer c.send.Unlock()
	if err := c.c.SetWriteDeadline(time.Now().Add(sendTime)); err != nil {
		return err
	}
	_, _, err = c.c.WriteMsgUnix(packet, rights, nil)
	if errors.Is(err, unix.EMSGSIZE) {
		return ErrTooLong
	}
	return err
}

// Receive returns the next message. The error is io.EOF if the other end has closed the
// connection or its process has ended.
func (c *Conn) Receive() (Message, error) {
	if c.packet == nil {
		c.packet = make([]byte, maxPacket)
	}
	packet, rights := c.packet, make([]byte, unix.CmsgSpace(4))
	n, rn, flags, _, err := c.c.ReadMsgUnix(packet, rights)
	if err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNRESET) { // reset: it has not read all that was sent
			err = io.EOF
		}
		return Message{}, err
	}
	if n == 0 {
		return Message{}, io.EOF
	}
	file, err := received(rights[:rn])
	if err != nil {
		return Message{}, err
	}
	var h header
	text, data, found := bytes.Cut(packet[:n], []byte("\n"))
	if err := json.Unmarshal(text, &h); err != nil || !found || flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
		Message{File: file}.Drop()
		return Message{}, errors.Join(errors.New("a message of the other server can't be read"), err)
	}
	return Message{Kind: h.Kind, body: h.Body, Data: bytes.Clone(data), File: file}, nil
}

// received returns the descriptor in a control message, nil if there is none.
func received(rights []byte) (*os.File, error) {
	if len(rights) == 0 {
		return nil, nil
	}
	list, err := unix.ParseSocketControlMessage(rights)
	if err != nil || len(list) != 1 {
		return nil, errors.Join(errors.New("read what came with a message"), err)
	}
	fds, err := unix.ParseUnixRights(&list[0])
	if err != nil || len(fds) != 1 {
		return nil, errors.Join(errors.New("read the descriptor of a message"), err)
	}
	unix.CloseOnExec(fds[0])
	return os.NewFile(uintptr(fds[0]), "passed"), nil
}
