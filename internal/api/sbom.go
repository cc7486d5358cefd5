package api

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/store"
)

// DescribeSBOMInput is the input of Slipway.DescribeSBOM, which returns the list of
// software in the image that a service runs. App Runner has no such call.
type DescribeSBOMInput struct {
	ServiceArn *string // required
}

// DescribeSBOMOutput is its output.
type DescribeSBOMOutput struct {
	ImageDigest *string
	Commit      *string // that the image was built of
	MediaType   *string // of Document
	Document    *string
}

func (a *API) describeSBOM(ctx context.Context, _ *gateway.Call, in *DescribeSBOMInput) (*DescribeSBOMOutput, error) {
	if aws.ToString(in.ServiceArn) == "" {
		return nil, slipway.Errorf(slipway.InvalidRequest, "ServiceArn is required.")
	}
	var v slipway.ServiceView
	var r slipway.Release
	err := a.cfg.Store.View(ctx, func(tx *store.Tx) (err error) {
		if v, err = a.findLivingService(tx, *in.ServiceArn); err == nil && v.ActiveRelease != "" {
			r, err = tx.Release(v.ActiveRelease)
		}
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case r.Image == "":
		return nil, slipway.Errorf(slipway.InvalidState, "Service %s runs no version yet, so there is no list of its software.", v.Name)
	case r.Code == nil || a.cfg.SBOM == nil:
		return nil, slipway.Errorf(slipway.InvalidRequest,
			"Service %s runs an image that was not built here. This server lists the software of what it builds; use a scanner of images, such as syft.", v.Name)
	}
	document, err := a.cfg.SBOM(r.Image)
	if err != nil {
		return nil, err
	}
	const cycloneDX = "application/vnd.cyclonedx+json"
	return &DescribeSBOMOutput{
		ImageDigest: &r.Image, Commit: &r.Code.Commit, MediaType: aws.String(cycloneDX), Document: aws.String(string(document)),
	}, nil
}
