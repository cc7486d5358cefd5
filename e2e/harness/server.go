package harness

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// ready is the server's ready file, which it writes when all its listeners serve.
type ready struct {
	API         string `json:"api"`
	HTTP        string `json:"http"`
	HTTPS       string `json:"https"`     // "" without --https-addr
	Authority   string `json:"authority"` // file; "" without a local authority
	Registry    string `json:"registry"`
	Credentials string `json:"credentials"`
	PID         int    `json:"pid"`
	Metrics     string `json:"metrics"` // "" without --metrics-addr

	Endpoints map[string]string `json:"endpoints"`
}

// Server is a `slipway serve` of a test. Its data directory and ports outlive its
// process, so that it can be killed and started again.
type Server struct {
	T       testing.TB
	Binary  string
	DataDir string // the data directory
	args    []string
	Env     []string // environment of the process; nil for the test's own
	Strict  bool     // connects to no loopback address for its users, as servers do by default
	ready
	Output *output
	net    *Network // network namespace of the process; nil is the machine's own
	held   sockets  // that the process inherits; see Hold

	// HTTPClient opens a connection per request, so that no test reuses one that a
	// former process accepted.
	HTTPClient *http.Client

	Before Resources // what the machine held before the first start

	mu      sync.Mutex // guards what follows
	process *os.Process
	done    chan struct{} // closed when it has ended
	err     error         // how it ended; nil if this process did not start it
	former  []former
}

// former is a process that another one has taken over from.
type former struct {
	process *os.Process
	done    chan struct{}
}

// Serve starts a server with further flags. When the test ends, its services are
// deleted and the server is stopped. A test that passed so far fails when the server
// left anything on the machine.
func Serve(t testing.TB, flags ...string) *Server {
	t.Helper()
	return ServeIn(t, nil, append([]string{"--api-addr", FreeAddr(t), "--http-addr", FreeAddr(t)}, flags...)...)
}

// ServeRaced is Serve with the race detector in the server, which exits with an
// error when it has seen a race.
func ServeRaced(t testing.TB, flags ...string) *Server {
	t.Helper()
	s := Prepare(t, nil, append([]string{"--api-addr", FreeAddr(t), "--http-addr", FreeAddr(t)}, flags...)...)
	s.Binary = racedBinary(t)
	s.Start()
	return s
}

// ServeIn is Serve in a network namespace. The flags must set the addresses.
func ServeIn(t testing.TB, n *Network, flags ...string) *Server {
	t.Helper()
	s := Prepare(t, n, flags...)
	s.Start()
	return s
}

// Prepare is ServeIn without the start.
func Prepare(t testing.TB, n *Network, flags ...string) *Server {
	t.Helper()
	dir := t.TempDir()
	s := &Server{T: t, Binary: Binary, DataDir: filepath.Join(dir, "data"), Output: &output{}, net: n}
	s.Before = ResourcesOf(s)
	s.args = append([]string{"serve", "--data-dir", s.DataDir, "--ready-file", filepath.Join(dir, "ready.json")}, flags...)
	s.HTTPClient = &http.Client{Timeout: Timeout, Transport: &http.Transport{DialContext: n.Dial, DisableKeepAlives: true}}
	t.Cleanup(s.cleanUp)
	return s
}

// Start starts the server's process and waits until all its listeners serve.
func (s *Server) Start() {
	s.T.Helper()
	if err := os.Remove(s.args[4]); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.T.Fatal(err)
	}
	s.begin()
	s.awaitReady(false, func(int) bool { return true })
	if p, _ := s.running(); p != nil && s.PID != p.Pid {
		s.T.Errorf("ready file names process %d, the server is %d", s.PID, p.Pid)
	}
}

// StartFails starts the server's process, which must end by itself with an error that says
// what is wanted.
func (s *Server) StartFails(want string) {
	s.T.Helper()
	s.begin()
	if err := s.Ended(); err == nil {
		s.T.Errorf("the server ended without an error\n%s", s.Output)
	}
	Eventually(s.T, "the server says "+want, func() (bool, string) { return s.Output.Contains(want), s.Output.String() })
}

// begin starts a process of the server, with further flags.
func (s *Server) begin(flags ...string) {
	s.T.Helper()
	cmd := s.held.command(s.Binary, append(slices.Clone(s.args), flags...)...)
	// A pipe of our own: that of cmd would have Wait wait for all processes that have it, as
	// the one that takes over does.
	r, w, err := os.Pipe()
	if err != nil {
		s.T.Fatal(err)
	}
	go func() {
		io.Copy(s.Output, r)
		r.Close()
	}()
	cmd.Stdout, cmd.Stderr = w, w
	cmd.Env = s.held.environment(s.environment())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = s.net.Do(cmd.Start)
	w.Close()
	if err != nil {
		s.T.Fatal(err)
	}
	done := make(chan struct{})
	s.mu.Lock()
	s.process, s.done, s.err = cmd.Process, done, nil
	s.mu.Unlock()
	go func() {
		err := cmd.Wait()
		s.mu.Lock()
		if s.done == done {
			s.err = err
		}
		s.mu.Unlock()
		close(done)
	}()
}

// awaitReady waits until a process that is meant says that it serves. replaced says that it
// is not the one that is known as running, which may have ended.
func (s *Server) awaitReady(replaced bool, meant func(pid int) bool) {
	s.T.Helper()
	Eventually(s.T, "slipway serve gets ready", func() (bool, string) {
		if p, _ := s.running(); p == nil && !replaced {
			s.T.Fatalf("slipway serve ended at its start: %v\n%s", s.err, s.Output)
		}
		b, err := os.ReadFile(s.args[4])
		if err != nil {
			return false, err.Error()
		}
		var r ready
		if err := json.Unmarshal(b, &r); err != nil {
			s.T.Fatalf("ready file is not JSON: %v: %q", err, b)
		}
		if !meant(r.PID) {
			return false, "process " + strconv.Itoa(r.PID)
		}
		s.ready = r
		s.trust()
		return true, ""
	})
}

// trust has the test's own clients accept the server's authority, if it has one.
func (s *Server) trust() {
	if s.Authority == "" {
		return
	}
	b, err := os.ReadFile(s.Authority)
	roots := x509.NewCertPool()
	if err != nil || !roots.AppendCertsFromPEM(b) {
		s.T.Fatalf("the server's authority: %v: %q", err, b)
	}
	s.HTTPClient.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: roots}
}

// environment is the one of the process. The registries, code hosts and receivers of tests
// are at loopback addresses. A variable, since servers of earlier versions know no flag.
func (s *Server) environment() []string {
	env := s.Env
	if env == nil {
		env = os.Environ()
	}
	if s.Strict {
		return env
	}
	return append(slices.Clip(env), "SLIPWAY_ALLOW_ADDRESS=127.0.0.0/8,::1")
}

// running returns the server's process, nil when none runs, and the channel
// that is closed at its end.
func (s *Server) running() (*os.Process, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return nil, nil
	}
	select {
	case <-s.done:
		return nil, nil
	default:
		return s.process, s.done
	}
}

// Kill ends the server by SIGKILL and returns when its process is gone.
func (s *Server) Kill() {
	s.T.Helper()
	p, done := s.running()
	if p == nil {
		s.T.Fatalf("the server ended by itself: %v\n%s", s.err, s.Output)
	}
	if err := p.Kill(); err != nil {
		s.T.Fatal(err)
	}
	<-done
}

// Stop ends the server by SIGTERM and checks that it exits with 0.
func (s *Server) Stop() {
	s.T.Helper()
	p, done := s.running()
	if p == nil {
		s.T.Fatalf("the server ended by itself: %v\n%s", s.err, s.Output)
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		s.T.Fatal(err)
	}
	select {
	case <-done:
	case <-time.After(Timeout):
		s.T.Fatalf("the server did not end within %v of SIGTERM\n%s", Timeout, s.Output)
	}
	if s.err != nil {
		s.T.Errorf("the server ended with %v after SIGTERM, want exit 0\n%s", s.err, s.Output)
	}
}

// Ended waits until the server has ended by itself, and returns how.
func (s *Server) Ended() error {
	s.T.Helper()
	p, done := s.running()
	if p != nil {
		select {
		case <-done:
		case <-time.After(Timeout):
			s.T.Fatalf("the server did not end within %v\n%s", Timeout, s.Output)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// cleanUp deletes the services that the test left, stops the server and checks for
// leaks.
func (s *Server) cleanUp() {
	if s.T.Failed() {
		s.T.Logf("the server's output:\n%s", s.Output)
	}
	defer s.killAll()
	if p, _ := s.running(); p == nil {
		if s.T.Failed() {
			return
		}
		s.Start()
	}
	s.DeleteAll()
	s.Stop()
	if !s.T.Failed() {
		s.AssertNothingLeft()
	}
}

// killAll kills the server and its instances and unmounts their file systems, since
// a failed test must not leave them behind.
func (s *Server) killAll() {
	if p, done := s.running(); p != nil {
		p.Kill()
		<-done
	}
	for _, f := range s.former {
		f.process.Kill()
		<-f.done
	}
	for _, pid := range ProcessesInCgroup(CgroupName(s.DataDir)) {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	for _, dir := range cgroups(CgroupName(s.DataDir)) { // of version 1: those that are frozen die when they are thawed
		os.WriteFile(filepath.Join(dir, "freezer.state"), []byte("THAWED"), 0)
	}
	for _, m := range mountsBelow(s.DataDir) {
		syscall.Unmount(m, syscall.MNT_DETACH)
	}
}

// HostPort is the address at which the services answer.
func (s *Server) HostPort() string { return strings.TrimPrefix(s.HTTP, "http://") }

// RegistryHost is the registry host in image references.
func (s *Server) RegistryHost() string { return strings.TrimPrefix(s.Registry, "http://") }

// RunSlipway runs a client verb and returns its standard output and standard error.
func (s *Server) RunSlipway(args ...string) (string, error) {
	var out bytes.Buffer
	err := s.net.Do(func() error {
		cmd := exec.Command(s.Binary, args...)
		cmd.Env = append(s.ClientEnv(), "NO_COLOR=1")
		cmd.Stdout, cmd.Stderr = &out, &out
		return cmd.Run()
	})
	return out.String(), err
}

// ClientEnv returns the environment that points AWS's clients at the server.
func (s *Server) ClientEnv() []string {
	env := os.Environ()
	if strings.HasPrefix(s.API, "https://") {
		env = append(env, "AWS_CA_BUNDLE="+s.Authority, "SSL_CERT_FILE="+s.Authority)
	}
	return append(env,
		"AWS_SHARED_CREDENTIALS_FILE="+s.Credentials,
		"AWS_CONFIG_FILE=/dev/null",
		"AWS_REGION=us-east-1", "AWS_DEFAULT_REGION=us-east-1",
		"AWS_EC2_METADATA_DISABLED=true", "AWS_PAGER=",
		"SLIPWAY_ENDPOINT="+s.API,
	)
}

// output collects what a process writes. The zero value is ready to use.
type output struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

// Contains reports whether the text was ever written.
func (o *output) Contains(text string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return bytes.Contains(o.b.Bytes(), []byte(text))
}

// Lines returns the lines that have the text in them.
func (o *output) Lines(text string) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var b strings.Builder
	for line := range strings.Lines(o.b.String()) {
		if strings.Contains(line, text) {
			b.WriteString(line)
		}
	}
	return b.String()
}

// Reset forgets what was written.
func (o *output) Reset() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.b.Reset()
}

// String returns the last 16 KiB.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	b := o.b.Bytes()
	return string(b[max(0, len(b)-16<<10):])
}
