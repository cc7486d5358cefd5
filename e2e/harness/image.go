package harness

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-containerregistry/pkg/authn"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/openslipway/slipway/internal/image/imagetest"
)

// WebImage is the image of the test app; version shows in its replies and makes
// images of different versions differ.
func WebImage(t testing.TB, version string) v1.Image {
	t.Helper()
	return imagetest.Run(t, App(t), imagetest.Options{
		Env: []string{"VERSION=" + version}, Ports: []string{"8080/tcp"}, User: "1000",
	})
}

// Keys returns the root access key, as the AWS clients read it.
func (s *Server) Keys() aws.Credentials {
	s.T.Helper()
	keys, err := s.Client().Options().Credentials.Retrieve(s.T.Context())
	if err != nil {
		s.T.Fatal(err)
	}
	return keys
}

// Push sends an image to the server's registry as any client does and returns
// the name by which services ask for it.
func (s *Server) Push(img v1.Image, repository string) string {
	s.T.Helper()
	k := s.Keys()
	imagetest.Push(s.T, img, s.RegistryHost()+"/"+repository,
		remote.WithAuth(&authn.Basic{Username: k.AccessKeyID, Password: k.SecretAccessKey}), remote.WithTransport(s.HTTPClient.Transport))
	return ECRImage(repository)
}
