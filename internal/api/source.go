package api

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/kballard/go-shellquote"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
)

// applySource applies a call's source configuration to that of a service. s is
// empty for a new service.
func (a *API) applySource(tx *store.Tx, s types.SourceConfiguration, in *types.SourceConfiguration) (types.SourceConfiguration, error) {
	if in == nil {
		return s, nil
	}
	created := s.ImageRepository == nil
	switch {
	case in.CodeRepository != nil && in.ImageRepository != nil, created && in.CodeRepository == nil && in.ImageRepository == nil:
		return s, slipway.Errorf(slipway.InvalidRequest,
			"SourceConfiguration must have exactly one of CodeRepository and ImageRepository.")
	case in.CodeRepository != nil && created:
		if _, err := a.usableConnection(tx, in.AuthenticationConfiguration); err != nil {
			return s, err
		}
		return s, slipway.Errorf(slipway.InvalidRequest,
			"SourceConfiguration: CodeRepository is not supported yet; give an ImageRepository.")
	case in.CodeRepository != nil:
		return s, slipway.Errorf(slipway.InvalidRequest,
			"SourceConfiguration: the source of a service can't change from an image to a code repository.")
	}
	var err error
	if in.ImageRepository != nil {
		if s.ImageRepository, err = applyImage(s.ImageRepository, in.ImageRepository); err != nil {
			return s, err
		}
	}
	if s.AuthenticationConfiguration, err = applyAuthentication(s, in.AuthenticationConfiguration); err != nil {
		return s, err
	}
	if in.AutoDeploymentsEnabled != nil {
		s.AutoDeploymentsEnabled = in.AutoDeploymentsEnabled
	} else if created {
		s.AutoDeploymentsEnabled = aws.Bool(a.autoDeploysByDefault(s.ImageRepository))
	}
	return s, nil
}

// autoDeploysByDefault returns AutoDeploymentsEnabled for a call that leaves it out:
// false for public images and those of another account's ECR.
func (a *API) autoDeploysByDefault(r *types.ImageRepository) bool {
	account, ecr, _ := strings.Cut(aws.ToString(r.ImageIdentifier), ".dkr.ecr.")
	return r.ImageRepositoryType == types.ImageRepositoryTypeEcr && (ecr == "" || account == a.cfg.Account)
}

// applyImage leaves out the ImageConfiguration if the service never had one.
// Terraform's resource would remove it again at every plan: it is the only
// structure that it does not expect the service to fill in.
func applyImage(r, in *types.ImageRepository) (*types.ImageRepository, error) {
	image := types.ImageRepository{ImageIdentifier: in.ImageIdentifier, ImageRepositoryType: in.ImageRepositoryType}
	switch {
	case r != nil && r.ImageConfiguration != nil:
		conf := *r.ImageConfiguration
		image.ImageConfiguration = &conf
	case in.ImageConfiguration != nil:
		image.ImageConfiguration = &types.ImageConfiguration{Port: aws.String(strconv.Itoa(slipway.DefaultPort))}
	}
	// The model's pattern allows only ECR's names; here any registry is allowed.
	if _, err := name.ParseReference(aws.ToString(in.ImageIdentifier)); err != nil {
		return nil, slipway.Errorf(slipway.InvalidRequest,
			"ImageRepository: ImageIdentifier %q is not an image reference: [registry/]repository[:tag][@digest] in lower case.",
			aws.ToString(in.ImageIdentifier))
	}
	return &image, applyImageConfiguration(image.ImageConfiguration, in.ImageConfiguration)
}

// applyImageConfiguration changes c member by member. A map in the call replaces
// the whole map.
func applyImageConfiguration(c, in *types.ImageConfiguration) error {
	if in == nil {
		return nil
	}
	if in.Port != nil {
		if n, err := strconv.ParseUint(*in.Port, 10, 16); err != nil || n == 0 {
			return slipway.Errorf(slipway.InvalidRequest, "ImageConfiguration: Port %.20q is not a number from 1 to 65535.", *in.Port)
		}
		c.Port = in.Port
	}
	if in.StartCommand != nil {
		// Package deploy splits it; a command that can't be split is refused now.
		if _, err := shellquote.Split(*in.StartCommand); err != nil {
			return slipway.Errorf(slipway.InvalidRequest, "ImageConfiguration: StartCommand can't be split into words: %v.", err)
		}
		c.StartCommand = in.StartCommand
	}
	c.RuntimeEnvironmentVariables = replace(c.RuntimeEnvironmentVariables, in.RuntimeEnvironmentVariables)
	c.RuntimeEnvironmentSecrets = replace(c.RuntimeEnvironmentSecrets, in.RuntimeEnvironmentSecrets)
	return checkEnvironment(c)
}

// replace returns in if it is given, else m. An empty map removes all entries.
func replace(m, in map[string]string) map[string]string {
	switch {
	case in == nil:
		return m
	case len(in) == 0:
		return nil
	}
	return in
}

// checkEnvironment refuses names that no process can have in its environment. Its
// errors never repeat a value.
func checkEnvironment(c *types.ImageConfiguration) error {
	for _, list := range []struct {
		member string
		env    map[string]string
	}{
		{"RuntimeEnvironmentVariables", c.RuntimeEnvironmentVariables},
		{"RuntimeEnvironmentSecrets", c.RuntimeEnvironmentSecrets},
	} {
		for _, key := range slices.Sorted(maps.Keys(list.env)) {
			if reason := unsettable(key, list.env[key]); reason != "" {
				return slipway.Errorf(slipway.InvalidRequest, "%s: %.100q %s.", list.member, key, reason)
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(c.RuntimeEnvironmentSecrets)) {
		if _, err := slipway.ParseSecretReference(c.RuntimeEnvironmentSecrets[key]); err != nil {
			return slipway.Errorf(slipway.InvalidRequest, "RuntimeEnvironmentSecrets: the value of %.100q is no reference. %v", key, err)
		}
		if _, ok := c.RuntimeEnvironmentVariables[key]; ok {
			return slipway.Errorf(slipway.InvalidRequest,
				"%.100q is in both RuntimeEnvironmentVariables and RuntimeEnvironmentSecrets.", key)
		}
	}
	return nil
}

func unsettable(key, value string) string {
	switch {
	case key == "PORT":
		return "is reserved: it is set to ImageConfiguration.Port"
	case strings.ContainsAny(key, "=\x00"):
		return "is no name of an environment variable: it has an = or a NUL"
	case strings.Contains(value, "\x00"):
		return "has a value with a NUL, which no environment variable can have"
	}
	return ""
}

// applyAuthentication applies a call's credentials for an image. A public image
// has none, although some clients send an empty structure.
func applyAuthentication(s types.SourceConfiguration, in *types.AuthenticationConfiguration) (*types.AuthenticationConfiguration, error) {
	public := s.ImageRepository != nil && s.ImageRepository.ImageRepositoryType == types.ImageRepositoryTypeEcrPublic
	if in != nil {
		switch {
		case in.ConnectionArn != nil:
			return nil, slipway.Errorf(slipway.InvalidRequest,
				"AuthenticationConfiguration: a ConnectionArn is for code repositories; an image needs an AccessRoleArn or nothing.")
		case public && in.AccessRoleArn != nil:
			return nil, slipway.Errorf(slipway.InvalidRequest,
				"AuthenticationConfiguration: an AccessRoleArn can't be used with ImageRepositoryType ECR_PUBLIC.")
		case in.AccessRoleArn != nil:
			return &types.AuthenticationConfiguration{AccessRoleArn: in.AccessRoleArn}, nil
		}
	}
	if public {
		return nil, nil
	}
	return s.AuthenticationConfiguration, nil
}
