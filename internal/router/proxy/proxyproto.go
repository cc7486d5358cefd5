package proxy

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/pires/go-proxyproto"
)

// The PROXY protocol, versions 1 and 2: a proxy before this one that passes connections on, not
// requests, tells in a header before the client's first byte who has connected to it.
// https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt

// Limits of its headers. Version 2 allows 64 KiB of extensions; those in use take some hundred
// bytes.
const (
	maxProxyLine  = 107 // bytes, by the protocol
	maxProxyBytes = 4 << 10
	proxyTime     = 5 * time.Second // from the connection to the end of its header
)

var errProxyHeader = errors.New("no header of the PROXY protocol")

// readProxyHeader reads the header and nothing that follows. Client and local are not valid
// if it names none: the proxy connects for itself.
func readProxyHeader(c net.Conn) (client, local netip.AddrPort, err error) {
	c.SetReadDeadline(time.Now().Add(proxyTime))
	defer c.SetReadDeadline(time.Time{})
	b, err := proxyHeader(c)
	if err != nil {
		return client, local, err
	}
	h, err := proxyproto.Read(bufio.NewReader(bytes.NewReader(b)))
	if err != nil {
		return client, local, err
	}
	if h.Command.IsLocal() || h.TransportProtocol.IsUnspec() {
		return client, local, nil
	}
	from, to, ok := h.TCPAddrs()
	if !ok {
		return client, local, errProxyHeader // of UDP, or a Unix socket
	}
	return from.AddrPort(), to.AddrPort(), nil
}

// proxyHeader returns the bytes of the header.
func proxyHeader(c io.Reader) ([]byte, error) {
	b := make([]byte, len(proxyproto.SIGV2), maxProxyLine)
	if _, err := io.ReadFull(c, b); err != nil {
		return nil, err
	}
	if !bytes.Equal(b, proxyproto.SIGV2) {
		return proxyLine(c, b)
	}
	b = b[:16]
	if _, err := io.ReadFull(c, b[12:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(b[14:]))
	if n > maxProxyBytes {
		return nil, errProxyHeader
	}
	b = append(b, make([]byte, n)...)
	_, err := io.ReadFull(c, b[16:])
	return b, err
}

// proxyLine returns a header of version 1 that begins with b.
func proxyLine(c io.Reader, b []byte) ([]byte, error) {
	if !bytes.HasPrefix(b, append(proxyproto.SIGV1, ' ')) {
		return nil, errProxyHeader
	}
	for b[len(b)-1] != '\n' {
		if len(b) == maxProxyLine {
			return nil, errProxyHeader
		}
		b = b[:len(b)+1]
		if _, err := io.ReadFull(c, b[len(b)-1:]); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// enter serves a connection that was accepted, after its header of the PROXY protocol if it
// has to have one.
func (f *front) enter(c net.Conn) {
	from := Origin{Listener: f.listener}
	remote, _ := netip.ParseAddrPort(c.RemoteAddr().String()) // invalid if unknown
	if f.cfg.ProxyProtocol && trusts(f.cfg.Trusted, remote.Addr().Unmap()) {
		var err error
		if from.Client, from.Local, err = readProxyHeader(c); err != nil {
			f.cfg.Log.Debug("no header of the PROXY protocol", "proxy", remote.String(), "err", err)
			reset(c)
			c.Close()
			f.serving.Done()
			return
		}
	}
	f.serve(c, from, nil)
}
