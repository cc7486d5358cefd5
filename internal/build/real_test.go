package build_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openslipway/slipway/internal/build"
	"github.com/openslipway/slipway/internal/build/runtimes"
	"github.com/openslipway/slipway/internal/build/step"
	"github.com/openslipway/slipway/internal/image"
	"github.com/openslipway/slipway/internal/runtime/embedded"
	"github.com/openslipway/slipway/internal/runtime/embedded/egress"
)

// keepEnv names a directory in which runtimes that tests made stay for the next run.
// Without it each run makes its own, in minutes.
const keepEnv = "SLIPWAY_TEST_RUNTIMES"

// stand is a builder with a real image store, real sandboxes and the host's way to
// package registries. All tests share it, since making a runtime takes a minute.
type stand struct {
	images   *image.Store
	runtimes *runtimes.Set
	builder  *build.Builder
	driver   *embedded.Driver
	dir      string
	end      []func()

	mu       sync.Mutex // guards building
	building int        // builds that run
}

var theStand struct {
	once sync.Once
	s    *stand
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if s := theStand.s; s != nil {
		for i := len(s.end) - 1; i >= 0; i-- {
			s.end[i]()
		}
	}
	os.Exit(code)
}

// sharedStand returns the stand, and skips tests that cannot have one.
func sharedStand(t *testing.T) *stand {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("makes namespaces, mounts and cgroups: needs root")
	}
	if testing.Short() {
		t.Skip("makes runtimes, which takes minutes")
	}
	theStand.once.Do(func() {
		s := &stand{}
		theStand.s, theStand.err = s, s.open()
	})
	if theStand.err != nil {
		t.Fatal(theStand.err)
	}
	return theStand.s
}

// open starts everything.
func (s *stand) open() error {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if s.dir = os.Getenv(keepEnv); s.dir == "" {
		dir, err := os.MkdirTemp("", "build-*")
		if err != nil {
			return err
		}
		s.dir = dir
		s.end = append(s.end, func() { os.RemoveAll(dir) })
	}
	if err := os.Chmod(s.dir, 0o755); err != nil {
		return err
	}
	init, err := s.init()
	if err != nil {
		return err
	}
	if s.images, err = image.Open(image.Config{Dir: filepath.Join(s.dir, "images"), Log: slog.New(slog.DiscardHandler)}); err != nil {
		return err
	}
	s.end = append(s.end, func() { s.images.Close() })
	network, err := openNetwork()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.end = append(s.end, func() {
		cancel()
		if err := network.Teardown(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, "tear the network down:", err)
		}
	})
	if s.driver, err = embedded.New(embedded.Config{
		Dir: filepath.Join(s.dir, "embedded"), Images: s.images, LayerDir: filepath.Join(s.dir, "images", "layers"), Egress: network,
		Log: slog.New(slog.DiscardHandler), Pool: -1, Init: init,
	}); err != nil {
		return err
	}
	ended := make(chan error, 2)
	go func() { ended <- network.Run(ctx) }()
	go func() { ended <- s.driver.Run(ctx) }()
	s.end = append(s.end, func() { cancel(); <-ended; <-ended })
	return s.openBuilder(log)
}

func (s *stand) openBuilder(log *slog.Logger) (err error) {
	way := step.HostWay(os.Getenv)
	runner := step.Runner{Jobs: s.driver}
	if s.runtimes, err = runtimes.New(runtimes.Config{
		Dir: filepath.Join(s.dir, "runtimes"), Images: s.images, Runner: runner, Log: log, Way: way, RecipesOnly: true, CheckEvery: time.Nanosecond,
	}); err != nil {
		return err
	}
	s.builder, err = build.New(build.Config{
		Dir: filepath.Join(s.dir, "build"), Images: s.images, Runner: runner, Runtimes: s.runtimes, Log: log, Version: "test", Way: way,
		Docker: &build.Docker{Runner: runner, Images: s.images},
	})
	return err
}

// init builds the first process of sandboxes.
func (s *stand) init() ([]byte, error) {
	path := filepath.Join(s.dir, "slipway-init")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, "github.com/openslipway/slipway/cmd/slipway-init")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the init: %w\n%s", err, out)
	}
	return os.ReadFile(path)
}

// openNetwork sets up a network whose addresses nobody else uses.
func openNetwork() (*egress.Network, error) {
	var last error
	for i := range 20 {
		n := (os.Getpid() + i) % 256
		network, err := egress.New(egress.Config{
			Name: fmt.Sprintf("bt%02x", n), Prefix: netip.MustParsePrefix(fmt.Sprintf("198.19.%d.0/24", n)), Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			return nil, err
		}
		if last = network.Setup(context.Background()); last == nil {
			return network, nil
		}
	}
	return nil, last
}

// build builds a directory of testdata, or a tree that was made, and returns the log.
func (s *stand) build(t *testing.T, r build.Request) (string, build.Result, error) {
	t.Helper()
	if r.Service == "" {
		r.Service = "t" + strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(t.Name()))
	}
	s.mu.Lock()
	s.building++
	s.mu.Unlock()
	var log strings.Builder
	res, err := s.builder.Build(t.Context(), r, func(l build.Line) { log.WriteString(l.String() + "\n") })
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.building--; s.building > 0 { // the last one looks for what all have left
		return log.String(), res, err
	}
	if left, lerr := os.ReadDir(filepath.Join(s.dir, "build", "work")); lerr != nil || len(left) > 0 {
		t.Errorf("the build left %v, %v", left, lerr)
	}
	return log.String(), res, err
}

// source copies a directory of testdata.
func source(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tree")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", name))); err != nil {
		t.Fatal(err)
	}
	return dir
}

// unreachable skips a test that failed because a package registry did not answer, and
// fails it if the build failed otherwise.
func unreachable(t *testing.T, registry string, err error, log string) {
	t.Helper()
	text := log
	if err != nil {
		text += err.Error()
	}
	for _, sign := range []string{"Temporary failure resolving", "Could not resolve", "EAI_AGAIN", "ENOTFOUND", "no such host", "Connection timed out", "network is unreachable"} {
		if err != nil && strings.Contains(text, sign) {
			t.Skipf("%s cannot be reached from here: %s", registry, sign)
		}
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
}
