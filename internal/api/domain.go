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
	out := apprunner.DescribeCustomDomainsOutput{
		CustomDomains: []types.CustomDomain{},
		VpcDNSTargets: []types.VpcDNSTarget{},
	}
	err := a.cfg.Store.View(ctx, func(tx *store.Tx) error {
		v, err := a.findService(tx, *in.ServiceArn)
		if err != nil {
			return err
		}
		if aws.ToString(in.NextToken) != "" {
			return page.ErrToken // there never is a second page
		}
		out.ServiceArn, out.DNSTarget = &v.ARN, aws.String(a.host(v))
		return nil
	})
	return &out, err
}
