package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/runtime/embedded/handoff"
	"github.com/openslipway/slipway/internal/runtime/embedded/sandboxinit"
)

// spawner is the daemon's end of the process that starts shims. The process is
// started when it is first needed, and again if it died. It ends with the daemon.
type spawner struct {
	program []byte // see Config.Init
	log     *slog.Logger

	mu   sync.Mutex // guards what follows, and serialises requests
	conn *net.UnixConn
	cmd  *exec.Cmd
}

// spawnTimeout is how long the spawner may take to answer. It takes milliseconds;
// this guards against waiting for ever.
const spawnTimeout = 30 * time.Second

// spawn starts a shim with these files as its descriptors from FDControl on,
// and the cgroup's directory last if the request says so. It returns the
// shim's id and pidfd.
func (s *spawner) spawn(ctx context.Context, request handoff.Spawn, files []*os.File) (pid int, pidfd *os.File, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range 2 {
		if s.conn == nil {
			if err = s.start(); err != nil {
				return 0, nil, fmt.Errorf("start the spawner: %w", err)
			}
		}
		pid, pidfd, err = s.ask(request, files)
		if err == nil || errors.Is(err, errRefused) || ctx.Err() != nil {
			return pid, pidfd, err
		}
		s.log.Warn("the spawner failed and is started again", "err", err)
		s.stop()
	}
	return 0, nil, err
}

// errRefused marks errors that the spawner reports, in contrast to its failures.
var errRefused = errors.New("spawn a sandbox")

func (s *spawner) ask(request handoff.Spawn, files []*os.File) (int, *os.File, error) {
	fds := make([]int, len(files))
	for i, f := range files {
		fds[i] = int(f.Fd())
	}
	if err := s.conn.SetDeadline(time.Now().Add(spawnTimeout)); err != nil {
		return 0, nil, err
	}
	if _, _, err := s.conn.WriteMsgUnix(request.Append(nil), unix.UnixRights(fds...), nil); err != nil {
		return 0, nil, err
	}
	b, oob := make([]byte, 4096), make([]byte, unix.CmsgSpace(4))
	n, oobn, _, _, err := s.conn.ReadMsgUnix(b, oob)
	if err != nil {
		return 0, nil, err
	}
	answer, err := handoff.ParseSpawned(b[:n])
	if err != nil {
		return 0, nil, err
	}
	if answer.Err != "" {
		return 0, nil, fmt.Errorf("%w: %s", errRefused, answer.Err)
	}
	pidfd, err := receivedFile(oob[:oobn], "pidfd "+strconv.Itoa(answer.PID))
	return answer.PID, pidfd, err
}

// receivedFile returns the descriptor in a control message.
func receivedFile(oob []byte, name string) (*os.File, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(messages) != 1 {
		return nil, errors.Join(errors.New("a message came without its descriptor"), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, errors.Join(errors.New("a message came without its descriptor"), err)
	}
	return os.NewFile(uintptr(fds[0]), name), nil
}

// start starts the process. The caller holds mu.
func (s *spawner) start() error {
	program, err := initProgram(s.program)
	if err != nil {
		return err
	}
	defer program.Close()
	ours, theirs, err := socketPair(unix.SOCK_SEQPACKET)
	if err != nil {
		return err
	}
	defer theirs.Close()
	cmd := exec.Command("/proc/self/fd/" + strconv.Itoa(int(program.Fd())))
	cmd.Args = []string{sandboxinit.SpawnerName}
	cmd.Dir = "/"
	cmd.Env = []string{"GOGC=off", "GOMEMLIMIT=32MiB", "GOMAXPROCS=1"}
	cmd.ExtraFiles = []*os.File{theirs} // handoff.FDControl
	cmd.Stderr = &stderrLog{s.log}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS, Setsid: true}
	if err := cmd.Start(); err != nil {
		ours.Close()
		return err
	}
	s.cmd, s.conn = cmd, ours
	return nil
}

// stop ends the process. The caller holds mu.
func (s *spawner) stop() {
	if s.conn == nil {
		return
	}
	s.conn.Close() // the spawner then ends
	s.conn = nil
	if err := s.cmd.Wait(); err != nil {
		s.log.Warn("the spawner failed", "err", err)
	}
}

func (s *spawner) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop()
}

// stderrLog logs what a process writes to its standard error.
type stderrLog struct{ log *slog.Logger }

func (c *stderrLog) Write(b []byte) (int, error) {
	c.log.Error("the spawner reports an error", "text", string(bytes.TrimSpace(b)))
	return len(b), nil
}

// socketPair returns two connected sockets: one for this process to use, one
// to give away.
func socketPair(kind int) (*net.UnixConn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make a pair of sockets: %w", err)
	}
	theirs := os.NewFile(uintptr(fds[1]), "socket")
	file := os.NewFile(uintptr(fds[0]), "socket")
	defer file.Close() // FileConn takes a copy
	conn, err := net.FileConn(file)
	if err != nil {
		theirs.Close()
		return nil, nil, fmt.Errorf("use a socket: %w", err)
	}
	return conn.(*net.UnixConn), theirs, nil
}
