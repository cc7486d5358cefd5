package domain

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/openslipway/slipway/internal/domain/dnstest"
)

func TestCNAME(t *testing.T) {
	t.Parallel()
	s := dnstest.New(t)
	s.Set("_a.example.com.", "_b.acm-validations.aws.")
	d := DNS{Servers: []string{s.Addr}}
	for name, want := range map[string]string{
		"_a.example.com.": "_b.acm-validations.aws.",
		"_A.Example.com.": "_b.acm-validations.aws.",
		"_c.example.com.": "",
	} {
		if got, err := d.CNAME(t.Context(), name); got != want || err != nil {
			t.Errorf("%s: %q, %v; want %q", name, got, err, want)
		}
	}
	if s.OverTCP() != 0 {
		t.Errorf("%d questions over TCP", s.OverTCP())
	}
	s.Pad(20)
	if got, err := d.CNAME(t.Context(), "_a.example.com."); got != "_b.acm-validations.aws." || err != nil || s.OverTCP() != 1 {
		t.Errorf("too long for UDP: %q, %v, %d over TCP", got, err, s.OverTCP())
	}
}

func TestServersInTurn(t *testing.T) {
	t.Parallel()
	broken, whole := dnstest.New(t), dnstest.New(t)
	broken.Fail(true)
	whole.Set("_a.example.com.", "_b.")
	dead, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead.Close() // nothing listens there: the answer is an ICMP error
	d := DNS{Servers: []string{dead.LocalAddr().String(), broken.Addr, whole.Addr}}
	if got, err := d.CNAME(t.Context(), "_a.example.com."); got != "_b." || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	d.Servers = d.Servers[:2]
	if got, err := d.CNAME(t.Context(), "_a.example.com."); err == nil || !strings.Contains(err.Error(), "SERVFAIL") {
		t.Errorf("%q, %v; want an error that says SERVFAIL", got, err)
	}
}

// A reply to a different question is rejected.
func TestForgedReply(t *testing.T) {
	t.Parallel()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan struct{})
	srv := &dns.Server{PacketConn: conn, NotifyStartedFunc: func() { close(started) }, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		reply := new(dns.Msg).SetReply(q)
		reply.Question = []dns.Question{{Name: "_x.example.net.", Qtype: dns.TypeCNAME, Qclass: dns.ClassINET}}
		reply.Answer = []dns.RR{&dns.CNAME{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeCNAME, Class: dns.ClassINET}, Target: "_b."}}
		_ = w.WriteMsg(reply)
	})}
	go func() { _ = srv.ActivateAndServe() }()
	<-started
	t.Cleanup(func() { _ = srv.Shutdown() })
	if got, err := (DNS{Servers: []string{conn.LocalAddr().String()}}).CNAME(t.Context(), "_a.example.com."); err == nil {
		t.Errorf("%q is believed", got)
	}
}

// The file is read for each query.
func TestSystemServers(t *testing.T) {
	t.Parallel()
	d := DNS{File: filepath.Join(t.TempDir(), "resolv.conf")}
	if _, err := d.CNAME(t.Context(), "_a.example.com."); err == nil {
		t.Error("no error without a file")
	}
	if err := os.WriteFile(d.File, []byte("nameserver 192.0.2.1\nnameserver 2001:db8::1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := d.servers(); err != nil || fmt.Sprint(got) != "[192.0.2.1:53 [2001:db8::1]:53]" {
		t.Errorf("%v, %v", got, err)
	}
}

// A query ends with its context.
func TestQuestionEnds(t *testing.T) {
	t.Parallel()
	mute, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	failed := make(chan error, 1)
	go func() {
		_, err := DNS{Servers: []string{mute.LocalAddr().String()}}.CNAME(ctx, "_a.example.com.")
		failed <- err
	}()
	if _, _, err := mute.ReadFrom(make([]byte, 512)); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	cancel()
	if err := <-failed; err == nil {
		t.Error("no error")
	} else if time.Since(begun) >= askTime {
		t.Errorf("it took the server's time, not the context's: %v", err)
	}
}
