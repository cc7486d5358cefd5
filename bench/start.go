package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// starter is a way to start the binary.
type starter interface {
	name() string
	// start starts it and returns when it answered 200. This is timed.
	start(ctx context.Context) error
	// stop stops it, untimed.
	stop(ctx context.Context) error
}

// bare executes the binary directly: the lower bound.
type bare struct {
	binary string
	port   int
	cmd    *exec.Cmd
}

func (b *bare) name() string { return "bare exec" }

func (b *bare) start(ctx context.Context) error {
	b.cmd = exec.Command(b.binary)
	b.cmd.Env = []string{"PORT=" + strconv.Itoa(b.port)}
	if err := b.cmd.Start(); err != nil {
		return err
	}
	return answers(ctx, b.port)
}

func (b *bare) stop(context.Context) error {
	if err := b.cmd.Process.Kill(); err != nil {
		return err
	}
	b.cmd.Wait()
	return nil
}

// answers returns when the port on this machine answered 200.
func answers(ctx context.Context, port int) error {
	url := fmt.Sprintf("http://127.0.0.1:%d/", port)
	return poll(ctx, often, func() (bool, error) {
		_, err := get(ctx, url, "")
		return err == nil, err
	})
}

// resuming resumes a paused service.
type resuming struct {
	way     string
	service *service
	op      string
}

// Ways to resume: starting an instance, and thawing the one that the pause has kept.
const (
	resumeStarts = "slipway: resume"
	resumeThaws  = "slipway: resume, instance kept"
)

func (r *resuming) name() string { return r.way }

func (r *resuming) start(ctx context.Context) (err error) {
	r.op, err = r.service.resume(ctx, often)
	return err
}

func (r *resuming) stop(ctx context.Context) error {
	if err := r.service.ended(ctx, r.op); err != nil {
		return err
	}
	return r.service.pause(ctx)
}

// creating creates a service from an image that is in the local store.
type creating struct {
	server  *server
	service *service
	op      string
	n       int
}

func (c *creating) name() string { return "slipway: create" }

func (c *creating) start(ctx context.Context) (err error) {
	c.n++
	if c.service, c.op, err = c.server.create(ctx, fmt.Sprintf("made-%d", c.n), ""); err != nil {
		return err
	}
	return c.service.answers(ctx, often)
}

func (c *creating) stop(ctx context.Context) error {
	if err := c.service.ended(ctx, c.op); err != nil {
		return err
	}
	return c.service.pause(ctx)
}

// runc starts the binary with runc, in all namespaces except the network's: so
// runc need not make it reachable.
type runc struct {
	bundle string
	port   int
}

func newRunc(l *lab) (*runc, error) {
	r := &runc{bundle: filepath.Join(l.dir, "bundle"), port: freePort()}
	root := filepath.Join(r.bundle, "rootfs")
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, err
	}
	b, err := os.ReadFile(l.binary)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(root, "app"), b, 0o755); err != nil {
		return nil, err
	}
	spec := exec.Command("runc", "spec", "--bundle", r.bundle)
	if out, err := spec.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("runc spec: %w\n%s", err, out)
	}
	return r, r.configure()
}

// configure edits the default specification that runc wrote.
func (r *runc) configure() error {
	file := filepath.Join(r.bundle, "config.json")
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var spec map[string]any
	if err := json.Unmarshal(b, &spec); err != nil {
		return err
	}
	process := spec["process"].(map[string]any)
	process["terminal"] = false
	process["args"] = []string{"/app"}
	process["env"] = []string{"PORT=" + strconv.Itoa(r.port)}
	linux := spec["linux"].(map[string]any)
	var spaces []any
	for _, ns := range linux["namespaces"].([]any) {
		if ns.(map[string]any)["type"] != "network" {
			spaces = append(spaces, ns)
		}
	}
	linux["namespaces"] = spaces
	if b, err = json.Marshal(spec); err != nil {
		return err
	}
	return os.WriteFile(file, b, 0o644)
}

func (r *runc) name() string { return "runc" }

// id is the container's name.
func (r *runc) id() string { return "slipway-bench-" + strconv.Itoa(os.Getpid()) }

func (r *runc) start(ctx context.Context) error {
	// No pipes: the container would keep them open.
	if err := exec.CommandContext(ctx, "runc", "run", "--detach", "--bundle", r.bundle, r.id()).Run(); err != nil {
		return fmt.Errorf("runc run: %w", err)
	}
	return answers(ctx, r.port)
}

func (r *runc) stop(ctx context.Context) error {
	if out, err := exec.CommandContext(ctx, "runc", "delete", "--force", r.id()).CombinedOutput(); err != nil {
		return fmt.Errorf("runc delete: %w\n%s", err, out)
	}
	return nil
}

// freePort returns a port that was free a moment ago.
func freePort() int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// measureStarts measures every way to start the binary, in turns.
func measureStarts(ctx context.Context, l *lab, r *report) error {
	s, err := newServer(ctx, l, "starts")
	if err != nil {
		return err
	}
	e, err := findEngine(ctx, l.dir)
	if err == nil {
		var ways []starter
		if ways, err = starters(ctx, l, s, e, r); err == nil {
			err = takeTurns(ctx, l.rounds, ways, r)
		}
	}
	return errors.Join(err, s.close(), e.close())
}

func starters(ctx context.Context, l *lab, s *server, e *engine, r *report) ([]starter, error) {
	ways := []starter{&bare{binary: l.binary, port: freePort()}}
	for _, r := range []*resuming{{way: resumeThaws}, {way: resumeStarts}} {
		var err error
		if r.service, err = s.running(ctx, fmt.Sprintf("paused-%d", len(ways)), ""); err != nil {
			return nil, err
		}
		if r.way == resumeThaws {
			err = r.service.tag(ctx, "pause-keeps", 3600)
		}
		if err = errors.Join(err, r.service.pause(ctx)); err != nil {
			return nil, err
		}
		ways = append(ways, r)
	}
	ways = append(ways, &creating{server: s})
	if out, err := exec.Command("runc", "--version").Output(); err != nil {
		r.absent("runc", "apt-get install runc")
	} else {
		r.version("runc", out)
		way, err := newRunc(l)
		if err != nil {
			return nil, err
		}
		ways = append(ways, way)
	}
	if e == nil {
		r.absent("Docker", "no engine answers, and there is no dockerd to start")
		return ways, nil
	}
	out, err := e.run(ctx, nil, "version", "--format", "{{.Server.Version}}")
	if err != nil {
		return nil, err
	}
	r.version("Docker", out)
	way, err := newDocker(ctx, l, e)
	return append(ways, way), err
}

// takeTurns runs the rounds; the first one warms caches and does not count.
// Every second round runs backwards, so that none always follows the same one.
func takeTurns(ctx context.Context, rounds int, ways []starter, r *report) error {
	r.order(ways)
	for round := range rounds + 1 {
		for i := range ways {
			if round%2 == 1 {
				i = len(ways) - 1 - i
			}
			way := ways[i]
			if err := r.noise.waitForQuiet(ctx); err != nil {
				return err
			}
			began := time.Now()
			if err := way.start(ctx); err != nil {
				return fmt.Errorf("%s: %w", way.name(), err)
			}
			took := time.Since(began)
			if err := way.stop(ctx); err != nil {
				return fmt.Errorf("%s: %w", way.name(), err)
			}
			if round > 0 {
				r.started(way.name(), took)
			}
		}
	}
	return nil
}

// firstLine is the version that a program prints.
func firstLine(out []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return line
}
