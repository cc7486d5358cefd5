package client

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	apprunnertypes "github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	ggcr "github.com/google/go-containerregistry/pkg/v1/types"
)

// StoredImage is an image in a repository of the server's registry, tagged or not.
type StoredImage struct {
	Repository string
	Digest     string
	Tags       []string
	Size       int64 // bytes; of several platforms, of the largest
	PushedAt   time.Time
	Parents    []string // digests of the indexes in the repository that hold it

	mediaType string
}

// ImageID names an image within a repository, as in ECR's API: by tag or by digest.
type ImageID struct {
	Digest string `json:"imageDigest,omitempty"`
	Tag    string `json:"imageTag,omitempty"`
}

// ecrTarget begins the names of ECR's operations.
const ecrTarget = "AmazonEC2ContainerRegistry_V20150921."

// StoredImages returns the images of all repositories.
func (c *Client) StoredImages(ctx context.Context) ([]StoredImage, error) {
	var names []string
	for token := ""; ; {
		in := struct {
			NextToken string `json:"nextToken,omitempty"`
		}{token}
		var out struct {
			Repositories []struct {
				Name string `json:"repositoryName"`
			} `json:"repositories"`
			NextToken string `json:"nextToken"`
		}
		if err := c.ecr.do(ctx, ecrTarget+"DescribeRepositories", in, &out); err != nil {
			return nil, err
		}
		for _, r := range out.Repositories {
			names = append(names, r.Name)
		}
		if token = out.NextToken; token == "" {
			break
		}
	}
	slices.Sort(names)
	var all []StoredImage
	for _, name := range names {
		list, err := c.storedIn(ctx, name)
		if isCode(err, "RepositoryNotFoundException") {
			continue // deleted since it was listed
		}
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
	}
	return all, nil
}

func (c *Client) storedIn(ctx context.Context, repository string) (list []StoredImage, err error) {
	for token := ""; ; {
		in := struct {
			Name      string `json:"repositoryName"`
			NextToken string `json:"nextToken,omitempty"`
		}{repository, token}
		var out struct {
			Details []struct {
				Digest    string   `json:"imageDigest"`
				Tags      []string `json:"imageTags"`
				Size      int64    `json:"imageSizeInBytes"`
				PushedAt  Seconds  `json:"imagePushedAt"`
				MediaType string   `json:"imageManifestMediaType"`
			} `json:"imageDetails"`
			NextToken string `json:"nextToken"`
		}
		if err := c.ecr.do(ctx, ecrTarget+"DescribeImages", in, &out); err != nil {
			return nil, err
		}
		for _, d := range out.Details {
			list = append(list, StoredImage{Repository: repository, Digest: d.Digest, Tags: d.Tags, Size: d.Size, PushedAt: d.PushedAt.Time(), mediaType: d.MediaType})
		}
		if token = out.NextToken; token == "" {
			return list, c.findParents(ctx, repository, list)
		}
	}
}

// findParents sets the parents of the images in a repository.
func (c *Client) findParents(ctx context.Context, repository string, list []StoredImage) error {
	var indexes []ImageID
	for _, i := range list {
		if ggcr.MediaType(i.mediaType).IsIndex() {
			indexes = append(indexes, ImageID{Digest: i.Digest})
		}
	}
	for part := range slices.Chunk(indexes, mostIDs) {
		in := struct {
			Name string    `json:"repositoryName"`
			IDs  []ImageID `json:"imageIds"`
		}{repository, part}
		var out struct {
			Images []struct {
				ID       ImageID `json:"imageId"`
				Manifest string  `json:"imageManifest"`
			} `json:"images"`
		}
		if err := c.ecr.do(ctx, ecrTarget+"BatchGetImage", in, &out); err != nil {
			return err
		}
		for _, index := range out.Images {
			for i := range list {
				if strings.Contains(index.Manifest, list[i].Digest) {
					list[i].Parents = append(list[i].Parents, index.ID.Digest)
				}
			}
		}
	}
	return nil
}

// mostIDs is how many images a call of ECR takes.
const mostIDs = 100

// DeleteImages deletes images by digest with all their tags, or single tags; an image is
// deleted with its last tag. Images that an index holds stay, as long as it does.
func (c *Client) DeleteImages(ctx context.Context, repository string, ids []ImageID) (deleted []ImageID, err error) {
	for part := range slices.Chunk(ids, mostIDs) {
		in := struct {
			Name string    `json:"repositoryName"`
			IDs  []ImageID `json:"imageIds"`
		}{repository, part}
		var out struct {
			IDs      []ImageID `json:"imageIds"`
			Failures []struct {
				Code   string `json:"failureCode"`
				Reason string `json:"failureReason"`
			} `json:"failures"`
		}
		if err := c.ecr.do(ctx, ecrTarget+"BatchDeleteImage", in, &out); err != nil {
			return deleted, err
		}
		deleted = append(deleted, out.IDs...)
		for _, f := range out.Failures {
			if f.Code != "ImageReferencedByManifestList" && f.Code != "ImageNotFound" {
				return deleted, &Problem{Text: fmt.Sprintf("an image of %s was not deleted: %s", repository, strings.TrimSuffix(f.Reason, "."))}
			}
		}
	}
	return deleted, nil
}

// ImageUse is a service that is deployed from an image of the server's registry.
type ImageUse struct {
	Service    string
	Repository string
	ImageID    // one of the two, as the service names the image
}

// ImageUses returns which services use which images of the server's registry. imageOf
// returns the image that a service is deployed from, "" for code.
func (c *Client) ImageUses(ctx context.Context, imageOf func(*apprunnertypes.Service) string) ([]ImageUse, error) {
	account, err := c.Account(ctx)
	if err != nil {
		return nil, err
	}
	services, err := c.Services(ctx)
	if err != nil {
		return nil, err
	}
	host := account + ".dkr.ecr." + c.Identity.Region + ".amazonaws.com/"
	var uses []ImageUse
	for _, s := range services {
		out, err := c.API.DescribeService(ctx, &apprunner.DescribeServiceInput{ServiceArn: s.ServiceArn})
		if NotFound(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if image, own := strings.CutPrefix(imageOf(out.Service), host); own {
			repository, id := ParseStoredImage(image)
			uses = append(uses, ImageUse{aws.ToString(s.ServiceName), repository, id})
		}
	}
	return uses, nil
}

// ParseStoredImage splits repository[:tag] or repository@digest. The default tag is
// "latest".
func ParseStoredImage(image string) (repository string, id ImageID) {
	if repository, digest, ok := strings.Cut(image, "@"); ok {
		repository, _, _ = strings.Cut(repository, ":")
		return repository, ImageID{Digest: digest}
	}
	repository, tag := SplitName(image)
	return repository, ImageID{Tag: tag}
}
