package ssm

import (
	"cmp"
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/gateway/share"
	"github.com/openslipway/slipway/internal/secrets"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/wire"
)

// Limits of Parameter Store.
const (
	maxName        = 1011 // characters, with the beginning of the ARN
	maxLevels      = 15
	maxStandard    = 4096 // bytes of a value
	maxAdvanced    = 8192
	maxDescription = 1024
	maxPattern     = 1024
	maxVersions    = 100 // of a parameter; the oldest is deleted
)

var nameForm = regexp.MustCompile(`^[a-zA-Z0-9_.\-/]+$`)

func checkName(name string) error {
	trimmed := strings.ToLower(strings.TrimPrefix(name, "/"))
	switch {
	case name == "" || len(name) > maxName:
		return invalid("Parameter name: must have from 1 to %d characters.", maxName)
	case !nameForm.MatchString(name):
		return invalid(`Parameter name: can't be prefixed with "ssm" (case-insensitive). If formed as a path, it can consist of sub-paths divided by slash symbol; each sub-path can be formed as a mix of letters, numbers and the following 3 symbols .-_`)
	case strings.HasPrefix(trimmed, "aws") || strings.HasPrefix(trimmed, "ssm"):
		return invalid(`Parameter name: can't be prefixed with "aws" or "ssm" (case-insensitive).`)
	case strings.Contains(name, "/") && !strings.HasPrefix(name, "/"):
		return invalid("Parameter name must be a fully qualified name.")
	case strings.Contains(name, "//") || strings.HasSuffix(name, "/"):
		return invalid("Parameter name: a sub-path can't be empty.")
	case strings.Count(name, "/") > maxLevels:
		return wire.NewException("HierarchyLevelLimitExceededException", "A parameter hierarchy can have at most 15 levels.")
	}
	return nil
}

func (p *Parameters) putParameter(ctx context.Context, call *gateway.Call, in *sdk.PutParameterInput) (*sdk.PutParameterOutput, error) {
	if err := checkPut(in); err != nil {
		return nil, err
	}
	tags, err := newTags(in.Tags)
	if err != nil {
		return nil, err
	}
	var out sdk.PutParameterOutput
	err = call.Update(ctx, func(tx *store.Tx) error {
		next := slipway.Parameter{Name: *in.Name, Version: 1, CreatedAt: p.now()}
		have, err := tx.Parameter(*in.Name)
		switch {
		case errors.Is(err, store.ErrNotFound):
			if in.Type == "" {
				return invalid("A parameter type is required when you create a parameter.")
			}
			if err := p.refuseTwin(tx, *in.Name); err != nil {
				return err
			}
		case err != nil:
			return err
		case !aws.ToBool(in.Overwrite):
			return wire.NewException("ParameterAlreadyExists",
				"The parameter already exists. To overwrite this value, set the overwrite option in the request to true.")
		default:
			next.Version = have.Version + 1
		}
		if next.ParameterSettings, err = settings(have.ParameterSettings, in); err != nil {
			return err
		}
		next.User = call.Caller.ARN
		p.vault.SealParameter(&next, *in.Value)
		out.Tier, out.Version = types.ParameterTier(next.Tier), next.Version
		arn := p.vault.ParameterARN(next.Name)
		if next.Version == 1 {
			if err := limit(share.Take(tx, call.Caller, share.Parameters, arn, 0)); err != nil {
				return err
			}
		}
		return errors.Join(
			tx.InsertParameter(next),
			tx.ForgetParameterVersions(next.Name, next.Version-maxVersions),
			tx.SetTags(arn, tags),
			fit(tx, arn, next),
		)
	})
	return &out, err
}

// fit counts the bytes of a parameter's versions, of which next is the latest, and removes
// the oldest ones for which the share of the parameter's maker has no place.
func fit(tx *store.Tx, arn string, next slipway.Parameter) error {
	left, bounded, err := share.Left(tx, share.Parameters, arn)
	if err != nil || !bounded {
		return err
	}
	for oldest := max(1, next.Version-maxVersions+1); ; oldest++ {
		bytes, err := tx.ParameterBytes(next.Name)
		switch {
		case err != nil:
			return err
		case bytes <= left:
			return tx.SetMadeBytes(arn, bytes)
		case oldest >= next.Version:
			return limit(share.Full(share.Parameters))
		}
		if err := tx.ForgetParameterVersions(next.Name, oldest); err != nil {
			return err
		}
	}
}

// limit words the refusal of a share as Parameter Store does.
func limit(err error) error {
	if full, ok := errors.AsType[*share.FullError](err); ok {
		return wire.NewException("ParameterLimitExceeded", full.Error())
	}
	return err
}

// refuseTwin refuses a name whose ARN another parameter has: an ARN, tags and policies
// could not tell the two apart.
func (p *Parameters) refuseTwin(tx *store.Tx, name string) error {
	other := secrets.Twin(name)
	if other == "" {
		return nil
	}
	_, err := tx.Parameter(other)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil
	case err != nil:
		return err
	}
	return invalid("Parameter name: %s would have the ARN of the parameter %s, %s. Change that one, or choose another name.", name, other, p.vault.ParameterARN(name))
}

// checkPut refuses input that no parameter can have.
func checkPut(in *sdk.PutParameterInput) error {
	switch {
	case in.Name == nil:
		return required("name")
	case in.Value == nil:
		return required("value")
	case *in.Value == "":
		return invalid("1 validation error detected: Value at 'value' failed to satisfy constraint: Member must have length greater than or equal to 1")
	case len([]rune(aws.ToString(in.Description))) > maxDescription:
		return invalid("1 validation error detected: Value at 'description' failed to satisfy constraint: Member must have length less than or equal to %d", maxDescription)
	case in.Type != "" && !slices.Contains(in.Type.Values(), in.Type):
		return invalid("1 validation error detected: Value '%s' at 'type' failed to satisfy constraint: Member must satisfy enum value set: [SecureString, StringList, String]", in.Type)
	case in.Tier != "" && !slices.Contains(in.Tier.Values(), in.Tier):
		return invalid("1 validation error detected: Value '%s' at 'tier' failed to satisfy constraint: Member must satisfy enum value set: [Standard, Advanced, Intelligent-Tiering]", in.Tier)
	case aws.ToBool(in.Overwrite) && len(in.Tags) > 0:
		return invalid("Invalid request: tags and overwrite can't be used together. To create a parameter with tags, please remove overwrite flag. To update tags for an existing parameter, please use AddTagsToResource or RemoveTagsFromResource.")
	case aws.ToString(in.Policies) != "" && *in.Policies != "[]" && *in.Policies != "[{}]":
		return wire.NewException("InvalidPolicyTypeException", "Policies: this server keeps no parameter policies.")
	case in.DataType != nil && *in.DataType != "text":
		return invalid("DataType is %.64q; this server supports only the data type text.", *in.DataType)
	}
	return checkName(*in.Name)
}

// settings returns the settings of a new version: those of the call, over those of
// the previous version. It checks the value against them.
func settings(have slipway.ParameterSettings, in *sdk.PutParameterInput) (slipway.ParameterSettings, error) {
	s := slipway.ParameterSettings{
		Type:        cmp.Or(string(in.Type), have.Type),
		Description: have.Description,
		Pattern:     aws.ToString(in.AllowedPattern),
		DataType:    "text",
	}
	if in.Description != nil {
		s.Description = *in.Description
	}
	switch {
	case s.Type == string(types.ParameterTypeSecureString):
		s.KeyID = cmp.Or(aws.ToString(in.KeyId), have.KeyID, "alias/aws/ssm")
	case in.KeyId != nil:
		return s, invalid("KeyId is not required for the parameter type %s.", s.Type)
	}
	var err error
	if s.Tier, err = tier(cmp.Or(string(in.Tier), have.Tier, string(types.ParameterTierStandard)), len(*in.Value)); err != nil {
		return s, err
	}
	return s, checkPattern(s.Pattern, *in.Value)
}

// tier returns the tier of a value of this size. An advanced parameter
// can't become a standard one.
func tier(requested string, size int) (string, error) {
	if requested == string(types.ParameterTierIntelligentTiering) {
		requested = string(types.ParameterTierStandard)
		if size > maxStandard {
			requested = string(types.ParameterTierAdvanced)
		}
	}
	switch {
	case size > maxAdvanced:
		return "", invalid("Advanced tier parameters support a maximum parameter value of %d characters.", maxAdvanced)
	case size > maxStandard && requested == string(types.ParameterTierStandard):
		return "", invalid("Standard tier parameters support a maximum parameter value of %d characters. To create a larger parameter value, upgrade the parameter to use the advanced-parameter tier.", maxStandard)
	}
	return requested, nil
}

var errPattern = wire.NewException("InvalidAllowedPatternException", "The allowed pattern is not a valid regular expression.")

func checkPattern(pattern, value string) error {
	if pattern == "" {
		return nil
	}
	if len(pattern) > maxPattern {
		return errPattern
	}
	r, err := regexp.Compile(`^(?:` + pattern + `)$`)
	if err != nil {
		return errPattern
	}
	if !r.MatchString(value) {
		return wire.NewException("ParameterPatternMismatchException", "Parameter value, cannot be validated against allowedPattern: "+pattern)
	}
	return nil
}

func (p *Parameters) deleteParameter(ctx context.Context, call *gateway.Call, in *sdk.DeleteParameterInput) (*sdk.DeleteParameterOutput, error) {
	if in.Name == nil {
		return nil, required("name")
	}
	return &sdk.DeleteParameterOutput{}, call.Update(ctx, func(tx *store.Tx) error { return p.delete(tx, *in.Name) })
}

// delete deletes a parameter with all its versions. It takes a name. An ARN is refused,
// since two parameters may have it, and so is a name with a version.
// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_DeleteParameter.html
func (p *Parameters) delete(tx *store.Tx, name string) error {
	if strings.HasPrefix(name, "arn:") {
		return invalid("%q is an ARN; parameters are deleted by their name.", name)
	}
	v, err := p.findWhole(tx, &name)
	if err != nil {
		return err
	}
	return tx.DeleteParameter(v.Name, p.vault.ParameterARN(v.Name))
}

func (p *Parameters) deleteParameters(ctx context.Context, call *gateway.Call, in *sdk.DeleteParametersInput) (*sdk.DeleteParametersOutput, error) {
	if err := checkNames(in.Names); err != nil {
		return nil, err
	}
	out := sdk.DeleteParametersOutput{DeletedParameters: []string{}, InvalidParameters: []string{}}
	err := call.Update(ctx, func(tx *store.Tx) error {
		for _, name := range in.Names {
			err := p.delete(tx, name)
			if _, refused := errors.AsType[*wire.Exception](err); refused {
				out.InvalidParameters = append(out.InvalidParameters, name)
				continue
			}
			if err != nil {
				return err
			}
			out.DeletedParameters = append(out.DeletedParameters, name)
		}
		return nil
	})
	return &out, err
}
