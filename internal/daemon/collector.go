package daemon

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"

	"github.com/openslipway/slipway/internal/runtime/embedded"
)

// Ports of a collector for OTLP over gRPC and over HTTP.
const (
	otlpPort     = 4317
	otlpHTTPPort = 4318
)

// collectors returns the collectors of traces that instances find on their
// loopback address.
func (c *Config) collectors() ([]embedded.Collector, error) {
	var list []embedded.Collector
	for _, e := range []struct {
		flag, endpoint string
		port           int
		protocol       string // of TLS's ALPN
	}{
		{"otlp-endpoint", c.OTLPEndpoint, otlpPort, "h2"},
		{"otlp-http-endpoint", c.OTLPHTTPEndpoint, otlpHTTPPort, "http/1.1"},
	} {
		if e.endpoint == "" {
			continue
		}
		dial, err := dialCollector(e.endpoint, e.port, e.protocol)
		if err != nil {
			return nil, fmt.Errorf("--%s is %q; it must be like http://127.0.0.1:%d", e.flag, e.endpoint, e.port)
		}
		list = append(list, embedded.Collector{Port: e.port, Dial: dial})
	}
	return list, nil
}

// dialCollector returns a function that dials a collector's URL. Bytes are passed
// through unchanged; with https the connection is encrypted.
func dialCollector(endpoint string, port int, protocol string) (func(context.Context) (net.Conn, error), error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, err
	}
	if u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Path != "" && u.Path != "/" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%q is not a URL of a collector", endpoint)
	}
	addr := u.Host
	if u.Port() == "" {
		addr = net.JoinHostPort(u.Hostname(), fmt.Sprint(port))
	}
	if u.Scheme == "https" {
		d := &tls.Dialer{Config: &tls.Config{NextProtos: []string{protocol}}}
		return func(ctx context.Context) (net.Conn, error) { return d.DialContext(ctx, "tcp", addr) }, nil
	}
	return func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", addr)
	}, nil
}
