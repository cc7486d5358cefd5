package daemon

import (
	"context"
	"fmt"
	"net"
)

// listeners are the addresses that the daemon itself listens at. Those of VPC
// endpoints come and go with the ingress.
type listeners struct {
	api, http net.Listener
	closers   closers
}

// open opens the listeners. Nothing accepts connections yet: those that come
// wait.
func (l *listeners) open(ctx context.Context, cfg Config) error {
	for _, x := range []struct {
		to   *net.Listener
		flag string
		addr string
	}{{&l.api, "api-addr", cfg.APIAddr}, {&l.http, "http-addr", cfg.HTTPAddr}} {
		var lc net.ListenConfig
		ln, err := lc.Listen(ctx, "tcp", x.addr)
		if err != nil {
			return fmt.Errorf("listen at --%s: %w", x.flag, err)
		}
		*x.to = ln
		l.closers.add(ln.Close)
	}
	return nil
}

func (l *listeners) close() error { return l.closers.close() }

// registryHosts are the names under which clients on this machine write our
// registry.
func (l *listeners) registryHosts(apiAddr string) []string {
	hosts := []string{l.api.Addr().String(), reachable(l.api.Addr()), apiAddr}
	if _, port, err := net.SplitHostPort(l.api.Addr().String()); err == nil {
		hosts = append(hosts, net.JoinHostPort("localhost", port), net.JoinHostPort("127.0.0.1", port))
	}
	return hosts
}
