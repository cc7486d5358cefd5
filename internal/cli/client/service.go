package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/aws/smithy-go"

	"github.com/openslipway/slipway"
)

// Services returns all services, by name.
func (c *Client) Services(ctx context.Context) ([]types.ServiceSummary, error) {
	var all []types.ServiceSummary
	pages := apprunner.NewListServicesPaginator(c.API, &apprunner.ListServicesInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, page.ServiceSummaryList...)
	}
	slices.SortStableFunc(all, func(a, b types.ServiceSummary) int {
		return cmp.Compare(aws.ToString(a.ServiceName), aws.ToString(b.ServiceName))
	})
	return all, nil
}

// FindService returns the service with this name, nil if there is none.
func (c *Client) FindService(ctx context.Context, name string) (*types.ServiceSummary, []types.ServiceSummary, error) {
	all, err := c.Services(ctx)
	if err != nil {
		return nil, nil, err
	}
	for i := range all {
		if aws.ToString(all[i].ServiceName) == name {
			return &all[i], all, nil
		}
	}
	return nil, all, nil
}

// ServiceARN returns the ARN of the service with a name or ARN. If no service has
// the name, the error is a *Problem that lists similar names.
func (c *Client) ServiceARN(ctx context.Context, nameOrARN string) (string, error) {
	if strings.HasPrefix(nameOrARN, "arn:") {
		arn, err := slipway.ParseARN(nameOrARN)
		if err != nil {
			return "", &Problem{Misuse: true, Text: strings.TrimSuffix(err.Error(), "."), Err: err}
		}
		if arn.Type != "service" {
			return "", &Problem{Misuse: true, Text: fmt.Sprintf("%s is the ARN of a %s, not of a service", nameOrARN, arn.Type)}
		}
		return nameOrARN, nil
	}
	found, all, err := c.FindService(ctx, nameOrARN)
	if err != nil {
		return "", err
	}
	if found == nil {
		return "", unknownService(nameOrARN, all)
	}
	return aws.ToString(found.ServiceArn), nil
}

// Describe returns a service by name or ARN.
func (c *Client) Describe(ctx context.Context, nameOrARN string) (*types.Service, error) {
	arn, err := c.ServiceARN(ctx, nameOrARN)
	if err != nil {
		return nil, err
	}
	out, err := c.API.DescribeService(ctx, &apprunner.DescribeServiceInput{ServiceArn: aws.String(arn)})
	if err != nil {
		return nil, err
	}
	return out.Service, nil
}

func unknownService(name string, all []types.ServiceSummary) *Problem {
	p := &Problem{Text: fmt.Sprintf("there is no service %q", name)}
	names := make([]string, len(all))
	for i, s := range all {
		names[i] = aws.ToString(s.ServiceName)
	}
	near := Nearest(name, names)
	switch {
	case len(all) == 0:
		p.Hint = "There are no services yet; `slipway up` makes one."
	case len(near) > 0:
		p.Hint = "Did you mean " + strings.Join(near, " or ") + "?"
	default:
		p.Hint = "`slipway ls` shows those there are."
	}
	return p
}

// isCode reports whether err is an API error with the code.
func isCode(err error, code string) bool {
	api, ok := errors.AsType[smithy.APIError](err)
	return ok && api.ErrorCode() == code
}

// Denied reports whether err means that the key may not make the call.
func Denied(err error) bool { return isCode(err, "AccessDeniedException") }

// NotFound reports whether err means that the resource does not exist.
func NotFound(err error) bool { return isCode(err, "ResourceNotFoundException") }

// InvalidState reports whether the server refused a call because of what the service
// does at the moment.
func InvalidState(err error) bool { return isCode(err, "InvalidStateException") }
