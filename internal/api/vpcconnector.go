package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/gateway/share"
	"github.com/openslipway/slipway/internal/page"
	"github.com/openslipway/slipway/internal/store"
)

const vpcConnectorType = "vpcconnector" // in ARNs

// vpcConnector returns a connector as the API shows it. Each name has one
// revision.
func vpcConnector(c slipway.VPCConnector) *types.VpcConnector {
	out := &types.VpcConnector{
		VpcConnectorArn:      &c.ARN,
		VpcConnectorName:     &c.Name,
		VpcConnectorRevision: 1,
		Subnets:              c.Subnets,
		SecurityGroups:       c.SecurityGroups,
		Status:               types.VpcConnectorStatusActive,
		CreatedAt:            &c.CreatedAt,
	}
	if !c.DeletedAt.IsZero() {
		out.Status, out.DeletedAt = types.VpcConnectorStatusInactive, &c.DeletedAt
	}
	return out
}

func (a *API) createVPCConnector(ctx context.Context, call *gateway.Call, in *apprunner.CreateVpcConnectorInput) (*apprunner.CreateVpcConnectorOutput, error) {
	c, err := a.newVPCConnector(in)
	if err != nil {
		return nil, err
	}
	tags, err := newTags(vpcConnectorType, in.Tags)
	if err != nil {
		return nil, err
	}
	err = call.Update(ctx, func(tx *store.Tx) error {
		n, err := tx.CountVPCConnectors()
		if err != nil {
			return err
		}
		// The name is checked first, so that a repeated call fails by it, not by a quota.
		if err := tx.InsertVPCConnector(c); errors.Is(err, store.ErrNameTaken) {
			return slipway.Errorf(slipway.InvalidRequest, "VPC connector with the provided name already exists: %s", c.Name)
		} else if err != nil {
			return err
		}
		if !within(a.cfg.Quotas.VPCConnectors, n) {
			return slipway.Errorf(slipway.QuotaExceeded, "You have reached the limit of %d VPC connectors. Delete one that you no longer need.", a.cfg.Quotas.VPCConnectors)
		}
		return errors.Join(tx.SetTags(c.ARN, tags), take(tx, call, share.VPCConnectors, c.ARN, a.cfg.Quotas.VPCConnectors))
	})
	return &apprunner.CreateVpcConnectorOutput{VpcConnector: vpcConnector(c)}, err
}

func (a *API) newVPCConnector(in *apprunner.CreateVpcConnectorInput) (slipway.VPCConnector, error) {
	c := slipway.VPCConnector{
		ARN:            a.arn(vpcConnectorType, *in.VpcConnectorName, "1", slipway.NewID()),
		Name:           *in.VpcConnectorName,
		Subnets:        in.Subnets,
		SecurityGroups: in.SecurityGroups,
		CreatedAt:      a.now(),
	}
	if len(c.Subnets) == 0 {
		return c, slipway.Errorf(slipway.InvalidRequest, "Subnets is empty; a VPC connector needs at least one subnet.")
	}
	if len(c.SecurityGroups) == 0 {
		c.SecurityGroups = []string{a.defaultSecurityGroup()}
	}
	if err := distinct("Subnets", c.Subnets); err != nil {
		return c, err
	}
	return c, distinct("SecurityGroups", c.SecurityGroups)
}

// distinct refuses a list of ids with an empty id or a duplicate.
func distinct(member string, ids []string) error {
	for i, id := range ids {
		if strings.TrimSpace(id) == "" {
			return slipway.Errorf(slipway.InvalidRequest, "%s: element %d is %q; it must be an id.", member, i+1, id)
		}
		if slices.Contains(ids[:i], id) {
			return slipway.Errorf(slipway.InvalidRequest, "%s: %q is given twice.", member, id)
		}
	}
	return nil
}

// defaultSecurityGroup returns the id of the group for a connector without
// groups. App Runner shows the default group of the VPC; here an account has one
// VPC in a region.
func (a *API) defaultSecurityGroup() string {
	h := sha256.Sum256([]byte(a.cfg.Region + ":" + a.cfg.Account))
	return "sg-" + hex.EncodeToString(h[:])[:17] // the form of EC2's ids
}

func (a *API) describeVPCConnector(ctx context.Context, _ *gateway.Call, in *apprunner.DescribeVpcConnectorInput) (*apprunner.DescribeVpcConnectorOutput, error) {
	var out apprunner.DescribeVpcConnectorOutput
	err := a.cfg.Store.View(ctx, func(tx *store.Tx) error {
		c, err := findVPCConnector(tx, *in.VpcConnectorArn)
		out.VpcConnector = vpcConnector(c)
		return err
	})
	return &out, err
}

// listVPCConnectors lists the active connectors, oldest first.
func (a *API) listVPCConnectors(ctx context.Context, call *gateway.Call, in *apprunner.ListVpcConnectorsInput) (*apprunner.ListVpcConnectorsOutput, error) {
	out := apprunner.ListVpcConnectorsOutput{VpcConnectors: []types.VpcConnector{}}
	err := a.cfg.Store.View(ctx, func(tx *store.Tx) error {
		list, next, err := listByAge(page.New(in.MaxResults, "ListVpcConnectors"), in.NextToken, tx.VPCConnectors,
			func(c slipway.VPCConnector) (time.Time, string) { return c.CreatedAt, c.ARN },
			func(c slipway.VPCConnector) (bool, error) { return call.Shows(tx, c.ARN) })
		for _, c := range list {
			out.VpcConnectors = append(out.VpcConnectors, *vpcConnector(c))
		}
		out.NextToken = next
		return err
	})
	return &out, err
}

// deleteVPCConnector makes an unused connector inactive. It can still be
// described until the store forgets it.
func (a *API) deleteVPCConnector(ctx context.Context, call *gateway.Call, in *apprunner.DeleteVpcConnectorInput) (*apprunner.DeleteVpcConnectorOutput, error) {
	var out apprunner.DeleteVpcConnectorOutput
	err := call.Update(ctx, func(tx *store.Tx) error {
		c, err := findActiveVPCConnector(tx, *in.VpcConnectorArn)
		if err != nil {
			return err
		}
		if err := refuseUsed(tx, c.ARN); err != nil {
			return err
		}
		c.DeletedAt = a.now()
		out.VpcConnector = vpcConnector(c)
		return tx.DeleteVPCConnector(c.ARN, c.DeletedAt)
	})
	return &out, err
}

// findVPCConnector returns the connector of a full ARN, including an inactive
// one.
func findVPCConnector(tx *store.Tx, text string) (slipway.VPCConnector, error) {
	return findNamed(text, tx.VPCConnector, noVPCConnector, vpcConnectorType, 3,
		"full ARN of a VPC connector (arn:aws:apprunner:<region>:<account>:vpcconnector/<name>/<revision>/<id>)")
}

// findNamed reads the resource of an ARN, which must have the type and number of
// parts. is describes the expected ARN for the error.
func findNamed[T any](text string, read func(arn string) (T, error), missing func(arn string) error, kind string, parts int, is string) (T, error) {
	var none T
	arn, err := slipway.ParseARN(text)
	if err != nil {
		return none, err
	}
	if arn.Type != kind || len(arn.Parts) != parts {
		return none, slipway.Errorf(slipway.InvalidRequest, "%s is not the %s.", text, is)
	}
	v, err := read(text)
	if errors.Is(err, store.ErrNotFound) {
		err = missing(text)
	}
	return v, err
}

// findActiveVPCConnector is findVPCConnector for calls that use the connector.
func findActiveVPCConnector(tx *store.Tx, text string) (slipway.VPCConnector, error) {
	c, err := findVPCConnector(tx, text)
	if err == nil && !c.DeletedAt.IsZero() {
		err = noVPCConnector(text)
	}
	return c, err
}

func noVPCConnector(arn string) error {
	return slipway.Errorf(slipway.NotFound, "VPC connector not found: %s", arn)
}

// checkEgress checks that the egress of a specification works: its connector is
// active, and the server has its networks.
func (a *API) checkEgress(tx *store.Tx, spec slipway.Spec) error {
	arn := spec.VPCConnectorARN()
	if arn == "" {
		return nil
	}
	c, err := findActiveVPCConnector(tx, arn)
	if e, ok := errors.AsType[*slipway.Error](err); ok {
		// In App Runner's model, only a service can be a missing resource of
		// CreateService and UpdateService.
		err = slipway.Errorf(slipway.InvalidRequest, "NetworkConfiguration: %s", e.Message)
	}
	if err != nil {
		return err
	}
	var missing []string
	for _, s := range c.Subnets {
		if !slices.Contains(a.cfg.Networks, s) {
			missing = append(missing, s)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	configured := "none"
	if len(a.cfg.Networks) > 0 {
		configured = strings.Join(a.cfg.Networks, ", ")
	}
	return slipway.Errorf(slipway.InvalidRequest, "NetworkConfiguration: the subnets %s of VPC connector %s are not networks of this server. "+
		"Configured are: %s (slipway serve --network).", strings.Join(missing, ", "), c.Name, configured)
}
