package embedded_test

import (
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/runtime"
)

// TestRuntimesFindLimits runs the language runtimes of this machine with one core and
// 512 MiB, and asks each for what it takes to be its memory and its processors. Those
// that the machine does not have are skipped, and so is what a runtime does not look
// for. The limits are of the cgroup version that the machine has its controllers in: it
// can't have them in the other as well, so that is skipped, too.
func TestRuntimesFindLimits(t *testing.T) {
	needRoot(t)
	t.Parallel()
	s := newFixture(t)
	have := 2
	if found := s.run(probe("read /sys/fs/cgroup/memory/memory.limit_in_bytes")); !strings.Contains(found["/sys/fs/cgroup/memory/memory.limit_in_bytes"], "ENOENT") {
		have = 1
	}
	for version := 1; version <= 2; version++ {
		t.Run("cgroup version "+strconv.Itoa(version), func(t *testing.T) {
			if version != have {
				t.Skipf("this machine has the memory controller in version %d, and so can't have it in version %d", have, version)
			}
			s.testRuntimes(t)
		})
	}
}

func (s *fixture) testRuntimes(t *testing.T) {
	for _, c := range []struct {
		name, program string
		argv          []string
		want          []string
	}{
		// Java takes a quarter of the memory for its heap.
		{"Java", "java", []string{"-XshowSettings:system", "-XX:+PrintFlagsFinal", "-version"}, []string{
			"Effective CPU Count: 1\n", "Memory Limit: 512.00M\n", "= 134217728 {product} {ergonomic}",
		}},
		{"Node.js", "node", []string{"-p", "'constrained ' + process.constrainedMemory()"}, []string{"constrained 536870912\n"}},
		{"Python", "/usr/bin/python3", []string{"-c", pythonLimits}, []string{"memory 536870912\n", "cores 1.0\n"}},
		{".NET", "dotnet", []string{"--info"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			program, err := exec.LookPath(c.program)
			if err == nil {
				program, err = filepath.EvalSymlinks(program)
			}
			if err != nil {
				t.Skipf("this machine has no %s: %v", c.name, err)
			}
			if c.want == nil {
				t.Skipf("there is a %s, and nothing here that asks it", c.name)
			}
			out := s.runHosts(t, append([]string{program}, c.argv...))
			out = strings.Join(strings.Fields(out), " ")
			for _, want := range c.want {
				if !strings.Contains(out+" ", strings.TrimSuffix(want, "\n")+" ") {
					t.Errorf("it does not say %q: %s", want, out)
				}
			}
		})
	}
	t.Run("Go", func(t *testing.T) {
		const least = 2 // Go takes no limit for less
		if goruntime.NumCPU() <= least {
			t.Skipf("this machine has %d processors, and Go does not take one for less than %d", goruntime.NumCPU(), least)
		}
		spec := probe("cores")
		spec.Resources.CPU = 1024
		if found := s.run(spec); found["cores"] != strconv.Itoa(least) {
			t.Errorf("Go takes %s processors for one", found["cores"])
		}
	})
}

// pythonLimits is what Python's libraries do: the language itself asks for no limit.
const pythonLimits = `
import os
def read(*paths):
    for p in paths:
        try:
            return open("/sys/fs/cgroup/" + p).read().split()
        except OSError:
            pass
print("memory", *read("memory.max", "memory/memory.limit_in_bytes"))
quota = read("cpu.max") or read("cpu/cpu.cfs_quota_us") + read("cpu/cpu.cfs_period_us")
print("cores", int(quota[0]) / int(quota[1]))
`

// runHosts runs a program of this machine as a job, with the machine's files for
// programs and one core and 512 MiB, and returns what it wrote.
func (s *fixture) runHosts(t *testing.T, argv []string) string {
	t.Helper()
	want := job()
	want.Process.Argv = argv
	want.Resources = slipway.Resources{CPU: 1024, Memory: 512}
	want.Timeout = patience
	for _, dir := range []string{"/usr", "/lib", "/lib64", "/opt", "/etc/java-17-openjdk", "/etc/java-21-openjdk"} {
		source, err := filepath.EvalSymlinks(dir)
		if err != nil {
			continue // not on this machine
		}
		if info, err := os.Stat(source); err == nil && info.IsDir() {
			want.Binds = append(want.Binds, runtime.Bind{Target: dir, Source: source})
		}
	}
	var out strings.Builder
	result, err := s.driver.RunJob(t.Context(), want, func(c runtime.Chunk) { out.Write(c.Data) })
	if err != nil || result.Exit.Code != 0 {
		t.Fatalf("%v ended with %+v, %v\n%s", argv, result.Exit, err, out.String())
	}
	return out.String()
}
