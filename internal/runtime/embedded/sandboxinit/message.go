package sandboxinit

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/runtime/embedded/handoff"
)

// errGone means that the other end of a socket was closed, or died.
var errGone = errors.New("the other end is gone")

// message is a message and the descriptors that came with it.
type message struct {
	kind handoff.Kind
	body []byte
	fds  []int
}

// maxDescriptors is how many descriptors come with one message at most.
const maxDescriptors = 2

// receive reads the next message from the daemon, which must be of the kind wanted.
func receive(want handoff.Kind) (message, error) {
	m, err := receiveFrom(handoff.FDControl)
	if err == nil && m.kind != want {
		err = handoff.ErrMalformed
	}
	return m, err
}

// receiveFrom reads the next message from a socket.
func receiveFrom(socket int) (m message, err error) {
	head := make([]byte, handoff.HeaderSize)
	if m.fds, err = receiveHead(socket, head); err != nil {
		return m, err
	}
	kind, size, err := handoff.ParseHeader(head)
	if err != nil {
		return m, err
	}
	m.kind, m.body = kind, make([]byte, size)
	return m, readFull(socket, m.body)
}

// receiveHead fills head and returns the descriptors that came with its first byte.
func receiveHead(socket int, head []byte) (fds []int, err error) {
	oob := make([]byte, unix.CmsgSpace(4*maxDescriptors))
	var n, oobn int
	for {
		n, oobn, _, _, err = unix.Recvmsg(socket, head, oob, unix.MSG_CMSG_CLOEXEC)
		if err != unix.EINTR {
			break
		}
	}
	if err == unix.ECONNRESET {
		return nil, errGone // closed with something unread
	}
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, errGone
	}
	if fds, err = rights(oob[:oobn]); err != nil {
		return nil, err
	}
	return fds, readFull(socket, head[n:])
}

// rights returns the descriptors in a control message.
func rights(oob []byte) ([]int, error) {
	if len(oob) == 0 {
		return nil, nil
	}
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(messages) == 0 {
		return nil, err
	}
	return unix.ParseUnixRights(&messages[0])
}

func readFull(socket int, b []byte) error {
	for len(b) > 0 {
		n, err := unix.Read(socket, b)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return err
		case n == 0:
			return errGone
		default:
			b = b[n:]
		}
	}
	return nil
}

// reply sends a message to the daemon. If that is gone, that is no error.
func reply(k handoff.Kind, text string) { _ = send(handoff.FDControl, k, text) }

// send sends a message, and descriptors with it.
func send(socket int, k handoff.Kind, body string, fds ...int) error {
	b := append(handoff.AppendHeader(nil, k, len(body)), body...)
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	for len(b) > 0 {
		n, err := unix.SendmsgN(socket, b, oob, nil, unix.MSG_NOSIGNAL)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		b, oob = b[n:], nil
	}
	return nil
}
