package ssm

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/page"
	"github.com/openslipway/slipway/internal/seal"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/wire"
)

// mostNames is the maximum number of names of GetParameters and DeleteParameters.
const mostNames = 10

func checkNames(names []string) error {
	switch {
	case len(names) == 0:
		return required("names")
	case len(names) > mostNames:
		return invalid("1 validation error detected: Value at 'names' failed to satisfy constraint: Member must have length less than or equal to %d", mostNames)
	}
	for i, n := range names {
		if slices.Contains(names[:i], n) {
			return invalid("Parameters must have unique names.")
		}
	}
	return nil
}

// value returns a parameter's value. The value of a SecureString is ciphertext
// unless decryption is requested.
func (p *Parameters) value(v slipway.Parameter, decrypt *bool) (string, error) {
	if v.Type == string(types.ParameterTypeSecureString) && !aws.ToBool(decrypt) {
		return base64.StdEncoding.EncodeToString(v.Sealed), nil
	}
	text, err := p.vault.OpenParameter(v)
	if errors.Is(err, seal.ErrSealed) {
		err = wire.NewException("InvalidKeyId", "The parameter's value can't be decrypted.")
	}
	return text, err
}

func (p *Parameters) show(v slipway.Parameter, decrypt *bool) (types.Parameter, error) {
	text, err := p.value(v, decrypt)
	return types.Parameter{
		ARN: aws.String(p.vault.ParameterARN(v.Name)), Name: &v.Name, Type: types.ParameterType(v.Type), DataType: &v.DataType,
		Value: &text, Version: v.Version, LastModifiedDate: &v.CreatedAt,
	}, err
}

// selected returns the parameter that a selector names: a name or an ARN, with or
// without a version.
func (p *Parameters) selected(tx *store.Tx, selector *string, decrypt *bool) (types.Parameter, error) {
	v, err := p.find(tx, selector)
	if err != nil {
		return types.Parameter{}, err
	}
	out, err := p.show(v, decrypt)
	rest := strings.TrimPrefix(*selector, *out.ARN)
	if _, version, ok := strings.Cut(rest, ":"); ok {
		out.Selector = aws.String(":" + version)
	}
	return out, err
}

func (p *Parameters) getParameter(ctx context.Context, _ *gateway.Call, in *sdk.GetParameterInput) (*sdk.GetParameterOutput, error) {
	var out sdk.GetParameterOutput
	err := p.cfg.Store.View(ctx, func(tx *store.Tx) error {
		v, err := p.selected(tx, in.Name, in.WithDecryption)
		out.Parameter = &v
		return err
	})
	return &out, err
}

func (p *Parameters) getParameters(ctx context.Context, _ *gateway.Call, in *sdk.GetParametersInput) (*sdk.GetParametersOutput, error) {
	if err := checkNames(in.Names); err != nil {
		return nil, err
	}
	out := sdk.GetParametersOutput{Parameters: []types.Parameter{}, InvalidParameters: []string{}}
	err := p.cfg.Store.View(ctx, func(tx *store.Tx) error {
		for _, name := range in.Names {
			v, err := p.selected(tx, &name, in.WithDecryption)
			if _, refused := errors.AsType[*wire.Exception](err); refused {
				out.InvalidParameters = append(out.InvalidParameters, name)
				continue
			}
			if err != nil {
				return err
			}
			out.Parameters = append(out.Parameters, v)
		}
		return nil
	})
	return &out, err
}

func (p *Parameters) getParametersByPath(ctx context.Context, call *gateway.Call, in *sdk.GetParametersByPathInput) (*sdk.GetParametersByPathOutput, error) {
	path := aws.ToString(in.Path)
	if in.Path == nil {
		return nil, required("path")
	}
	if !strings.HasPrefix(path, "/") || !nameForm.MatchString(path) {
		return nil, invalid("The parameter doesn't meet the parameter name requirements. The parameter name must begin with a forward slash \"/\". It can't be prefixed with \"aws\" or \"ssm\" (case-insensitive).")
	}
	filters, err := newFilters(in.ParameterFilters, "Type", "KeyId", "Label")
	if err != nil {
		return nil, err
	}
	recursive := aws.ToBool(in.Recursive)
	pages, key, err := paging(in.MaxResults, 10, in.NextToken, "GetParametersByPath", path, strconv.FormatBool(recursive), fmt.Sprint(filters))
	if err != nil {
		return nil, err
	}
	out := sdk.GetParametersByPathOutput{Parameters: []types.Parameter{}}
	err = p.cfg.Store.View(ctx, func(tx *store.Tx) error {
		list, next, err := p.list(tx, pages, strings.TrimSuffix(path, "/"), key, func(v slipway.Parameter, tags []slipway.Tag) bool {
			return below(v.Name, path, recursive) && filters.pass(v, tags)
		}, func(arn string) (bool, error) {
			return call.Permits(tx, gateway.Permission{Resource: arn},
				gateway.Permission{Action: "ssm:GetParameter", Resource: arn, DenyOnly: true}, gateway.Permission{Action: "ssm:GetParameters", Resource: arn, DenyOnly: true})
		})
		if err != nil {
			return err
		}
		out.NextToken = next
		for _, v := range list {
			shown, err := p.show(v, in.WithDecryption)
			if err != nil {
				return err
			}
			out.Parameters = append(out.Parameters, shown)
		}
		return nil
	})
	return &out, err
}

// list returns a page of the latest versions whose names begin with prefix, that are
// wanted, and whose ARNs the call shows.
func (p *Parameters) list(tx *store.Tx, pages page.Pager, prefix, afterName string, wanted func(slipway.Parameter, []slipway.Tag) bool, shows func(arn string) (bool, error)) ([]slipway.Parameter, *string, error) {
	list, err := page.Fill(pages, func(v slipway.Parameter) (bool, error) {
		arn := p.vault.ParameterARN(v.Name)
		tags, err := tx.Tags(arn)
		if err != nil || !wanted(v, tags) {
			return false, err
		}
		return shows(arn)
	}, func() ([]slipway.Parameter, error) {
		batch, err := tx.Parameters(prefix, afterName, pages.Limit())
		if len(batch) > 0 {
			afterName = batch[len(batch)-1].Name
		}
		return batch, err
	})
	if err != nil {
		return nil, nil, err
	}
	list, next := page.Cut(pages, list, func(v slipway.Parameter) []string { return []string{v.Name} })
	return list, next, nil
}

func (p *Parameters) describeParameters(ctx context.Context, call *gateway.Call, in *sdk.DescribeParametersInput) (*sdk.DescribeParametersOutput, error) {
	if len(in.Filters) > 0 && len(in.ParameterFilters) > 0 {
		return nil, invalid("You can use either Filters or ParameterFilters in a single request.")
	}
	filters, err := newFilters(append(in.ParameterFilters, upgrade(in.Filters)...), "Name", "Type", "KeyId", "Path", "Tier", "DataType", "Label")
	if err != nil {
		return nil, err
	}
	query, err := json.Marshal(filters)
	if err != nil {
		return nil, err
	}
	pages, key, err := paging(in.MaxResults, 50, in.NextToken, "DescribeParameters", string(query))
	if err != nil {
		return nil, err
	}
	out := sdk.DescribeParametersOutput{Parameters: []types.ParameterMetadata{}}
	err = p.cfg.Store.View(ctx, func(tx *store.Tx) error {
		list, next, err := p.list(tx, pages, "", key, filters.pass, func(arn string) (bool, error) { return call.Shows(tx, arn) })
		out.NextToken = next
		for _, v := range list {
			out.Parameters = append(out.Parameters, p.metadata(v))
		}
		return err
	})
	return &out, err
}

func (p *Parameters) metadata(v slipway.Parameter) types.ParameterMetadata {
	return types.ParameterMetadata{
		ARN: aws.String(p.vault.ParameterARN(v.Name)), Name: &v.Name, Type: types.ParameterType(v.Type), DataType: &v.DataType,
		Tier: types.ParameterTier(v.Tier), Version: v.Version, LastModifiedDate: &v.CreatedAt, LastModifiedUser: &v.User,
		Description: optional(v.Description), KeyId: optional(v.KeyID), AllowedPattern: optional(v.Pattern),
		Policies: []types.ParameterInlinePolicy{},
	}
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func (p *Parameters) getParameterHistory(ctx context.Context, _ *gateway.Call, in *sdk.GetParameterHistoryInput) (*sdk.GetParameterHistoryOutput, error) {
	pages, key, err := paging(in.MaxResults, 50, in.NextToken, "GetParameterHistory", aws.ToString(in.Name))
	if err != nil {
		return nil, err
	}
	last, _ := strconv.ParseInt(key, 10, 64) // "" on the first page: 0
	out := sdk.GetParameterHistoryOutput{Parameters: []types.ParameterHistory{}}
	err = p.cfg.Store.View(ctx, func(tx *store.Tx) error {
		v, err := p.find(tx, in.Name)
		if err != nil {
			return err
		}
		list, err := tx.ParameterHistory(v.Name, last, pages.Limit())
		if err != nil {
			return err
		}
		list, out.NextToken = page.Cut(pages, list, func(v slipway.Parameter) []string { return []string{strconv.FormatInt(v.Version, 10)} })
		for _, v := range list {
			text, err := p.value(v, in.WithDecryption)
			if err != nil {
				return err
			}
			m := p.metadata(v)
			out.Parameters = append(out.Parameters, types.ParameterHistory{
				Name: m.Name, Type: m.Type, DataType: m.DataType, Tier: m.Tier, Version: m.Version, Value: &text,
				LastModifiedDate: m.LastModifiedDate, LastModifiedUser: m.LastModifiedUser, Description: m.Description,
				KeyId: m.KeyId, AllowedPattern: m.AllowedPattern, Policies: m.Policies, Labels: []string{},
			})
		}
		return nil
	})
	return &out, err
}
