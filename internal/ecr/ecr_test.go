package ecr_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/ecr"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/gateway/gatewaytest"
	"github.com/openslipway/slipway/internal/image"
	"github.com/openslipway/slipway/internal/image/imagetest"
	"github.com/openslipway/slipway/internal/policy"
	"github.com/openslipway/slipway/internal/sdkhttp"
	"github.com/openslipway/slipway/internal/store"
)

const target = "AmazonEC2ContainerRegistry_V20150921."

// bench is ECR over an image store of the test.
type bench struct {
	*gatewaytest.Bench
	ecr    *ecr.ECR
	images *image.Store
	tokens *ecr.Tokens
	pushed []string
}

func open(t *testing.T) *bench {
	t.Helper()
	b := &bench{Bench: gatewaytest.New(t)}
	var err error
	b.images, err = image.Open(image.Config{
		Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler),
		Immutable: func(repo, tag string) (bool, error) { return ecr.Immutable(b.Store, repo, tag) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.images.Close() })
	b.Clock.Advance(time.Since(gatewaytest.T0)) // SDKs sign with the real time
	b.tokens = &ecr.Tokens{Now: b.Clock.Now, Caller: func(ctx context.Context, id string) (gateway.Caller, gateway.Key, bool, error) {
		return b.Gateway.Caller(ctx, id)
	}}
	b.ecr, err = ecr.New(ecr.Config{
		Store: b.Store, Images: b.images, Tokens: b.tokens, Region: gatewaytest.Region, Account: gatewaytest.Account,
		Endpoint: "http://127.0.0.1:8070", Now: b.Clock.Now,
		Pushed: func(_ context.Context, repo, tag, digest string) error {
			b.pushed = append(b.pushed, repo+":"+tag+"@"+digest)
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	b.Open([]gateway.Service{b.ecr.Service()})
	return b
}

// client is Go's SDK over real HTTP.
func (b *bench) client() *sdk.Client {
	b.Helper()
	srv := httptest.NewServer(b.Handler)
	b.Cleanup(srv.Close)
	return sdk.New(sdk.Options{
		Region: gatewaytest.Region, BaseEndpoint: &srv.URL, HTTPClient: &http.Client{Transport: sdkhttp.Transport(srv.Client().Transport)}, Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider(b.Key.ID, b.Key.Secret, ""),
	})
}

// picture returns an image that contains this text.
func picture(t *testing.T, text string) v1.Image {
	return imagetest.Image(t, imagetest.Options{Cmd: []string{"/app"}, Files: []imagetest.File{imagetest.Text("/version", text)}})
}

// push puts an image under names and returns its digest.
func (b *bench) push(text string, names ...string) string {
	b.Helper()
	img := picture(b.TB.(*testing.T), text)
	for _, n := range names {
		if _, err := b.images.Put(b.Context(), n, img); err != nil {
			b.Fatal(err)
		}
	}
	return imagetest.Digest(b, img)
}

func TestRepositoryLife(t *testing.T) {
	t.Parallel()
	b := open(t)
	c, ctx := b.client(), t.Context()
	made, err := c.CreateRepository(ctx, &sdk.CreateRepositoryInput{
		RepositoryName: aws.String("team/shop"), ImageTagMutability: types.ImageTagMutabilityImmutable,
		ImageScanningConfiguration: &types.ImageScanningConfiguration{ScanOnPush: true},
		Tags:                       []types.Tag{{Key: aws.String("team"), Value: aws.String("web")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	r := made.Repository
	if *r.RepositoryArn != "arn:aws:ecr:us-east-1:000000000000:repository/team/shop" || *r.RegistryId != "000000000000" ||
		*r.RepositoryUri != "000000000000.dkr.ecr.us-east-1.amazonaws.com/team/shop" || r.CreatedAt == nil ||
		r.ImageTagMutability != types.ImageTagMutabilityImmutable || !r.ImageScanningConfiguration.ScanOnPush || r.EncryptionConfiguration.EncryptionType != types.EncryptionTypeAes256 {
		t.Errorf("created %+v", r)
	}
	_, err = c.CreateRepository(ctx, &sdk.CreateRepositoryInput{RepositoryName: aws.String("team/shop")})
	if _, ok := errors.AsType[*types.RepositoryAlreadyExistsException](err); !ok {
		t.Errorf("created twice: %v", err)
	}
	arn := r.RepositoryArn
	if _, err := c.TagResource(ctx, &sdk.TagResourceInput{ResourceArn: arn, Tags: []types.Tag{{Key: aws.String("env"), Value: aws.String("")}}}); err != nil {
		t.Error(err)
	}
	if _, err := c.UntagResource(ctx, &sdk.UntagResourceInput{ResourceArn: arn, TagKeys: []string{"team", "none"}}); err != nil {
		t.Error(err)
	}
	long := types.Tag{Key: aws.String(strings.Repeat("é", 128)), Value: aws.String(strings.Repeat("é", 256))}
	if _, err := c.TagResource(ctx, &sdk.TagResourceInput{ResourceArn: arn, Tags: []types.Tag{long}}); err != nil {
		t.Errorf("the longest tag: %v", err)
	}
	if _, err := c.UntagResource(ctx, &sdk.UntagResourceInput{ResourceArn: arn, TagKeys: []string{*long.Key}}); err != nil {
		t.Error(err)
	}
	tags, err := c.ListTagsForResource(ctx, &sdk.ListTagsForResourceInput{ResourceArn: arn})
	if err != nil || len(tags.Tags) != 1 || *tags.Tags[0].Key != "env" {
		t.Errorf("tags %+v, %v", tags, err)
	}

	b.push("one", "team/shop:v1")
	_, err = c.DeleteRepository(ctx, &sdk.DeleteRepositoryInput{RepositoryName: r.RepositoryName})
	if _, ok := errors.AsType[*types.RepositoryNotEmptyException](err); !ok {
		t.Errorf("deleted with images: %v", err)
	}
	if _, err := c.DeleteRepository(ctx, &sdk.DeleteRepositoryInput{RepositoryName: r.RepositoryName, Force: true}); err != nil {
		t.Error(err)
	}
	_, err = c.DescribeRepositories(ctx, &sdk.DescribeRepositoriesInput{RepositoryNames: []string{"team/shop"}})
	if _, ok := errors.AsType[*types.RepositoryNotFoundException](err); !ok {
		t.Errorf("described when deleted: %v", err)
	}
	_, err = c.ListTagsForResource(ctx, &sdk.ListTagsForResourceInput{ResourceArn: arn})
	if _, ok := errors.AsType[*types.RepositoryNotFoundException](err); !ok {
		t.Errorf("tags when deleted: %v", err)
	}
}

// A repository that was pushed to but never created is like any other.
func TestPushedRepository(t *testing.T) {
	t.Parallel()
	b := open(t)
	c, ctx := b.client(), t.Context()
	b.push("one", "shop:v1")
	for _, name := range []string{"alpha", "zeta"} {
		if _, err := c.CreateRepository(ctx, &sdk.CreateRepositoryInput{RepositoryName: &name}); err != nil {
			t.Fatal(err)
		}
	}
	var names []string
	pages := sdk.NewDescribeRepositoriesPaginator(c, &sdk.DescribeRepositoriesInput{MaxResults: aws.Int32(1)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Repositories {
			names = append(names, *r.RepositoryName)
			if time.Since(*r.CreatedAt) > time.Hour {
				t.Errorf("%s was created at %v", *r.RepositoryName, r.CreatedAt)
			}
		}
	}
	if !slices.Equal(names, []string{"alpha", "shop", "zeta"}) {
		t.Errorf("repositories %v", names)
	}
	if _, err := c.TagResource(ctx, &sdk.TagResourceInput{
		ResourceArn: aws.String(b.ecr.ARN("shop")), Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}},
	}); err != nil {
		t.Error(err)
	}
	if _, err := c.CreateRepository(ctx, &sdk.CreateRepositoryInput{RepositoryName: aws.String("shop")}); err != nil {
		t.Errorf("a pushed repository can't be created: %v", err)
	}
}

func TestImages(t *testing.T) {
	t.Parallel()
	b := open(t)
	c, ctx := b.client(), t.Context()
	shop := aws.String("shop")
	one, two := b.push("one", "shop:v1", "shop:latest"), b.push("two", "shop:v2")

	listed, err := c.ListImages(ctx, &sdk.ListImagesInput{RepositoryName: shop})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, id := range listed.ImageIds {
		ids = append(ids, aws.ToString(id.ImageTag)+"@"+*id.ImageDigest)
	}
	slices.Sort(ids)
	if want := []string{"latest@" + one, "v1@" + one, "v2@" + two}; !slices.Equal(ids, want) {
		t.Errorf("images %v, want %v", ids, want)
	}
	described, err := c.DescribeImages(ctx, &sdk.DescribeImagesInput{RepositoryName: shop, ImageIds: []types.ImageIdentifier{{ImageTag: aws.String("latest")}}})
	if err != nil {
		t.Fatal(err)
	}
	if d := described.ImageDetails[0]; *d.ImageDigest != one || !slices.Equal(d.ImageTags, []string{"latest", "v1"}) || *d.ImageSizeInBytes < 100 ||
		time.Since(*d.ImagePushedAt) > time.Hour || *d.ImageManifestMediaType != "application/vnd.oci.image.manifest.v1+json" {
		t.Errorf("described %+v", d)
	}
	_, err = c.DescribeImages(ctx, &sdk.DescribeImagesInput{RepositoryName: shop, ImageIds: []types.ImageIdentifier{{ImageTag: aws.String("v3")}}})
	if _, ok := errors.AsType[*types.ImageNotFoundException](err); !ok {
		t.Errorf("described what is not there: %v", err)
	}

	got, err := c.BatchGetImage(ctx, &sdk.BatchGetImageInput{RepositoryName: shop, ImageIds: []types.ImageIdentifier{
		{ImageTag: aws.String("v1")}, {ImageTag: aws.String("none")}, {ImageDigest: aws.String("md5:1")}, {},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Images) != 1 || *got.Images[0].ImageId.ImageDigest != one || len(got.Failures) != 3 || got.Failures[0].FailureCode != types.ImageFailureCodeImageNotFound ||
		got.Failures[1].FailureCode != types.ImageFailureCodeInvalidImageDigest || got.Failures[2].FailureCode != types.ImageFailureCodeMissingDigestAndTag {
		t.Fatalf("got %+v", got)
	}

	// The usual way to give an image one more tag.
	put, err := c.PutImage(ctx, &sdk.PutImageInput{RepositoryName: shop, ImageManifest: got.Images[0].ImageManifest, ImageTag: aws.String("stable")})
	if err != nil || *put.Image.ImageId.ImageDigest != one {
		t.Fatalf("put %+v, %v", put, err)
	}
	if want := []string{"shop:stable@" + one}; !slices.Equal(b.pushed, want) {
		t.Errorf("told of %v, want %v", b.pushed, want)
	}
	_, err = c.PutImage(ctx, &sdk.PutImageInput{RepositoryName: shop, ImageManifest: got.Images[0].ImageManifest, ImageTag: aws.String("stable")})
	if _, ok := errors.AsType[*types.ImageAlreadyExistsException](err); !ok {
		t.Errorf("put twice: %v", err)
	}
	_, err = c.PutImage(ctx, &sdk.PutImageInput{RepositoryName: shop, ImageTag: aws.String("x"), ImageManifest: aws.String(strings.Replace(*got.Images[0].ImageManifest, "sha256:", "sha256:00000000", 1))})
	if err == nil {
		t.Error("put a manifest of nothing")
	}

	deleted, err := c.BatchDeleteImage(ctx, &sdk.BatchDeleteImageInput{RepositoryName: shop, ImageIds: []types.ImageIdentifier{
		{ImageTag: aws.String("latest")}, {ImageTag: aws.String("v2")}, {ImageTag: aws.String("none")},
	}})
	if err != nil || len(deleted.ImageIds) != 2 || len(deleted.Failures) != 1 {
		t.Fatalf("deleted %+v, %v", deleted, err)
	}
	left, err := b.images.Contents("shop")
	if err != nil || len(left) != 1 || !slices.Equal(left[0].Tags, []string{"stable", "v1"}) {
		t.Errorf("left is %+v, %v", left, err)
	}
	if _, err := c.BatchDeleteImage(ctx, &sdk.BatchDeleteImageInput{RepositoryName: shop, ImageIds: []types.ImageIdentifier{{ImageDigest: &one}}}); err != nil {
		t.Error(err)
	}
	if _, err := b.images.Contents("shop"); !errors.Is(err, image.ErrNotFound) {
		t.Errorf("the repository is there without images: %v", err)
	}
}

func TestIndex(t *testing.T) {
	t.Parallel()
	b := open(t)
	c, ctx := b.client(), t.Context()
	child := b.push("one", "multi:amd64")
	m, err := b.images.Manifest("multi", child)
	if err != nil {
		t.Fatal(err)
	}
	index := fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":%q,"digest":%q,"size":%d}]}`, m.MediaType, child, len(m.Body))
	put, err := c.PutImage(ctx, &sdk.PutImageInput{RepositoryName: aws.String("multi"), ImageManifest: &index, ImageTag: aws.String("all")})
	if err != nil {
		t.Fatal(err)
	}
	ids := []types.ImageIdentifier{{ImageDigest: &child}}
	out, err := c.BatchDeleteImage(ctx, &sdk.BatchDeleteImageInput{RepositoryName: aws.String("multi"), ImageIds: ids})
	if err != nil || len(out.Failures) != 1 || out.Failures[0].FailureCode != types.ImageFailureCodeImageReferencedByManifestList {
		t.Errorf("deleted what an index has: %+v, %v", out, err)
	}
	d, err := c.DescribeImages(ctx, &sdk.DescribeImagesInput{RepositoryName: aws.String("multi")})
	if err != nil || len(d.ImageDetails) != 2 || *d.ImageDetails[0].ImageSizeInBytes != *d.ImageDetails[1].ImageSizeInBytes {
		t.Errorf("an index is as large as its largest image: %+v, %v", d, err)
	}
	ids = append(ids, types.ImageIdentifier{ImageDigest: put.Image.ImageId.ImageDigest})
	if out, err = c.BatchDeleteImage(ctx, &sdk.BatchDeleteImageInput{RepositoryName: aws.String("multi"), ImageIds: ids}); err != nil || len(out.Failures) != 0 {
		t.Errorf("both: %+v, %v", out, err)
	}
}

func TestImmutableTags(t *testing.T) {
	t.Parallel()
	b := open(t)
	c, ctx := b.client(), t.Context()
	b.push("one", "shop:v1", "shop:dev-1")
	_, err := c.PutImageTagMutability(ctx, &sdk.PutImageTagMutabilityInput{
		RepositoryName: aws.String("shop"), ImageTagMutability: types.ImageTagMutabilityImmutableWithExclusion,
		ImageTagMutabilityExclusionFilters: []types.ImageTagMutabilityExclusionFilter{{FilterType: types.ImageTagMutabilityExclusionFilterTypeWildcard, Filter: aws.String("dev-*")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	two := picture(t, "two")
	if _, err := b.images.Put(ctx, "shop:v1", two); !errors.Is(err, image.ErrImmutable) {
		t.Errorf("moved an immutable tag: %v", err)
	}
	if _, err := b.images.Put(ctx, "shop:v1", picture(t, "one")); err != nil {
		t.Errorf("the same image under the same tag: %v", err)
	}
	for _, name := range []string{"shop:dev-1", "shop:v2"} {
		if _, err := b.images.Put(ctx, name, two); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	m, err := b.images.Manifest("shop", "v2")
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.PutImage(ctx, &sdk.PutImageInput{RepositoryName: aws.String("shop"), ImageManifest: aws.String(string(m.Body)), ImageTag: aws.String("v1")})
	if _, ok := errors.AsType[*types.ImageTagAlreadyExistsException](err); !ok {
		t.Errorf("PutImage moved an immutable tag: %v", err)
	}
}

func TestPolicies(t *testing.T) {
	t.Parallel()
	b := open(t)
	c, ctx := b.client(), t.Context()
	shop := aws.String("shop")
	b.push("one", "shop:v1")
	_, err := c.GetRepositoryPolicy(ctx, &sdk.GetRepositoryPolicyInput{RepositoryName: shop})
	if _, ok := errors.AsType[*types.RepositoryPolicyNotFoundException](err); !ok {
		t.Errorf("no policy: %v", err)
	}
	_, err = c.DeleteLifecyclePolicy(ctx, &sdk.DeleteLifecyclePolicyInput{RepositoryName: shop})
	if _, ok := errors.AsType[*types.LifecyclePolicyNotFoundException](err); !ok {
		t.Errorf("no lifecycle policy: %v", err)
	}
	policy := `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "ecr:BatchGetImage"}]}`
	rules := `{"rules": [{"rulePriority": 1, "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1}, "action": {"type": "expire"}}]}`
	if _, err := c.SetRepositoryPolicy(ctx, &sdk.SetRepositoryPolicyInput{RepositoryName: shop, PolicyText: &policy}); err != nil {
		t.Error(err)
	}
	if _, err := c.PutLifecyclePolicy(ctx, &sdk.PutLifecyclePolicyInput{RepositoryName: shop, LifecyclePolicyText: &rules}); err != nil {
		t.Error(err)
	}
	p, err := c.GetRepositoryPolicy(ctx, &sdk.GetRepositoryPolicyInput{RepositoryName: shop})
	if err != nil || *p.PolicyText != policy {
		t.Errorf("policy %+v, %v", p, err)
	}

	two := b.push("two", "shop:v2")
	if n, err := b.ecr.Expire(ctx); n != 1 || err != nil {
		t.Errorf("%d images expired (%v), want 1", n, err)
	}
	if left, err := b.images.Contents("shop"); err != nil || len(left) != 1 || left[0].Digest != two {
		t.Errorf("left is %+v, %v, want the newer image", left, err)
	}
	l, err := c.GetLifecyclePolicy(ctx, &sdk.GetLifecyclePolicyInput{RepositoryName: shop})
	if err != nil || *l.LifecyclePolicyText != rules || l.LastEvaluatedAt == nil {
		t.Errorf("lifecycle policy %+v, %v", l, err)
	}
	if _, err := c.DeleteRepositoryPolicy(ctx, &sdk.DeleteRepositoryPolicyInput{RepositoryName: shop}); err != nil {
		t.Error(err)
	}
	if _, err := c.DeleteLifecyclePolicy(ctx, &sdk.DeleteLifecyclePolicyInput{RepositoryName: shop}); err != nil {
		t.Error(err)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.push("one", "shop:v1")
	for _, c := range []struct{ operation, body, exception, message string }{
		{"CreateRepository", `{}`, "InvalidParameterException", "repositoryName"},
		{"CreateRepository", `{"repositoryName": "Shop"}`, "InvalidParameterException", "repositoryName"},
		{"CreateRepository", `{"repositoryName": "a/../b"}`, "InvalidParameterException", "repositoryName"},
		{"CreateRepository", `{"repositoryName": "new", "imageTagMutability": "SOMETIMES"}`, "InvalidParameterException", "imageTagMutability"},
		{"CreateRepository", `{"repositoryName": "new", "imageTagMutability": "IMMUTABLE_WITH_EXCLUSION"}`, "InvalidParameterException", "ExclusionFilters"},
		{"CreateRepository", `{"repositoryName": "new", "encryptionConfiguration": {"encryptionType": "ROT13"}}`, "InvalidParameterException", "AES256"},
		{"CreateRepository", `{"repositoryName": "new", "tags": [{"Key": "aws:x", "Value": ""}]}`, "InvalidTagParameterException", "aws:"},
		{"DescribeRepositories", `{"repositoryNames": ["none"]}`, "RepositoryNotFoundException", "The repository with name 'none' does not exist in the registry with id '000000000000'"},
		{"DescribeRepositories", `{"repositoryNames": ["shop"], "registryId": "111111111111"}`, "RepositoryNotFoundException", "with id '111111111111'"},
		{"DescribeRepositories", `{"maxResults": 1001}`, "InvalidParameterException", "maxResults"},
		{"DescribeRepositories", `{"nextToken": "x"}`, "InvalidParameterException", "nextToken"},
		{"DescribeRepositories", `{"maxResults": "x"}`, "SerializationException", ""},
		{"DeleteRepository", `{"repositoryName": "none"}`, "RepositoryNotFoundException", "none"},
		{"DeleteRepository", `{"repositoryName": "shop"}`, "RepositoryNotEmptyException", "still contains images"},
		{"ListImages", `{"repositoryName": "shop", "filter": {"tagStatus": "SOME"}}`, "InvalidParameterException", "tagStatus"},
		{"BatchGetImage", `{"repositoryName": "shop"}`, "InvalidParameterException", "imageIds"},
		{"PutImage", `{"repositoryName": "shop"}`, "InvalidParameterException", "imageManifest"},
		{"PutImage", `{"repositoryName": "shop", "imageManifest": "{}", "imageTag": "x"}`, "InvalidParameterException", "schemaVersion"},
		{"PutImage", `{"repositoryName": "shop", "imageManifest": "{}", "imageDigest": "sha256:00"}`, "ImageDigestDoesNotMatchException", "sha256:"},
		{"PutImageScanningConfiguration", `{"repositoryName": "shop"}`, "InvalidParameterException", "imageScanningConfiguration"},
		{"SetRepositoryPolicy", `{"repositoryName": "shop", "policyText": "{}"}`, "InvalidParameterException", "PolicyText"},
		{"SetRepositoryPolicy", `{"repositoryName": "shop", "policyText": "{\"Statement\":[],\"Statement\":[]}"}`, "InvalidParameterException", "named twice"},
		{"SetRepositoryPolicy", `{"repositoryName": "shop", "policyText": "{\"Statement\":[],\"statement\":[1]}"}`, "InvalidParameterException", "named twice"},
		{"SetRepositoryPolicy", `{"repositoryName": "shop", "policyText": "{\"Statement\":[]} {}"}`, "InvalidParameterException", "PolicyText"},
		{"PutLifecyclePolicy", `{"repositoryName": "shop", "lifecyclePolicyText": "{}"}`, "InvalidParameterException", "it has no rules"},
		{"TagResource", `{"resourceArn": "arn:aws:ecr:us-east-1:000000000000:repository/none", "tags": []}`, "RepositoryNotFoundException", "none"},
		{"ListTagsForResource", `{"resourceArn": "arn:aws:s3:::bucket"}`, "InvalidParameterException", "resourceArn"},
		{"GetAuthorizationToken", `{"registryIds": ["111111111111"]}`, "InvalidParameterException", "registryIds"},
		{"StartImageScan", `{}`, "UnknownOperationException", ""},
	} {
		b.Refused(target+c.operation, c.body, c.exception, c.message)
	}
	got := b.OK(target+"DescribeRepositories", `{}`)
	if n := len(got["repositories"].([]any)); n != 1 {
		t.Errorf("%d repositories, want none but the one pushed", n)
	}
	got = b.OK(target+"BatchCheckLayerAvailability", `{"repositoryName": "shop", "layerDigests": ["sha256:`+strings.Repeat("0", 64)+`", "x"]}`)
	if text := fmt.Sprint(got); !strings.Contains(text, "UNAVAILABLE") || !strings.Contains(text, "InvalidLayerDigest") {
		t.Errorf("layers %v", text)
	}
	if got := b.OK(target+"DescribeRegistry", `{}`); got["registryId"] != "000000000000" {
		t.Errorf("registry %v", got)
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	b := open(t)
	ctx := t.Context()
	out, err := b.client().GetAuthorizationToken(ctx, &sdk.GetAuthorizationTokenInput{})
	if err != nil {
		t.Fatal(err)
	}
	data := out.AuthorizationData[0]
	text, err := base64.StdEncoding.DecodeString(*data.AuthorizationToken)
	if err != nil {
		t.Fatal(err)
	}
	user, token, ok := strings.Cut(string(text), ":")
	if !ok || user != "AWS" || strings.Contains(token, ":") || *data.ProxyEndpoint != "http://127.0.0.1:8070" {
		t.Fatalf("token of %s at %s", user, *data.ProxyEndpoint)
	}
	if left := data.ExpiresAt.Sub(b.Clock.Now()); left < 11*time.Hour || left > 12*time.Hour {
		t.Errorf("the token ends in %v, want 12 hours", left)
	}
	if strings.Contains(b.Logged.String(), token) {
		t.Error("the token is in the log")
	}
	check := func(token string) bool {
		t.Helper()
		c, ok, err := b.tokens.Check(ctx, token)
		if err != nil {
			t.Fatal(err)
		}
		if ok && c.User != gateway.Root {
			t.Errorf("the token is %s's", c.User)
		}
		return ok
	}
	if !check(token) {
		t.Error("a new token is refused")
	}
	parts := strings.Split(token, ".")
	for _, bad := range []string{
		"", ".", "..", "AKIA..x", token + "x", token[1:], strings.Join([]string{parts[0], "9999999999", parts[2]}, "."),
		strings.Join([]string{"AKIANOBODY", parts[1], parts[2]}, "."), parts[0] + "." + parts[1] + ".",
	} {
		if check(bad) {
			t.Errorf("%q is taken for a token", bad)
		}
	}
	b.Clock.Advance(12 * time.Hour)
	if check(token) {
		t.Error("an old token is good")
	}

	fresh, _, err := b.tokens.Issue(ctx, b.Key.ID)
	if err != nil || !check(fresh) {
		t.Fatalf("issue: %v", err)
	}
	b.Update(func(tx *store.Tx) error { return tx.SetAccessKeyInactive(b.Key.ID, true) })
	if check(fresh) {
		t.Error("the token of an inactive key is good")
	}
}

// A token of temporary credentials expires with them.
func TestTokenOfSession(t *testing.T) {
	t.Parallel()
	b := open(t)
	ends := b.Clock.Now().Add(time.Hour)
	b.Update(func(tx *store.Tx) error {
		return tx.InsertSession(slipway.Session{ID: "ASIAEXAMPLE", Secret: "secret", Token: "token", User: gateway.Root, CreatedAt: b.Clock.Now(), ExpiresAt: ends}, b.Clock.Now())
	})
	token, expires, err := b.tokens.Issue(t.Context(), "ASIAEXAMPLE")
	if err != nil || expires.After(ends) {
		t.Fatalf("issued until %v (%v), want until %v", expires, err, ends)
	}
	if _, ok, err := b.tokens.Check(t.Context(), token); !ok || err != nil {
		t.Errorf("it is refused: %v", err)
	}
	b.Clock.Advance(time.Hour)
	if _, ok, _ := b.tokens.Check(t.Context(), token); ok {
		t.Error("it is good when the session is not")
	}
}

func FuzzToken(f *testing.F) {
	f.Add("AKIA.1800000000.abc")
	f.Add("..")
	tokens := ecr.Tokens{Caller: func(context.Context, string) (gateway.Caller, gateway.Key, bool, error) {
		return gateway.Caller{User: "root"}, gateway.Key{Secret: "secret"}, true, nil
	}}
	f.Fuzz(func(t *testing.T, token string) {
		if _, ok, err := tokens.Check(t.Context(), token); ok || err != nil {
			t.Errorf("%q: %v, %v", token, ok, err)
		}
	})
}

// Users other than root need a permission on the repository, for ECR's actions.
func TestPermissions(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.push("one", "shop:v1")
	key := slipway.AccessKey{ID: "AKIANOTHING", Secret: "secret", User: "ann", CreatedAt: b.Clock.Now()}
	b.Update(func(tx *store.Tx) error {
		return errors.Join(tx.InsertUser(slipway.User{Name: "ann", ID: "AIDA1", Path: "/", CreatedAt: b.Clock.Now()}), tx.InsertAccessKey(key))
	})
	ann := b.As(key, "")
	shop := b.ecr.ARN("shop")
	for _, c := range []struct{ operation, body, resource string }{
		{"GetAuthorizationToken", `{}`, "*"},
		{"DescribeRegistry", `{}`, "*"},
		{"CreateRepository", `{"repositoryName": "new"}`, b.ecr.ARN("new")},
		{"DescribeRepositories", `{}`, b.ecr.ARN("*")},
		{"DescribeRepositories", `{"repositoryNames": ["shop"]}`, shop},
		{"DeleteRepository", `{"repositoryName": "shop", "force": true}`, shop},
		{"BatchGetImage", `{"repositoryName": "shop", "imageIds": [{"imageTag": "v1"}]}`, shop},
		{"PutLifecyclePolicy", `{"repositoryName": "shop"}`, shop},
		{"TagResource", `{"resourceArn": "` + shop + `", "tags": []}`, shop},
	} {
		ann.Refused(target+c.operation, c.body, "AccessDeniedException", "ecr:"+c.operation+" on resource: "+c.resource+" because")
	}
}

// A user who may set and remove only tags with some keys.
func TestTagPermissions(t *testing.T) {
	t.Parallel()
	b := open(t)
	may, err := policy.Parse([]byte(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"ecr:CreateRepository","Resource":"*","Condition":{"StringEquals":{"aws:RequestTag/team":"a"}}},
		{"Effect":"Allow","Action":["ecr:TagResource","ecr:UntagResource"],"Resource":"*","Condition":{"ForAllValues:StringEquals":{"aws:TagKeys":"team"}}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	b.Open([]gateway.Service{b.ecr.Service()}, func(c *gateway.Config) {
		c.Policies = func(*store.Tx, string) ([]policy.Policy, error) { return []policy.Policy{{Document: may}}, nil }
	})
	key := slipway.AccessKey{ID: "AKIAANN", Secret: "secret", User: "ann", CreatedAt: b.Clock.Now()}
	b.Update(func(tx *store.Tx) error {
		return errors.Join(tx.InsertUser(slipway.User{Name: "ann", ID: "AIDA1", Path: "/", CreatedAt: b.Clock.Now()}), tx.InsertAccessKey(key))
	})
	ann, shop := b.As(key, ""), b.ecr.ARN("shop")
	ann.OK(target+"CreateRepository", `{"repositoryName":"shop","tags":[{"Key":"team","Value":"a"}]}`)
	ann.OK(target+"TagResource", `{"resourceArn":"`+shop+`","tags":[{"Key":"team","Value":"b"}]}`)
	ann.OK(target+"UntagResource", `{"resourceArn":"`+shop+`","tagKeys":["team"]}`)
	for operation, body := range map[string]string{
		"CreateRepository": `{"repositoryName":"other","tags":[{"Key":"team","Value":"b"}]}`,
		"TagResource":      `{"resourceArn":"` + shop + `","tags":[{"Key":"owner","Value":"a"}]}`,
		"UntagResource":    `{"resourceArn":"` + shop + `","tagKeys":["owner"]}`,
	} {
		ann.Refused(target+operation, body, "AccessDeniedException", "ecr:"+operation+" on resource: ")
	}
	ann.Refused(target+"CreateRepository", `{"repositoryName":"other","tags":[{"Key":"team","Value":"a"},{"Key":"owner","Value":"a"}]}`,
		"AccessDeniedException", "ecr:TagResource on resource: "+b.ecr.ARN("other"))
}

// DescribeRepositories decides about each repository, also of those that were only pushed
// to.
func TestShown(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.push("one", "hidden/pushed:1", "seen/pushed:1")
	for _, name := range []string{"hidden/made", "seen/made"} {
		if _, err := b.client().CreateRepository(t.Context(), &sdk.CreateRepositoryInput{RepositoryName: &name}); err != nil {
			t.Fatal(err)
		}
	}
	ann := &bench{Bench: b.Limited([]gateway.Service{b.ecr.Service()}, `{"Effect":"Allow","Action":"*","Resource":"*"},
		{"Effect":"Deny","Action":"*","Resource":"arn:aws:ecr:*:*:repository/hidden/*"}`)}
	for who, want := range map[*bench]string{ann: "seen/made seen/pushed", b: "hidden/made hidden/pushed seen/made seen/pushed"} {
		var names []string
		for in := (&sdk.DescribeRepositoriesInput{MaxResults: aws.Int32(1)}); ; {
			out, err := who.client().DescribeRepositories(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range out.Repositories {
				names = append(names, *r.RepositoryName)
			}
			if in.NextToken = out.NextToken; in.NextToken == nil {
				break
			}
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("listed are %s, want %s", got, want)
		}
	}
}
