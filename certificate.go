package slipway

import "time"

// Certificate is what became of the wish for a public authority's certificate.
// internal/certs/acme writes it.
type Certificate struct {
	Name      string // in lower case; a wildcard begins with "*."
	ServiceID string // whose name it is; "" for one that covers those of all services

	NotAfter time.Time // of the certificate that is served; zero before the first
	RenewAt  time.Time // when it is replaced; zero before the first

	// Failure is why there is none, or no newer one, in the words of whoever refused it, and
	// Advice what to do. Both are empty if the last attempt succeeded, or none was made.
	Failure, Advice string

	Failures int       // in a row
	NextAt   time.Time // of the next attempt, or of the next look
}

// State returns the state in one word, as it is shown.
func (c Certificate) State() CertificateState {
	switch {
	case c.NotAfter.IsZero() && c.Failure == "":
		return CertificateRequested
	case c.NotAfter.IsZero():
		return CertificateRefused
	case c.Failure != "":
		return CertificateNotRenewed
	}
	return CertificateIssued
}

// CertificateState says how the wish for a certificate is doing.
type CertificateState string

const (
	CertificateRequested  CertificateState = "requested"
	CertificateRefused    CertificateState = "failed"         // it is asked for again
	CertificateIssued     CertificateState = "issued"         // it is served
	CertificateNotRenewed CertificateState = "renewal failed" // it is served, and renewed again
)
