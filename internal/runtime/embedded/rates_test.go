package embedded_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/openslipway/slipway/internal/runtime/embedded"
	"github.com/openslipway/slipway/internal/runtime/embedded/cgroup"
)

// TestRates: an instance with a limit of its disk's use has read, or written, less than half
// of its bytes when one without a limit, the control, has done all of its own. The kernel
// counts both, for the instance's cgroup and the device of its disk.
func TestRates(t *testing.T) {
	needRoot(t)
	t.Parallel()
	const size = 48 // MiB
	for op, rates := range map[string]cgroup.Rates{
		"write":     {WriteBytes: 1 << 20},
		"read":      {ReadBytes: 1 << 20},
		"write ops": {WriteOps: 1}, // a request is 1 MiB or less
	} {
		t.Run(op, func(t *testing.T) {
			t.Parallel()
			deed := fmt.Sprintf("direct %s %d", strings.Fields(op)[0], size)
			slow, dir := rated(t, rates)
			fast, fastDir := rated(t, cgroup.Rates{})
			first := slow.ensure(probe(deed))
			slow.prints(first, "begin")
			second := fast.ensure(probe(deed))
			if exit := fast.exited(second); exit.Code != 0 || !strings.Contains(fast.output(second, false), "direct: ok") {
				t.Fatalf("the control ended with %+v: %s", exit, fast.output(second, false))
			}
			name := strings.ToUpper(op[:1]) + strings.Fields(op)[0][1:]
			all := transferred(t, fastDir, embedded.SandboxOf(fast.driver, second), name)
			if all < size<<20 {
				t.Errorf("the kernel counted %d bytes of the control, which has done %d MiB", all, size)
			}
			some := transferred(t, dir, embedded.SandboxOf(slow.driver, first), name)
			if some > size<<20/2 {
				t.Errorf("with the limit %+v, %d bytes are done while the control did %d", rates, some, all)
			}
			if out := slow.output(first, false); strings.Contains(out, "direct:") {
				t.Errorf("the limited instance printed %q", out)
			}
			t.Logf("%s: %d KiB with the limit, %d KiB without", op, some>>10, all>>10)
		})
	}
}

// rated is a fixture with limits of disks, and its directory.
func rated(t *testing.T, rates cgroup.Rates) (*fixture, string) {
	t.Helper()
	var dir string
	s := newFixture(t, func(c *embedded.Config) {
		c.Rates = rates
		dir = c.Dir
	})
	return s, dir
}

// transferred returns the most bytes that a sandbox's group read from, or wrote to, one device.
func transferred(t *testing.T, dir, sandbox, op string) (most int64) {
	t.Helper()
	group := embedded.SliceName(dir) + "/" + sandbox
	old, err := filepath.Glob("/sys/fs/cgroup/*/" + group + "/blkio.throttle.io_service_bytes")
	if err != nil {
		t.Fatal(err)
	}
	if len(old) > 0 {
		for line := range lines(t, old[0]) {
			if f := strings.Fields(line); len(f) == 3 && f[1] == op {
				n, _ := strconv.ParseInt(f[2], 10, 64)
				most = max(most, n)
			}
		}
		return most
	}
	field := map[string]string{"Read": "rbytes=", "Write": "wbytes="}[op]
	for line := range lines(t, "/sys/fs/cgroup/"+group+"/io.stat") {
		for _, f := range strings.Fields(line) {
			if v, ok := strings.CutPrefix(f, field); ok {
				n, _ := strconv.ParseInt(v, 10, 64)
				most = max(most, n)
			}
		}
	}
	return most
}

// lines are those of a file.
func lines(t *testing.T, path string) func(func(string) bool) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return func(yield func(string) bool) {
		for line := range bytes.Lines(b) {
			if !yield(string(line)) {
				return
			}
		}
	}
}

// TestRatesNowhere: a directory in memory has no disk to throttle, and the driver says so.
func TestRatesNowhere(t *testing.T) {
	needRoot(t)
	t.Parallel()
	cfg := config(t)
	cfg.LayerDir, cfg.Rates = "/proc", cgroup.Rates{ReadOps: 1}
	if _, err := embedded.New(cfg); err == nil || !strings.Contains(err.Error(), "--io-read") {
		t.Errorf("limits on /proc: %v", err)
	}
}
