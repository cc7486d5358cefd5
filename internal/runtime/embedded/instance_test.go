package embedded_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/runtime"
	"github.com/openslipway/slipway/internal/runtime/embedded"
)

// fixture is a driver with the shorthands of tests.
type fixture struct {
	*testing.T
	driver *embedded.Driver
}

// newFixture runs a driver of the test's own and checks, at the end, that it
// leaves nothing.
func newFixture(t *testing.T, change ...func(*embedded.Config)) *fixture {
	t.Helper()
	needRoot(t)
	cfg := config(t)
	for _, c := range change {
		c(&cfg)
	}
	d, _ := open(t, cfg)
	s := &fixture{t, d}
	t.Cleanup(s.clear)
	return s
}

// clear removes all instances.
func (s *fixture) clear() {
	list, err := s.driver.List(s.Context())
	if err != nil {
		list, err = s.driver.List(withoutCancel(s.T))
	}
	if err != nil {
		return // it was ended by the test
	}
	for _, o := range list {
		if err := s.driver.Remove(withoutCancel(s.T), o.ID, 0); err != nil {
			s.Error(err)
		}
	}
}

// probe is the specification of an instance that does these deeds, see
// testdata/probe.
func probe(deeds ...string) runtime.Spec {
	return runtime.Spec{
		ID:      slipway.NewID(),
		Service: "service",
		Release: "release",
		Image:   imageProbe,
		Workload: slipway.Workload{
			Process: slipway.Process{
				Argv: append([]string{"/bin/probe"}, strings.Fields(strings.Join(deeds, " -- "))...),
				Dir:  "/",
			},
			Resources: slipway.Resources{CPU: 1024, Memory: 256},
		},
	}
}

func (s *fixture) ensure(want runtime.Spec) string {
	s.Helper()
	if err := s.driver.Ensure(s.Context(), want); err != nil {
		s.Fatal(err)
	}
	return want.ID
}

func (s *fixture) remove(id string) {
	s.Helper()
	if err := s.driver.Remove(s.Context(), id, 0); err != nil {
		s.Fatal(err)
	}
}

// observe returns an instance as List shows it.
func (s *fixture) observe(id string) *runtime.Observed {
	s.Helper()
	list, err := s.driver.List(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	for _, o := range list {
		if o.ID == id {
			return &o
		}
	}
	return nil
}

// exited waits for an instance's end.
func (s *fixture) exited(id string) slipway.Exit {
	s.Helper()
	var exit slipway.Exit
	eventually(s, "the instance ends", func() error {
		o := s.observe(id)
		if o == nil || o.Running {
			return fmt.Errorf("it is %+v", o)
		}
		exit = *o.Exit
		return nil
	})
	return exit
}

// output returns what an instance wrote so far to stdout, or stderr.
func (s *fixture) output(id string, stderr bool) string {
	s.Helper()
	var b bytes.Buffer
	for from := int64(0); ; {
		chunks, next, err := s.driver.Output(s.Context(), id, from)
		if err != nil {
			s.Fatal(err)
		}
		if len(chunks) == 0 {
			return b.String()
		}
		for _, c := range chunks {
			if c.Stderr == stderr {
				b.Write(c.Data)
			}
		}
		from = next
	}
}

// prints waits until an instance has written a line that begins so, and
// returns it.
func (s *fixture) prints(id, begins string) (line string) {
	s.Helper()
	eventually(s, "the instance prints "+begins, func() error {
		out := s.output(id, false)
		for l := range strings.Lines(out) {
			if strings.HasPrefix(l, begins) && strings.HasSuffix(l, "\n") {
				line = strings.TrimSuffix(l, "\n")
				return nil
			}
		}
		return fmt.Errorf("it printed %.2000q; it is %+v", out, s.observe(id))
	})
	return line
}

// run runs an instance to its end and returns what it found, by name. It ends
// well unless the test fails.
func (s *fixture) run(want runtime.Spec) map[string]string {
	s.Helper()
	id := s.ensure(want)
	exit := s.exited(id)
	out := s.output(id, false)
	if exit.Code != 0 {
		s.Fatalf("the instance ended with %+v\n%s%s", exit, out, s.output(id, true))
	}
	found := map[string]string{}
	for line := range strings.Lines(out) {
		name, result, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		found[name] = result
	}
	return found
}

// expect compares what was found with what was to be.
func (s *fixture) expect(found, want map[string]string) {
	s.Helper()
	for name, w := range want {
		if got, ok := found[name]; !ok || got != w {
			s.Errorf("%s: %q (found: %v), want %q", name, got, ok, w)
		}
	}
}
