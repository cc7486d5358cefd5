package harness

import (
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// sockets are listening sockets that a server inherits and the test keeps open, as
// systemd does.
type sockets struct {
	files []*os.File
	names []string
}

// Hold opens a socket for each name, which the server's processes inherit from their
// next start on, and returns the addresses. Connections wait in the sockets while no
// process runs.
func (s *Server) Hold(names ...string) []string {
	s.T.Helper()
	var addrs []string
	for _, name := range names {
		l, err := net.Listen("tcp", FreeAddr(s.T))
		if err != nil {
			s.T.Fatal(err)
		}
		f, err := l.(*net.TCPListener).File()
		if err != nil {
			s.T.Fatal(err)
		}
		l.Close() // the file is a copy
		s.T.Cleanup(func() { f.Close() })
		s.held.files = append(s.held.files, f)
		s.held.names = append(s.held.names, name)
		addrs = append(addrs, l.Addr().String())
	}
	return addrs
}

// command returns the command of a program that inherits the sockets. A shell sets the
// variable with the process's id, which nobody knows before.
func (h sockets) command(program string, args ...string) *exec.Cmd {
	if len(h.files) == 0 {
		return exec.Command(program, args...)
	}
	cmd := exec.Command("/bin/sh", append([]string{"-c", `LISTEN_PID=$$ exec "$0" "$@"`, program}, args...)...)
	cmd.ExtraFiles = h.files
	return cmd
}

// environment adds what tells of the sockets; nil is the test's own environment.
func (h sockets) environment(env []string) []string {
	if len(h.files) == 0 {
		return env
	}
	if env == nil {
		env = os.Environ()
	}
	return append(env[:len(env):len(env)], "LISTEN_FDS="+strconv.Itoa(len(h.files)), "LISTEN_FDNAMES="+strings.Join(h.names, ":"))
}
