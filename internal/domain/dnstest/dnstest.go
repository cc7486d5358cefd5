// Package dnstest is a name server for tests. It is authoritative for every name
// and holds the CNAME records that a test sets. It listens on a loopback port over
// UDP and TCP.
package dnstest

import (
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// Server is a name server.
type Server struct {
	Addr string // host:port

	mu      sync.Mutex          // guards what follows
	cnames  map[string][]string // by name in lower case, with a final dot
	failing bool
	padding int
	asked   map[string]int // queries, by name
	overTCP int
}

// New starts a server without records. It ends with the test.
func New(t testing.TB) *Server {
	t.Helper()
	s := &Server{cnames: map[string][]string{}, asked: map[string]int{}}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Addr = tcp.Addr().String()
	udp, err := net.ListenPacket("udp", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	for _, srv := range []*dns.Server{{Listener: tcp, Handler: s}, {PacketConn: udp, Handler: s}} {
		started := make(chan struct{})
		srv.NotifyStartedFunc = func() { close(started) }
		done := make(chan error, 1)
		go func() { done <- srv.ActivateAndServe() }()
		<-started
		t.Cleanup(func() {
			if err := srv.Shutdown(); err != nil {
				t.Error(err)
			}
			<-done
		})
	}
	return s
}

// Set makes name an alias of target only. Both end with a dot.
func (s *Server) Set(name, target string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cnames[strings.ToLower(name)] = []string{target}
}

// Clear removes every record.
func (s *Server) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.cnames)
}

// Fail sets whether the server answers SERVFAIL.
func (s *Server) Fail(failing bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing = failing
}

// Pad adds records to every answer, which makes it too long for UDP.
func (s *Server) Pad(records int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.padding = records
}

// Asked returns the number of queries for a name.
func (s *Server) Asked(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[strings.ToLower(name)]
}

// OverTCP returns the number of queries over TCP.
func (s *Server) OverTCP() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.overTCP
}

// ServeDNS implements dns.Handler.
func (s *Server) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, tcp := w.RemoteAddr().(*net.TCPAddr)
	if tcp {
		s.overTCP++
	}
	reply := s.answer(q)
	if !tcp {
		size := dns.MinMsgSize
		if o := q.IsEdns0(); o != nil {
			size = int(o.UDPSize())
		}
		reply.Truncate(size)
	}
	_ = w.WriteMsg(reply) // the client may have left
}

func (s *Server) answer(q *dns.Msg) *dns.Msg {
	reply := new(dns.Msg)
	if s.failing || len(q.Question) != 1 {
		return reply.SetRcode(q, dns.RcodeServerFailure)
	}
	name := strings.ToLower(q.Question[0].Name)
	s.asked[name]++
	targets := s.cnames[name]
	if len(targets) == 0 {
		return reply.SetRcode(q, dns.RcodeNameError)
	}
	reply.SetReply(q)
	reply.Authoritative = true
	header := func(kind uint16) dns.RR_Header {
		return dns.RR_Header{Name: q.Question[0].Name, Rrtype: kind, Class: dns.ClassINET, Ttl: 1}
	}
	for _, t := range targets {
		reply.Answer = append(reply.Answer, &dns.CNAME{Hdr: header(dns.TypeCNAME), Target: t})
	}
	for range s.padding {
		reply.Answer = append(reply.Answer, &dns.TXT{Hdr: header(dns.TypeTXT), Txt: []string{strings.Repeat("x", 200)}})
	}
	return reply
}
