package api

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/page"
	"github.com/openslipway/slipway/internal/store"
)

// connection returns a connection as the API shows it, without its credential.
func connection(c slipway.Connection) types.Connection {
	return types.Connection{
		ConnectionArn:  &c.ARN,
		ConnectionName: &c.Name,
		ProviderType:   types.ProviderType(c.Provider),
		Status:         types.ConnectionStatus(c.Status),
		CreatedAt:      &c.CreatedAt,
	}
}

func (a *API) createConnection(ctx context.Context, call *gateway.Call, in *apprunner.CreateConnectionInput) (*apprunner.CreateConnectionOutput, error) {
	tags, err := newTags("connection", in.Tags)
	if err != nil {
		return nil, err
	}
	c := slipway.Connection{
		ARN:       a.arn("connection", *in.ConnectionName, slipway.NewID()),
		Name:      *in.ConnectionName,
		Provider:  string(in.ProviderType),
		Status:    slipway.ConnectionPending,
		CreatedAt: a.now(),
	}
	shown := connection(c)
	return &apprunner.CreateConnectionOutput{Connection: &shown}, a.insertConnection(ctx, call, c, tags)
}

// listConnections lists connections by name, or only the one of the given name.
func (a *API) listConnections(ctx context.Context, call *gateway.Call, in *apprunner.ListConnectionsInput) (*apprunner.ListConnectionsOutput, error) {
	name := aws.ToString(in.ConnectionName)
	p := page.New(in.MaxResults, "ListConnections", name)
	key, err := p.After(in.NextToken, 1)
	if err != nil {
		return nil, err
	}
	out := apprunner.ListConnectionsOutput{ConnectionSummaryList: []types.ConnectionSummary{}}
	err = a.cfg.Store.View(ctx, func(tx *store.Tx) error {
		after := key[0]
		list, err := page.Fill(p, func(c slipway.Connection) (bool, error) { return call.Shows(tx, c.ARN) }, func() ([]slipway.Connection, error) {
			batch, err := connectionsNamed(tx, name, after, p.Limit())
			if len(batch) > 0 {
				after = batch[len(batch)-1].Name
			}
			return batch, err
		})
		if err != nil {
			return err
		}
		list, out.NextToken = page.Cut(p, list, func(c slipway.Connection) []string { return []string{c.Name} })
		for _, c := range list {
			out.ConnectionSummaryList = append(out.ConnectionSummaryList, types.ConnectionSummary(connection(c)))
		}
		return nil
	})
	return &out, err
}

func connectionsNamed(tx *store.Tx, name, after string, limit int) ([]slipway.Connection, error) {
	if name == "" {
		return tx.Connections(after, limit)
	}
	c, err := tx.ConnectionByName(name)
	if errors.Is(err, store.ErrNotFound) || after != "" {
		return nil, nil
	}
	return []slipway.Connection{c}, err
}

func (a *API) deleteConnection(ctx context.Context, call *gateway.Call, in *apprunner.DeleteConnectionInput) (*apprunner.DeleteConnectionOutput, error) {
	var out apprunner.DeleteConnectionOutput
	err := call.Update(ctx, func(tx *store.Tx) error {
		c, err := a.findConnection(tx, *in.ConnectionArn)
		if err != nil {
			return err
		}
		if err := refuseUsed(tx, c.ARN); err != nil {
			return err
		}
		c.Status = slipway.ConnectionDeleted
		shown := connection(c)
		out.Connection = &shown
		return tx.DeleteConnection(c.ARN)
	})
	return &out, err
}

// findConnection returns the connection that an ARN names, with or without the
// id: names are unique.
func (a *API) findConnection(tx *store.Tx, text string) (slipway.Connection, error) {
	arn, err := slipway.ParseARN(text)
	if err != nil {
		return slipway.Connection{}, err
	}
	if arn.Type != "connection" || len(arn.Parts) > 2 {
		return slipway.Connection{}, slipway.Errorf(slipway.InvalidRequest,
			"%s is not the ARN of a connection (arn:aws:apprunner:<region>:<account>:connection/<name>/<id>).", text)
	}
	c, err := tx.ConnectionByName(arn.Name())
	known := err == nil && (c.ARN == text || len(arn.Parts) == 1 && arn.In(a.cfg.Region, a.cfg.Account))
	if errors.Is(err, store.ErrNotFound) || err == nil && !known {
		err = slipway.Errorf(slipway.NotFound, "Connection not found: %s", text)
	}
	return c, err
}

// usableConnection returns the connection that gives a service access to its code.
func (a *API) usableConnection(tx *store.Tx, in *types.AuthenticationConfiguration) (slipway.Connection, error) {
	if in == nil || in.ConnectionArn == nil {
		return slipway.Connection{}, slipway.Errorf(slipway.InvalidRequest, "AuthenticationConfiguration: a CodeRepository requires a ConnectionArn.")
	}
	c, err := a.findConnection(tx, *in.ConnectionArn)
	if e, ok := errors.AsType[*slipway.Error](err); ok {
		return c, slipway.Errorf(slipway.InvalidRequest, "AuthenticationConfiguration: %s", e.Message)
	}
	if err == nil && c.Status != slipway.ConnectionAvailable {
		err = slipway.Errorf(slipway.InvalidRequest,
			"AuthenticationConfiguration: connection %s is %s; it must be AVAILABLE. `slipway connection complete %s` makes it so.", c.ARN, c.Status, c.Name)
	}
	return c, err
}
