package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// ready is what the server writes when all its listeners serve.
type ready struct {
	API         string `json:"api"`
	HTTP        string `json:"http"`
	Registry    string `json:"registry"`
	Credentials string `json:"credentials"`
	PID         int    `json:"pid"`

	Endpoints map[string]string `json:"endpoints"`
}

// server is a `slipway serve` of a test's own. Its data directory and ports
// outlive its process, so that it can be killed and started again.
type server struct {
	t    testing.TB
	bin  string
	dir  string // data directory
	args []string
	env  []string // of the process; nil for the test's own
	ready
	output *output
	net    *network // where its process runs; nil is the machine's own

	// http makes a connection per request, so that no test profits from one that
	// a former process left.
	http *http.Client

	before world // what the machine held before the first start

	mu   sync.Mutex // guards what follows
	cmd  *exec.Cmd
	done chan struct{} // closed when cmd has ended
	err  error         // how it ended
}

// serve starts a server with extra flags. When the test ends it deletes what
// the test left, stops the server and, if the test passed so far, fails when
// anything of it is still on the machine.
func serve(t testing.TB, flags ...string) *server {
	t.Helper()
	return serveIn(t, nil, append([]string{"--api-addr", freeAddr(t), "--http-addr", freeAddr(t)}, flags...)...)
}

// serveRaced is serve with the race detector in the server: it then ends with
// an error when it has seen a race.
func serveRaced(t testing.TB, flags ...string) *server {
	t.Helper()
	s := prepare(t, nil, append([]string{"--api-addr", freeAddr(t), "--http-addr", freeAddr(t)}, flags...)...)
	s.bin = raced(t)
	s.start()
	return s
}

// serveIn is serve in a network namespace. The flags name the addresses.
func serveIn(t testing.TB, n *network, flags ...string) *server {
	t.Helper()
	s := prepare(t, n, flags...)
	s.start()
	return s
}

// prepare is serveIn without the start.
func prepare(t testing.TB, n *network, flags ...string) *server {
	t.Helper()
	dir := t.TempDir()
	s := &server{t: t, bin: slipway, dir: filepath.Join(dir, "data"), output: &output{}, net: n}
	s.before = look(s)
	s.args = append([]string{"serve", "--data-dir", s.dir, "--ready-file", filepath.Join(dir, "ready.json")}, flags...)
	s.http = &http.Client{Timeout: within, Transport: &http.Transport{DialContext: n.dial, DisableKeepAlives: true}}
	t.Cleanup(s.end)
	return s
}

// nextPort spreads the servers of one run over ports.
var nextPort atomic.Int64

// freeAddr returns a loopback address below the range from which the kernel
// takes ports for outgoing connections, so that a server finds it free again
// after a restart.
func freeAddr(t testing.TB) string {
	t.Helper()
	for range 1000 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20000+int(nextPort.Add(1))))
		if err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("no free port")
	return ""
}

// start starts the process and waits until all its listeners serve.
func (s *server) start() {
	s.t.Helper()
	file := s.args[4]
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.t.Fatal(err)
	}
	cmd := exec.Command(s.bin, s.args...)
	cmd.Stdout, cmd.Stderr = s.output, s.output
	cmd.Env = s.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := s.net.within(cmd.Start); err != nil {
		s.t.Fatal(err)
	}
	done := make(chan struct{})
	s.mu.Lock()
	s.cmd, s.done = cmd, done
	s.mu.Unlock()
	go func() {
		err := cmd.Wait()
		s.mu.Lock()
		s.err = err
		s.mu.Unlock()
		close(done)
	}()
	eventually(s.t, "slipway serve gets ready", func() (bool, string) {
		select {
		case <-done:
			s.t.Fatalf("slipway serve ended at its start: %v\n%s", s.err, s.output)
		default:
		}
		b, err := os.ReadFile(file)
		if err != nil {
			return false, err.Error()
		}
		if err := json.Unmarshal(b, &s.ready); err != nil {
			s.t.Fatalf("ready file is not JSON: %v: %q", err, b)
		}
		return true, ""
	})
	if s.PID != cmd.Process.Pid {
		s.t.Errorf("ready file names process %d, the server is %d", s.PID, cmd.Process.Pid)
	}
}

// running returns the server's process, nil when none runs, and the channel
// that is closed at its end.
func (s *server) running() (*os.Process, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return nil, nil
	}
	select {
	case <-s.done:
		return nil, nil
	default:
		return s.cmd.Process, s.done
	}
}

// kill ends the server by SIGKILL and returns when its process is gone.
func (s *server) kill() {
	s.t.Helper()
	p, done := s.running()
	if p == nil {
		s.t.Fatalf("the server ended by itself: %v\n%s", s.err, s.output)
	}
	if err := p.Kill(); err != nil {
		s.t.Fatal(err)
	}
	<-done
}

// stop ends the server as an operator does and asserts a clean end.
func (s *server) stop() {
	s.t.Helper()
	p, done := s.running()
	if p == nil {
		s.t.Fatalf("the server ended by itself: %v\n%s", s.err, s.output)
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	select {
	case <-done:
	case <-time.After(within):
		s.t.Fatalf("the server did not end within %v of SIGTERM\n%s", within, s.output)
	}
	if s.err != nil {
		s.t.Errorf("the server ended with %v after SIGTERM, want exit 0\n%s", s.err, s.output)
	}
}

// end removes what the test left and looks for leaks.
func (s *server) end() {
	if s.t.Failed() {
		s.t.Logf("the server's output:\n%s", s.output)
	}
	defer s.raze()
	if p, _ := s.running(); p == nil {
		if s.t.Failed() {
			return
		}
		s.start()
	}
	s.deleteAll()
	s.stop()
	if !s.t.Failed() {
		s.assertNothingLeft()
	}
}

// raze kills whatever of the server still lives: a failed test must not leave
// containers behind.
func (s *server) raze() {
	if p, done := s.running(); p != nil {
		p.Kill()
		<-done
	}
	for _, pid := range inCgroup(slice(s.dir)) {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	for _, m := range mountsBelow(s.dir) {
		syscall.Unmount(m, syscall.MNT_DETACH)
	}
}

// hostPort is the address of the services' listener.
func (s *server) hostPort() string { return strings.TrimPrefix(s.HTTP, "http://") }

// registryHost is the host that images of the server's registry are named by.
func (s *server) registryHost() string { return strings.TrimPrefix(s.Registry, "http://") }

// slipway runs the binary as a client of this server and returns what it
// printed.
func (s *server) slipway(args ...string) (string, error) {
	var out bytes.Buffer
	err := s.net.within(func() error {
		cmd := exec.Command(s.bin, args...)
		cmd.Env = append(s.clientEnv(), "NO_COLOR=1")
		cmd.Stdout, cmd.Stderr = &out, &out
		return cmd.Run()
	})
	return out.String(), err
}

// clientEnv is the environment that points AWS's clients at this server.
func (s *server) clientEnv() []string {
	return append(os.Environ(),
		"AWS_SHARED_CREDENTIALS_FILE="+s.Credentials,
		"AWS_CONFIG_FILE=/dev/null",
		"AWS_REGION=us-east-1", "AWS_DEFAULT_REGION=us-east-1",
		"AWS_EC2_METADATA_DISABLED=true", "AWS_PAGER=",
		"SLIPWAY_ENDPOINT="+s.API,
	)
}

// output collects what a process writes. Its zero value is ready.
type output struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

// contains reports whether the text was ever written.
func (o *output) contains(text string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return bytes.Contains(o.b.Bytes(), []byte(text))
}

// String returns the last 16 KiB.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	b := o.b.Bytes()
	return string(b[max(0, len(b)-16<<10):])
}
