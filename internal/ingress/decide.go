package ingress

import (
	"fmt"
	"time"

	"github.com/openslipway/slipway"
)

// observed is the observed state of an endpoint.
type observed struct {
	vpc     string // the only VPC that it serves; empty for any
	problem string // why it does not listen; empty if it does
}

// decide returns the connection with its observed state brought up to date,
// given the endpoints. A connection whose update failed is still served at its
// old endpoint.
func decide(c slipway.VPCIngressConnection, endpoints map[string]observed, now time.Time) slipway.VPCIngressConnection {
	if !c.RemovedAt.IsZero() {
		c.Serving, c.DeletedAt = "", now
		return c
	}
	c.Seen, c.Failure = c.Version, problem(c, endpoints)
	switch {
	case c.Failure == "":
		c.Serving, c.Available = c.Endpoint, true
	case c.Serving == c.Endpoint:
		c.Serving = ""
	}
	return c
}

// problem returns why a connection cannot be served at its endpoint, empty if
// it can.
func problem(c slipway.VPCIngressConnection, endpoints map[string]observed) string {
	d, ok := endpoints[c.Endpoint]
	switch {
	case !ok:
		return fmt.Sprintf("VPC endpoint %s is not configured", c.Endpoint)
	case d.vpc != "" && d.vpc != c.VPC:
		return fmt.Sprintf("VPC endpoint %s is in %s, not in %s", c.Endpoint, d.vpc, c.VPC)
	}
	return d.problem
}
