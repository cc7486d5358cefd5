// Bench measures Slipway's start times, memory and API calls against the same
// binary started directly, by runc and by Docker, and its builds against the same
// commands run directly and by buildah, its router against other reverse proxies, and
// services that sleep, and writes the result as a page.
//
// Ways that are compared take turns, round by round, so that other load on the
// machine affects all alike. Figures are medians. Read ratios rather than
// milliseconds, which depend on the machine.
//
//	make bench
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
)

// options are the command line's flags.
type options struct {
	slipway  string // the binary to measure
	program  string // main package of the service that is started
	out      string // the page's file
	rounds   int
	crowd    int // paused services resumed at once
	services int // services at rest, for memory and start-up
	known    int // services that exist during API calls

	sleepers int // services that sleep
	wakes    int // times that each of some applications is woken; 0 leaves that out

	only        string // part to measure; "" for all
	buildRounds int    // rounds of each comparison of builds
	runtimes    string // directory in which runtimes stay from run to run; "" for none
}

func main() {
	c := options{}
	flag.StringVar(&c.slipway, "slipway", "bin/slipway", "binary to measure")
	flag.StringVar(&c.program, "program", "./e2e/harness/testdata/app", "main package of the service to start")
	flag.StringVar(&c.out, "out", "docs/benchmarks.md", "page to write, - for none")
	flag.IntVar(&c.rounds, "rounds", 25, "rounds of each comparison")
	flag.IntVar(&c.crowd, "crowd", 100, "paused services to resume at once")
	flag.IntVar(&c.services, "services", 1000, "services at rest")
	flag.IntVar(&c.known, "known", 10_000, "services that API calls are made about")
	flag.IntVar(&c.sleepers, "sleepers", 1000, "services that sleep")
	flag.IntVar(&c.wakes, "wakes", 30, "times that each of some applications is woken from a freeze; 0 for none")
	flag.StringVar(&c.only, "only", "", "`part` to measure: starts, builds, router or sleep; the rest of the page stays as it is")
	flag.IntVar(&c.buildRounds, "build-rounds", 5, "rounds of each comparison of builds")
	flag.StringVar(&c.runtimes, "runtimes", "", "`directory` in which the runtimes of builds stay from run to run")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := c.run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (c options) run(ctx context.Context) error {
	if os.Geteuid() != 0 {
		return errors.New("instances take root: run as root")
	}
	dir, err := os.MkdirTemp("", "slipway-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	l := &lab{options: c, dir: dir, binary: filepath.Join(dir, "app"), layout: filepath.Join(dir, "layout")}
	if err := l.build(ctx); err != nil {
		return err
	}
	r := &report{options: c}
	parts, err := c.parts()
	if err != nil {
		return err
	}
	for _, measure := range parts {
		if err := measure(ctx, l, r); err != nil {
			return err
		}
	}
	switch c.only {
	case "starts":
		return c.writeSection(startsHeading, r.startsSection())
	case "builds":
		return c.writeSection(buildsHeading, r.buildsSection())
	case "router":
		return c.writeSection(routerHeading, r.routerSection())
	case "sleep":
		return c.writeSection(sleepHeading, r.sleepSection())
	}
	page := r.page()
	fmt.Println(page)
	if c.out == "-" {
		return nil
	}
	return os.WriteFile(c.out, []byte(page), 0o644)
}

// parts returns what is to be measured.
func (c options) parts() ([]func(context.Context, *lab, *report) error, error) {
	switch c.only {
	case "":
		return []func(context.Context, *lab, *report) error{measureStarts, measureScaleOut, measureCrowd, measureRouter, measureSleep, measureBuilds, measureRest, measureCalls}, nil
	case "starts":
		return []func(context.Context, *lab, *report) error{measureStarts}, nil
	case "builds":
		return []func(context.Context, *lab, *report) error{measureBuilds}, nil
	case "router":
		return []func(context.Context, *lab, *report) error{measureRouter}, nil
	case "sleep":
		return []func(context.Context, *lab, *report) error{measureSleep}, nil
	}
	return nil, fmt.Errorf("-only is %q; it must be starts, builds, router or sleep", c.only)
}

// writeSection replaces one section of the page.
func (c options) writeSection(heading, section string) error {
	fmt.Println(section)
	if c.out == "-" {
		return nil
	}
	page, err := os.ReadFile(c.out)
	if err != nil {
		return err
	}
	return os.WriteFile(c.out, []byte(replaceSection(string(page), heading, section)), 0o644)
}

// lab is what all measurements share: the service's binary and its image.
type lab struct {
	options
	dir    string
	binary string
	layout string // OCI layout of the binary
	core   string // of servers; "" for all
}

func (l *lab) build(ctx context.Context) error {
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", l.binary, l.program)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	pack := exec.CommandContext(ctx, "go", "run", "./examples/ocilayout", "-out", l.layout, l.binary)
	for _, cmd := range []*exec.Cmd{build, pack} {
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w\n%s", cmd.Args, err, out)
		}
	}
	return nil
}
