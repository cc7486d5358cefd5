package api

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/page"
	"github.com/openslipway/slipway/internal/store"
)

const vpcIngressType = "vpcingressconnection" // in ARNs

// vpcIngress returns a connection as the API shows it. Its domain name has the
// port of the endpoint's listener unless it is a scheme's default, as a service's
// URL does.
func (a *API) vpcIngress(tx *store.Tx, c slipway.VPCIngressConnection) (*types.VpcIngressConnection, error) {
	s, err := tx.Service(c.ServiceID)
	if err != nil {
		return nil, err
	}
	out := &types.VpcIngressConnection{
		VpcIngressConnectionArn:  &c.ARN,
		VpcIngressConnectionName: &c.Name,
		ServiceArn:               &s.ARN,
		AccountId:                &a.cfg.Account,
		DomainName:               aws.String(withPort(a.hostOf(c.Label), a.cfg.EndpointPort(c.Endpoint))),
		IngressVpcConfiguration:  &types.IngressVpcConfiguration{VpcId: &c.VPC, VpcEndpointId: &c.Endpoint},
		Status:                   types.VpcIngressConnectionStatus(c.Status()),
		CreatedAt:                &c.CreatedAt,
	}
	if !c.DeletedAt.IsZero() {
		out.DeletedAt = &c.DeletedAt
	}
	return out, nil
}

// vpcDNSTargets returns the names that a service's custom domains point to inside
// the VPCs that reach it.
func (a *API) vpcDNSTargets(tx *store.Tx, v slipway.ServiceView) ([]types.VpcDNSTarget, error) {
	list, err := tx.VPCIngressesOf(v.ID)
	targets := make([]types.VpcDNSTarget, 0, len(list))
	for _, c := range list {
		targets = append(targets, types.VpcDNSTarget{
			VpcIngressConnectionArn: &c.ARN,
			VpcId:                   &c.VPC,
			DomainName:              aws.String(a.hostOf(c.Label)), // no port: it is the target of a CNAME
		})
	}
	return targets, err
}

func (a *API) createVPCIngress(ctx context.Context, call *gateway.Call, in *apprunner.CreateVpcIngressConnectionInput) (*apprunner.CreateVpcIngressConnectionOutput, error) {
	tags, err := newTags(vpcIngressType, in.Tags)
	if err != nil {
		return nil, err
	}
	c := slipway.VPCIngressConnection{
		ARN:       a.arn(vpcIngressType, *in.VpcIngressConnectionName, slipway.NewID()),
		Name:      *in.VpcIngressConnectionName,
		Label:     slipway.NewLabel(),
		CreatedAt: a.now(),
	}
	if c, err = applyEndpoint(c, in.IngressVpcConfiguration); err != nil {
		return nil, err
	}
	var out apprunner.CreateVpcIngressConnectionOutput
	err = call.Update(ctx, func(tx *store.Tx) error {
		if c.ServiceID, err = a.privateService(tx, *in.ServiceArn); err != nil {
			return err
		}
		others, err := tx.VPCIngressesOf(c.ServiceID)
		if err != nil {
			return err
		}
		// The name is checked first, so that a repeated call fails by it, not by a quota.
		if err := tx.InsertVPCIngress(c); errors.Is(err, store.ErrNameTaken) {
			return slipway.Errorf(slipway.InvalidRequest, "VPC ingress connection with the provided name already exists: %s", c.Name)
		} else if err != nil {
			return err
		}
		if most := a.cfg.Quotas.VPCIngressConnections; !within(most, len(others)) {
			return slipway.Errorf(slipway.QuotaExceeded, "The service has reached the limit of %d VPC ingress connections: it has %s.", most, others[0].ARN)
		}
		if err := tx.SetTags(c.ARN, tags); err != nil {
			return err
		}
		out.VpcIngressConnection, err = a.vpcIngress(tx, c)
		return err
	})
	return &out, err
}

// applyEndpoint sets the endpoint of a connection from a configuration. Absent members
// stay as they are.
func applyEndpoint(c slipway.VPCIngressConnection, in *types.IngressVpcConfiguration) (slipway.VPCIngressConnection, error) {
	if in.VpcId != nil {
		c.VPC = *in.VpcId
	}
	if in.VpcEndpointId != nil {
		c.Endpoint = *in.VpcEndpointId
	}
	c.Version++
	if c.VPC == "" || c.Endpoint == "" {
		return c, slipway.Errorf(slipway.InvalidRequest,
			"IngressVpcConfiguration: VpcId is %q and VpcEndpointId is %q; both are needed.", c.VPC, c.Endpoint)
	}
	return c, nil
}

// privateService returns the id of the service for a new connection. As on App
// Runner, it must be private and running.
func (a *API) privateService(tx *store.Tx, arn string) (string, error) {
	v, err := a.findLivingService(tx, arn)
	if err != nil {
		return "", err
	}
	if st := v.VisibleStatus(); st != slipway.StatusRunning {
		return "", slipway.Errorf(slipway.InvalidState, "A VPC ingress connection cannot be created for a service in the current state: %s.", st)
	}
	if v.Spec.Public() {
		return "", slipway.Errorf(slipway.InvalidRequest,
			"Service %s is publicly accessible. VPC ingress connections are for services with IsPubliclyAccessible false.", v.ARN)
	}
	return v.ID, nil
}

func (a *API) describeVPCIngress(ctx context.Context, _ *gateway.Call, in *apprunner.DescribeVpcIngressConnectionInput) (*apprunner.DescribeVpcIngressConnectionOutput, error) {
	var out apprunner.DescribeVpcIngressConnectionOutput
	err := a.cfg.Store.View(ctx, func(tx *store.Tx) error {
		c, err := findVPCIngress(tx, *in.VpcIngressConnectionArn)
		if err != nil {
			return err
		}
		out.VpcIngressConnection, err = a.vpcIngress(tx, c)
		return err
	})
	return &out, err
}

// listVPCIngresses lists the connections that are not deleted, oldest first.
func (a *API) listVPCIngresses(ctx context.Context, call *gateway.Call, in *apprunner.ListVpcIngressConnectionsInput) (*apprunner.ListVpcIngressConnectionsOutput, error) {
	filter := types.ListVpcIngressConnectionsFilter{}
	if in.Filter != nil {
		filter = *in.Filter
	}
	arn, endpoint := aws.ToString(filter.ServiceArn), aws.ToString(filter.VpcEndpointId)
	out := apprunner.ListVpcIngressConnectionsOutput{VpcIngressConnectionSummaryList: []types.VpcIngressConnectionSummary{}}
	err := a.cfg.Store.View(ctx, func(tx *store.Tx) error {
		list, next, err := listByAge(page.New(in.MaxResults, "ListVpcIngressConnections", arn, endpoint), in.NextToken,
			func(at time.Time, after string, limit int) ([]slipway.VPCIngressConnection, error) {
				var service string
				if arn != "" {
					v, err := a.findService(tx, arn)
					if slipway.CodeOf(err) == slipway.NotFound {
						return nil, nil // the filter matches nothing
					}
					if err != nil {
						return nil, err
					}
					service = v.ID
				}
				return tx.VPCIngresses(service, endpoint, at, after, limit)
			},
			func(c slipway.VPCIngressConnection) (time.Time, string) { return c.CreatedAt, c.ARN },
			func(c slipway.VPCIngressConnection) (bool, error) { return call.Shows(tx, c.ARN) })
		if err != nil {
			return err
		}
		out.NextToken = next
		for _, c := range list {
			v, err := tx.Service(c.ServiceID)
			if err != nil {
				return err
			}
			out.VpcIngressConnectionSummaryList = append(out.VpcIngressConnectionSummaryList,
				types.VpcIngressConnectionSummary{VpcIngressConnectionArn: &c.ARN, ServiceArn: &v.ARN})
		}
		return nil
	})
	return &out, err
}

func (a *API) updateVPCIngress(ctx context.Context, call *gateway.Call, in *apprunner.UpdateVpcIngressConnectionInput) (*apprunner.UpdateVpcIngressConnectionOutput, error) {
	c, err := a.changeVPCIngress(ctx, call, *in.VpcIngressConnectionArn, "updated", func(c slipway.VPCIngressConnection) (slipway.VPCIngressConnection, error) {
		if !says(reflect.ValueOf(in.IngressVpcConfiguration)) {
			return c, slipway.Errorf(slipway.InvalidRequest, "No configurations provided in the UpdateVpcIngressConnection request.")
		}
		return applyEndpoint(c, in.IngressVpcConfiguration)
	})
	return &apprunner.UpdateVpcIngressConnectionOutput{VpcIngressConnection: c}, err
}

func (a *API) deleteVPCIngress(ctx context.Context, call *gateway.Call, in *apprunner.DeleteVpcIngressConnectionInput) (*apprunner.DeleteVpcIngressConnectionOutput, error) {
	c, err := a.changeVPCIngress(ctx, call, *in.VpcIngressConnectionArn, "deleted", func(c slipway.VPCIngressConnection) (slipway.VPCIngressConnection, error) {
		c.RemovedAt = a.now()
		return c, nil
	})
	return &apprunner.DeleteVpcIngressConnectionOutput{VpcIngressConnection: c}, err
}

// changeVPCIngress changes the desired state of a connection that is not in
// transition.
func (a *API) changeVPCIngress(ctx context.Context, call *gateway.Call, arn, verb string,
	change func(slipway.VPCIngressConnection) (slipway.VPCIngressConnection, error),
) (out *types.VpcIngressConnection, err error) {
	resting := []slipway.IngressStatus{slipway.IngressAvailable, slipway.IngressFailedCreation, slipway.IngressFailedUpdate}
	err = call.Update(ctx, func(tx *store.Tx) error {
		c, err := findLivingVPCIngress(tx, arn)
		if err != nil {
			return err
		}
		if st := c.Status(); !slices.Contains(resting, st) {
			return slipway.Errorf(slipway.InvalidState, "VPC ingress connection cannot be %s in the current state: %s.", verb, st)
		}
		if c, err = change(c); err != nil {
			return err
		}
		if err := tx.SaveVPCIngressIntent(c); err != nil {
			return err
		}
		out, err = a.vpcIngress(tx, c)
		return err
	})
	return out, err
}

// findVPCIngress returns the connection of an ARN, including a deleted one.
func findVPCIngress(tx *store.Tx, text string) (slipway.VPCIngressConnection, error) {
	return findNamed(text, tx.VPCIngress, noVPCIngress, vpcIngressType, 2,
		"ARN of a VPC ingress connection (arn:aws:apprunner:<region>:<account>:vpcingressconnection/<name>/<id>)")
}

// findLivingVPCIngress is findVPCIngress for calls that change the connection.
func findLivingVPCIngress(tx *store.Tx, text string) (slipway.VPCIngressConnection, error) {
	c, err := findVPCIngress(tx, text)
	if err == nil && !c.DeletedAt.IsZero() {
		err = noVPCIngress(text)
	}
	return c, err
}

func noVPCIngress(arn string) error {
	return slipway.Errorf(slipway.NotFound, "VPC ingress connection not found: %s", arn)
}

// refuseConnected refuses to delete a service that has VPC ingress connections.
func refuseConnected(tx *store.Tx, v slipway.ServiceView) error {
	list, err := tx.VPCIngressesOf(v.ID)
	if err != nil || len(list) == 0 {
		return err
	}
	var which []string
	for _, c := range list {
		which = append(which, fmt.Sprintf("%s is %s", c.ARN, c.Status()))
	}
	return slipway.Errorf(slipway.InvalidState,
		"Service %s can't be deleted while it has VPC ingress connections: %s. Delete them, and wait until they are DELETED.", v.ARN, strings.Join(which, ", "))
}
