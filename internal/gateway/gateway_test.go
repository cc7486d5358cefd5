package gateway_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/gateway/gatewaytest"
)

type echo struct{ Text string }

// service is one with a single operation, which fails when it is told to.
func service(signingName, contentType, target string) gateway.Service {
	_, name, _ := strings.Cut(target, ".")
	return gateway.Service{
		SigningName: signingName, ContentType: contentType, Internal: "InternalFailure",
		Operations: map[string]gateway.Operation{
			target: gateway.Handle(name, nil, false, func(_ context.Context, _ gateway.Caller, in *echo) (*echo, error) {
				if in.Text == "panic" {
					panic("hush")
				}
				return in, nil
			}).Requiring(gateway.OwnAction),
		},
	}
}

func newBench(t *testing.T, options ...func(*gateway.Config)) *gatewaytest.Bench {
	b := gatewaytest.New(t)
	b.Open([]gateway.Service{
		service("one", "application/x-amz-json-1.0", "One.Echo"),
		service("two", "application/x-amz-json-1.1", "Two.Repeat"),
	}, options...)
	return b
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	uuid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	seen := map[string]bool{}
	unsigned := b.Request("One.Echo", "{}")
	unsigned.Header.Del("Authorization")
	for name, r := range map[string]*http.Request{
		"success":        b.Request("One.Echo", "{}"),
		"exception":      b.Request("One.Echo", `{"Text":1}`),
		"unknown target": b.Request("One.Nothing", "{}"),
		"not signed":     unsigned,
	} {
		h := b.Send(r).Header()
		if id := h.Get("x-amzn-RequestId"); !uuid.MatchString(id) || seen[id] {
			t.Errorf("%s: request id %q", name, id)
		} else {
			seen[id] = true
		}
		if d := h.Get("Date"); d != gatewaytest.T0.Format(http.TimeFormat) {
			t.Errorf("%s: Date %q", name, d)
		}
		if c := h.Get("Content-Type"); c != "application/x-amz-json-1.0" {
			t.Errorf("%s: Content-Type %q", name, c)
		}
	}
	if c := b.Call("Two.Repeat", "{}").Header().Get("Content-Type"); c != "application/x-amz-json-1.1" {
		t.Errorf("the other service: Content-Type %q", c)
	}
}

// A body that does not come is not waited for without end.
func TestSlowBody(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *gateway.Config) { c.BodyWithin = 50 * time.Millisecond })
	s := httptest.NewServer(b.Gateway)
	defer s.Close()
	r := b.Request("One.Echo", `{"Text":"x"}`)
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var head strings.Builder
	r.Header.Write(&head)
	fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: 12\r\n%s\r\n{\"Text", r.Host, head.String())
	answer, err := http.ReadResponse(bufio.NewReader(conn), r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	if answer.StatusCode != http.StatusRequestTimeout || !strings.Contains(string(text), "RequestTimeoutException") {
		t.Errorf("got %s %s, want 408 RequestTimeoutException", answer.Status, text)
	}
}

// A signature holds for the service it names alone.
func TestScope(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.Request("Two.Repeat", "{}")
	r.Header.Set("X-Amz-Target", "One.Echo")
	const want = `{"__type":"InvalidSignatureException","Message":"Credential should be scoped to correct service: 'one'."}`
	if w := b.Send(r); w.Code != 403 || w.Body.String() != want {
		t.Errorf("%d %s, want %s", w.Code, w.Body, want)
	}
}

// A panic is one call's internal failure, told to the log alone.
func TestPanic(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.Call("One.Echo", `{"Text":"panic"}`)
	if w.Code != 500 || w.Doc["__type"] != "InternalFailure" || strings.Contains(w.Body.String(), "hush") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if !strings.Contains(b.Logged.String(), "panic: hush") {
		t.Errorf("the log does not tell the cause: %s", b.Logged)
	}
}

func TestObserve(t *testing.T) {
	t.Parallel()
	var seen []string
	b := newBench(t, func(c *gateway.Config) {
		c.Observe = func(operation, exception string, _ time.Duration) {
			seen = append(seen, operation+"/"+exception)
		}
	})
	b.Call("One.Echo", "{}")
	b.Call("One.Echo", "[]")
	b.Call("One.Nothing", "{}")
	b.Call("Two.Repeat", "{}")
	want := "Echo/ Echo/SerializationException /UnknownOperationException Repeat/"
	if got := strings.Join(seen, " "); got != want {
		t.Errorf("observed %q, want %q", got, want)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	one := service("one", "", "One.Echo")
	whole := gateway.Config{
		Store: b.Store, Region: gatewaytest.Region, Account: gatewaytest.Account, Services: []gateway.Service{one}, Log: discard(),
	}
	if _, err := gateway.New(whole); err != nil {
		t.Errorf("refused: %v", err)
	}
	for want, without := range map[string]func(*gateway.Config){
		"store, region, account, services and log": func(c *gateway.Config) { c.Log = nil },
		"region, account":                          func(c *gateway.Config) { c.Account = "" },
		"services and":                             func(c *gateway.Config) { c.Services = nil },
		"two services answer One.Echo":             func(c *gateway.Config) { c.Services = []gateway.Service{one, service("two", "", "One.Echo")} },
	} {
		cfg := whole
		without(&cfg)
		if _, err := gateway.New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
