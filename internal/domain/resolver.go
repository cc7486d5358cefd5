package domain

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	askTime    = 3 * time.Second  // of one exchange
	allTime    = 15 * time.Second // of a question, whatever its servers answer
	maxServers = 3                // that are asked, as by glibc
	udpSize    = 1232             // bytes: fits any path unfragmented (DNS flag day 2020)
)

// DNS is a Resolver that queries recursive name servers in order until one
// answers. It queries the CNAME record itself: net.Resolver would follow it to
// a name that does not exist. An alias of an alias is not followed, so that a chain of
// them costs one question.
type DNS struct {
	Servers []string // host:port each; if empty, those of File are used
	File    string   // a resolv.conf, read for each query because it changes with the network
}

var _ Resolver = DNS{}

// CNAME implements Resolver.
func (d DNS) CNAME(ctx context.Context, name string) (string, error) {
	servers, err := d.servers()
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, allTime)
	defer cancel()
	err = errors.New("there are no name servers")
	for _, server := range servers[:min(len(servers), maxServers)] {
		var reply *dns.Msg
		if reply, err = ask(ctx, server, name, dns.TypeCNAME); err != nil {
			continue
		}
		for _, rr := range reply.Answer {
			if c, ok := rr.(*dns.CNAME); ok && strings.EqualFold(c.Hdr.Name, name) {
				return c.Target, nil
			}
		}
		return "", nil
	}
	return "", fmt.Errorf("look up the CNAME of %s: %w", name, err)
}

// Resolves reports whether a name has an address, or is an alias. An error means that it is
// not known.
func (d DNS) Resolves(ctx context.Context, name string) (bool, error) {
	servers, err := d.servers()
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, allTime)
	defer cancel()
	err = errors.New("there are no name servers")
	for _, server := range servers[:min(len(servers), maxServers)] {
		found := false
		for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA} {
			var reply *dns.Msg
			if reply, err = ask(ctx, server, dns.Fqdn(name), kind); err != nil {
				break
			}
			found = found || len(reply.Answer) > 0
		}
		if err == nil {
			return found, nil
		}
	}
	return false, fmt.Errorf("look up the addresses of %s: %w", name, err)
}

func (d DNS) servers() ([]string, error) {
	if len(d.Servers) > 0 {
		return d.Servers, nil
	}
	c, err := dns.ClientConfigFromFile(d.File)
	if err != nil {
		return nil, fmt.Errorf("read the name servers from %s: %w", d.File, err)
	}
	servers := make([]string, 0, len(c.Servers))
	for _, addr := range c.Servers {
		servers = append(servers, net.JoinHostPort(addr, c.Port))
	}
	return servers, nil
}

// ask sends the query to one server, and repeats it over TCP if the answer is
// too long for UDP.
func ask(ctx context.Context, server, name string, kind uint16) (*dns.Msg, error) {
	q := new(dns.Msg)
	q.SetQuestion(name, kind)
	q.SetEdns0(udpSize, false)
	reply, err := exchange(ctx, "udp", server, q)
	if err == nil && reply.Truncated {
		reply, err = exchange(ctx, "tcp", server, q)
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("ask %s: %w", server, err)
	case !answers(reply, q):
		return nil, fmt.Errorf("%s answered another question", server)
	case reply.Rcode != dns.RcodeSuccess && reply.Rcode != dns.RcodeNameError:
		return nil, fmt.Errorf("%s answered %s", server, dns.RcodeToString[reply.Rcode])
	}
	return reply, nil
}

// exchange sends the query once. It returns when ctx ends, and after askTime with
// connecting: each read of a client has its whole timeout.
func exchange(ctx context.Context, network, server string, q *dns.Msg) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	c := dns.Client{Net: network, Timeout: askTime}
	conn, err := c.DialContext(ctx, server)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	reply, _, err := c.ExchangeWithConnContext(ctx, q, conn)
	return reply, err
}

// answers reports whether reply answers q. A forged reply would have to guess
// all of it.
func answers(reply, q *dns.Msg) bool {
	if !reply.Response || len(reply.Question) != 1 {
		return false
	}
	have, want := reply.Question[0], q.Question[0]
	return strings.EqualFold(have.Name, want.Name) && have.Qtype == want.Qtype && have.Qclass == want.Qclass
}
