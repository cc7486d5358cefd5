//go:build linux

package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/wire"
)

// fakeInstances are the instances of a service of the fake server.
type fakeInstances struct {
	ServiceArn  *string
	Instances   []fakeInstance
	Release     *fakeRelease
	Restarts    *int32
	LastFailure *fakeExit
	Crashing    *fakeCrash
	Traffic     *fakeTraffic
	Sleep       *fakeSleep
	Kept        *fakeKept
}

type fakeKept struct {
	Instances *int32
	Until     *time.Time
}

type fakeSleep struct {
	State                                     *string
	Since, CountedSince                       *time.Time
	SleptSeconds                              *float64
	FrozenWakes, StoppedWakes                 *int64
	FrozenMedianSeconds, StoppedMedianSeconds *float64
	LastWakeAt                                *time.Time
	LastWakeFrom                              *string
	LastSleepSeconds, LastWakeSeconds         *float64
}

type fakeCrash struct {
	Restarts    *int32
	NextStartAt *time.Time
}

type fakeRelease struct {
	Id, ImageDigest, Commit *string
	CreatedAt               *time.Time
	Size                    *int32
}

type fakeInstance struct {
	Id, ReleaseId, State, Problem *string
	CreatedAt                     *time.Time
	CpuSeconds                    *float64
	MemoryBytes, MemoryLimit      *int64
	Asleep                        *bool
}

type fakeExit struct {
	InstanceId, Signal, Reason *string
	OutOfMemory                *bool
	Code                       *int32
	EndedAt                    *time.Time
	RanSeconds                 *float64
}

func (f *fakeServer) describeInstances(body []byte) (any, error) {
	if f.older {
		return nil, wire.NewException("UnknownOperationException", "")
	}
	in, err := decode[struct {
		ServiceArns []string
		Traffic     *bool
	}](body)
	if err != nil {
		return nil, err
	}
	out := struct{ Services []fakeInstances }{[]fakeInstances{}}
	if len(f.denied) > 0 && slices.ContainsFunc(in.ServiceArns, func(arn string) bool { return strings.Contains(arn, f.denied) }) {
		return nil, wire.NewException("AccessDeniedException", "")
	}
	for _, arn := range in.ServiceArns {
		if s, ok := f.instances[arn]; ok {
			if aws.ToBool(in.Traffic) {
				f.looks[arn]++
				s = s.loaded(f.looks[arn])
			}
			out.Services = append(out.Services, s)
		}
	}
	return &out, nil
}

// addInstances gives a service two instances of three, and one that has ended.
func (f *fakeServer) addInstances(arn string) {
	at := func(d time.Duration) *time.Time { return aws.Time(epoch.Add(d)) }
	release := strings.Repeat("ab", 16)
	instance := func(id, state string, age time.Duration) fakeInstance {
		return fakeInstance{Id: aws.String(strings.Repeat(id, 8)), ReleaseId: &release, State: &state, CreatedAt: at(age)}
	}
	ready, starting, old := instance("1111", "ready", time.Hour), instance("2222", "starting", 2*time.Hour-3*time.Second), instance("3333", "ready", 0)
	ready.CpuSeconds, ready.MemoryBytes, ready.MemoryLimit = aws.Float64(75.25), aws.Int64(34_400_000), aws.Int64(512<<20)
	starting.Problem = aws.String("nothing listens on port 8080; the application listens on port 3000")
	old.ReleaseId = aws.String(strings.Repeat("cd", 16))
	f.instances[arn] = fakeInstances{
		ServiceArn: &arn, Instances: []fakeInstance{old, ready, starting}, Restarts: aws.Int32(7),
		Release:     &fakeRelease{Id: &release, ImageDigest: aws.String("sha256:" + release + release), CreatedAt: at(time.Hour), Size: aws.Int32(3)},
		LastFailure: &fakeExit{InstanceId: aws.String(strings.Repeat("4444", 8)), Code: aws.Int32(7), EndedAt: at(2*time.Hour - time.Minute), RanSeconds: aws.Float64(3.25)},
	}
}

// Services that crash say so, also beside one that the user may not see.
func TestCrashing(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.env["NO_COLOR"] = "1"
	release := strings.Repeat("ab", 16)
	crash := func(name string, next time.Duration, x fakeExit) {
		arn := *s.server.add(name, types.ServiceStatusRunning).ServiceArn
		x.InstanceId, x.EndedAt, x.RanSeconds = aws.String(strings.Repeat("4444", 8)), aws.Time(epoch.Add(2*time.Hour-time.Second)), aws.Float64(0.5)
		s.server.instances[arn] = fakeInstances{
			ServiceArn: &arn, Instances: []fakeInstance{}, Restarts: aws.Int32(9), LastFailure: &x,
			Release:  &fakeRelease{Id: &release, ImageDigest: aws.String("sha256:" + release + release), CreatedAt: aws.Time(epoch), Size: aws.Int32(1)},
			Crashing: &fakeCrash{aws.Int32(7), aws.Time(epoch.Add(2*time.Hour + next))},
		}
	}
	crash("shop", 39*time.Second+time.Millisecond, fakeExit{Code: aws.Int32(7)})
	crash("hungry", -time.Second, fakeExit{Code: aws.Int32(137), Signal: aws.String("SIGKILL"), OutOfMemory: aws.Bool(true)})
	crash("killed", time.Second, fakeExit{Code: aws.Int32(143), Signal: aws.String("SIGTERM")})
	crash("missing", time.Second, fakeExit{Code: aws.Int32(0), Reason: aws.String("there is no /app\x1b[2J")})
	s.server.add("hidden", types.ServiceStatusRunning)
	s.server.denied = "/hidden/"
	s.run("ls")
	s.onTerminal(80, "ls")
	s.run("describe", "shop")
	s.run("ls", "--json")
	s.run("describe", "shop", "--json")
	s.golden()
}

// Services that sleep say so, and what their wakes cost.
func TestSleep(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.env["NO_COLOR"] = "1"
	release := strings.Repeat("ab", 16)
	at := func(ago time.Duration) *time.Time { return aws.Time(epoch.Add(2*time.Hour - ago)) }
	add := func(name string, size int32, sleep fakeSleep) {
		arn := *s.server.add(name, types.ServiceStatusRunning).ServiceArn
		f := fakeInstances{
			ServiceArn: &arn, Instances: []fakeInstance{}, Restarts: aws.Int32(0), Sleep: &sleep,
			Release: &fakeRelease{Id: &release, ImageDigest: aws.String("sha256:" + release + release), CreatedAt: aws.Time(epoch), Size: &size},
		}
		for range size {
			f.Instances = append(f.Instances, fakeInstance{Id: &release, ReleaseId: &release, State: aws.String("ready"), CreatedAt: at(time.Hour)})
		}
		s.server.instances[arn] = f
	}
	add("night", 1, fakeSleep{
		State: aws.String("frozen"), Since: at(20 * time.Minute), CountedSince: at(22 * time.Hour), SleptSeconds: aws.Float64(21 * 3600),
		FrozenWakes: aws.Int64(14), FrozenMedianSeconds: aws.Float64(0.003), StoppedWakes: aws.Int64(0),
		LastWakeAt: at(25 * time.Minute), LastWakeFrom: aws.String("frozen"), LastSleepSeconds: aws.Float64(90), LastWakeSeconds: aws.Float64(0.0004),
	})
	add("week", 0, fakeSleep{
		State: aws.String("stopped"), Since: at(40 * time.Hour), CountedSince: at(90 * time.Hour), SleptSeconds: aws.Float64(80 * 3600),
		FrozenWakes: aws.Int64(3), FrozenMedianSeconds: aws.Float64(0.001), StoppedWakes: aws.Int64(1), StoppedMedianSeconds: aws.Float64(0.21),
		LastWakeAt: at(41 * time.Hour), LastWakeFrom: aws.String("stopped"), LastSleepSeconds: aws.Float64(36000), LastWakeSeconds: aws.Float64(0.21),
	})
	add("fresh", 0, fakeSleep{State: aws.String("stopped")})
	add("day", 1, fakeSleep{State: aws.String("awake"), CountedSince: at(time.Hour), SleptSeconds: aws.Float64(600), FrozenWakes: aws.Int64(0), StoppedWakes: aws.Int64(0)})
	s.run("ls")
	s.onTerminal(60, "ls")
	for _, name := range []string{"night", "week", "fresh", "day"} {
		s.run("describe", name)
	}
	s.run("ls", "--json")
	s.run("describe", "night", "--json")
	s.golden()
}

// A paused service that keeps instances says how many and until when.
func TestKept(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.env["NO_COLOR"] = "1"
	release := strings.Repeat("ab", 16)
	arn := *s.server.add("shop", types.ServiceStatusPaused).ServiceArn
	f := fakeInstances{
		ServiceArn: &arn, Instances: []fakeInstance{}, Restarts: aws.Int32(0), Kept: &fakeKept{aws.Int32(2), aws.Time(epoch.Add(3 * time.Hour))},
		Release: &fakeRelease{Id: &release, ImageDigest: aws.String("sha256:" + release + release), CreatedAt: aws.Time(epoch), Size: aws.Int32(2)},
	}
	for range 2 {
		f.Instances = append(f.Instances, fakeInstance{Id: &release, ReleaseId: &release, State: aws.String("kept"), CreatedAt: aws.Time(epoch)})
	}
	s.server.instances[arn] = f
	s.run("ls")
	s.onTerminal(60, "ls")
	s.run("describe", "shop")
	s.run("ls", "--json")
	s.run("describe", "shop", "--json")
	s.golden()
}

// terminal is the other end of a terminal of a number of columns.
type terminal struct {
	*os.File          // what a program writes to
	ours     *os.File // the side of the terminal's emulator
}

func newTerminal(t *testing.T, columns int) terminal {
	t.Helper()
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo terminal here: %v", err)
	}
	t.Cleanup(func() { ours.Close() })
	n, err := unix.IoctlGetInt(int(ours.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(ours.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	theirs, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo terminal here: %v", err)
	}
	t.Cleanup(func() { theirs.Close() })
	if err := unix.IoctlSetWinsize(int(ours.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: uint16(columns)}); err != nil {
		t.Fatal(err)
	}
	return terminal{theirs, ours}
}

// shown ends the program's side and returns what it wrote.
func (tt terminal) shown(t *testing.T) string {
	t.Helper()
	fmt.Fprint(tt.File, "\x00") // the last byte, since the kernel drops what is unread when the side is closed
	var all []byte
	for buf := make([]byte, 4096); ; {
		n, err := tt.ours.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		if all = append(all, buf[:n]...); all[len(all)-1] == 0 {
			return strings.ReplaceAll(string(all[:len(all)-1]), "\r\n", "\n")
		}
	}
}

// onTerminal runs a command on a terminal and records what it shows there.
func (s *session) onTerminal(columns int, args ...string) int {
	s.t.Helper()
	tt := newTerminal(s.t, columns)
	m := &Main{
		Stdin: strings.NewReader(""), Stdout: tt.File, Stderr: tt.File,
		Getenv: func(name string) string { return s.env[name] }, Now: func() time.Time { return epoch.Add(2 * time.Hour) },
	}
	code := m.Run(s.t.Context(), args)
	fmt.Fprintf(&s.transcript, "$ slipway %s    # %d columns\n%sexit %d\n\n", strings.Join(args, " "), columns, tt.shown(s.t), code)
	return code
}

// Tables show what there is, and fit terminals.
func TestInstances(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.env["NO_COLOR"] = "1"
	shop := s.server.add("shop", types.ServiceStatusRunning)
	s.server.add("a-service-with-a-long-name-of-forty-chars", types.ServiceStatusPaused)
	s.server.addInstances(*shop.ServiceArn)
	s.server.cause, s.server.ending = "the process exited with code 3 after 0.9 s; its last lines were: Traceback:\n  File \"app.py\"\nKeyError: \x1b[31m'URL'", types.OperationStatusRollbackSucceeded
	s.run("deploy", "shop")
	s.run("ls")
	s.run("describe", "shop")
	for _, columns := range []int{120, 100, 80, 60} {
		s.onTerminal(columns, "ls")
	}
	s.onTerminal(60, "describe", "shop")
	s.onTerminal(60, "ops", "shop")
	s.server.older = true
	s.run("ls")
	s.golden()
	for line := range strings.Lines(s.transcript.String()) {
		if strings.Contains(line, "\x1b") {
			t.Errorf("an escape sequence is shown: %q", line)
		}
	}
}
