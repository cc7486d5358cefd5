package api

import (
	"errors"
	"fmt"
	"strings"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/gateway/share"
	"github.com/openslipway/slipway/internal/store"
)

// Quotas limit what an account may have. 0 is App Runner's own limit, a negative
// number is no limit.
type Quotas struct {
	Services               int // not deleted ones
	Instances              int // per service, the largest MaxSize
	AutoScalingNames       int // names of auto scaling configurations, without the default one
	AutoScalingRevisions   int // active revisions of one name
	Connections            int
	ObservabilityNames     int // names of observability configurations, without the default one
	ObservabilityRevisions int // active revisions of one name
	CustomDomains          int // per service
	VPCConnectors          int // active ones
	VPCIngressConnections  int // per service
}

// quota is one of the quotas: its name on the command line and App Runner's own
// limit (docs.aws.amazon.com/apprunner/latest/dg/architecture.html).
type quota struct {
	name  string
	limit *int
	own   int
}

func (q *Quotas) list() []quota {
	return []quota{
		{"services", &q.Services, 30},
		{"instances", &q.Instances, 25},
		{"autoscaling-names", &q.AutoScalingNames, 10},
		{"autoscaling-revisions", &q.AutoScalingRevisions, 5},
		{"connections", &q.Connections, 10},
		{"observability-names", &q.ObservabilityNames, 10},
		{"observability-revisions", &q.ObservabilityRevisions, 10},
		{"custom-domains", &q.CustomDomains, 5},
		{"vpc-connectors", &q.VPCConnectors, 10},
		{"vpc-ingress-connections", &q.VPCIngressConnections, 1},
	}
}

// QuotaNames returns the names that Set knows.
func QuotaNames() (names []string) {
	for _, q := range new(Quotas).list() {
		names = append(names, q.name)
	}
	return names
}

// Set sets the quota of a name to n.
func (q *Quotas) Set(name string, n int) error {
	for _, v := range q.list() {
		if v.name == name {
			*v.limit = n
			return nil
		}
	}
	return fmt.Errorf("there is no quota %q; there are %s", name, strings.Join(QuotaNames(), ", "))
}

func (q *Quotas) setDefaults() {
	for _, v := range q.list() {
		if *v.limit == 0 {
			*v.limit = v.own
		}
	}
}

// take notes that a call makes a thing, within its caller's share of a quota.
func take(tx *store.Tx, call *gateway.Call, k share.Kind, arn string, quota int) error {
	err := share.Take(tx, call.Caller, k, arn, quota)
	if full, ok := errors.AsType[*share.FullError](err); ok {
		return slipway.Errorf(slipway.QuotaExceeded, "%s", full.Error())
	}
	return err
}

// within reports whether one more than n is within the quota.
func within(quota, n int) bool { return quota < 0 || n < quota }
