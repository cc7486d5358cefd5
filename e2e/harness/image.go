package harness

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-containerregistry/pkg/authn"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/openslipway/slipway/internal/image/imagetest"
)

// WebImage returns an image of the test app. Its replies show the version.
func WebImage(t testing.TB, version string) v1.Image {
	t.Helper()
	return imagetest.Run(t, App(t), imagetest.Options{
		Env: []string{"VERSION=" + version}, Ports: []string{"8080/tcp"}, User: "1000",
	})
}

// Keys returns the root access key.
func (s *Server) Keys() aws.Credentials {
	s.T.Helper()
	keys, err := s.Client().Options().Credentials.Retrieve(s.T.Context())
	if err != nil {
		s.T.Fatal(err)
	}
	return keys
}

// Push pushes an image to the server's registry and returns its identifier for
// services.
func (s *Server) Push(img v1.Image, repository string) string {
	s.T.Helper()
	k := s.Keys()
	imagetest.Push(s.T, img, s.RegistryHost()+"/"+repository,
		remote.WithAuth(&authn.Basic{Username: k.AccessKeyID, Password: k.SecretAccessKey}), remote.WithTransport(s.HTTPClient.Transport))
	return ECRImage(repository)
}
