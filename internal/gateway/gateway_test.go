package gateway_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/gateway/gatewaytest"
	"github.com/openslipway/slipway/internal/wire"
)

type echo struct{ Text string }

// service is one with a single operation, which panics when it is told to.
func service(name, contentType, target string) gateway.Service {
	prefix, operation, _ := strings.Cut(target, ".")
	return gateway.Service{
		Name: name, Internal: "InternalFailure",
		Protocol: gateway.Protocol{ContentType: contentType, Targets: []string{prefix + "."}},
		Operations: []gateway.Operation{
			gateway.Read(operation, echoed, gateway.AnyResource),
		},
	}
}

// echoed returns its input, or panics when it is told to.
func echoed(_ context.Context, _ *gateway.Call, in *echo) (*echo, error) {
	if in.Text == "panic" {
		panic("hush")
	}
	return in, nil
}

func newBench(t *testing.T, options ...func(*gateway.Config)) *gatewaytest.Bench {
	b := gatewaytest.New(t)
	b.Open([]gateway.Service{
		service("one", "application/x-amz-json-1.0", "One.Echo"),
		service("two", "application/x-amz-json-1.1", "Two.Repeat"),
	}, options...)
	return b
}

// A panic becomes an internal failure of that call; only the log has its cause.
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
		"two operations are called one:Echo":       func(c *gateway.Config) { c.Services = []gateway.Service{one, service("one", "", "Two.Echo")} },
		"model of one has no operation Echo": func(c *gateway.Config) {
			other := one
			other.Model = wire.OperationNamed
			c.Services = []gateway.Service{other}
		},
	} {
		cfg := whole
		without(&cfg)
		if _, err := gateway.New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
