package embedded_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/runtime"
	"github.com/openslipway/slipway/internal/runtime/embedded"
	"github.com/openslipway/slipway/internal/runtime/runtimetest"
)

// The benchmarks start the same static program in different ways. What counts
// is the difference to bare exec: what the sandbox adds.
//
// Reported besides the time of one start are the times of its parts.

// BenchmarkBareExec starts the program as a child of this process.
func BenchmarkBareExec(b *testing.B) {
	needRoot(b)
	port := freePort(b)
	argv := runtimetest.Program{}.Argv()
	for b.Loop() {
		cmd := exec.Command(filepath.Join(built.program, "program"), argv[1:]...)
		cmd.Env = []string{"PORT=" + strconv.Itoa(port)}
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		answers(b, func() (net.Conn, error) { return net.Dial("tcp4", "127.0.0.1:"+strconv.Itoa(port)) })
		b.StopTimer()
		cmd.Process.Kill()
		cmd.Wait()
		b.StartTimer()
	}
}

// BenchmarkStart starts it in sandboxes made ahead of time.
func BenchmarkStart(b *testing.B) {
	benchmarkStart(b, func(c *embedded.Config) { c.Pool = 4 })
}

// BenchmarkStartCold makes each sandbox when it is asked for.
func BenchmarkStartCold(b *testing.B) {
	benchmarkStart(b, func(c *embedded.Config) { c.Pool = -1 })
}

func benchmarkStart(b *testing.B, change func(*embedded.Config)) {
	needRoot(b)
	cfg := benchConfig(b)
	change(&cfg)
	d, drop := openUntil(b, cfg)
	defer drop()
	var ensure, exit time.Duration
	for b.Loop() {
		b.StopTimer()
		filled(b, d, cfg.Pool)
		spec := programSpec()
		b.StartTimer()
		begin := time.Now()
		if err := d.Ensure(b.Context(), spec); err != nil {
			b.Fatal(err)
		}
		ensure += time.Since(begin)
		answers(b, func() (net.Conn, error) { return d.Dial(b.Context(), spec.ID, spec.Port) })
		b.StopTimer()
		begin = time.Now()
		if err := d.Remove(b.Context(), spec.ID, 0); err != nil {
			b.Fatal(err)
		}
		exit += time.Since(begin)
		b.StartTimer()
	}
	b.ReportMetric(float64(ensure.Microseconds())/float64(b.N), "us-ensure/op")
	b.ReportMetric(float64(exit.Microseconds())/float64(b.N), "us-remove/op")
}

// filled waits until the pool is full, as it is between starts that are not in
// a row.
func filled(b *testing.B, d *embedded.Driver, size int) {
	b.Helper()
	eventually(b, "the pool is full", func() error {
		if embedded.Blanks(d) >= size {
			return nil
		}
		return io.ErrNoProgress
	})
}

func benchConfig(b *testing.B) embedded.Config {
	cfg := config(b)
	cfg.Log = slog.New(slog.DiscardHandler)
	return cfg
}

func programSpec() runtime.Spec {
	return runtime.Spec{
		ID:    slipway.NewID(),
		Image: imageProgram,
		Workload: slipway.Workload{
			Process:   slipway.Process{Argv: runtimetest.Program{}.Argv(), Env: []string{"PORT=8080"}, Dir: "/"},
			Port:      8080,
			Resources: slipway.Resources{CPU: 2048, Memory: 256},
		},
	}
}

// answers dials until the program answers a request.
func answers(b *testing.B, dial func() (net.Conn, error)) {
	b.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(100 * time.Microsecond)
	defer tick.Stop()
	for {
		c, err := dial()
		if err == nil {
			defer c.Close()
			io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil || res.StatusCode != http.StatusOK {
				b.Fatalf("it answers %+v, %v", res, err)
			}
			res.Body.Close()
			return
		}
		if time.Now().After(deadline) {
			b.Fatal(err)
		}
		<-tick.C
	}
}

func freePort(b *testing.B) int {
	b.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// BenchmarkDial opens connections into an instance.
func BenchmarkDial(b *testing.B) {
	needRoot(b)
	cfg := benchConfig(b)
	d, drop := openUntil(b, cfg)
	defer drop()
	spec := programSpec()
	if err := d.Ensure(b.Context(), spec); err != nil {
		b.Fatal(err)
	}
	defer d.Remove(context.WithoutCancel(b.Context()), spec.ID, 0)
	dial := func() (net.Conn, error) { return d.Dial(b.Context(), spec.ID, spec.Port) }
	answers(b, dial)
	for b.Loop() {
		c, err := dial()
		if err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
}

// BenchmarkDialRefused dials an instance that does not listen yet, as health checks do.
func BenchmarkDialRefused(b *testing.B) {
	needRoot(b)
	d, drop := openUntil(b, benchConfig(b))
	defer drop()
	spec := programSpec()
	if err := d.Ensure(b.Context(), spec); err != nil {
		b.Fatal(err)
	}
	defer d.Remove(context.WithoutCancel(b.Context()), spec.ID, 0)
	for b.Loop() {
		if _, err := d.Dial(b.Context(), spec.ID, 9); !errors.Is(err, unix.ECONNREFUSED) {
			b.Fatal(err)
		}
	}
}

// BenchmarkShimMemory reports what an idle instance's shim keeps to itself.
func BenchmarkShimMemory(b *testing.B) {
	needRoot(b)
	cfg := benchConfig(b)
	d, drop := openUntil(b, cfg)
	defer drop()
	spec := programSpec()
	if err := d.Ensure(b.Context(), spec); err != nil {
		b.Fatal(err)
	}
	defer d.Remove(context.WithoutCancel(b.Context()), spec.ID, 0)
	list, err := d.List(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	parent := parentOf(b, list[0].PID)
	for b.Loop() {
		b.ReportMetric(float64(memory(b, parent, "RssAnon")), "KiB-anon")
		b.ReportMetric(float64(memory(b, parent, "VmRSS")), "KiB-rss")
		b.ReportMetric(float64(memory(b, parent, "Threads")), "threads")
	}
}

// memory returns a number of /proc/<pid>/status.
func memory(b *testing.B, pid int, key string) (n int) {
	b.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); f[0] == key+":" {
			if n, err = strconv.Atoi(f[1]); err != nil {
				b.Fatal(err)
			}
			return n
		}
	}
	b.Fatalf("no %s in the status of %d", key, pid)
	return 0
}
