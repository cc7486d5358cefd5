package api_test

import (
	"path"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/api"
	"github.com/openslipway/slipway/internal/store"
)

// The list of software is that of the image that the service runs, if it was built
// here.
func TestDescribeSBOM(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *api.Config) {
		c.SBOM = func(digest string) ([]byte, error) {
			if digest != "sha256:1" {
				return nil, slipway.Errorf(slipway.NotFound, "There is no list of the software in image %s.", digest)
			}
			return []byte(`{"bomFormat":"CycloneDX"}`), nil
		}
	})
	arn := b.create("shop")
	run := func(image string, code *slipway.CodeVersion) {
		b.Update(func(tx *store.Tx) error {
			r := slipway.Release{ID: slipway.NewID(), ServiceID: path.Base(arn), Image: image, Code: code, Desired: slipway.DesiredRun, CreatedAt: t0}
			if err := tx.InsertRelease(r); err != nil {
				return err
			}
			return tx.SetActiveRelease(r.ServiceID, r.ID)
		})
	}
	in := &api.DescribeSBOMInput{ServiceArn: &arn}
	b.refuse(&api.DescribeSBOMInput{}, "InvalidRequestException", "ServiceArn is required.")
	b.refuse(&api.DescribeSBOMInput{ServiceArn: aws.String(noService)}, "ResourceNotFoundException", "Service not found")
	b.refuse(in, "InvalidStateException", "Service shop runs no version yet")
	run("sha256:1", nil)
	b.refuse(in, "InvalidRequestException", "Service shop runs an image that was not built here.")
	run("sha256:2", &slipway.CodeVersion{Commit: "c0ffee"})
	b.refuse(in, "ResourceNotFoundException", "There is no list of the software in image sha256:2.")
	run("sha256:1", &slipway.CodeVersion{Commit: "c0ffee"})
	out := invoke[api.DescribeSBOMOutput](b, in)
	if *out.Document != `{"bomFormat":"CycloneDX"}` || *out.Commit != "c0ffee" || *out.ImageDigest != "sha256:1" || *out.MediaType != "application/vnd.cyclonedx+json" {
		t.Errorf("the reply is %+v", out)
	}
}
