package api

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/page"
	"github.com/openslipway/slipway/internal/store"
)

// describeCustomDomains tells where a service's custom domains are to point at.
// Custom domains themselves can't be associated yet.
func (a *API) describeCustomDomains(ctx context.Context, _ gateway.Caller, in *apprunner.DescribeCustomDomainsInput) (*apprunner.DescribeCustomDomainsOutput, error) {
	out := apprunner.DescribeCustomDomainsOutput{CustomDomains: []types.CustomDomain{}}
	err := a.cfg.Store.View(ctx, func(tx *store.Tx) error {
		v, err := a.findService(tx, *in.ServiceArn)
		if err != nil {
			return err
		}
		if aws.ToString(in.NextToken) != "" {
			return page.ErrToken // there never is a second page
		}
		out.ServiceArn, out.DNSTarget = &v.ARN, aws.String(a.host(v))
		out.VpcDNSTargets, err = a.vpcDNSTargets(tx, v)
		return err
	})
	return &out, err
}
