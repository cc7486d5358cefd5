package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sync/errgroup"
)

// Limits of the forwarder. A query is in flight for at most
// maxResolvers*upstreamTimeout, however slowly a name server answers. An answer has at
// most what a message may have: 64 KiB over TCP, upstreamUDPSize over UDP.
const (
	maxQueries         = 1024 // in flight at once
	maxQueriesEach     = 64   // of one instance
	maxRate            = 4096 // queries a second
	maxRateEach        = 1024 // of one instance: what a network interface at AWS may ask
	maxConnections     = 256  // over TCP, at once
	maxConnectionsEach = 8    // of one instance
	upstreamTimeout    = 2 * time.Second
	clientIdleTimeout  = 10 * time.Second
	upstreamUDPSize    = 1232 // bytes: fits any path unfragmented (DNS flag day 2020)
)

// forwarder answers instances' DNS queries by asking the host's name servers.
// It resolves nothing itself and caches nothing. It does not forward queries for
// names that only the host knows (its own, those in /etc/hosts and of the local
// link): names with one label or below .local or .localhost.
//
// It answers only instances: programs of the host, and of other machines that have a route
// to the gateway's address, get nothing. It can't be used for amplification: an instance can
// only send from its own address, so the answer goes to the instance that asked.
type forwarder struct {
	udp net.PacketConn
	tcp net.Listener

	instance func(netip.Addr) bool // reports whether an address is an instance's

	queries  *quota
	rate     *pace
	upstream atomic.Pointer[[]netip.AddrPort]
}

// listen opens the forwarder's sockets at ports of the kernel's choice. instance reports
// whether an address is an instance's.
func listen(ctx context.Context, gateway netip.Addr, instance func(netip.Addr) bool) (*forwarder, error) {
	var c net.ListenConfig
	at := netip.AddrPortFrom(gateway, 0).String()
	udp, err := c.ListenPacket(ctx, "udp4", at)
	if err != nil {
		return nil, fmt.Errorf("open the DNS forwarder: %w", err)
	}
	tcp, err := c.Listen(ctx, "tcp4", at)
	if err != nil {
		udp.Close()
		return nil, fmt.Errorf("open the DNS forwarder: %w", err)
	}
	return &forwarder{
		udp:      udp,
		tcp:      &limitedListener{Listener: tcp, instance: instance, open: newQuota(maxConnections, maxConnectionsEach)},
		instance: instance,
		queries:  newQuota(maxQueries, maxQueriesEach),
		rate:     newPace(maxRate, maxRateEach),
	}, nil
}

// ports returns where the forwarder listens.
func (f *forwarder) ports() (udp, tcp uint16) {
	return addrPort(f.udp.LocalAddr()).Port(), addrPort(f.tcp.Addr()).Port()
}

// ask sets the name servers that the forwarder queries, in order of preference.
func (f *forwarder) ask(servers []netip.AddrPort) {
	servers = slices.Clone(servers[:min(len(servers), maxResolvers)])
	f.upstream.Store(&servers)
}

func (f *forwarder) close() {
	f.udp.Close()
	f.tcp.Close()
}

// serve answers queries until ctx ends, and closes the sockets.
func (f *forwarder) serve(ctx context.Context) error {
	defer f.close()
	g, ctx := errgroup.WithContext(ctx)
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) { f.answer(ctx, w, q) })
	servers := []*dns.Server{
		{PacketConn: f.udp, Handler: handler, UDPSize: upstreamUDPSize},
		{Listener: f.tcp, Handler: handler, IdleTimeout: func() time.Duration { return clientIdleTimeout }},
	}
	for _, s := range servers {
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		failed := make(chan struct{})
		g.Go(func() error {
			defer close(failed)
			if err := s.ActivateAndServe(); err != nil && !errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("serve DNS: %w", err)
			}
			return nil
		})
		g.Go(func() error {
			<-ctx.Done()
			select {
			case <-started:
				_ = s.Shutdown() // its only error is that it was not started
			case <-failed:
			}
			return nil
		})
	}
	return g.Wait()
}

// answer handles one query. Queries beyond the limits are dropped: the instance's
// resolver retries.
func (f *forwarder) answer(ctx context.Context, w dns.ResponseWriter, q *dns.Msg) {
	who := addrPort(w.RemoteAddr()).Addr()
	if !f.instance(who) || !f.rate.spend(who, time.Now()) || !f.queries.enter(who) {
		return
	}
	defer f.queries.leave(who)

	reply := new(dns.Msg)
	if rcode, ok := acceptable(q); !ok {
		reply.SetRcode(q, rcode)
	} else if r, err := f.forward(ctx, q, overTCP(w)); err != nil {
		reply.SetRcode(q, dns.RcodeServerFailure)
	} else {
		reply = r
	}
	if !overTCP(w) {
		reply.Truncate(clientSize(q))
	}
	_ = w.WriteMsg(reply) // a client that went away needs no answer
}

func overTCP(w dns.ResponseWriter) bool {
	_, ok := w.RemoteAddr().(*net.TCPAddr)
	return ok
}

// clientSize is how large an answer over UDP the client takes, in bytes.
func clientSize(q *dns.Msg) int {
	if o := q.IsEdns0(); o != nil {
		return max(dns.MinMsgSize, min(int(o.UDPSize()), upstreamUDPSize))
	}
	return dns.MinMsgSize
}

// acceptable reports whether a query is for a public name, and otherwise how to
// refuse it.
func acceptable(q *dns.Msg) (rcode int, ok bool) {
	if q.Opcode != dns.OpcodeQuery || len(q.Question) != 1 {
		return dns.RcodeNotImplemented, false
	}
	question := q.Question[0]
	if question.Qclass != dns.ClassINET || question.Qtype == dns.TypeOPT ||
		question.Qtype >= dns.TypeTKEY && question.Qtype <= dns.TypeANY { // transfers and the like
		return dns.RcodeRefused, false
	}
	labels := dns.SplitDomainName(question.Name)
	if len(labels) == 1 {
		return dns.RcodeNameError, false
	}
	if len(labels) > 1 {
		switch strings.ToLower(labels[len(labels)-1]) {
		case "local", "localhost":
			return dns.RcodeNameError, false
		}
	}
	return dns.RcodeSuccess, true
}

// forward queries the name servers in turn until one answers.
func (f *forwarder) forward(ctx context.Context, q *dns.Msg, tcp bool) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, maxResolvers*upstreamTimeout)
	defer cancel()
	ask := upstreamQuery(q)
	client := &dns.Client{Net: "udp", Timeout: upstreamTimeout}
	if tcp {
		client.Net = "tcp"
	}
	err := errors.New("no name servers")
	for _, server := range *f.upstream.Load() {
		var reply *dns.Msg
		if reply, err = exchange(ctx, client, ask, server); err != nil {
			continue
		}
		if !reply.Response || len(reply.Question) != 1 || !strings.EqualFold(reply.Question[0].Name, ask.Question[0].Name) ||
			reply.Question[0].Qtype != ask.Question[0].Qtype {
			err = fmt.Errorf("name server %s answered another question", server)
			continue
		}
		reply.Id = q.Id
		return reply, nil
	}
	return nil, err
}

// exchange queries one name server. It returns when ctx ends, and after upstreamTimeout
// with connecting: each read of a client has its whole timeout.
func exchange(ctx context.Context, client *dns.Client, ask *dns.Msg, server netip.AddrPort) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, upstreamTimeout)
	defer cancel()
	conn, err := client.DialContext(ctx, server.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	reply, _, err := client.ExchangeWithConnContext(ctx, ask, conn)
	return reply, err
}

// upstreamQuery returns the query to forward for q: its question under an
// unpredictable id. Of the extensions only those of size and DNSSEC are copied.
func upstreamQuery(q *dns.Msg) *dns.Msg {
	ask := &dns.Msg{Question: q.Question}
	ask.Id = dns.Id()
	ask.RecursionDesired = q.RecursionDesired
	ask.CheckingDisabled = q.CheckingDisabled
	ask.AuthenticatedData = q.AuthenticatedData
	if o := q.IsEdns0(); o != nil {
		ask.SetEdns0(upstreamUDPSize, o.Do())
	}
	return ask
}

// limitedListener closes connections beyond its quota, and those of others than instances,
// as soon as they come.
type limitedListener struct {
	net.Listener
	instance func(netip.Addr) bool
	open     *quota
}

// Accept implements net.Listener.
func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		who := addrPort(c.RemoteAddr()).Addr()
		if l.instance(who) && l.open.enter(who) {
			return &limitedConn{Conn: c, leave: sync.OnceFunc(func() { l.open.leave(who) })}, nil
		}
		c.Close()
	}
}

// limitedConn leaves the quota when it is closed.
type limitedConn struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (c *limitedConn) Close() error {
	c.leave()
	return c.Conn.Close()
}

// addrPort returns the address of a UDP or TCP socket, and the zero value of
// any other.
func addrPort(a net.Addr) netip.AddrPort {
	s, ok := a.(interface{ AddrPort() netip.AddrPort })
	if !ok {
		return netip.AddrPort{}
	}
	at := s.AddrPort()
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
}
