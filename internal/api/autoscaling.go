package api

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/page"
	"github.com/openslipway/slipway/internal/store"
)

// An auto scaling configuration's status is in lower case on the wire, though
// the model spells its values in upper case: Terraform waits for "active".
const (
	statusActive   types.AutoScalingConfigurationStatus = "active"
	statusInactive types.AutoScalingConfigurationStatus = "inactive"
)

func autoScalingStatus(c slipway.AutoScaling) types.AutoScalingConfigurationStatus {
	if c.Active {
		return statusActive
	}
	return statusInactive
}

// autoScaling shows a revision.
func autoScaling(tx *store.Tx, c slipway.AutoScaling) (*types.AutoScalingConfiguration, error) {
	used, err := tx.InUse(c.ARN)
	if err != nil {
		return nil, err
	}
	out := &types.AutoScalingConfiguration{
		AutoScalingConfigurationArn:      &c.ARN,
		AutoScalingConfigurationName:     &c.Name,
		AutoScalingConfigurationRevision: aws.Int32(int32(c.Revision)),
		Latest:                           &c.Latest,
		Status:                           autoScalingStatus(c),
		MaxConcurrency:                   aws.Int32(int32(c.Scaling.MaxConcurrency)),
		MinSize:                          aws.Int32(int32(c.Scaling.MinSize)),
		MaxSize:                          aws.Int32(int32(c.Scaling.MaxSize)),
		CreatedAt:                        &c.CreatedAt,
		HasAssociatedService:             &used,
		IsDefault:                        &c.Default,
	}
	if !c.DeletedAt.IsZero() {
		out.DeletedAt = &c.DeletedAt
	}
	return out, nil
}

func (a *API) createAutoScaling(ctx context.Context, _ gateway.Caller, in *apprunner.CreateAutoScalingConfigurationInput) (*apprunner.CreateAutoScalingConfigurationOutput, error) {
	scaling, err := a.scaling(in)
	if err != nil {
		return nil, err
	}
	tags, err := newTags("autoscalingconfiguration", in.Tags)
	if err != nil {
		return nil, err
	}
	var out apprunner.CreateAutoScalingConfigurationOutput
	err = a.cfg.Store.Update(ctx, func(tx *store.Tx) error {
		c, err := a.nextRevision(tx, *in.AutoScalingConfigurationName)
		if err != nil {
			return err
		}
		c.Scaling = scaling
		if err := tx.InsertAutoScaling(c); err != nil {
			return err
		}
		if err := tx.SetTags(c.ARN, tags); err != nil {
			return err
		}
		out.AutoScalingConfiguration, err = autoScaling(tx, c)
		return err
	})
	return &out, err
}

// scaling fills in the defaults and checks what the model can't.
func (a *API) scaling(in *apprunner.CreateAutoScalingConfigurationInput) (slipway.Scaling, error) {
	s := slipway.Scaling{MaxConcurrency: 100, MinSize: 1, MaxSize: 25}
	for _, v := range []struct {
		to   *int
		from *int32
	}{{&s.MaxConcurrency, in.MaxConcurrency}, {&s.MinSize, in.MinSize}, {&s.MaxSize, in.MaxSize}} {
		if v.from != nil {
			*v.to = int(*v.from)
		}
	}
	if most := a.cfg.Quotas.Instances; in.MaxSize == nil && most >= 0 {
		s.MaxSize = min(s.MaxSize, most)
	} else if most >= 0 && s.MaxSize > most {
		return s, slipway.Errorf(slipway.InvalidRequest, "MaxSize is %d; a service can have at most %d instances.", s.MaxSize, most)
	}
	if s.MinSize > s.MaxSize {
		return s, slipway.Errorf(slipway.InvalidRequest, "MinSize is %d; it must not be greater than MaxSize, which is %d.", s.MinSize, s.MaxSize)
	}
	return s, nil
}

// nextRevision makes room for a new latest revision of the name and returns
// it. Its number is one more than the highest active one, so that numbers of
// deleted revisions come again; the ids in the ARNs differ.
func (a *API) nextRevision(tx *store.Tx, name string) (slipway.AutoScaling, error) {
	revisions, err := tx.AutoScalings(name, "", 0)
	if err != nil {
		return slipway.AutoScaling{}, err
	}
	if err := a.admitRevision(tx, name, len(revisions)); err != nil {
		return slipway.AutoScaling{}, err
	}
	revision := 1
	for _, c := range revisions {
		revision = c.Revision + 1 // they come in ascending order
		if c.Latest {
			c.Latest = false
			if err := tx.SaveAutoScaling(c); err != nil {
				return slipway.AutoScaling{}, err
			}
		}
	}
	return slipway.AutoScaling{Configuration: slipway.Configuration{
		ARN:       a.arn("autoscalingconfiguration", name, strconv.Itoa(revision), slipway.NewID()),
		Name:      name,
		Revision:  revision,
		Latest:    true,
		Active:    true,
		CreatedAt: a.now(),
	}}, nil
}

// admitRevision checks the quotas: of revisions where the name has some, of
// names where it is new.
func (a *API) admitRevision(tx *store.Tx, name string, revisions int) error {
	if revisions > 0 || name == providedName {
		if within(a.cfg.Quotas.AutoScalingRevisions, revisions) {
			return nil
		}
		return slipway.Errorf(slipway.QuotaExceeded,
			"You have reached the limit of %d revisions of auto scaling configuration %s.", a.cfg.Quotas.AutoScalingRevisions, name)
	}
	all, err := tx.AutoScalings("", "", 0)
	if err != nil {
		return err
	}
	names := map[string]bool{}
	for _, c := range all {
		if c.Name != providedName {
			names[c.Name] = true
		}
	}
	if within(a.cfg.Quotas.AutoScalingNames, len(names)) {
		return nil
	}
	return slipway.Errorf(slipway.QuotaExceeded, "You have reached the limit of %d auto scaling configurations.", a.cfg.Quotas.AutoScalingNames)
}

func (a *API) describeAutoScaling(ctx context.Context, _ gateway.Caller, in *apprunner.DescribeAutoScalingConfigurationInput) (*apprunner.DescribeAutoScalingConfigurationOutput, error) {
	var out apprunner.DescribeAutoScalingConfigurationOutput
	err := a.cfg.Store.View(ctx, func(tx *store.Tx) error {
		c, err := a.findAutoScaling(tx, *in.AutoScalingConfigurationArn)
		if err != nil {
			return err
		}
		out.AutoScalingConfiguration, err = autoScaling(tx, c)
		return err
	})
	return &out, err
}

func (a *API) updateDefaultAutoScaling(ctx context.Context, _ gateway.Caller, in *apprunner.UpdateDefaultAutoScalingConfigurationInput) (*apprunner.UpdateDefaultAutoScalingConfigurationOutput, error) {
	var out apprunner.UpdateDefaultAutoScalingConfigurationOutput
	err := a.cfg.Store.Update(ctx, func(tx *store.Tx) error {
		c, err := a.findActiveAutoScaling(tx, *in.AutoScalingConfigurationArn)
		if err != nil {
			return err
		}
		former, err := tx.DefaultAutoScaling()
		if err != nil {
			return err
		}
		former.Default, c.Default = false, true // in this order: the index admits one at a time
		if err := errors.Join(tx.SaveAutoScaling(former), tx.SaveAutoScaling(c)); err != nil {
			return err
		}
		out.AutoScalingConfiguration, err = autoScaling(tx, c)
		return err
	})
	return &out, err
}

// listServicesForAutoScaling lists the ARNs of the services that use a
// revision.
func (a *API) listServicesForAutoScaling(ctx context.Context, _ gateway.Caller, in *apprunner.ListServicesForAutoScalingConfigurationInput) (*apprunner.ListServicesForAutoScalingConfigurationOutput, error) {
	out := apprunner.ListServicesForAutoScalingConfigurationOutput{ServiceArnList: []string{}}
	err := a.cfg.Store.View(ctx, func(tx *store.Tx) error {
		c, err := a.findActiveAutoScaling(tx, *in.AutoScalingConfigurationArn)
		if err != nil {
			return err
		}
		p := page.New(in.MaxResults, "ListServicesForAutoScalingConfiguration", *in.AutoScalingConfigurationArn)
		key, err := p.After(in.NextToken, 2)
		if err != nil {
			return err
		}
		at, id, err := page.ParseInstantKey(key)
		if err != nil {
			return err
		}
		list, err := tx.ServicesUsing(c.ARN, at, id, p.Limit())
		if err != nil {
			return err
		}
		list, out.NextToken = page.Cut(p, list, serviceKey)
		for _, v := range list {
			out.ServiceArnList = append(out.ServiceArnList, v.ARN)
		}
		return nil
	})
	return &out, err
}

// findAutoScaling returns the revision that a full ARN names, a deleted one
// too, or the active one that an ARN without id, or without revision and id
// (the latest), names.
func (a *API) findAutoScaling(tx *store.Tx, text string) (slipway.AutoScaling, error) {
	arn, err := a.parseAutoScaling(text)
	if err != nil {
		return slipway.AutoScaling{}, err
	}
	if len(arn.Parts) == 3 {
		c, err := tx.AutoScaling(text)
		if errors.Is(err, store.ErrNotFound) {
			err = noAutoScaling(text)
		}
		return c, err
	}
	if arn.Region != a.cfg.Region || arn.Account != a.cfg.Account {
		return slipway.AutoScaling{}, noAutoScaling(text)
	}
	list, err := tx.AutoScalings(arn.Name(), "", 0)
	if err != nil {
		return slipway.AutoScaling{}, err
	}
	i := slices.IndexFunc(list, func(c slipway.AutoScaling) bool {
		if len(arn.Parts) == 1 {
			return c.Latest
		}
		return strconv.Itoa(c.Revision) == arn.Parts[1]
	})
	if i < 0 {
		return slipway.AutoScaling{}, noAutoScaling(text)
	}
	return list[i], nil
}

func (a *API) parseAutoScaling(text string) (slipway.ARN, error) {
	arn, err := slipway.ParseARN(text)
	if err == nil && arn.Type != "autoscalingconfiguration" {
		err = slipway.Errorf(slipway.InvalidRequest, "%s is not the ARN of an auto scaling configuration "+
			"(arn:aws:apprunner:<region>:<account>:autoscalingconfiguration/<name>[/<revision>[/<id>]]).", text)
	}
	return arn, err
}

func noAutoScaling(arn string) error {
	return slipway.Errorf(slipway.NotFound, "Auto scaling configuration not found: %s", arn)
}

// findActiveAutoScaling is findAutoScaling for calls that use the revision.
func (a *API) findActiveAutoScaling(tx *store.Tx, text string) (slipway.AutoScaling, error) {
	c, err := a.findAutoScaling(tx, text)
	if err == nil && !c.Active {
		err = noAutoScaling(text)
	}
	return c, err
}

// chooseAutoScaling returns the full ARN of the revision that a service is to
// use: the one asked for, else the current one, else the default. One that does
// not exist is a bad request here, not a missing resource.
func (a *API) chooseAutoScaling(tx *store.Tx, asked *string, current string) (string, error) {
	if asked != nil {
		c, err := a.findActiveAutoScaling(tx, *asked)
		if e, ok := errors.AsType[*slipway.Error](err); ok {
			err = slipway.Errorf(slipway.InvalidRequest, "%s", e.Message)
		}
		return c.ARN, err
	}
	if current != "" {
		return current, nil
	}
	c, err := tx.DefaultAutoScaling()
	return c.ARN, err
}
