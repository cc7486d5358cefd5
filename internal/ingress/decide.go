package ingress

import (
	"fmt"
	"time"

	"github.com/openslipway/slipway"
)

// door is an endpoint as it is.
type door struct {
	vpc     string // the only one that it is in; "" for any
	problem string // why it does not listen; "" when it does
}

// decide returns the connection with what is of it as it should be, given the
// endpoints. A failed update leaves the connection served where it was.
func decide(c slipway.VPCIngressConnection, doors map[string]door, now time.Time) slipway.VPCIngressConnection {
	if !c.RemovedAt.IsZero() {
		c.Serving, c.DeletedAt = "", now
		return c
	}
	c.Seen, c.Failure = c.Version, problem(c, doors)
	switch {
	case c.Failure == "":
		c.Serving, c.Available = c.Endpoint, true
	case c.Serving == c.Endpoint:
		c.Serving = ""
	}
	return c
}

// problem says why a connection can't be served at its endpoint, "" when it can.
func problem(c slipway.VPCIngressConnection, doors map[string]door) string {
	d, ok := doors[c.Endpoint]
	switch {
	case !ok:
		return fmt.Sprintf("VPC endpoint %s is not configured", c.Endpoint)
	case d.vpc != "" && d.vpc != c.VPC:
		return fmt.Sprintf("VPC endpoint %s is in %s, not in %s", c.Endpoint, d.vpc, c.VPC)
	}
	return d.problem
}
