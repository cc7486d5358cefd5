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
	// wakeRounds is how often each application sleeps and wakes.
	wakeRounds = 30

	// restFor is how long processor time at rest is measured.
	restFor = time.Minute
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

	services  int
	perMinute time.Duration // processor time of all frozen instances
	daemon    time.Duration // of the server meanwhile
	woken     []time.Duration
	before    int64 // available memory of the host without the services, in bytes
	asleep    int64 // with all of them frozen
}

// wakes are the times of requests to one application: the first after a freeze, and one right
// after that.
type wakes struct {
	name       string
	cold, warm []time.Duration
}

// measureSleep measures services that sleep: what it takes to wake one, and what many cost.
func measureSleep(ctx context.Context, l *lab, r *report) error {
	if err := measureWakes(ctx, l, r); err != nil {
		return err
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

// sleepAfter has a service sleep after that many seconds, never for 0.
func (v *service) sleepAfter(ctx context.Context, seconds int) error {
	key := aws.String("slipway:sleep-after")
	if seconds == 0 {
		_, err := v.s.UntagResource(ctx, &apprunner.UntagResourceInput{ResourceArn: &v.arn, TagKeys: []string{*key}})
		return err
	}
	_, err := v.s.TagResource(ctx, &apprunner.TagResourceInput{ResourceArn: &v.arn, Tags: []types.Tag{{Key: key, Value: aws.String(strconv.Itoa(seconds))}}})
	return err
}

// wakesOf wakes one application, by a client that keeps its connection.
func wakesOf(ctx context.Context, s *server, name, image string, r *report) error {
	v, op, err := s.createOf(ctx, "wakes-"+strings.ToLower(strings.ReplaceAll(name, ".", "")), image, "")
	if err != nil {
		return err
	}
	if err := errors.Join(v.ended(ctx, op), v.sleepAfter(ctx, 1)); err != nil {
		return err
	}
	w := wakes{name: name}
	kept := &http.Client{}
	defer kept.CloseIdleConnections()
	for range wakeRounds {
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

// sleepers has many services sleep, and wakes half of them in random order.
func sleepers(ctx context.Context, s *server, n int, r *slept) error {
	all := make([]*service, n)
	err := together(n, 4, func(i int) (err error) {
		if all[i], err = s.running(ctx, fmt.Sprintf("sleeper-%d", i), ""); err != nil {
			return err
		}
		return all[i].sleepAfter(ctx, 5) // at once: so many that are awake take the machine
	})
	if err != nil {
		return err
	}
	if err := s.awaitFrozen(ctx, n); err != nil {
		return err
	}
	// Without the traces of the work that made them.
	if err := errors.Join(s.stop(), ignoring(s.start(ctx)), idle(ctx, settle)); err != nil {
		return err
	}
	r.services = n
	if r.asleep, err = available(); err != nil {
		return err
	}
	if err := s.restCost(ctx, r); err != nil {
		return err
	}
	for _, i := range rand.Perm(n)[:n/2] {
		took, err := all[i].timed(ctx, direct)
		if err != nil {
			return fmt.Errorf("wake one of %d services: %w", n, err)
		}
		r.woken = append(r.woken, took)
	}
	return nil
}

func ignoring(_ time.Duration, err error) error { return err }

// restCost measures the processor time of the server and of all its instances at rest.
func (s *server) restCost(ctx context.Context, r *slept) error {
	pid := s.cmd.Process.Pid
	daemon, err := processTime(pid)
	if err != nil {
		return err
	}
	instances, err := s.instancesTime()
	if err != nil {
		return err
	}
	if err := idle(ctx, restFor); err != nil {
		return err
	}
	after, err := processTime(pid)
	if err != nil {
		return err
	}
	r.daemon = after - daemon
	used, err := s.instancesTime()
	r.perMinute = used - instances
	return err
}

// slice is the name of the control group of the server's instances.
func (s *server) slice() string {
	h := fnv.New32a()
	h.Write([]byte(filepath.Join(s.dir, "runtime")))
	return fmt.Sprintf("slipway-%08x", h.Sum32())
}

// awaitFrozen waits until so many instances are frozen.
func (s *server) awaitFrozen(ctx context.Context, n int) error {
	return poll(ctx, 5*time.Millisecond, func() (bool, error) {
		if found := len(s.frozen()); found != n {
			return false, fmt.Errorf("%d instances are frozen, not %d", found, n)
		}
		return true, nil
	})
}

// frozen returns the control groups of the instances that are frozen, below the slice.
func (s *server) frozen() (names []string) {
	for _, c := range []struct{ dir, file, want string }{
		{"/sys/fs/cgroup/freezer/", "freezer.state", "FROZEN"},
		{"/sys/fs/cgroup/", "cgroup.events", "frozen 1"},
	} {
		files, _ := filepath.Glob(c.dir + s.slice() + "/*/" + c.file)
		for _, f := range files {
			if b, err := os.ReadFile(f); err == nil && strings.Contains(string(b), c.want) {
				names = append(names, filepath.Base(filepath.Dir(f)))
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
