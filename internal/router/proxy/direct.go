package proxy

import "net"

// direct is what a socket can do without a wait. A loop uses it: see loop.go. The calls are
// made by RawConn.Control, so a descriptor can't be closed, and given to another connection,
// while it is used.
type direct struct {
	call func(fd uintptr) // made once, so that a call allocates nothing
	task task
	did  bool   // the task was done, not put off
	seen lookup // by taskAsk, before it sent
}

// task is one of the things that can be done directly.
type task uint8

const (
	taskReceive task = iota // as receiveHeld
	taskSend                // as send
	taskAsk                 // look, and then as send
)

// beDirect prepares a socket, which must have a descriptor.
func (s *socket) beDirect() {
	if s.direct == nil {
		s.direct = &direct{}
		s.direct.call = s.do
	}
}

func (s *socket) do(fd uintptr) {
	d := s.direct
	switch d.task {
	case taskReceive:
		d.did = s.receiveHeld(fd)
	case taskAsk:
		if d.seen = lookAt(fd); d.seen == open {
			d.did = s.send(fd)
		}
	case taskSend:
		d.did = s.send(fd)
	}
}

// receiveNow reads what has come into a buffer that the caller frees. n is 0 and err is nil if
// nothing has come.
func (s *socket) receiveNow() (b buffer, n int, err error) {
	d := s.direct
	d.task, d.did = taskReceive, false
	if s.raw.Control(d.call) != nil {
		return nil, 0, net.ErrClosed
	}
	if !d.did {
		return nil, 0, nil
	}
	b, s.held = s.held, nil
	s.in.total += int64(s.in.n)
	return b, s.in.n, s.in.err
}

// sendNow writes what the kernel takes of p. If that is not all, the next write tells why.
func (s *socket) sendNow(p []byte) (n int) {
	s.direct.task = taskSend
	return s.sendDirectly(p)
}

// askNow is sendNow if nothing has arrived before; otherwise seen says what has, and nothing
// was sent.
func (s *socket) askNow(p []byte) (n int, seen lookup) {
	s.direct.task, s.direct.seen = taskAsk, broken // it is, if it was closed
	n = s.sendDirectly(p)
	return n, s.direct.seen
}

func (s *socket) sendDirectly(p []byte) (n int) {
	s.out.p, s.out.n, s.out.err = p, 0, nil
	if s.raw.Control(s.direct.call) == nil {
		n = s.out.n
	}
	s.out.p = nil
	s.out.total += int64(n)
	return n
}
