package sandboxinit

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/runtime/embedded/handoff"
)

// errDaemonGone means that the daemon closed its end of the socket, or died.
var errDaemonGone = errors.New("the daemon is gone")

// receive reads the next message, which must be of the kind wanted, and the
// descriptor that came with it: -1 if there is none.
func receive(want handoff.Kind) (body []byte, fd int, err error) {
	head := make([]byte, handoff.HeaderSize)
	fd, err = receiveHead(head)
	if err != nil {
		return nil, fd, err
	}
	kind, size, err := handoff.ParseHeader(head)
	if err == nil && kind != want {
		err = handoff.ErrMalformed
	}
	if err != nil {
		return nil, fd, err
	}
	body = make([]byte, size)
	return body, fd, readFull(body)
}

// receiveHead fills head and returns the descriptor that came with its first
// byte, or -1.
func receiveHead(head []byte) (fd int, err error) {
	oob := make([]byte, unix.CmsgSpace(4))
	var n, oobn int
	for {
		n, oobn, _, _, err = unix.Recvmsg(handoff.FDControl, head, oob, unix.MSG_CMSG_CLOEXEC)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		return -1, err
	}
	if n == 0 {
		return -1, errDaemonGone
	}
	fds, err := rights(oob[:oobn])
	if err != nil {
		return -1, err
	}
	fd = -1
	if len(fds) > 0 {
		fd = fds[0]
	}
	return fd, readFull(head[n:])
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

func readFull(b []byte) error {
	for len(b) > 0 {
		n, err := unix.Read(handoff.FDControl, b)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return err
		case n == 0:
			return errDaemonGone
		default:
			b = b[n:]
		}
	}
	return nil
}

// reply sends a message. If the daemon is gone, that is no error.
func reply(k handoff.Kind, text string) {
	b := append(handoff.AppendHeader(nil, k, len(text)), text...)
	for len(b) > 0 {
		n, err := unix.SendmsgN(handoff.FDControl, b, nil, nil, unix.MSG_NOSIGNAL)
		if err != nil && err != unix.EINTR {
			return
		}
		b = b[max(n, 0):]
	}
}
