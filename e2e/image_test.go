package e2e

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-containerregistry/pkg/authn"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/openslipway/slipway/internal/image/imagetest"
)

// web is the image of the test app; version shows in its replies and makes
// images of different versions differ.
func web(t testing.TB, version string) v1.Image {
	t.Helper()
	return imagetest.Run(t, app(t), imagetest.Options{
		Env: []string{"VERSION=" + version}, Ports: []string{"8080/tcp"}, User: "1000",
	})
}

// keys returns the root access key, as the AWS clients read it.
func (s *server) keys() aws.Credentials {
	s.t.Helper()
	keys, err := s.client().Options().Credentials.Retrieve(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return keys
}

// push sends an image to the server's registry as any client does and returns
// the name by which services ask for it.
func (s *server) push(img v1.Image, repository string) string {
	s.t.Helper()
	k := s.keys()
	imagetest.Push(s.t, img, s.registryHost()+"/"+repository,
		remote.WithAuth(&authn.Basic{Username: k.AccessKeyID, Password: k.SecretAccessKey}), remote.WithTransport(s.http.Transport))
	return ecr(repository)
}
