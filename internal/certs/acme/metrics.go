package acme

import (
	"crypto/x509"
	"encoding/pem"
	"errors"

	"github.com/caddyserver/certmagic"

	"github.com/openslipway/slipway/internal/metrics"
)

var (
	leftDesc = &metrics.Desc{
		Name: "slipway_certificate_left_seconds", Kind: metrics.KindGauge, Labels: []string{"name"},
		Help: "Time until a certificate that was got by ACME ends; below zero afterwards.",
	}
	failuresDesc = &metrics.Desc{
		Name: "slipway_certificate_failures_total", Kind: metrics.KindCounter, Labels: []string{"name"},
		Help: "Attempts that failed to get a certificate by ACME, or to renew it.",
	}
)

// Source counts for a manager, or nothing if that is nil: which metrics a server has does not
// depend on its flags.
type Source struct{ Of *Manager }

var _ metrics.Source = Source{}

// Metrics implements metrics.Source.
func (Source) Metrics() []*metrics.Desc { return []*metrics.Desc{leftDesc, failuresDesc} }

// Sample implements metrics.Source.
func (s Source) Sample(emit func(metrics.Sample)) {
	m := s.Of
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for name := range m.rows {
		emit(failuresDesc.Value(float64(m.failures[name]), name))
		if leaf := m.served[name]; leaf != nil {
			emit(leftDesc.Value(leaf.NotAfter.Sub(m.cfg.Now()).Seconds(), name))
		}
	}
}

// certFile is the key of a certificate in certmagic's storage.
func certFile(issuer, name string) string { return certmagic.StorageKeys.SiteCert(issuer, name) }

// firstOf returns the first certificate of a chain in PEM.
func firstOf(b []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, errors.New("the certificate in the store is not PEM")
	}
	return x509.ParseCertificate(block.Bytes)
}
