package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openslipway/slipway/internal/runtime"
	"github.com/openslipway/slipway/internal/runtime/embedded"
	"github.com/openslipway/slipway/internal/runtime/runtimetest"
)

// built is what TestMain makes for all tests.
var built struct {
	dir     string
	init    []byte // cmd/slipway-init
	layers  string // directory of all layers
	program string // layer with the contract suite's program
	probe   string // layer with ./testdata/probe
}

const (
	imageProgram = "sha256:aa" // runtimetest's program
	imageProbe   = "sha256:bb" // testdata/probe over a layer with accounts
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(daemonEnv); dir != "" {
		fmt.Println(serveDaemon(dir)) // returns when its input ends
		os.Exit(1)
	}
	os.Exit(func() int {
		if os.Geteuid() != 0 {
			return m.Run() // every test that needs more says so
		}
		dir, err := os.MkdirTemp("", "embedded-*")
		if err == nil {
			defer os.RemoveAll(dir)
			err = build(dir)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "prepare the tests:", err)
			return 1
		}
		return m.Run()
	}())
}

// build compiles what instances run and lays it out as layers.
func build(dir string) error {
	built.dir, built.layers = dir, filepath.Join(dir, "layers")
	built.program = filepath.Join(built.layers, "program")
	built.probe = filepath.Join(built.layers, "probe")
	const module = "github.com/openslipway/slipway/"
	for path, pkg := range map[string]string{
		filepath.Join(dir, "slipway-init"):      module + "cmd/slipway-init",
		filepath.Join(built.program, "program"): module + "internal/runtime/runtimetest/program",
		filepath.Join(built.probe, "bin/probe"): module + "internal/runtime/embedded/testdata/probe",
	} {
		cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, pkg)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", pkg, err, out)
		}
	}
	var err error
	if built.init, err = os.ReadFile(filepath.Join(dir, "slipway-init")); err != nil {
		return err
	}
	// What the tests' umask may have taken.
	for _, path := range []string{dir, built.layers, built.program, built.probe, built.probe + "/bin"} {
		if err := os.Chmod(path, 0o755); err != nil {
			return err
		}
	}
	return accounts(filepath.Join(built.layers, "accounts"))
}

// accounts is a layer with users, groups and a few files.
func accounts(dir string) error {
	for _, sub := range []string{"etc", "home/web", "srv"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return err
		}
	}
	for path, text := range map[string]string{
		"etc/passwd": "root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1001:Web:/home/web:/bin/sh\n",
		"etc/group":  "root:x:0:\nweb:x:1001:\nlog:x:1002:web\n",
		"srv/text":   "shared\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, path), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return errors.Join(os.Chmod(filepath.Join(dir, "srv/text"), 0o644), os.Chown(filepath.Join(dir, "home/web"), 1000, 1001))
}

// images are the test images: the layers of each, top first.
type images map[string][]string

func (i images) Layers(_ context.Context, digest string) ([]string, error) {
	layers, ok := i[digest]
	if !ok {
		return nil, fmt.Errorf("there is no image %s", digest)
	}
	return layers, nil
}

func testImages() images {
	return images{
		imageProgram: {built.program},
		imageProbe:   {built.probe, filepath.Join(built.layers, "accounts")},
	}
}

// needRoot skips a test that makes sandboxes.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("makes namespaces, mounts and cgroups: needs root")
	}
}

// config is a driver's for tests, in a directory of its own.
func config(t testing.TB) embedded.Config {
	t.Helper()
	return embedded.Config{
		Dir:      t.TempDir(),
		Images:   testImages(),
		LayerDir: built.layers,
		Log:      slog.New(slog.NewTextHandler(logWriter{t}, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Pool:     1,
		Init:     built.init,
	}
}

// logWriter writes a log into a test's output.
type logWriter struct{ t testing.TB }

func (w logWriter) Write(b []byte) (int, error) {
	w.t.Log(strings.TrimSuffix(string(b), "\n"))
	return len(b), nil
}

// open runs a driver and returns it with what ends it.
func open(t testing.TB, cfg embedded.Config) (*embedded.Driver, func()) {
	t.Helper()
	d, drop := openUntil(t, cfg)
	t.Cleanup(drop)
	return d, drop
}

// openUntil is open for callers that end the driver in any case.
func openUntil(t testing.TB, cfg embedded.Config) (*embedded.Driver, func()) {
	t.Helper()
	d, err := embedded.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	go func() { result <- d.Run(ctx) }()
	ended := false
	drop := func() {
		if ended {
			return
		}
		ended = true
		cancel()
		if err := <-result; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
	if _, err := d.List(t.Context()); err != nil {
		drop()
		t.Fatalf("the driver did not begin: %v", err)
	}
	return d, drop
}

func TestContract(t *testing.T) {
	needRoot(t)
	t.Parallel()
	runtimetest.Run(t, func(t *testing.T) runtimetest.Harness {
		cfg := config(t)
		cfg.Output = 1 << 20
		return runtimetest.Harness{
			Open: func(t testing.TB) (runtime.Driver, func()) {
				return openUntil(t, cfg)
			},
			Image:      imageProgram,
			OutputKept: cfg.Output,
		}
	})
}

// patience bounds every wait of a test: it guards against hanging and measures
// nothing.
const patience = time.Minute

// eventually calls cond until it returns nil.
func eventually(t testing.TB, what string, cond func() error) {
	t.Helper()
	runtimetest.Eventually(t, what, cond)
}
