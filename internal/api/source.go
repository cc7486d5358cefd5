package api

import (
	"errors"
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
func (a *API) applySource(tx *store.Tx, s types.SourceConfiguration, c change) (types.SourceConfiguration, error) {
	in := c.source
	if in == nil {
		return s, nil
	}
	created := s.ImageRepository == nil && s.CodeRepository == nil
	switch {
	case in.CodeRepository != nil && in.ImageRepository != nil, created && in.CodeRepository == nil && in.ImageRepository == nil:
		return s, slipway.Errorf(slipway.InvalidRequest,
			"SourceConfiguration must have exactly one of CodeRepository and ImageRepository.")
	case in.CodeRepository != nil && s.ImageRepository != nil:
		return s, slipway.Errorf(slipway.InvalidRequest,
			"SourceConfiguration: the source of a service can't change from an image to a code repository.")
	case in.ImageRepository != nil && s.CodeRepository != nil:
		return s, slipway.Errorf(slipway.InvalidRequest,
			"SourceConfiguration: the source of a service can't change from a code repository to an image.")
	case in.CodeRepository != nil || s.CodeRepository != nil:
		return a.applyCode(tx, s, c, created)
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

// completeImage returns a call's source configuration with the complete name of its
// image.
func (a *API) completeImage(in *types.SourceConfiguration) (*types.SourceConfiguration, error) {
	if in == nil || in.ImageRepository == nil || in.ImageRepository.ImageIdentifier == nil || a.cfg.CompleteImage == nil {
		return in, nil
	}
	ref := *in.ImageRepository.ImageIdentifier
	if err := checkReference(ref); err != nil {
		return nil, err
	}
	full, err := a.cfg.CompleteImage(ref)
	if e, ok := errors.AsType[*slipway.Error](err); ok {
		return nil, slipway.Errorf(slipway.InvalidRequest, "ImageRepository: %s", e.Message)
	} else if err != nil {
		return nil, err
	}
	source, image := *in, *in.ImageRepository
	image.ImageIdentifier, source.ImageRepository = &full, &image
	return &source, nil
}

// checkReference refuses a text that is no image reference. The model's pattern allows
// only ECR's names; here any registry is allowed.
func checkReference(text string) error {
	if _, err := name.ParseReference(text); err != nil {
		return slipway.Errorf(slipway.InvalidRequest,
			"ImageRepository: ImageIdentifier %q is not an image reference: [registry/]repository[:tag][@digest] in lower case.", text)
	}
	return nil
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
	if err := checkReference(aws.ToString(in.ImageIdentifier)); err != nil {
		return nil, err
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
		if err := checkPort("ImageConfiguration", *in.Port); err != nil {
			return err
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
	return checkEnvironment("ImageConfiguration", c.RuntimeEnvironmentVariables, c.RuntimeEnvironmentSecrets)
}

func checkPort(configuration, port string) error {
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return slipway.Errorf(slipway.InvalidRequest, "%s: Port %.20q is not a number from 1 to 65535.", configuration, port)
	}
	return nil
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
