package client

import "context"

// SBOM is the list of software in the image that a service runs.
type SBOM struct {
	ImageDigest, Commit string
	MediaType           string // of Document
	Document            string
}

// ServiceSBOM returns the list of software in the image that a service runs.
func (c *Client) ServiceSBOM(ctx context.Context, serviceARN string) (SBOM, error) {
	in := struct{ ServiceArn string }{serviceARN}
	var out SBOM
	err := c.own.do(ctx, "Slipway.DescribeSBOM", in, &out)
	return out, err
}
