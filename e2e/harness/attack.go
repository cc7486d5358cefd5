package harness

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/openslipway/slipway/internal/image/imagetest"
)

// HostileImage returns an image that runs the attacking program as root, the most
// privileged user that an image can choose.
func HostileImage(t testing.TB) v1.Image {
	t.Helper()
	return imagetest.Run(t, HostileProgram(t), imagetest.Options{Ports: []string{"8080/tcp"}, User: "0"})
}

// Attack has an instance of the hostile image make an attack. held says whether
// the sandbox withstood it.
func (s *Server) Attack(t *testing.T, by *types.Service, name string, q url.Values) (held bool, detail string) {
	t.Helper()
	code, body, err := s.Request(by, "/attack/"+name+"?"+q.Encode())
	if err != nil {
		t.Fatal(err)
	}
	var out struct {
		Held   bool
		Detail string
	}
	if err := json.Unmarshal([]byte(body), &out); err != nil || code != http.StatusOK {
		t.Fatalf("%s: no outcome: %d %.200q", name, code, body)
	}
	return out.Held, out.Detail
}
