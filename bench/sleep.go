package main

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
)

const (
	// restFor is how long processor time at rest is measured.
	restFor = time.Minute

	// restAfter is how long a server has run before that. In its first minute it decides the
	// size of every service again and again: it has not observed the demand for long enough.
	restAfter = 90 * time.Second
)

// Applications whose timers would keep them awake, if that counted.
const (
	pythonApp = `import http.server, os, threading, time
def tick():
    while True:
        time.sleep(0.01)
threading.Thread(target=tick, daemon=True).start()
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "2"); self.end_headers(); self.wfile.write(b"ok")
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), H).serve_forever()
`
	nodeApp = `setInterval(() => {}, 10)
require('http').createServer((q, r) => r.end('ok')).listen(process.env.PORT)
`
)

// slept is what was measured of services that sleep.
type slept struct {
	wakes []wakes

	services        int
	before          int64 // available memory of the host without the services, in bytes
	frozen, stopped restCost
	woken           []time.Duration
}

// restCost is what services at rest take.
type restCost struct {
	instances time.Duration // processor time of all frozen instances in restFor
	daemon    time.Duration // of the server meanwhile
	available int64         // memory of the host that programs could still have, in bytes
}

// wakes are the times of requests to one application: the first after a freeze, and one right
// after that.
type wakes struct {
	name       string
	cold, warm []time.Duration
}

// measureSleep measures services that sleep: what it takes to wake one, and what many cost.
func measureSleep(ctx context.Context, l *lab, r *report) error {
	if l.wakes > 0 {
		if err := measureWakes(ctx, l, r); err != nil {
			return err
		}
	}
	before, err := available()
	if err != nil {
		return err
	}
	s, err := newServer(ctx, l, "sleep")
	if err != nil {
		return err
	}
	r.slept.before = before
	return errors.Join(sleepers(ctx, s, l.sleepers, &r.slept), s.close())
}

// measureWakes wakes applications in several languages again and again.
func measureWakes(ctx context.Context, l *lab, r *report) error {
	s, err := newServer(ctx, l, "wake")
	if err != nil {
		return err
	}
	err = wakesOf(ctx, s, "Go", image, r)
	for _, a := range []struct {
		name, program, script string
		with                  []string
	}{
		{"Python", "/usr/bin/python3", pythonApp, []string{"/usr/lib/python3", "/usr/lib/python3.11"}},
		{"Node.js", "/usr/bin/node", nodeApp, nil},
	} {
		if err != nil {
			break
		}
		program, missing := filepath.EvalSymlinks(a.program)
		if missing != nil {
			r.absent("Waking "+a.name, "there is no "+a.program)
			continue
		}
		var with []string
		for _, dir := range a.with {
			if _, err := os.Stat(dir); err == nil {
				with = append(with, dir)
			}
		}
		name := strings.ToLower(strings.ReplaceAll(a.name, ".", ""))
		dir := filepath.Join(l.dir, name)
		if err = hostImage(dir, program, a.script, with...); err == nil {
			if err = s.importImage(ctx, dir, name+":latest"); err == nil {
				err = wakesOf(ctx, s, a.name, strings.Replace(image, "app", name, 1), r)
			}
		}
	}
	return errors.Join(err, s.close())
}

// importImage imports an image from a layout.
func (s *server) importImage(ctx context.Context, layout, name string) error {
	cmd := exec.CommandContext(ctx, s.bin, "image", "import", layout, name)
	cmd.Env = append(os.Environ(), "SLIPWAY_ENDPOINT="+s.ready.API, "SLIPWAY_CREDENTIALS="+s.ready.Credentials)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("import %s: %w\n%s", name, err, out)
	}
	return nil
}

// tag sets settings of a service, given as names without "slipway:" and numbers in turn.
func (v *service) tag(ctx context.Context, pairs ...any) error {
	var tags []types.Tag
	for i := 0; i < len(pairs); i += 2 {
		tags = append(tags, types.Tag{Key: aws.String(fmt.Sprint("slipway:", pairs[i])), Value: aws.String(fmt.Sprint(pairs[i+1]))})
	}
	_, err := v.s.TagResource(ctx, &apprunner.TagResourceInput{ResourceArn: &v.arn, Tags: tags})
	return err
}

// wakesOf wakes one application, by a client that keeps its connection.
func wakesOf(ctx context.Context, s *server, name, image string, r *report) error {
	v, op, err := s.createOf(ctx, "wakes-"+strings.ToLower(strings.ReplaceAll(name, ".", "")), image, "")
	if err != nil {
		return err
	}
	if err := errors.Join(v.ended(ctx, op), v.tag(ctx, "sleep-after", 1)); err != nil {
		return err
	}
	w := wakes{name: name}
	kept := &http.Client{}
	defer kept.CloseIdleConnections()
	for range r.wakes {
		if err := s.awaitFrozen(ctx, 1); err != nil {
			return err
		}
		cold, err := v.timed(ctx, kept)
		if err != nil {
			return fmt.Errorf("wake %s: %w", name, err)
		}
		warm, err := v.timed(ctx, kept)
		if err != nil {
			return err
		}
		w.cold, w.warm = append(w.cold, cold), append(w.warm, warm)
	}
	r.slept.wakes = append(r.slept.wakes, w)
	return v.pause(ctx) // it does not count for the next one
}

// timed sends a request and returns how long it took until all of the answer had come.
func (v *service) timed(ctx context.Context, client *http.Client) (time.Duration, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, v.s.ready.HTTP+"/", nil)
	if err != nil {
		return 0, err
	}
	req.Host = v.url
	began := time.Now()
	res, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	took := time.Since(began)
	if err == nil && res.StatusCode != http.StatusOK {
		err = errors.New(res.Status)
	}
	return took, err
}

// group is how many services are made, woken or stopped at a time. Instances that are awake
// take processor time for their health checks: hundreds of them take the machine.
const group = 10

// sleepers has many services sleep, frozen and then stopped, measures both, and wakes all in
// random order in between.
func sleepers(ctx context.Context, s *server, n int, r *slept) error {
	all := make([]*service, n)
	for begin := 0; begin < n; begin += group {
		end := min(begin+group, n)
		err := together(end-begin, 4, func(i int) (err error) {
			i += begin
			all[i], err = s.running(ctx, fmt.Sprintf("sleeper-%d", i), "")
			if err != nil {
				return err
			}
			return all[i].tag(ctx, "min-size", 0, "sleep-after", 1, "stop-after", 86_400)
		})
		if err := errors.Join(err, s.awaitFrozen(ctx, end)); err != nil {
			return err
		}
	}
	r.services = n
	var err error
	if r.frozen, err = s.restCost(ctx); err != nil {
		return err
	}
	if err := s.wakeAll(ctx, all, r); err != nil {
		return err
	}
	for begin := 0; begin < n; begin += group {
		end := min(begin+group, n)
		for _, v := range all[begin:end] {
			if err := v.tag(ctx, "stop-after", 1); err != nil {
				return err
			}
		}
		if err := s.awaitFrozen(ctx, n-end); err != nil {
			return err
		}
	}
	r.stopped, err = s.restCost(ctx)
	return err
}

// wakeAll wakes all services in random order, one after the other.
func (s *server) wakeAll(ctx context.Context, all []*service, r *slept) error {
	for i, at := range rand.Perm(len(all)) {
		took, err := all[at].timed(ctx, direct)
		if err != nil {
			return fmt.Errorf("wake one of %d services: %w", len(all), err)
		}
		r.woken = append(r.woken, took)
		if i%group == group-1 {
			if err := s.awaitFrozen(ctx, len(all)); err != nil {
				return err
			}
		}
	}
	return s.awaitFrozen(ctx, len(all))
}

func ignoring(_ time.Duration, err error) error { return err }

// restCost measures what a server and its instances take at rest. It starts the server anew
// before, so that the traces of the work before are gone.
func (s *server) restCost(ctx context.Context) (c restCost, err error) {
	if err := errors.Join(s.stop(), ignoring(s.start(ctx)), idle(ctx, restAfter)); err != nil {
		return c, err
	}
	if c.available, err = available(); err != nil {
		return c, err
	}
	pid := s.cmd.Process.Pid
	daemon, err := processTime(pid)
	if err != nil {
		return c, err
	}
	instances, err := s.instancesTime()
	if err != nil {
		return c, err
	}
	if err := idle(ctx, restFor); err != nil {
		return c, err
	}
	after, err := processTime(pid)
	if err != nil {
		return c, err
	}
	c.daemon = after - daemon
	used, err := s.instancesTime()
	c.instances = used - instances
	return c, err
}

// slice is the name of the control group of the server's instances.
func (s *server) slice() string {
	h := fnv.New32a()
	h.Write([]byte(filepath.Join(s.dir, "runtime")))
	return fmt.Sprintf("slipway-%08x", h.Sum32())
}

// awaitFrozen waits until so many instances are frozen.
func (s *server) awaitFrozen(ctx context.Context, n int) error {
	return poll(ctx, 20*time.Millisecond, func() (bool, error) {
		if found := len(s.frozen()); found != n {
			return false, fmt.Errorf("%d instances are frozen, not %d", found, n)
		}
		return true, nil
	})
}

// frozen returns the control groups of the instances that are frozen, below the slice. The
// server keeps one frozen that is no instance's.
func (s *server) frozen() (names []string) {
	for _, c := range []struct{ dir, file, want string }{
		{"/sys/fs/cgroup/freezer/", "freezer.state", "FROZEN"},
		{"/sys/fs/cgroup/", "cgroup.events", "frozen 1"},
	} {
		files, _ := filepath.Glob(c.dir + s.slice() + "/*/" + c.file)
		for _, f := range files {
			if b, err := os.ReadFile(f); err == nil && strings.Contains(string(b), c.want) {
				if name := filepath.Base(filepath.Dir(f)); name != "frozen" {
					names = append(names, name)
				}
			}
		}
	}
	return names
}

// instancesTime is the processor time that the frozen instances of the server have used. It
// leaves out the sandboxes that are kept ready.
func (s *server) instancesTime() (all time.Duration, err error) {
	for _, name := range s.frozen() {
		used, err := groupTime(s.slice() + "/" + name)
		if err != nil {
			return 0, err
		}
		all += used
	}
	return all, nil
}

func groupTime(group string) (time.Duration, error) {
	for _, name := range []string{"cpuacct", "cpu,cpuacct"} {
		if b, err := os.ReadFile("/sys/fs/cgroup/" + name + "/" + group + "/cpuacct.usage"); err == nil {
			ns, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
			return time.Duration(ns), err
		}
	}
	b, err := os.ReadFile("/sys/fs/cgroup/" + group + "/cpu.stat")
	if err != nil {
		return 0, err
	}
	for l := range strings.Lines(string(b)) {
		if text, ok := strings.CutPrefix(l, "usage_usec "); ok {
			us, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
			return time.Duration(us) * time.Microsecond, err
		}
	}
	return 0, fmt.Errorf("cpu.stat of %s has no usage_usec", group)
}

// processTime is the processor time of a process, to a hundredth of a second.
func processTime(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	f := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, err := strconv.Atoi(f[11])
	if err != nil {
		return 0, err
	}
	system, err := strconv.Atoi(f[12])
	return time.Duration(user+system) * 10 * time.Millisecond, err
}

// available is the memory of the host that programs could have, in bytes.
func available() (int64, error) { return kilobytes("/proc/meminfo", "MemAvailable") }
