package client

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
)

// Domains returns a service's custom domains, all pages in one.
func (c *Client) Domains(ctx context.Context, serviceARN string) (*apprunner.DescribeCustomDomainsOutput, error) {
	var whole *apprunner.DescribeCustomDomainsOutput
	pages := apprunner.NewDescribeCustomDomainsPaginator(c.API, &apprunner.DescribeCustomDomainsInput{ServiceArn: aws.String(serviceARN)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		if whole != nil {
			page.CustomDomains = append(whole.CustomDomains, page.CustomDomains...)
		}
		whole = page
	}
	return whole, nil
}

// AwaitDomain polls a custom domain until done returns true, and returns the
// domain. Both functions get nil if the domain does not exist. see is called
// after every poll, with an error if the server did not answer.
func (c *Client) AwaitDomain(ctx context.Context, serviceARN, name string,
	wanted func(*types.CustomDomain) bool, see func(d *types.CustomDomain, away error),
) (last *types.CustomDomain, err error) {
	err = poll(ctx, pollFirst, pollLast, func(err error) { see(nil, err) }, func() (bool, error) {
		all, err := c.Domains(ctx, serviceARN)
		if err != nil && !NotFound(err) {
			return false, err
		}
		last = nil
		if err == nil {
			last = domainNamed(all.CustomDomains, name)
		}
		see(last, nil)
		return wanted(last), nil
	})
	return last, err
}

func domainNamed(list []types.CustomDomain, name string) *types.CustomDomain {
	for i := range list {
		if strings.EqualFold(aws.ToString(list[i].DomainName), name) {
			return &list[i]
		}
	}
	return nil
}
