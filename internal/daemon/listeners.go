package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/takeover"
)

// Names of the sockets that a daemon can inherit, besides ids of VPC endpoints.
const (
	SocketHTTP = "http" // for the address of services, in place of Config.HTTPAddr
	SocketAPI  = "api"  // for that of the API, in place of Config.APIAddr

	SocketHTTPS = "https" // for that of services with TLS, in place of Config.TLS.Addr

	SocketMetrics = "metrics" // for that of the metrics, in place of Config.Metrics
)

// Socket is a listening TCP socket that another process opened and keeps open, such
// as systemd. Connections that come while no daemon runs wait in its queue for the
// next one. Several sockets can have one name.
type Socket struct {
	Name string
	File *os.File
}

// listen returns a listener on the socket, which stays open after the listener is
// closed.
func (s Socket) listen() (net.Listener, error) {
	l, err := net.FileListener(s.File)
	if err != nil {
		return nil, fmt.Errorf("inherited socket %q: %w", s.Name, err)
	}
	return l, nil
}

// checkSockets refuses sockets whose names mean nothing here.
func (c *Config) checkSockets() error {
	for _, s := range c.Sockets {
		if _, endpoint := c.Endpoints[s.Name]; s.Name != SocketHTTP && s.Name != SocketHTTPS && s.Name != SocketAPI && s.Name != SocketMetrics && !endpoint {
			return fmt.Errorf("an inherited socket has the name %q; it can be %s, %s, %s, %s or the id of a --vpc-endpoint: set FileDescriptorName= in its systemd socket unit",
				s.Name, SocketHTTP, SocketHTTPS, SocketAPI, SocketMetrics)
		}
	}
	return nil
}

// sockets returns the inherited sockets of a name.
func (c *Config) sockets(name string) []Socket {
	return slices.DeleteFunc(slices.Clone(c.Sockets), func(s Socket) bool { return s.Name != name })
}

// listeners are the listening sockets of the daemon. Those of VPC endpoints come and go
// with the ingress.
type listeners struct {
	cfg   Config
	elder *elder // whose sockets are used; nil if there is none

	api, http []net.Listener // at least one each
	https     []net.Listener // none: services have no TLS
	metrics   []net.Listener // none: metrics are not served
	closers   closers

	mu   sync.Mutex // guards what follows, and what elder has given
	open []opened
	held []given // all that were open when hold was called
}

// opened is a socket that the next server gets.
type opened struct {
	takeover.Socket
	l net.Listener
}

// openAll opens the listeners, except those of VPC endpoints. Nothing accepts connections
// yet: those that come wait.
func (l *listeners) openAll(ctx context.Context) error {
	for _, x := range []struct {
		to               *[]net.Listener
		role, flag, addr string
	}{{&l.api, SocketAPI, "api-addr", l.cfg.APIAddr}, {&l.http, SocketHTTP, "http-addr", l.cfg.HTTPAddr}, {&l.https, SocketHTTPS, "https-addr", l.cfg.TLS.Addr}, {&l.metrics, SocketMetrics, "metrics-addr", l.cfg.Metrics}} {
		list, err := l.listen(ctx, x.role, x.addr)
		if err != nil && x.addr != "" {
			err = fmt.Errorf("listen at --%s: %w%s", x.flag, err, listenAdvice(err, x.flag, x.addr))
		}
		if err != nil {
			return err
		}
		*x.to = list
	}
	return nil
}

// listen returns the listeners of a role: inherited sockets, those of the elder, or a new
// one at an address; none without any.
func (l *listeners) listen(ctx context.Context, role, addr string) (list []net.Listener, err error) {
	inherited := true
	for _, s := range l.cfg.sockets(role) {
		ln, err := s.listen()
		if err != nil {
			return nil, err
		}
		list = append(list, ln)
		l.closers.add(ln.Close)
	}
	if len(list) == 0 {
		l.mu.Lock()
		list, inherited, err = l.elder.take(role, addr)
		l.mu.Unlock()
		for _, ln := range list {
			l.closers.add(ln.Close)
		}
		if err != nil {
			return nil, err
		}
	}
	if len(list) == 0 && addr != "" {
		var lc net.ListenConfig
		ln, err := lc.Listen(ctx, "tcp", addr)
		if err != nil {
			return nil, err
		}
		list = []net.Listener{ln}
		l.closers.add(ln.Close)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = slices.DeleteFunc(l.open, func(o opened) bool { return o.Role == role }) // of an endpoint that is opened again
	for _, ln := range list {
		l.open = append(l.open, opened{takeover.Socket{Role: role, Addr: addr, Inherited: inherited}, ln})
	}
	return list, nil
}

// give sends the sockets to the next server.
func (l *listeners) give(to *takeover.Conn) error {
	list := l.held
	if list == nil {
		list = l.copies()
		defer closeGiven(list)
	}
	for _, g := range list {
		if err := to.Send(takeover.Listener, g.Socket, nil, int(g.file.Fd())); err != nil {
			return err
		}
	}
	return nil
}

// hold keeps the sockets open that are, for further calls of give: whoever accepts from
// them may close them, and those who connect meanwhile wait.
func (l *listeners) hold() { l.held = l.copies() }

// dropHeld ends what hold has begun.
func (l *listeners) dropHeld() {
	closeGiven(l.held)
	l.held = nil
}

// copies returns other descriptors of the sockets.
func (l *listeners) copies() (list []given) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, o := range l.open {
		fd, err := dupSocket(o.l.(*net.TCPListener))
		if err != nil {
			continue // it was closed: that of an endpoint, which is about to be opened again
		}
		list = append(list, given{o.Socket, os.NewFile(uintptr(fd), o.Role)})
	}
	return list
}

func closeGiven(list []given) {
	for _, g := range list {
		g.file.Close()
	}
}

// dupSocket returns another descriptor of a socket, for the caller to close. File() of a
// socket would do, but its Fd() has the socket block, in all processes that have it.
func dupSocket(s syscall.Conn) (fd int, err error) {
	raw, err := s.SyscallConn()
	if err != nil {
		return -1, err
	}
	if cerr := raw.Control(func(old uintptr) { fd, err = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) }); cerr != nil {
		return -1, cerr
	}
	return fd, os.NewSyscallError("dup", err)
}

// listenAdvice says what to do when an address can't be listened at.
func listenAdvice(err error, flag, addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Sprintf("; `ss -ltnp 'sport = :%s'` names the program that has it: stop that, or choose another --%s", cmp.Or(port, "0"), flag)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Sprintf("; no device of this host has that address (`ip addr`): choose another --%s, such as :%s for all addresses", flag, port)
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return fmt.Sprintf("; ports below 1024 need root or CAP_NET_BIND_SERVICE: choose another --%s, or have systemd open it", flag)
	}
	return ""
}

// listenEndpoint opens the listener of a VPC endpoint, for the ingress.
func (l *listeners) listenEndpoint(ctx context.Context, id, addr string) (net.Listener, error) {
	list, err := l.listen(ctx, id, addr)
	if err != nil {
		return nil, err
	}
	for _, surplus := range list[1:] {
		surplus.Close()
	}
	return list[0], nil
}

// dropGiven closes the elder's sockets that are not used here.
func (l *listeners) dropGiven() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.elder.dropGiven()
}

func (l *listeners) close() error { return l.closers.close() }

// registryHosts are the names under which clients on this machine write our
// registry.
func (l *listeners) registryHosts(apiAddr string, names []string) []string {
	hosts := append([]string{apiAddr}, names...)
	for _, ln := range l.api {
		hosts = append(hosts, ln.Addr().String(), reachable(ln.Addr()))
		if _, port, err := net.SplitHostPort(ln.Addr().String()); err == nil {
			for _, name := range append([]string{"localhost", "127.0.0.1"}, names...) {
				hosts = append(hosts, net.JoinHostPort(name, port))
			}
		}
	}
	return hosts
}

// beyondLoopback returns an address of the API that other machines may reach, "" if there
// is none.
func (l *listeners) beyondLoopback() string {
	for _, ln := range l.api {
		if t, ok := ln.Addr().(*net.TCPAddr); ok && !t.IP.IsLoopback() {
			return ln.Addr().String()
		}
	}
	return ""
}

// apiHost and httpHost are where clients on this machine reach the API and the
// services, as host:port.
func (l *listeners) apiHost() string  { return reachable(l.api[0].Addr()) }
func (l *listeners) httpHost() string { return reachable(l.http[0].Addr()) }

// apiURL is the URL at which they reach the API.
func (l *listeners) apiURL() string {
	if l.cfg.TLS.API {
		return "https://" + l.apiHost()
	}
	return "http://" + l.apiHost()
}

// httpsPort is the port at which services answer with TLS.
func (l *listeners) httpsPort() int { return l.https[0].Addr().(*net.TCPAddr).Port }

// urlPort is the port in the URLs of services: that with TLS, if there is one.
func (l *listeners) urlPort() int {
	if len(l.https) > 0 {
		return l.httpsPort()
	}
	return l.http[0].Addr().(*net.TCPAddr).Port
}
