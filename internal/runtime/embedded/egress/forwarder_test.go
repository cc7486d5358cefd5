package egress

import (
	"context"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

var loopback = netip.MustParseAddr("127.0.0.1")

// upstream is a name server on loopback that lasts as long as the test.
func upstream(t *testing.T, h dns.HandlerFunc) netip.AddrPort {
	t.Helper()
	for {
		udp, err := net.ListenPacket("udp", "127.0.0.1:0")
		check(t, err)
		at := addrPort(udp.LocalAddr())
		tcp, err := net.Listen("tcp", at.String())
		if err != nil { // the port is somebody else's over TCP
			udp.Close()
			continue
		}
		serveDNS(t, udp, tcp, h)
		return at
	}
}

// running returns a forwarder on loopback.
func running(t *testing.T, servers ...netip.AddrPort) *forwarder {
	t.Helper()
	f, err := listen(t.Context(), loopback, func(a netip.Addr) bool { return a == loopback })
	check(t, err)
	f.ask(servers)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f.serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		check(t, <-ended)
	})
	return f
}

func query(t *testing.T, f *forwarder, network string, q *dns.Msg) (*dns.Msg, error) {
	t.Helper()
	udp, tcp := f.ports()
	port := udp
	if network == "tcp" {
		port = tcp
	}
	client := &dns.Client{Net: network, Timeout: patience}
	reply, _, err := client.ExchangeContext(t.Context(), q, netip.AddrPortFrom(loopback, port).String())
	return reply, err
}

func TestForward(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	f := running(t, upstream(t, func(w dns.ResponseWriter, q *dns.Msg) {
		asked.Add(1)
		answers(w, q)
	}))
	for _, r := range []struct {
		name  string
		q     *dns.Msg
		rcode int
		asked bool
	}{
		{"an address", new(dns.Msg).SetQuestion(outsideName, dns.TypeA), dns.RcodeSuccess, true},
		{"in other letters", new(dns.Msg).SetQuestion("SerVice.eXample.", dns.TypeA), dns.RcodeSuccess, true},
		{"a name that is not", new(dns.Msg).SetQuestion("nothing.example.", dns.TypeA), dns.RcodeNameError, true},
		{"the root", new(dns.Msg).SetQuestion(".", dns.TypeNS), dns.RcodeNameError, true},
		{"one label", new(dns.Msg).SetQuestion("intranet.", dns.TypeA), dns.RcodeNameError, false},
		{"one label with a dot in it", new(dns.Msg).SetQuestion(`intra\.net.`, dns.TypeA), dns.RcodeNameError, false},
		{"the link's names", new(dns.Msg).SetQuestion("printer.LOCAL.", dns.TypeA), dns.RcodeNameError, false},
		{"below localhost", new(dns.Msg).SetQuestion("a.localhost.", dns.TypeA), dns.RcodeNameError, false},
		{"a zone", new(dns.Msg).SetQuestion("corp.example.", dns.TypeAXFR), dns.RcodeRefused, false},
		{"everything", new(dns.Msg).SetQuestion(outsideName, dns.TypeANY), dns.RcodeRefused, false},
		{"the server's version", &dns.Msg{Question: []dns.Question{
			{Name: "version.bind.", Qtype: dns.TypeTXT, Qclass: dns.ClassCHAOS},
		}}, dns.RcodeRefused, false},
		{"a notification", new(dns.Msg).SetNotify("corp.example."), dns.RcodeNotImplemented, false},
		{"a change", new(dns.Msg).SetUpdate("corp.example."), dns.RcodeNotImplemented, false},
	} {
		for _, network := range []string{"udp", "tcp"} {
			before := asked.Load()
			r.q.Id = dns.Id()
			reply, err := query(t, f, network, r.q)
			if err != nil || reply.Rcode != r.rcode {
				t.Errorf("%s over %s: %v, %v; want code %s", r.name, network, reply, err, dns.RcodeToString[r.rcode])
			}
			if got := asked.Load() != before; got != r.asked {
				t.Errorf("%s over %s: the name server was asked: %v, want %v", r.name, network, got, r.asked)
			}
		}
	}
}

func TestForwardSizes(t *testing.T) {
	t.Parallel()
	f := running(t, upstream(t, answers))
	for _, r := range []struct {
		network string
		edns    uint16 // 0: none
		most    int
		whole   bool
	}{
		{"udp", 0, 512, false},
		{"udp", 4096, upstreamUDPSize, false},
		{"tcp", 0, dns.MaxMsgSize, true},
	} {
		q := new(dns.Msg).SetQuestion("a.big.example.", dns.TypeTXT)
		if r.edns > 0 {
			q.SetEdns0(r.edns, false)
		}
		reply, err := query(t, f, r.network, q)
		check(t, err)
		reply.Compress = true // as it came
		if reply.Truncated == r.whole || r.whole && len(reply.Answer) != 100 || reply.Len() > r.most {
			t.Errorf("over %s with EDNS %d: %d bytes, %d answers, truncated %v", r.network, r.edns, reply.Len(), len(reply.Answer), reply.Truncated)
		}
	}
}

func TestForwardToTheNext(t *testing.T) {
	t.Parallel()
	wrong := upstream(t, func(w dns.ResponseWriter, q *dns.Msg) {
		reply := new(dns.Msg).SetReply(q)
		reply.Question[0].Name = "other.example."
		_ = w.WriteMsg(reply)
	})
	dead := netip.MustParseAddrPort("127.0.0.1:1")

	f := running(t, wrong, dead, upstream(t, answers))
	for _, network := range []string{"udp", "tcp"} {
		reply, err := query(t, f, network, new(dns.Msg).SetQuestion(outsideName, dns.TypeA))
		if err != nil || len(reply.Answer) != 1 {
			t.Errorf("over %s, by the third server: %v, %v", network, reply, err)
		}
	}
	f.ask([]netip.AddrPort{wrong, dead})
	reply, err := query(t, f, "udp", new(dns.Msg).SetQuestion(outsideName, dns.TypeA))
	if err != nil || reply.Rcode != dns.RcodeServerFailure {
		t.Errorf("without a server that answers: %v, %v; want a server failure", reply, err)
	}
}

// TestForwardEnds ends a forwarder that waits for its name server.
func TestForwardEnds(t *testing.T) {
	t.Parallel()
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	check(t, err)
	defer silent.Close()
	f, err := listen(t.Context(), loopback, func(a netip.Addr) bool { return a == loopback })
	check(t, err)
	f.ask([]netip.AddrPort{addrPort(silent.LocalAddr())})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.serve(ctx) }()

	udp, _ := f.ports()
	c, err := net.Dial("udp", netip.AddrPortFrom(loopback, udp).String())
	check(t, err)
	defer c.Close()
	b, err := new(dns.Msg).SetQuestion(outsideName, dns.TypeA).Pack()
	check(t, err)
	_, err = c.Write(b)
	check(t, err)
	_, _, err = silent.ReadFrom(make([]byte, 512)) // the query is under way
	check(t, err)
	cancel()
	check(t, <-ended)
}

// recorder is a dns.ResponseWriter that keeps what is written.
type recorder struct {
	dns.ResponseWriter
	from    net.Addr
	written []*dns.Msg
}

func (r *recorder) RemoteAddr() net.Addr { return r.from }
func (r *recorder) WriteMsg(m *dns.Msg) error {
	r.written = append(r.written, m)
	return nil
}

func TestForwardBounds(t *testing.T) {
	t.Parallel()
	f := &forwarder{instance: func(netip.Addr) bool { return true }, queries: newQuota(maxQueries, maxQueriesEach), rate: newPace(maxRate, maxRateEach)}
	f.ask([]netip.AddrPort{upstream(t, answers)})
	ask := func(from string) int {
		w := &recorder{from: net.UDPAddrFromAddrPort(netip.MustParseAddrPort(from))}
		f.answer(t.Context(), w, new(dns.Msg).SetQuestion(outsideName, dns.TypeA))
		return len(w.written)
	}
	greedy := netip.MustParseAddr("198.18.0.2")
	for range maxQueriesEach {
		if !f.queries.enter(greedy) {
			t.Fatal("a query within the bound was refused")
		}
	}
	if ask("198.18.0.2:1000") != 0 {
		t.Error("a query beyond the instance's bound was answered")
	}
	if ask("198.18.0.3:1000") != 1 {
		t.Error("another instance's query was not answered")
	}
	f.queries.leave(greedy)
	if ask("198.18.0.2:1000") != 1 {
		t.Error("a query within the bound again was not answered")
	}
}

// TestForwardPaced has an instance ask far more names than it may in a second.
func TestForwardPaced(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	f := &forwarder{instance: func(netip.Addr) bool { return true }, queries: newQuota(maxQueries, maxQueriesEach), rate: newPace(15, 10)}
	f.rate.until = time.Now().Add(time.Hour) // one second that does not end
	f.ask([]netip.AddrPort{upstream(t, func(w dns.ResponseWriter, q *dns.Msg) {
		asked.Add(1)
		answers(w, q)
	})})
	ask := func(from string, times int) (answered int) {
		for range times {
			w := &recorder{from: net.UDPAddrFromAddrPort(netip.MustParseAddrPort(from))}
			f.answer(t.Context(), w, new(dns.Msg).SetQuestion(outsideName, dns.TypeA))
			answered += len(w.written)
		}
		return answered
	}
	if n := ask("198.18.0.2:1000", 1000); n != 10 || asked.Load() != 10 {
		t.Errorf("%d of 1000 queries were answered, %d forwarded, want 10", n, asked.Load())
	}
	if n := ask("198.18.0.3:1000", 1000); n != 5 {
		t.Errorf("%d queries of a second instance were answered, want the 5 that are left of all", n)
	}
	f.rate.until = time.Now() // the next second
	if n := ask("198.18.0.2:1000", 1); n != 1 {
		t.Error("no query is answered in the next second")
	}
}

// drip is a name server over TCP that answers a byte now and then, for ever. Over UDP it
// answers others' questions.
func drip(t *testing.T) netip.AddrPort {
	t.Helper()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	udp, err := net.ListenPacket("udp", tcp.Addr().String())
	check(t, err)
	t.Cleanup(func() { tcp.Close(); udp.Close() })
	go func() {
		for {
			c, err := tcp.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				tick := time.NewTicker(20 * time.Millisecond)
				defer tick.Stop()
				for b := byte(0xff); ; b = 0 { // a message of 65280 bytes
					if _, err := c.Write([]byte{b}); err != nil {
						return
					}
					<-tick.C
				}
			}()
		}
	}()
	go func() {
		b := make([]byte, 4096)
		n, from, err := udp.ReadFrom(b)
		if err != nil || n < 2 {
			return
		}
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		b[0]++ // of another id
		for err == nil {
			_, err = udp.WriteTo(b[:n], from)
			<-tick.C
		}
	}()
	return addrPort(tcp.Addr())
}

// TestForwardDrips asks a name server that answers for ever, and the next one.
func TestForwardDrips(t *testing.T) {
	t.Parallel()
	f := running(t, drip(t), upstream(t, answers))
	for _, network := range []string{"udp", "tcp"} {
		reply, err := query(t, f, network, new(dns.Msg).SetQuestion(outsideName, dns.TypeA))
		if err != nil || len(reply.Answer) != 1 {
			t.Errorf("over %s: %v, %v", network, reply, err)
		}
	}
}

func TestQuota(t *testing.T) {
	t.Parallel()
	q := newQuota(3, 2)
	a, b := netip.MustParseAddr("198.18.0.2"), netip.MustParseAddr("198.18.0.3")
	for i, step := range []struct {
		who  netip.Addr
		want bool
	}{{a, true}, {a, true}, {a, false}, {b, true}, {b, false}} {
		if got := q.enter(step.who); got != step.want {
			t.Errorf("entry %d: %v, want %v", i, got, step.want)
		}
	}
	q.leave(a)
	q.leave(a)
	q.leave(b)
	if q.total != 0 || len(q.counts) != 0 {
		t.Errorf("%d places and %v are kept by nobody", q.total, q.counts)
	}
}

func TestLimitedListener(t *testing.T) {
	t.Parallel()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	l := &limitedListener{instance: func(netip.Addr) bool { return true }, Listener: inner, open: newQuota(10, 1)}
	defer l.Close()
	accepted := make(chan net.Conn)
	go func() {
		defer close(accepted)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", inner.Addr().String())
		check(t, err)
		t.Cleanup(func() { c.Close() })
		check(t, c.SetDeadline(time.Now().Add(patience)))
		return c
	}
	dial()
	first := <-accepted
	if _, err := dial().Read(make([]byte, 1)); err != io.EOF && !strings.Contains(err.Error(), "reset") {
		t.Errorf("the second connection of one address: %v, want it closed", err)
	}
	check(t, first.Close())
	_ = first.Close() // gives its place back once
	dial()
	second, ok := <-accepted
	if !ok {
		t.Fatal("no connection after the first was closed")
	}
	second.Close()
	if l.open.total != 0 {
		t.Errorf("%d places are kept by nobody", l.open.total)
	}
}

// TestOnlyInstancesAreAnswered asks from an address that no instance has.
func TestOnlyInstancesAreAnswered(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 10)
	f := running(t, upstream(t, func(w dns.ResponseWriter, q *dns.Msg) {
		asked <- struct{}{}
		_ = w.WriteMsg(new(dns.Msg).SetReply(q))
	}))
	udp, tcp := f.ports()
	from := net.ParseIP("127.0.0.2")
	for _, c := range []struct {
		network string
		local   net.Addr
		port    uint16
	}{{"udp", &net.UDPAddr{IP: from}, udp}, {"tcp", &net.TCPAddr{IP: from}, tcp}} {
		q := new(dns.Msg).SetQuestion("example.com.", dns.TypeA)
		client := &dns.Client{Net: c.network, Timeout: 300 * time.Millisecond, Dialer: &net.Dialer{LocalAddr: c.local, Timeout: patience}}
		if reply, _, err := client.ExchangeContext(t.Context(), q, netip.AddrPortFrom(loopback, c.port).String()); err == nil {
			t.Errorf("%s: a stranger got %v", c.network, reply)
		}
		if reply, err := query(t, f, c.network, q); err != nil || reply.Rcode != dns.RcodeSuccess { // the control
			t.Errorf("%s: an instance got %v, %v", c.network, reply, err)
		}
	}
	if len(asked) != 2 {
		t.Errorf("the name server was asked %d times, want 2", len(asked))
	}
	if (plan{prefix: DefaultPrefix}).leased(netip.MustParseAddr("198.18.0.1")) || !(plan{prefix: DefaultPrefix}).leased(netip.MustParseAddr("198.18.0.2")) {
		t.Error("the gateway counts as an instance, or an instance does not")
	}
}
