package daemon

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway/internal/logs"
	"github.com/openslipway/slipway/internal/takeover"
)

// The lines of access logs that the elder adds after it can't write any get to the heir,
// however many there are.
func TestPassLines(t *testing.T) {
	t.Parallel()
	quiet := slog.New(slog.DiscardHandler)
	ours, theirs, err := takeover.Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	defer theirs.Close()
	elder := &routerRole{access: logs.NewAccess(nil, quiet)}
	heir := &routerRole{access: logs.NewAccess(nil, quiet)}
	want := map[string][]logs.AccessLine{}
	at := time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)
	add := func(service, text string) {
		elder.access.Add(service, at, []byte(text))
		want[service] = append(want[service], logs.AccessLine{At: at, Text: []byte(text)})
	}
	for n := range 1000 {
		add("many", fmt.Sprintf(`{"n":%d,"x":%q}`, n, strings.Repeat("x", 500)))
	}
	for range 1000 {
		add("short", "{}")
	}
	sent := make(chan bool)
	go func() {
		elder.passLines(ours)
		ours.Close()
		close(sent)
	}()
	messages := 0
	for {
		m, err := theirs.Receive()
		if err != nil {
			break
		}
		if err := heir.takeLines(m); err != nil {
			t.Fatal(err)
		}
		messages++
	}
	<-sent
	if d := cmp.Diff(want, heir.access.Leave()); d != "" {
		t.Errorf("lines (-want +got):\n%s", d)
	}
	if messages < 4 || messages > 40 {
		t.Errorf("%d messages", messages)
	}
}

// Lines without their text are refused.
func TestTakeBadLines(t *testing.T) {
	t.Parallel()
	a, b, err := takeover.Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	defer b.Close()
	for _, bytes := range []int{-1, 3} {
		if err := a.Send(takeover.Logged, takeover.Log{Service: "s", Lines: []takeover.LogLine{{Bytes: bytes}}}, []byte("xy"), -1); err != nil {
			t.Fatal(err)
		}
		m, err := b.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if err := (&routerRole{}).takeLines(m); err == nil {
			t.Errorf("a line of %d bytes of 2 is taken", bytes)
		}
	}
}
