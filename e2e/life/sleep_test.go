package life

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/e2e/harness"
)

// TestSleepers has many services sleep, wakes them in random order, also by a server that
// has found them asleep, and changes them while they sleep.
func TestSleepers(t *testing.T) {
	t.Parallel()
	const n = 20
	s := harness.Serve(t)
	spec := harness.Spec{Image: s.Push(harness.WebImage(t, "1"), "sleepy:1"), Health: harness.QuickHealthCheck()}
	var all [n]*types.Service
	boots := map[string]string{}
	for i := range all {
		all[i] = s.RunningService(fmt.Sprintf("sleepy-%d", i), spec)
		s.Set(all[i], "sleep-after", "1")
	}
	wake := func() {
		t.Helper()
		for _, i := range rand.Perm(n) {
			r, err := s.Ask(all[i], "/")
			if err != nil {
				t.Fatalf("%s, asleep: %v", *all[i].ServiceName, err)
			}
			if was := boots[*all[i].ServiceId]; was != "" && was != r.Boot {
				t.Errorf("%s did not sleep: it was started again", *all[i].ServiceName)
			}
			boots[*all[i].ServiceId] = r.Boot
		}
	}
	wake()
	for range 2 {
		s.AwaitFrozen(n)
		wake()
	}
	s.AwaitFrozen(n)
	s.Kill()
	s.Start()
	if now := s.Frozen(); now != n {
		t.Errorf("%d instances are frozen after the start of another server, want %d", now, n)
	}
	wake()
	s.AwaitFrozen(n)

	s.Unset(all[0], "sleep-after")
	s.AwaitFrozen(n - 1)
	s.Pause(all[1]) // its stop signal arrives
	s.AwaitFrozen(n - 2)
	if out, err := s.RunSlipway("logs", "sleepy-1"); err != nil || !strings.Contains(out, "app: ending") {
		t.Errorf("the logs of an instance that was stopped asleep (%v) are\n%s", err, out)
	}
	deployed, err := s.Client().StartDeployment(t.Context(), &apprunner.StartDeploymentInput{ServiceArn: all[2].ServiceArn})
	if err != nil {
		t.Fatal(err)
	}
	s.WaitSucceeded(all[2], *deployed.OperationId)
	if r, err := s.Ask(all[2], "/"); err != nil || r.Boot == boots[*all[2].ServiceId] {
		t.Errorf("after a deployment it answers %+v, %v", r, err)
	}
	s.AwaitFrozen(n - 2) // the rest is deleted asleep
}

// lines answers each line, and counts those of timers and the connections.
type lines struct {
	mu           sync.Mutex // guards all
	beats, conns int
}

func (l *lines) serve(listener net.Listener) {
	for {
		c, err := listener.Accept()
		if err != nil {
			return
		}
		l.mu.Lock()
		l.conns++
		l.mu.Unlock()
		go func() {
			defer c.Close()
			for in := bufio.NewScanner(c); in.Scan(); {
				l.mu.Lock()
				if in.Text() == "beat" {
					l.beats++
				}
				l.mu.Unlock()
				fmt.Fprintf(c, "answer to %s\n", in.Text())
			}
		}()
	}
}

func (l *lines) count() (beats, conns int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.beats, l.conns
}

// TestSleepKeepsConnections freezes an application whose timers use a connection to a
// database all the time: it sleeps nevertheless, and goes on with the same connection. So
// does the connection of a client.
func TestSleepKeepsConnections(t *testing.T) {
	t.Parallel()
	host, outside := harness.NewNetwork(t), harness.NewNetwork(t)
	harness.Connect(t, "up0", host, "198.51.100.1/24", outside, "198.51.100.2/24")
	host.Route(t, "198.51.100.2")
	const at = "198.51.100.2:5432"
	var listener net.Listener
	if err := outside.Do(func() (err error) { listener, err = net.Listen("tcp", at); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	db := &lines{}
	go db.serve(listener)

	s := harness.ServeIn(t, host, "--api-addr", "0.0.0.0:8070", "--http-addr", "0.0.0.0:8080")
	svc := s.RunningService("pool", harness.Spec{Image: s.Push(harness.WebImage(t, "1"), "pool:1"), Health: harness.QuickHealthCheck()})
	s.Set(svc, "sleep-after", "1")
	var conn net.Conn
	if err := host.Do(func() (err error) { conn, err = net.Dial("tcp", "127.0.0.1:8080"); return err }); err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	answers := bufio.NewReader(conn)
	for n := range 3 {
		fmt.Fprintf(conn, "GET /database?at=%s&line=%d HTTP/1.1\r\nHost: %s\r\n\r\n", at, n, *svc.ServiceUrl)
		res, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatalf("request %d on the client's connection: %v", n, err)
		}
		body, err := io.ReadAll(res.Body)
		if want := fmt.Sprintf("answer to %d\n", n); err != nil || res.StatusCode != http.StatusOK || string(body) != want {
			t.Fatalf("request %d is answered with %s %q, %v", n, res.Status, body, err)
		}
		was, _ := db.count()
		harness.Eventually(t, "the timer uses the connection", func() (bool, string) {
			beats, _ := db.count()
			return beats > was+10, fmt.Sprint(beats)
		})
		s.AwaitFrozen(1)
		before, conns := db.count()
		if conns != 1 {
			t.Errorf("the application has made %d connections, want one", conns)
		}
		for range 3 { // health checks pass meanwhile
			s.AwaitFrozen(1)
			if _, err := s.Client().ListServices(t.Context(), &apprunner.ListServicesInput{}); err != nil {
				t.Fatal(err)
			}
		}
		// One answer may have been on its way.
		if after, _ := db.count(); after > before+1 {
			t.Errorf("frozen, the application used its connection %d times", after-before)
		}
	}
}
