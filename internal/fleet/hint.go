package fleet

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/openslipway/slipway/internal/runtime"
)

const (
	// hintAfter is how long the checks of a starting instance fail before it is looked
	// at more closely, and half the time between two looks.
	hintAfter = 2 * time.Second

	// An instance listens surely on the wrong port if it listens on others only, has
	// not changed that for sureAfter, and used less than idleShare of a CPU meanwhile.
	// A slow start that opens its port last uses the CPU or changes its sockets.
	sureAfter = time.Minute
	idleShare = 0.05
)

// hints says what people can do about a starting instance that fails its checks.
type hints struct {
	checker *checker
	next    time.Time
	text    string
	sure    bool // the instance will never pass

	sockets []runtime.Socket
	since   time.Time     // when sockets last changed
	cpu     time.Duration // used by then
}

// look updates the hint if it is time for that.
func (h *hints) look(ctx context.Context, now time.Time, failed error) {
	if now.Before(h.next) {
		return
	}
	h.next, h.text, h.sure = now.Add(2*hintAfter), "", false
	answer, answered := errors.AsType[answerError](failed)
	switch {
	case errors.Is(failed, syscall.ECONNREFUSED):
		h.elsewhere(ctx, now)
	case h.checker.isGone(failed) || errors.Is(failed, context.DeadlineExceeded):
	case (!answered || answer.code == 400) && h.checker.speaksTLS(ctx):
		h.text = "; the application speaks TLS there, but requests come as plain HTTP: let it serve HTTP"
	case answered:
		h.text = answer.advice()
	}
}

// elsewhere finds out where the instance listens instead.
func (h *hints) elsewhere(ctx context.Context, now time.Time) {
	driver, ok := h.checker.driver.(runtime.Netstat)
	if !ok {
		return
	}
	sockets, err := driver.Listening(ctx, h.checker.id)
	if err != nil {
		return // its process is gone
	}
	h.text = socketHint(h.checker.port, sockets)
	cpu, measured := h.usage(ctx)
	h.sure = measured && h.watch(now, sockets, cpu)
}

// watch reports whether the instance listens surely on the wrong port.
func (h *hints) watch(now time.Time, sockets []runtime.Socket, cpu time.Duration) bool {
	if h.since.IsZero() || !slices.Equal(sockets, h.sockets) {
		h.sockets, h.since, h.cpu = sockets, now, cpu
		return false
	}
	idle := (cpu - h.cpu).Seconds() <= idleShare*now.Sub(h.since).Seconds()
	if !idle {
		h.since, h.cpu = now, cpu
	}
	return idle && len(tcpPorts(sockets)) > 0 && !slices.Contains(tcpPorts(sockets), h.checker.port) && now.Sub(h.since) >= sureAfter
}

// usage returns the CPU time that the instance has used.
func (h *hints) usage(ctx context.Context) (time.Duration, bool) {
	driver, ok := h.checker.driver.(runtime.Statser)
	if !ok {
		return 0, false
	}
	all, err := driver.Stats(ctx)
	u, ok := all[h.checker.id]
	return u.CPU, ok && err == nil
}

// socketHint says where an instance listens whose port refuses connections.
func socketHint(port int, sockets []runtime.Socket) string {
	ports := tcpPorts(sockets)
	if i := slices.IndexFunc(sockets, func(s runtime.Socket) bool { return !s.UDP && int(s.Addr.Port()) == port }); i >= 0 {
		return fmt.Sprintf("; the application listens on %s only: let it listen on 0.0.0.0", sockets[i].Addr)
	}
	if len(ports) == 0 {
		for _, s := range sockets {
			if s.UDP && int(s.Addr.Port()) == port {
				return fmt.Sprintf("; the application listens on UDP port %d, but requests come by TCP", port)
			}
		}
		return "; the application listens on no port yet"
	}
	if len(ports) == 1 {
		return fmt.Sprintf("; the application listens on port %d: deploy it with --port %[1]d, or let it listen on the port in the variable PORT", ports[0])
	}
	words := make([]string, len(ports))
	for i, p := range ports {
		words[i] = strconv.Itoa(p)
	}
	return fmt.Sprintf("; the application listens on ports %s: deploy it with --port and one of them, or let it listen on the port in the variable PORT", strings.Join(words, ", "))
}

// tcpPorts returns the TCP ports of sockets in rising order.
func tcpPorts(sockets []runtime.Socket) (ports []int) {
	for _, s := range sockets {
		if !s.UDP {
			ports = append(ports, int(s.Addr.Port()))
		}
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}

// speaksTLS reports whether the application answers the start of a TLS connection.
func (c *checker) speaksTLS(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, c.check.Timeout)
	defer cancel()
	conn, err := c.driver.Dial(ctx, c.id, c.port)
	if err != nil {
		return false
	}
	defer conn.Close()
	// Nothing is sent over the connection, so it does not matter who answers.
	return tls.Client(conn, &tls.Config{InsecureSkipVerify: true}).HandshakeContext(ctx) == nil
}

// advice says what to do about a response that is not 2xx.
func (e answerError) advice() string {
	switch {
	case e.code == 401 || e.code == 403:
		return "; the health check sends no credentials: set --health-path to a path that needs none"
	case e.code >= 300 && e.code < 400 && e.location != "":
		return fmt.Sprintf("; it redirects to %.200q: set --health-path to a path that answers 2xx itself", e.location)
	case e.code < 500:
		return "; set --health-path to a path that answers 2xx"
	}
	return "; the application's log may say why"
}
