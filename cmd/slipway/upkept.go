package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/internal/cli/client"
)

// service returns the service that the argument of up is the name of, nil if it is
// something else: a path, an image's name with a tag, digest, registry or namespace, or
// the source of a service of another name.
func (up *upCommand) service(ctx context.Context, c *client.Client, source string) (*types.ServiceSummary, error) {
	if up.tree != nil || strings.ContainsAny(source, ":@/.") || up.name != "" && up.name != source {
		return nil, nil
	}
	if _, err := os.Lstat(source); err == nil {
		return nil, nil
	}
	found, _, err := c.FindService(ctx, source)
	return found, err
}

// keep makes d what the service is deployed from already.
func (d *desired) keep(svc *types.Service) error {
	s := svc.SourceConfiguration
	switch {
	case s != nil && s.ImageRepository != nil:
		d.image, d.imageType = aws.ToString(s.ImageRepository.ImageIdentifier), s.ImageRepository.ImageRepositoryType
		return nil
	case s == nil || s.CodeRepository == nil:
		return fmt.Errorf("service %s has neither an image nor code", aws.ToString(svc.ServiceName))
	}
	r := s.CodeRepository
	d.code = &code{url: aws.ToString(r.RepositoryUrl), directory: strings.Trim(aws.ToString(r.SourceDirectory), "/")}
	if v := r.CodeConfiguration; v != nil && v.CodeConfigurationValues != nil {
		d.code.runtime = string(v.CodeConfigurationValues.Runtime)
	}
	if strings.HasPrefix(d.code.url, "upload://") {
		return nil
	}
	d.repository = r
	if c := r.CodeConfiguration; d.configures() && c != nil && c.ConfigurationSource == types.ConfigurationSourceRepository {
		return &client.Problem{
			Text: fmt.Sprintf("service %s takes its port, command and variables from the apprunner.yaml in %s", aws.ToString(svc.ServiceName), d.code.url),
			Hint: "Change it there; a push, or `slipway deploy " + aws.ToString(svc.ServiceName) + "`, deploys it.",
		}
	}
	return nil
}

// inRepository returns the repository that is kept, with values in place of its own if
// they are to change.
func (d desired) inRepository(values *types.CodeConfigurationValues) *types.CodeRepository {
	r := *d.repository
	if d.configures() && r.CodeConfiguration != nil {
		c := *r.CodeConfiguration
		c.CodeConfigurationValues, r.CodeConfiguration = values, &c
	}
	return &r
}

// asStored returns the image's identifier. If the server has completed the same name for
// the service before, it is that one, so that an equal name changes nothing.
func (i upImage) asStored(svc *types.Service) string {
	s := svc.SourceConfiguration
	if i.complete != "" && s != nil && s.ImageRepository != nil && aws.ToString(s.ImageRepository.ImageIdentifier) == i.complete {
		return i.complete
	}
	return i.identifier
}

// mayName returns an error if the name that was derived from an image's is that of a
// service of another repository's images: the last part of team-a/web and team-b/web is
// the same. A repository of the server's registry that is called as the service may
// name it.
func (up *upCommand) mayName(svc *types.Service, img upImage) error {
	s := svc.SourceConfiguration
	if img.code != nil || s == nil || s.ImageRepository == nil {
		return nil // fits says what can't be
	}
	is := repositoryOf(aws.ToString(s.ImageRepository.ImageIdentifier))
	given := repositoryOf(cmp.Or(img.complete, img.identifier))
	_, own, isOwn := strings.Cut(given, ".amazonaws.com/")
	if is == given || img.complete != "" && repositoryOf(img.identifier) == up.name || // what that means the server says
		img.kind == types.ImageRepositoryTypeEcr && isOwn && own == up.name {
		return nil
	}
	return &client.Problem{
		Text: fmt.Sprintf("service %s is deployed from the repository %s, and %s is another one", up.name, is, given),
		Hint: fmt.Sprintf("`--name %s` deploys it there nevertheless; another --name makes another service.", up.name),
	}
}

// repositoryOf returns an image's name without tag and digest.
func repositoryOf(image string) string {
	image, _, _ = strings.Cut(image, "@")
	return untagged(image)
}
