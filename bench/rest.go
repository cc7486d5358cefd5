package main

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// settle is how long a server is left idle before its memory is read: long
// enough for two periodic garbage collections of the Go runtime, which run at
// least every two minutes, to remove the garbage of the work before.
const settle = 20 * time.Second

// measureRest reads the server's memory with no, some and many services, and
// measures its start-up with each.
func measureRest(ctx context.Context, l *lab, r *report) error {
	s, err := newServer(ctx, l, "rest")
	if err != nil {
		return err
	}
	return errors.Join(rest(ctx, s, l, r), s.close())
}

func rest(ctx context.Context, s *server, l *lab, r *report) error {
	some := min(100, l.services/2)
	if err := r.restart(ctx, s, 0, "no services"); err != nil {
		return err
	}
	running, err := s.many(ctx, "running", some, false)
	if err != nil {
		return err
	}
	if err := r.restart(ctx, s, some, fmt.Sprintf("%d services, each with an instance", some)); err != nil {
		return err
	}
	if err := r.instances(s.dir, len(running)); err != nil {
		return err
	}
	if _, err := s.many(ctx, "paused", l.services-some, true); err != nil {
		return err
	}
	return r.restart(ctx, s, l.services, fmt.Sprintf("%d services, %d of them with an instance", l.services, some))
}

// restart restarts the server, so that its memory is that of an idle server and
// not of the work that created its services, and records memory and start-up
// time.
func (r *report) restart(ctx context.Context, s *server, services int, what string) error {
	if err := s.stop(); err != nil {
		return err
	}
	took, err := s.start(ctx)
	if err != nil {
		return err
	}
	if err := idle(ctx, settle); err != nil {
		return err
	}
	memory, err := status(s.cmd.Process.Pid, "VmRSS")
	r.rests = append(r.rests, atRest{what: what, services: services, memory: memory, started: took})
	return err
}

// instances records the memory of the shim of each of n instances. Shared pages
// count proportionally (PSS).
func (r *report) instances(dir string, n int) error {
	var sizes []int64
	procs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return err
	}
	for _, p := range procs {
		pid, err := strconv.Atoi(filepath.Base(p))
		if err != nil || !keeps(pid, dir) {
			continue
		}
		if size, err := rollup(pid); err == nil {
			sizes = append(sizes, size)
		}
	}
	if len(sizes) < n {
		return fmt.Errorf("found %d shims of %d instances", len(sizes), n)
	}
	slices.Sort(sizes)
	r.shim = sizes[len(sizes)/2]
	return nil
}

// keeps reports whether a process is the shim of an instance of the server on dir:
// the first of the process namespace below this one's, in a cgroup of that server.
func keeps(pid int, dir string) bool {
	groups, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return false
	}
	h := fnv.New32a()
	h.Write([]byte(filepath.Join(dir, "runtime")))
	if !strings.Contains(string(groups), fmt.Sprintf("/slipway-%08x", h.Sum32())) {
		return false
	}
	ids, err := statusLine(pid, "NSpid")
	f := strings.Fields(ids)
	return err == nil && len(f) == 2 && f[1] == "1"
}

// rollup returns a process's proportional set size in bytes.
func rollup(pid int) (int64, error) {
	return kilobytes(fmt.Sprintf("/proc/%d/smaps_rollup", pid), "Pss")
}

func status(pid int, field string) (int64, error) {
	return kilobytes(fmt.Sprintf("/proc/%d/status", pid), field)
}

func statusLine(pid int, field string) (string, error) {
	return line(fmt.Sprintf("/proc/%d/status", pid), field)
}

// kilobytes reads "Field:  123 kB" as bytes.
func kilobytes(file, field string) (int64, error) {
	text, err := line(file, field)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(strings.TrimSuffix(text, " kB"), 10, 64)
	return n << 10, err
}

func line(file, field string) (string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	for l := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(l, field+":"); ok {
			return strings.TrimSpace(rest), nil
		}
	}
	return "", fmt.Errorf("%s has no %s", file, field)
}
