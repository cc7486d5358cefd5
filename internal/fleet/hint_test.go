package fleet

import (
	"net/netip"
	"testing"
	"time"

	"github.com/openslipway/slipway/internal/runtime"
)

func tcp(addr string) runtime.Socket { return runtime.Socket{Addr: netip.MustParseAddrPort(addr)} }

func TestSocketHint(t *testing.T) {
	t.Parallel()
	for want, sockets := range map[string][]runtime.Socket{
		"; the application listens on no port yet":                                                                                                nil,
		"; the application listens on UDP port 8080, but requests come by TCP":                                                                    {{Addr: netip.MustParseAddrPort("0.0.0.0:8080"), UDP: true}},
		"; the application listens on port 3000: deploy it with --port 3000, or let it listen on the port in the variable PORT":                   {tcp("[::]:3000"), tcp("0.0.0.0:3000")},
		"; the application listens on ports 3000, 9229: deploy it with --port and one of them, or let it listen on the port in the variable PORT": {tcp("127.0.0.1:9229"), tcp("0.0.0.0:3000")},
		"; the application listens on 127.0.0.2:8080 only: let it listen on 0.0.0.0":                                                              {tcp("127.0.0.2:8080")},
	} {
		if got := socketHint(8080, sockets); got != want {
			t.Errorf("%v: %q, want %q", sockets, got, want)
		}
	}
}

// An instance is given up early only if it is idle and has kept its sockets.
func TestSurelyWrongPort(t *testing.T) {
	t.Parallel()
	other, own := []runtime.Socket{tcp("0.0.0.0:3000")}, []runtime.Socket{tcp("0.0.0.0:3000"), tcp("127.0.0.2:8080")}
	for name, c := range map[string]struct {
		sockets func(age time.Duration) []runtime.Socket
		cpu     func(age time.Duration) time.Duration
		want    time.Duration // age at which it is given up; 0: never
	}{
		"idle on another port":       {func(time.Duration) []runtime.Socket { return other }, func(time.Duration) time.Duration { return time.Second }, time.Minute},
		"no port":                    {func(time.Duration) []runtime.Socket { return nil }, func(time.Duration) time.Duration { return 0 }, 0},
		"a debugger's port, at work": {func(time.Duration) []runtime.Socket { return other }, func(age time.Duration) time.Duration { return age / 2 }, 0},
		"at work for 50 s":           {func(time.Duration) []runtime.Socket { return other }, func(age time.Duration) time.Duration { return min(age, 50*time.Second) }, 112 * time.Second},
		"another port later": {func(age time.Duration) []runtime.Socket {
			if age < 30*time.Second {
				return nil
			}
			return other
		}, func(time.Duration) time.Duration { return 0 }, 92 * time.Second},
		"the port at another address": {func(time.Duration) []runtime.Socket { return own }, func(time.Duration) time.Duration { return 0 }, 0},
	} {
		h := hints{checker: &checker{port: 8080}}
		begin, got := time.Unix(1_800_000_000, 0), time.Duration(0)
		for age := time.Duration(0); age < 5*time.Minute && got == 0; age += 4 * time.Second {
			if h.watch(begin.Add(age), c.sockets(age), c.cpu(age)) {
				got = age
			}
		}
		if got != c.want {
			t.Errorf("%s: given up after %v, want %v", name, got, c.want)
		}
	}
}

func TestAdviceOnAnswers(t *testing.T) {
	t.Parallel()
	for want, e := range map[string]answerError{
		`; it redirects to "/login": set --health-path to a path that answers 2xx itself`:      {code: 302, location: "/login"},
		"; the health check sends no credentials: set --health-path to a path that needs none": {code: 401},
		"; set --health-path to a path that answers 2xx":                                       {code: 404},
		"; the application's log may say why":                                                  {code: 500},
	} {
		if got := e.advice(); got != want {
			t.Errorf("%+v: %q, want %q", e, got, want)
		}
	}
}
