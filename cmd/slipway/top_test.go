//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/cli/term"
)

// fakeTraffic is what the fake server says of the requests of a service.
type fakeTraffic struct {
	At                *time.Time
	InFlight, Waiting *int32
	Requests, Failed  *int64
	LatencyBounds     []float64
	LatencyCounts     []int64
}

// loaded returns the instances at the n-th look, two seconds after the one before: in each
// second a hundred requests have ended and instances have used half a core.
func (s fakeInstances) loaded(n int64) fakeInstances {
	s.Traffic = &fakeTraffic{
		At: aws.Time(epoch.Add(time.Duration(n) * 2 * time.Second)), InFlight: aws.Int32(7), Waiting: aws.Int32(2),
		Requests: aws.Int64(200 * n), Failed: aws.Int64(n), LatencyBounds: []float64{0.001, 0.01, 0.1}, LatencyCounts: []int64{0, 190 * n, 8 * n, 2 * n},
	}
	list := []fakeInstance{}
	for _, i := range s.Instances {
		if i.CpuSeconds != nil {
			i.CpuSeconds = aws.Float64(*i.CpuSeconds + float64(n))
			i.Asleep = aws.Bool(true)
		}
		list = append(list, i)
	}
	s.Instances = list
	return s
}

// Where nothing can be drawn again, top prints one table, and no sequences.
func TestTop(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.run("top")
	s.run("top", "--json")
	shop := s.server.add("shop", types.ServiceStatusRunning)
	s.server.add("a-service-with-a-long-name-of-forty-chars", types.ServiceStatusPaused)
	s.server.addInstances(*shop.ServiceArn)
	s.run("top")
	s.run("top", "--json")
	s.run("top", "shop")
	s.env["NO_COLOR"] = "1"
	s.onTerminal(80, "top", "--once")
	s.onTerminal(50, "top", "--once")
	s.env["TERM"] = "dumb"
	s.onTerminal(100, "top")
	s.golden()
}

// On a terminal the page is drawn again until a key ends it, and the terminal is then as it
// was.
func TestTopLive(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]string{"q": "q", "Ctrl-C": "\x03", "a signal": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSession(t)
			shop := s.server.add("shop", types.ServiceStatusRunning)
			s.server.addInstances(*shop.ServiceArn)
			tt := newTerminal(t, 80)
			was, err := unix.IoctlGetTermios(int(tt.File.Fd()), unix.TCGETS)
			if err != nil {
				t.Fatal(err)
			}
			m := &Main{
				Stdin: tt.File, Stdout: tt.File, Stderr: io.Discard,
				Getenv: func(name string) string { return s.env[name] }, Now: func() time.Time { return epoch },
			}
			ctx, interrupt := context.WithCancel(t.Context())
			code := make(chan int, 1)
			go func() {
				code <- m.Run(ctx, []string{"top"})
				fmt.Fprint(tt.File, "\x00")
			}()
			var all []byte
			pressed := false
			for buf := make([]byte, 4096); !bytes.HasSuffix(all, []byte{0}); {
				n, err := tt.ours.Read(buf)
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, buf[:n]...)
				if !pressed && bytes.Contains(all, []byte("100 req/s")) { // rates need two looks
					pressed = true
					if key == "" {
						interrupt()
					} else if _, err := io.WriteString(tt.ours, "x"+key); err != nil {
						t.Fatal(err)
					}
				}
			}
			interrupt()
			if got := <-code; got != exitOK {
				t.Errorf("exit code %d", got)
			}
			text := string(all)
			if !strings.HasPrefix(text, "\x1b[?1049h\x1b[?25l\x1b[H") || !strings.HasSuffix(text, "\x1b[?25h\x1b[?1049l\x00") {
				t.Errorf("the terminal is taken and given back by %q ... %q", text[:20], text[len(text)-20:])
			}
			if strings.Count(text, "\x1b[H") < 2 || strings.Contains(strings.ReplaceAll(text, "\r\n", ""), "\n") {
				t.Errorf("pages %q", text)
			}
			now, err := unix.IoctlGetTermios(int(tt.File.Fd()), unix.TCGETS)
			if err != nil || now.Lflag != was.Lflag || now.Oflag != was.Oflag || now.Iflag != was.Iflag {
				t.Errorf("the terminal's settings %+v became %+v: %v", was, now, err)
			}
		})
	}
}

func TestLoads(t *testing.T) {
	t.Parallel()
	services := func(names ...string) (list []types.ServiceSummary) {
		for _, n := range names {
			list = append(list, types.ServiceSummary{ServiceArn: aws.String("arn:" + n), ServiceName: aws.String(n), Status: types.ServiceStatusRunning})
		}
		return list
	}
	at := func(second, requests int64, counts ...int64) *client.Traffic {
		return &client.Traffic{At: client.Seconds(1e9 + second), Requests: requests, LatencyBounds: []float64{0.1, 1}, LatencyCounts: counts}
	}
	cpu := func(id string, created int64, seconds float64) client.Instance {
		return client.Instance{ID: id, State: "ready", CreatedAt: client.Seconds(1e9 + created), CPUSeconds: &seconds, MemoryBytes: 10}
	}
	for name, c := range map[string]struct {
		before, now client.ServiceInstances
		want        serviceLoad
		p99         float64
	}{
		"nothing is known": {},
		"no look before":   {now: client.ServiceInstances{Traffic: at(2, 10, 10, 0, 0)}},
		"a rate": {
			before: client.ServiceInstances{Traffic: at(0, 10, 10, 0, 0)}, now: client.ServiceInstances{Traffic: at(2, 20, 10, 10, 0)},
			want: serviceLoad{Seconds: 2, RequestsPerSecond: 5}, p99: 0.1 + 0.9*0.99,
		},
		"the server has started again": {
			before: client.ServiceInstances{Traffic: at(0, 1000, 900, 100, 0)}, now: client.ServiceInstances{Traffic: at(2, 4, 4, 0, 0)},
			want: serviceLoad{Seconds: 2, RequestsPerSecond: 2}, p99: 0.1 * 0.99,
		},
		"its clock was set back": {before: client.ServiceInstances{Traffic: at(5, 10, 10, 0, 0)}, now: client.ServiceInstances{Traffic: at(2, 20, 20, 0, 0)}},
		"slower than all bounds": {
			before: client.ServiceInstances{Traffic: at(0, 0, 0, 0, 0)}, now: client.ServiceInstances{Traffic: at(1, 1, 0, 0, 1)},
			want: serviceLoad{Seconds: 1, RequestsPerSecond: 1}, p99: 1,
		},
		"processor time": {
			before: client.ServiceInstances{Traffic: at(0, 0, 0, 0, 0), Instances: []client.Instance{cpu("a", -100, 50), cpu("gone", -100, 50)}},
			now: client.ServiceInstances{Traffic: at(2, 0, 0, 0, 0), Instances: []client.Instance{
				cpu("a", -100, 51), cpu("new", 1, 0.5), cpu("old but not known before", -100, 99), {ID: "not measured", State: "ready", Asleep: true},
			}},
			want: serviceLoad{Seconds: 2, CpuPercent: 75, MemoryBytes: 30, Ready: 4, Asleep: 1},
		},
	} {
		got := loadsOf(topSample{services("x"), map[string]client.ServiceInstances{"arn:x": c.before}}, topSample{services("x"), map[string]client.ServiceInstances{"arn:x": c.now}})[0]
		if (got.P99Seconds != nil) != (c.p99 > 0) || got.P99Seconds != nil && fmt.Sprintf("%.6f", *got.P99Seconds) != fmt.Sprintf("%.6f", c.p99) {
			t.Errorf("%s: p99 %v, want %v", name, aws.ToFloat64(got.P99Seconds), c.p99)
		}
		got.P50Seconds, got.P99Seconds = nil, nil
		c.want.ServiceArn, c.want.ServiceName, c.want.Status = "arn:x", "x", "RUNNING"
		if got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
	busy := map[string]client.ServiceInstances{"arn:b": {Traffic: at(2, 20, 10, 10, 0)}, "arn:c": {Traffic: &client.Traffic{At: 1e9 + 2, Waiting: 1}}}
	loads := loadsOf(topSample{instances: map[string]client.ServiceInstances{"arn:b": {Traffic: at(0, 0, 0, 0, 0)}}}, topSample{services("a", "b", "c", "d"), busy})
	order := ""
	for _, l := range loads {
		order += l.ServiceName
	}
	if order != "bcad" {
		t.Errorf("order %s, want bcad: requests, then waiting ones, then names", order)
	}
}

// A page fits the terminal, whatever services are called and do.
func TestTopFits(t *testing.T) {
	t.Parallel()
	long := 1234.5
	loads := []serviceLoad{
		{ServiceName: strings.Repeat("x", 40), Status: "OPERATION_IN_PROGRESS", Ready: 24, Wanted: 25, Asleep: 10, InFlight: 1234, Queued: 1000, RequestsPerSecond: 123456, P50Seconds: &long, P99Seconds: &long, CpuPercent: 2400, MemoryBytes: 123e9},
		{ServiceName: "\x1b[2Jname"},
	}
	for _, columns := range []int{40, 60, 80, 100, 132} {
		var b bytes.Buffer
		table := topTable(loads)
		if err := table.Write(&b, term.Style{Live: true, Width: columns}); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(b.String()) {
			if n := term.Columns(strings.TrimSuffix(line, "\n")); columns >= 80 && n > columns || strings.Contains(line, "\x1b") {
				t.Errorf("%d columns: %d in %q", columns, n, line)
			}
		}
		if columns >= 80 && !strings.Contains(b.String(), "MEM\n") {
			t.Errorf("%d columns:\n%s", columns, b.String())
		}
	}
}
