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

// Certificate is what became of the certificate for a name of a custom domain.
type Certificate struct {
	Name     string
	Status   string // requested, failed, issued or renewal failed
	NotAfter Seconds
	Failure  string // "" if all is well
	Advice   string
	NextAt   Seconds
}

// Certificates returns the certificates of a service's custom domains, by the names of the
// domains. Servers that ask no authority for some return none.
func (c *Client) Certificates(ctx context.Context, serviceARN string) (map[string][]Certificate, error) {
	list := map[string][]Certificate{}
	in := struct {
		ServiceArn string
		NextToken  *string `json:",omitempty"`
	}{ServiceArn: serviceARN}
	for {
		var out struct {
			CustomDomains []struct {
				DomainName   string
				Certificates []Certificate
			}
			NextToken *string
		}
		if err := c.own.do(ctx, "AppRunner.DescribeCustomDomains", in, &out); err != nil {
			return nil, err
		}
		for _, d := range out.CustomDomains {
			list[d.DomainName] = d.Certificates
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			return list, nil
		}
	}
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
