package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// engine is a Docker engine for the benchmark: a running one, or one that the
// benchmark starts.
type engine struct {
	host   []string  // arguments that select it
	own    *exec.Cmd // nil for a running one
	bridge bool      // its network device must be removed
}

const dockerBridge = "/sys/class/net/docker0"

// findEngine returns an engine, or nil if there is none. One that it starts
// changes no firewall rule of the host: its userland proxy publishes ports.
func findEngine(ctx context.Context, dir string) (*engine, error) {
	if _, err := exec.LookPath("docker"); err != nil {
		return nil, nil
	}
	if (&engine{}).answers(ctx) {
		return &engine{}, nil
	}
	if _, err := exec.LookPath("dockerd"); err != nil {
		return nil, nil
	}
	dir = filepath.Join(dir, "docker")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	socket := "unix://" + filepath.Join(dir, "socket")
	_, err := os.Stat(dockerBridge)
	e := &engine{host: []string{"-H", socket}, bridge: errors.Is(err, os.ErrNotExist)}
	e.own = exec.Command("dockerd", "-H", socket, "--data-root", filepath.Join(dir, "data"), "--exec-root", filepath.Join(dir, "exec"),
		"--pidfile", filepath.Join(dir, "pid"), "--iptables=false", "--ip6tables=false", "--ip-masq=false", "--ip-forward=false")
	e.own.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	var log bytes.Buffer
	e.own.Stdout, e.own.Stderr = &log, &log
	if err := e.own.Start(); err != nil {
		return nil, err
	}
	err = poll(ctx, 100*time.Millisecond, func() (bool, error) {
		_, err := e.run(ctx, nil, "version")
		return err == nil, err
	})
	if err != nil {
		return nil, errors.Join(err, e.close(), errors.New(log.String()))
	}
	return e, nil
}

func (e *engine) answers(ctx context.Context) bool {
	_, err := e.run(ctx, nil, "version", "--format", "{{.Server.Version}}")
	return err == nil
}

// run runs a Docker command and returns its output.
func (e *engine) run(ctx context.Context, stdin []byte, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "docker", append(e.host, args...)...)
	cmd.Stdin = bytes.NewReader(stdin)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("docker %s: %w\n%s", args[0], err, stderr.String())
	}
	return out, nil
}

// close stops an engine that the benchmark started.
func (e *engine) close() error {
	if e == nil || e.own == nil {
		return nil
	}
	e.own.Process.Signal(syscall.SIGTERM)
	err := e.own.Wait()
	if e.bridge {
		err = errors.Join(err, exec.Command("ip", "link", "delete", "docker0").Run())
	}
	return err
}

// docker starts the binary with Docker, with its port published on the loopback
// address.
type docker struct {
	engine *engine
	port   int
}

const dockerImage = "slipway-bench"

func newDocker(ctx context.Context, l *lab, e *engine) (*docker, error) {
	b, err := os.ReadFile(l.binary)
	if err != nil {
		return nil, err
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	err = w.WriteHeader(&tar.Header{Name: "app", Mode: 0o755, Size: int64(len(b))})
	if err == nil {
		_, err = w.Write(b)
	}
	if err := errors.Join(err, w.Close()); err != nil {
		return nil, err
	}
	_, err = e.run(ctx, layer.Bytes(), "import", "--change", `ENTRYPOINT ["/app"]`, "-", dockerImage)
	return &docker{e, freePort()}, err
}

func (d *docker) name() string { return "Docker" }

func (d *docker) start(ctx context.Context) error {
	_, err := d.engine.run(ctx, nil, "run", "-d", "--name", dockerImage, "-e", "PORT=8080",
		"-p", fmt.Sprintf("127.0.0.1:%d:8080", d.port), dockerImage)
	if err != nil {
		return err
	}
	return answers(ctx, d.port)
}

func (d *docker) stop(ctx context.Context) error {
	_, err := d.engine.run(ctx, nil, "rm", "--force", dockerImage)
	return err
}
