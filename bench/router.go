package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"golang.org/x/sys/unix"
)

// The load of the measurements of the router.
const (
	routeTime   = 2 * time.Second // of one round
	routeRounds = 3
	steadyRate  = 2000 // requests a second
	steadyTime  = 5 * time.Second
	idleConns   = 7_000 // HAProxy wants over two descriptors for each, and many machines allow 20,000
)

var (
	routeSizes = []int{100, 10_000, 1_000_000}
	routeConns = []int{64, 512}
)

// routed is what was measured of one reverse proxy.
type routed struct {
	name    string
	cost    map[string][]time.Duration // processor time per request, by cell
	rate    map[string][]float64       // requests a second, by cell
	failed  int                        // requests that were not answered with 200
	latency []time.Duration            // of requests at steadyRate
	idle    int64                      // bytes per idle connection
	kernel  time.Duration              // of all loads' processor time, what the kernel took
	all     time.Duration              // the processor time of all loads
	calls   systemCalls                // of a request; all zero if not traced
}

// systemCalls are numbers for each request.
type systemCalls struct {
	reads, empty, writes, waits, others float64 // empty are the reads without a byte
}

// front is a reverse proxy that is measured, or the backend itself.
type front struct {
	*routed
	addr, host string
	pid        int
}

// measureRouter sends the same requests through Slipway's router and through other reverse
// proxies, each pinned to one core, to the same program on another.
func measureRouter(ctx context.Context, l *lab, r *report) error {
	if _, err := exec.LookPath("wrk"); err != nil {
		r.absent("The router", "wrk is not installed")
		return nil
	}
	var fronts []*front
	var ends []func() error
	defer func() {
		for _, end := range slices.Backward(ends) {
			end()
		}
	}()
	backend := filepath.Join(l.dir, "sized")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", backend, "./bench/sized")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the backend: %w\n%s", err, out)
	}
	free := ports{next: 18_000}
	at, err := free.free()
	if err != nil {
		return err
	}
	end, pid, err := pinned(0, backend, at)
	if err != nil {
		return err
	}
	ends = append(ends, end)
	fronts = append(fronts, &front{routed: &routed{name: "no proxy"}, addr: at, host: "bench.test", pid: pid})
	for _, peer := range []func(dir, addr, backend string) (name string, command []string, err error){nginx, haproxy, caddy} {
		addr, err := free.free()
		if err != nil {
			return err
		}
		name, command, err := peer(l.dir, addr, at)
		if err != nil {
			r.absent(name, err.Error())
			continue
		}
		end, pid, err := pinned(1, command[0], command[1:]...)
		if err != nil {
			return err
		}
		ends = append(ends, end)
		fronts = append(fronts, &front{routed: &routed{name: name}, addr: addr, host: "bench.test", pid: pid})
	}
	if r.table, err = measureTable(ctx); err != nil {
		return err
	}
	own, stop, seen, step, err := l.ownRouter(ctx, backend)
	if err != nil {
		return err
	}
	r.seen, r.step = seen, step
	ends = append(ends, stop)
	fronts = append(fronts, own)
	return r.compareFronts(ctx, fronts)
}

// compareFronts has the fronts take turns in each cell.
func (r *report) compareFronts(ctx context.Context, fronts []*front) error {
	for _, f := range fronts {
		if err := poll(ctx, 10*time.Millisecond, func() (bool, error) {
			_, err := get(ctx, "http://"+f.addr+"/", f.host)
			return err == nil, err
		}); err != nil {
			return fmt.Errorf("%s does not answer: %w", f.name, err)
		}
		f.cost, f.rate = map[string][]time.Duration{}, map[string][]float64{}
		r.routes = append(r.routes, f.routed)
	}
	// The server makes sandboxes ahead of need after its instances have started.
	if err := errors.Join(idle(ctx, settle/4), r.noise.waitForQuiet(ctx)); err != nil {
		return err
	}
	for range routeRounds {
		for _, size := range routeSizes {
			for _, conns := range routeConns {
				for _, f := range fronts {
					if err := f.load(ctx, size, conns); err != nil {
						return err
					}
				}
			}
		}
		slices.Reverse(fronts)
	}
	for _, f := range fronts {
		if err := f.steady(ctx); err != nil {
			return err
		}
		if f.name != "no proxy" {
			if err := f.rest(); err != nil {
				return err
			}
		}
	}
	return r.traceFronts(ctx, fronts)
}

// traceFronts counts the system calls of the fronts.
func (r *report) traceFronts(ctx context.Context, fronts []*front) error {
	if _, err := exec.LookPath("strace"); err != nil {
		r.absent("The router's system calls", "strace is not installed")
		return nil
	}
	for _, f := range fronts {
		if err := f.trace(ctx); err != nil {
			return err
		}
	}
	return nil
}

// trace counts the system calls of requests of 100 bytes on 64 connections.
func (f *front) trace(ctx context.Context) error {
	args := []string{"-f", "-c", "-U", "calls,errors,name"}
	for _, p := range family(f.pid) {
		args = append(args, "-p", p)
	}
	var table bytes.Buffer
	cmd := exec.CommandContext(ctx, "strace", args...)
	cmd.Stderr = &table
	if err := cmd.Start(); err != nil {
		return err
	}
	if err := idle(ctx, time.Second/2); err != nil { // until it has attached itself to all threads
		return err
	}
	n, err := f.wrk(ctx, 100, 64)
	if n == 0 && err == nil {
		err = fmt.Errorf("%s answered no request while it was traced", f.name)
	}
	if err != nil {
		return errors.Join(err, cmd.Process.Kill(), cmd.Wait())
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		return err
	}
	cmd.Wait() // it ends with the signal
	f.calls, err = parseCalls(table.String(), n)
	return err
}

// parseCalls parses a table of strace with the number of calls, that of errors and the name.
func parseCalls(table string, requests int) (c systemCalls, err error) {
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) < 2 || f[len(f)-1] == "total" {
			continue
		}
		n, err := strconv.ParseFloat(f[0], 64)
		if err != nil {
			continue // the heading, or a thread that came or went
		}
		failed := 0.0
		if len(f) > 2 {
			if failed, err = strconv.ParseFloat(f[1], 64); err != nil {
				return c, fmt.Errorf("strace printed %q: %w", line, err)
			}
		}
		n /= float64(requests)
		switch f[len(f)-1] {
		case "read", "readv", "recvfrom", "recvmsg":
			c.reads += n
			c.empty += failed / float64(requests)
		case "write", "writev", "sendto", "sendmsg":
			c.writes += n
		case "epoll_wait", "epoll_pwait", "epoll_pwait2":
			c.waits += n
		default:
			c.others += n
		}
	}
	if c.reads == 0 || c.writes == 0 {
		return c, fmt.Errorf("strace counted no reads or no writes:\n%s", table)
	}
	return c, nil
}

func cell(size, conns int) string { return fmt.Sprintf("%d/%d", size, conns) }

var (
	wrkRequests = regexp.MustCompile(`(\d+) requests in`)
	wrkFailed   = regexp.MustCompile(`Non-2xx or 3xx responses: (\d+)`)
)

// patientRounds is how often a round is begun again in which no request was answered whole: a
// busy machine may need more than a round for the largest ones.
const patientRounds = 5

// load sends requests as fast as they are answered, and records their cost.
func (f *front) load(ctx context.Context, size, conns int) error {
	for range patientRounds {
		if answered, err := f.round(ctx, size, conns); answered || err != nil {
			return err
		}
	}
	return fmt.Errorf("%s answered no request of %d bytes in %d rounds", f.name, size, patientRounds)
}

func (f *front) round(ctx context.Context, size, conns int) (answered bool, err error) {
	before, err := processorTime(f.pid)
	if err != nil {
		return false, err
	}
	user, kernel, err := splitTime(f.pid)
	if err != nil {
		return false, err
	}
	began := time.Now()
	n, err := f.wrk(ctx, size, conns)
	if n == 0 || err != nil {
		return false, err
	}
	took := time.Since(began)
	after, err := processorTime(f.pid)
	if err != nil {
		return false, err
	}
	user2, kernel2, err := splitTime(f.pid)
	if err != nil {
		return false, err
	}
	if size != routeSizes[len(routeSizes)-1] { // which is all copying
		f.kernel += kernel2 - kernel
		f.all += kernel2 - kernel + user2 - user
	}
	c := cell(size, conns)
	f.cost[c] = append(f.cost[c], (after-before)/time.Duration(n))
	f.rate[c] = append(f.rate[c], float64(n)/took.Seconds())
	return true, nil
}

// wrk sends requests for a round and returns how many were answered.
func (f *front) wrk(ctx context.Context, size, conns int) (n int, err error) {
	cmd := exec.CommandContext(ctx, "taskset", "-c", "0", "wrk", "-t1", "-c"+strconv.Itoa(conns), "-d"+strconv.Itoa(int(routeTime.Seconds())),
		"-H", "Host: "+f.host, fmt.Sprintf("http://%s/%d", f.addr, size))
	out, err := cmd.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("wrk: %w\n%s", err, out)
	}
	m := wrkRequests.FindSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("wrk printed no number of requests:\n%s", out)
	}
	if n, err = strconv.Atoi(string(m[1])); err != nil {
		return 0, err
	}
	if m := wrkFailed.FindSubmatch(out); m != nil {
		k, _ := strconv.Atoi(string(m[1]))
		f.failed += k
	}
	return n, nil
}

// splitTime returns what a process and its children have taken by themselves, and what the
// kernel took for them, to a hundredth of a second.
func splitTime(pid int) (user, kernel time.Duration, err error) {
	for _, p := range family(pid) {
		b, err := os.ReadFile("/proc/" + p + "/stat")
		if err != nil {
			return 0, 0, err
		}
		_, rest, _ := strings.Cut(string(b), ") ")
		f := strings.Fields(rest)
		if len(f) < 13 {
			return 0, 0, fmt.Errorf("/proc/%s/stat is %q", p, b)
		}
		for i, to := range []*time.Duration{&user, &kernel} {
			n, err := strconv.ParseInt(f[11+i], 10, 64)
			if err != nil {
				return 0, 0, fmt.Errorf("/proc/%s/stat: %w", p, err)
			}
			*to += time.Duration(n) * time.Second / 100
		}
	}
	return user, kernel, nil
}

// family returns a process and its children.
func family(pid int) []string {
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid)) // none where the kernel does not list them
	return append(strings.Fields(string(children)), strconv.Itoa(pid))
}

// processorTime returns what a process and its children have taken.
func processorTime(pid int) (all time.Duration, err error) {
	for _, p := range family(pid) {
		threads, err := filepath.Glob("/proc/" + p + "/task/*/schedstat")
		if err != nil {
			return 0, err
		}
		for _, t := range threads {
			b, err := os.ReadFile(t)
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
				continue // it has just ended
			}
			if err != nil {
				return 0, err
			}
			n, err := strconv.ParseInt(strings.Fields(string(b))[0], 10, 64)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", t, err)
			}
			all += time.Duration(n)
		}
	}
	if all == 0 {
		return 0, fmt.Errorf("process %d has ended", pid)
	}
	return all, nil
}

// steady sends requests at a moderate rate and records how long each took, from when it
// was due.
func (f *front) steady(ctx context.Context) error {
	const clients = 32
	var mu sync.Mutex
	return together(clients, clients, func(i int) error {
		conn, err := net.Dial("tcp", f.addr)
		if err != nil {
			return err
		}
		defer conn.Close()
		r := bufio.NewReader(conn)
		request := []byte("GET /100 HTTP/1.1\r\nHost: " + f.host + "\r\n\r\n")
		every := clients * time.Second / steadyRate
		due := time.Now().Add(time.Duration(i) * every / clients)
		var took []time.Duration
		for range int(steadyTime / every) {
			if err := idle(ctx, time.Until(due)); err != nil {
				return err
			}
			if _, err := conn.Write(request); err != nil {
				return err
			}
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				return err
			}
			if _, err := r.Discard(int(resp.ContentLength)); err != nil {
				return err
			}
			took = append(took, time.Since(due))
			due = due.Add(every)
		}
		mu.Lock()
		defer mu.Unlock()
		f.latency = append(f.latency, took...)
		return nil
	})
}

// rest opens connections that have got one response, and records what each takes of the
// proxy's memory.
func (f *front) rest() error {
	before, err := resident(f.pid)
	if err != nil {
		return err
	}
	conns := make([]net.Conn, 0, idleConns)
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for i := range idleConns {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+i%200))}}
		c, err := d.Dial("tcp", f.addr)
		if err != nil {
			return err
		}
		conns = append(conns, c)
		if _, err := fmt.Fprintf(c, "GET /100 HTTP/1.1\r\nHost: %s\r\n\r\n", f.host); err != nil {
			return err
		}
		if _, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil {
			return fmt.Errorf("%s, connection %d: %w", f.name, i, err)
		}
	}
	time.Sleep(2 * time.Second)
	after, err := resident(f.pid)
	f.idle = (after - before) / idleConns
	return err
}

// resident returns the memory of a process and its children.
func resident(pid int) (all int64, err error) {
	for _, p := range family(pid) {
		size, err := kilobytes("/proc/"+p+"/status", "VmRSS")
		if err != nil {
			return 0, err
		}
		all += size
	}
	return all, nil
}

// ports are below those that the kernel gives to connections, so that none takes one
// before it is listened at.
type ports struct{ next int }

// free returns an address that it has not returned before.
func (p *ports) free() (string, error) {
	for ; p.next < 19_000; p.next++ {
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", p.next)); err == nil {
			p.next++
			return l.Addr().String(), l.Close()
		}
	}
	return "", errors.New("no port from 18000 to 18999 is free")
}

// pinned starts a program on one core.
func pinned(core int, name string, args ...string) (end func() error, pid int, err error) {
	cmd := exec.Command("taskset", append([]string{"-c", strconv.Itoa(core), name}, args...)...) // replaces itself by the program
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, 0, err
	}
	return func() error {
		cmd.Process.Signal(syscall.SIGTERM)
		return cmd.Wait()
	}, cmd.Process.Pid, nil
}

// ownRouter starts a server on core 1 with the backend as a service, whose instances run
// on core 0. Like its peers, and each instance like the peers' backend, it knows of one core
// from its start on. seen is how soon requests followed changes of it.
func (l *lab) ownRouter(ctx context.Context, backend string) (f *front, end func() error, seen []time.Duration, st stepped, err error) {
	lab := *l
	lab.layout = filepath.Join(l.dir, "sized-layout")
	lab.core = "1"
	if out, err := exec.CommandContext(ctx, "go", "run", "./examples/ocilayout", "-out", lab.layout, backend).CombinedOutput(); err != nil {
		return nil, nil, nil, st, fmt.Errorf("pack the backend: %w\n%s", err, out)
	}
	s, err := newServer(ctx, &lab, "router", "--connections", "20000", "--connections-per-address", "20000")
	if err != nil {
		return nil, nil, nil, st, err
	}
	scaling, err := s.CreateAutoScalingConfiguration(ctx, &apprunner.CreateAutoScalingConfigurationInput{
		AutoScalingConfigurationName: aws.String("three"), MaxConcurrency: aws.Int32(200), MinSize: aws.Int32(3), MaxSize: aws.Int32(3),
	})
	if err != nil {
		return nil, nil, nil, st, errors.Join(err, s.close())
	}
	v, err := s.running(ctx, "routed", *scaling.AutoScalingConfiguration.AutoScalingConfigurationArn)
	if err != nil {
		return nil, nil, nil, st, errors.Join(err, s.close())
	}
	procs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, nil, nil, st, errors.Join(err, s.close())
	}
	for _, p := range procs {
		if exe, _ := os.Readlink(p + "/exe"); strings.HasSuffix(exe, "/sized") && !strings.HasPrefix(exe, l.dir) {
			pid, _ := strconv.Atoi(filepath.Base(p))
			if err := pin(pid, 0); err != nil {
				return nil, nil, nil, st, errors.Join(err, s.close())
			}
		}
	}
	if st, err = s.measureStep(ctx); err != nil {
		return nil, nil, nil, st, errors.Join(err, s.close())
	}
	if seen, err = v.seen(ctx, strings.TrimPrefix(s.ready.HTTP, "http://")); err != nil {
		return nil, nil, nil, st, errors.Join(err, s.close())
	}
	f = &front{routed: &routed{name: "Slipway"}, addr: strings.TrimPrefix(s.ready.HTTP, "http://"), host: v.url, pid: s.cmd.Process.Pid}
	return f, s.close, seen, st, nil
}

// pin moves all threads of a process to one core.
func pin(pid, core int) error {
	var set unix.CPUSet
	set.Set(core)
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	if err != nil {
		return err
	}
	for _, t := range tasks {
		id, _ := strconv.Atoi(filepath.Base(t))
		if err := unix.SchedSetaffinity(id, &set); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("pin process %d to core %d: %w", pid, core, err)
		}
	}
	return nil
}
