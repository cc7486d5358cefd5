package daemon

import (
	"encoding/json"
	"net"
	"net/url"
	"os"

	"github.com/openslipway/slipway/internal/atomicfile"
)

// Addresses are where a daemon can be reached: the document of --ready-file.
type Addresses struct {
	API         string `json:"api"`                 // URL of the API: the endpoint for AWS clients
	HTTP        string `json:"http"`                // URL at which the services answer, by their host names
	HTTPS       string `json:"https,omitempty"`     // URL at which they answer with TLS
	Authority   string `json:"authority,omitempty"` // path of the local certificate authority's certificate
	Registry    string `json:"registry"`            // host:port of the image registry, as in image names
	Credentials string `json:"credentials"`         // path of the credentials file
	PID         int    `json:"pid"`
	Metrics     string `json:"metrics,omitempty"` // URL of the metrics

	Endpoints map[string]string `json:"endpoints"` // host:port of VPC endpoints, by id
}

// Addresses returns where the daemon can be reached, without VPC endpoints,
// which open later.
func (d *Daemon) Addresses() Addresses {
	apiHost := d.listeners.apiHost()
	a := Addresses{
		API:         d.listeners.apiURL(),
		HTTP:        (&url.URL{Scheme: "http", Host: d.listeners.httpHost()}).String(),
		Registry:    apiHost,
		Credentials: d.core.dirs.credentials(),
		PID:         os.Getpid(),
		Endpoints:   map[string]string{},
	}
	if l := d.listeners.https; len(l) > 0 {
		a.HTTPS = (&url.URL{Scheme: "https", Host: reachable(l[0].Addr())}).String()
	}
	if d.router.authority() != nil {
		a.Authority = d.core.dirs.authority()
	}
	if l := d.listeners.metrics; len(l) > 0 {
		a.Metrics = (&url.URL{Scheme: "http", Host: reachable(l[0].Addr()), Path: "/metrics"}).String()
	}
	return a
}

// reachable is an address at which a listener on this host answers: the
// loopback one for a listener on all.
func reachable(a net.Addr) string {
	t, ok := a.(*net.TCPAddr)
	if !ok || !t.IP.IsUnspecified() {
		return a.String()
	}
	ip := net.IPv4(127, 0, 0, 1)
	return (&net.TCPAddr{IP: ip, Port: t.Port}).String()
}

func (a Addresses) write(path string) error {
	b, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.Write(path, append(b, '\n'), 0o644)
}
