package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"syscall"
)

// Names of the sockets that a daemon can inherit, besides ids of VPC endpoints.
const (
	SocketHTTP = "http" // for the address of services, in place of Config.HTTPAddr
	SocketAPI  = "api"  // for that of the API, in place of Config.APIAddr

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
		if _, endpoint := c.Endpoints[s.Name]; s.Name != SocketHTTP && s.Name != SocketAPI && s.Name != SocketMetrics && !endpoint {
			return fmt.Errorf("an inherited socket has the name %q; it can be %s, %s, %s or the id of a --vpc-endpoint: set FileDescriptorName= in its systemd socket unit",
				s.Name, SocketHTTP, SocketAPI, SocketMetrics)
		}
	}
	return nil
}

// sockets returns the inherited sockets of a name.
func (c *Config) sockets(name string) []Socket {
	return slices.DeleteFunc(slices.Clone(c.Sockets), func(s Socket) bool { return s.Name != name })
}

// listeners are the addresses that the daemon itself listens at. Those of VPC
// endpoints come and go with the ingress.
type listeners struct {
	api, http []net.Listener // at least one each
	metrics   []net.Listener // none: metrics are not served
	closers   closers
}

// open opens the listeners. Nothing accepts connections yet: those that come
// wait.
func (l *listeners) open(ctx context.Context, cfg Config) error {
	for _, x := range []struct {
		to                 *[]net.Listener
		socket, flag, addr string
	}{{&l.api, SocketAPI, "api-addr", cfg.APIAddr}, {&l.http, SocketHTTP, "http-addr", cfg.HTTPAddr}, {&l.metrics, SocketMetrics, "metrics-addr", cfg.Metrics}} {
		if x.addr == "" && len(cfg.sockets(x.socket)) == 0 {
			continue
		}
		list, err := listen(ctx, cfg.sockets(x.socket), x.flag, x.addr)
		for _, ln := range list {
			l.closers.add(ln.Close)
		}
		if err != nil {
			return err
		}
		*x.to = list
	}
	return nil
}

// listen returns listeners on the inherited sockets or, without any, on an address.
func listen(ctx context.Context, sockets []Socket, flag, addr string) (list []net.Listener, err error) {
	for _, s := range sockets {
		ln, err := s.listen()
		if err != nil {
			return list, err
		}
		list = append(list, ln)
	}
	if len(list) > 0 {
		return list, nil
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen at --%s: %w%s", flag, err, listenAdvice(err, flag, addr))
	}
	return []net.Listener{ln}, nil
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
func (c *Config) listenEndpoint(ctx context.Context, id, addr string) (net.Listener, error) {
	if inherited := c.sockets(id); len(inherited) > 0 {
		return inherited[0].listen()
	}
	var lc net.ListenConfig
	return lc.Listen(ctx, "tcp", addr)
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

// httpPort is the port in the URLs of services.
func (l *listeners) httpPort() int { return l.http[0].Addr().(*net.TCPAddr).Port }
