package awshttp_test

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
	"github.com/openslipway/slipway/internal/gateway/awshttp"
	"github.com/openslipway/slipway/internal/gateway/gatewaytest"
)

type echo struct{ Text string }

// service is one with a single operation, which panics when it is told to.
func service(name, contentType, target string) gateway.Service {
	prefix, operation, _ := strings.Cut(target, ".")
	return gateway.Service{
		Name: name, Internal: "InternalFailure",
		Protocol: gateway.Protocol{ContentType: contentType, Targets: []string{prefix + "."}},
		Operations: []gateway.Operation{
			gateway.Read(operation, func(_ context.Context, _ *gateway.Call, in *echo) (*echo, error) {
				if in.Text == "panic" {
					panic("hush")
				}
				return in, nil
			}, gateway.AnyResource),
		},
	}
}

func newBench(t *testing.T) *gatewaytest.Bench {
	b := gatewaytest.New(t)
	b.Open([]gateway.Service{
		service("one", "application/x-amz-json-1.0", "One.Echo"),
		service("two", "application/x-amz-json-1.1", "Two.Repeat"),
	})
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
	b := newBench(t)
	h, err := awshttp.New(awshttp.Config{Gateway: b.Gateway, Region: gatewaytest.Region, Now: b.Clock.Now, BodyWithin: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(h)
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

// A signature is valid only for the service that it names.
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

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	b := gatewaytest.New(t)
	g, err := gateway.New(gateway.Config{
		Store: b.Store, Region: gatewaytest.Region, Account: gatewaytest.Account, Log: slog.New(slog.DiscardHandler),
		Services: []gateway.Service{service("one", "", "One.Echo"), service("two", "", "One.Echo")},
	})
	if err != nil {
		t.Fatal(err)
	}
	for want, cfg := range map[string]awshttp.Config{
		"two services answer One.Echo": {Gateway: g, Region: "r"},
		"gateway and region":           {Gateway: g},
	} {
		if _, err := awshttp.New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// What the signature's verifier refuses has its exception's own status.
func TestLargeBody(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.Call("One.Echo", `{"Text":"`+strings.Repeat("x", 1<<20)+`"}`)
	if w.Code != http.StatusRequestEntityTooLarge || w.Doc["__type"] != "RequestEntityTooLargeException" {
		t.Errorf("%d %.200s", w.Code, w.Body)
	}
}
