package acmetest

import (
	"encoding/json"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// Zone is a name server of a zone that takes updates (RFC 2136) from whoever has its key.
// It tells TXT records; all other names lead to 127.0.0.1.
type Zone struct {
	Addr string // host:port, by UDP and TCP

	zone string

	mu      sync.Mutex // guards what follows
	txt     map[string][]string
	most    int // TXT records of a name at once
	refused int // updates
}

const (
	zoneKeyName = "slipway."
	zoneKey     = "c2VjcmV0LW9mLXRoZS10ZXN0LXNlY3JldC1vZi10aGU="
)

// NewZone starts a name server. It ends with the test.
func NewZone(t testing.TB, zone string) *Zone {
	t.Helper()
	z := &Zone{zone: dns.Fqdn(zone), txt: map[string][]string{}}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	z.Addr = tcp.Addr().String()
	udp, err := net.ListenPacket("udp", z.Addr)
	if err != nil {
		t.Fatal(err)
	}
	// Without this, updates are answered as not implemented.
	accept := func(h dns.Header) dns.MsgAcceptAction {
		if int(h.Bits>>11)&0xF == dns.OpcodeUpdate {
			return dns.MsgAccept
		}
		return dns.DefaultMsgAcceptFunc(h)
	}
	for _, s := range []*dns.Server{{Listener: tcp, Handler: z}, {PacketConn: udp, Handler: z}} {
		s.TsigSecret, s.MsgAcceptFunc = map[string]string{zoneKeyName: zoneKey}, accept
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		done := make(chan error, 1)
		go func() { done <- s.ActivateAndServe() }()
		<-started
		t.Cleanup(func() {
			if err := s.Shutdown(); err != nil {
				t.Error(err)
			}
			<-done
		})
	}
	return z
}

// Settings are those of the provider rfc2136 for the zone.
func (z *Zone) Settings() []byte {
	b, _ := json.Marshal(map[string]string{"key_name": zoneKeyName, "key_alg": "hmac-sha256", "key": zoneKey, "server": z.Addr}) // strings always marshal
	return b
}

// TXT returns the TXT records that there are, and how many a name had at most.
func (z *Zone) TXT() (now, most int) {
	z.mu.Lock()
	defer z.mu.Unlock()
	for _, list := range z.txt {
		now += len(list)
	}
	return now, z.most
}

// ServeDNS implements dns.Handler.
func (z *Zone) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	z.mu.Lock()
	defer z.mu.Unlock()
	reply := new(dns.Msg).SetReply(q)
	switch {
	case q.Opcode == dns.OpcodeUpdate && (q.IsTsig() == nil || w.TsigStatus() != nil):
		z.refused++
		reply.Rcode = dns.RcodeNotAuth
	case q.Opcode == dns.OpcodeUpdate:
		z.update(q.Ns)
		reply.SetTsig(zoneKeyName, dns.HmacSHA256, 300, int64(q.IsTsig().TimeSigned))
	case len(q.Question) == 1:
		z.answer(reply, q.Question[0])
	}
	_ = w.WriteMsg(reply) // the client may have left
}

func (z *Zone) update(list []dns.RR) {
	for _, rr := range list {
		t, ok := rr.(*dns.TXT)
		if !ok {
			continue
		}
		name, value := strings.ToLower(t.Hdr.Name), strings.Join(t.Txt, "")
		if t.Hdr.Class == dns.ClassINET {
			z.txt[name] = append(z.txt[name], value)
			z.most = max(z.most, len(z.txt[name]))
			continue
		}
		z.txt[name] = slices.DeleteFunc(z.txt[name], func(v string) bool { return v == value || t.Hdr.Class == dns.ClassANY })
	}
}

func (z *Zone) answer(reply *dns.Msg, q dns.Question) {
	head := dns.RR_Header{Name: q.Name, Rrtype: q.Qtype, Class: dns.ClassINET, Ttl: 1}
	reply.Authoritative = true
	switch q.Qtype {
	case dns.TypeSOA:
		if strings.EqualFold(q.Name, z.zone) {
			reply.Answer = append(reply.Answer, &dns.SOA{Hdr: head, Ns: "ns." + z.zone, Mbox: "ops." + z.zone, Serial: 1, Refresh: 1, Retry: 1, Expire: 1, Minttl: 1})
		}
	case dns.TypeTXT:
		for _, v := range z.txt[strings.ToLower(q.Name)] {
			reply.Answer = append(reply.Answer, &dns.TXT{Hdr: head, Txt: []string{v}})
		}
	case dns.TypeA:
		reply.Answer = append(reply.Answer, &dns.A{Hdr: head, A: net.IPv4(127, 0, 0, 1)})
	}
}
