package faulttest

import (
	"fmt"
	"os"
	"testing"
)

const (
	workEnv = "SLIPWAY_FAULTTEST_WORK"
	dirEnv  = "SLIPWAY_FAULTTEST_DIR"
)

// Work is what a process does in a directory. It promises what must be there whatever
// happens from then on.
type Work func(dir string, promise func(text string)) error

// Main runs a package's tests, or in a process that [Supervisor.Run] started its work.
func Main(m *testing.M, works map[string]Work) {
	Become()
	is := os.Getenv(workEnv)
	if is == "" {
		os.Exit(m.Run())
	}
	if err := works[is](os.Getenv(dirEnv), promiseIn(os.Getenv(dirEnv))); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// promiseIn returns the function that promises in a recorded directory. The first call may
// make the file, as a write is seen by the name of the file.
func promiseIn(dir string) func(string) {
	return func(text string) {
		f, err := os.OpenFile(dir+"/"+promises, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err == nil {
			_, err = fmt.Fprintln(f, text)
			f.Close()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(71)
		}
	}
}

// Run runs one of the works that the test's binary gives to [Main] in a process of its own
// and returns how it ended and what it printed.
func (s *Supervisor) Run(t testing.TB, work string) (output string, err error) {
	t.Helper()
	b, err := s.Self(t, workEnv+"="+work, dirEnv+"="+s.root).CombinedOutput()
	return string(b), err
}

// Run has a process do a work that succeeds.
func (r *Recording) Run(t testing.TB, work string) {
	t.Helper()
	if output, err := r.Supervisor.Run(t, work); err != nil {
		t.Fatalf("%s: %v\n%s", work, err, output)
	}
}
