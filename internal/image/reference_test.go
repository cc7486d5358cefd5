package image_test

import (
	"testing"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/image"
	"github.com/openslipway/slipway/internal/image/imagetest"
)

// Which of three images comes shows what a name resolves to: one in the local
// registry, one in an upstream registry, and one there under library/.
func TestPullFrom(t *testing.T) {
	t.Parallel()
	up := newUpstream(t)
	local, far, official := small(t, "local"), small(t, "far"), small(t, "official")
	up.push(t, far, "team/app:1")
	up.push(t, far, "team/app:latest")
	up.push(t, official, "library/app:latest")
	s := open(t, func(c *image.Config) {
		c.LocalHosts = func() []string { return []string{"127.0.0.1:8070", "localhost:8070"} }
		c.Aliases = []image.Alias{
			{From: "docker.io", To: up.host},
			{From: "public.ecr.aws/team", To: up.host + "/team"},
			{From: "public.ecr.aws/team/app", To: "local/team/app"},
			{From: "123456789012.dkr.ecr.eu-west-1.amazonaws.com/", To: up.host + "/"},
			{From: "renamed", To: up.host + "/team/app"},
		}
	})
	for _, n := range []string{"team/app:1", "mine:latest"} {
		if _, err := s.Put(t.Context(), n, local); err != nil {
			t.Fatal(err)
		}
	}
	digest := imagetest.Digest(t, local)
	tests := []struct {
		ref  string
		want string // "local", "far", "official" or "" for not found
	}{
		{"team/app:1", "local"},
		{"team/app", "far"}, // no such tag here: Docker Hub's
		{"team/app@" + digest, "local"},
		{"mine", "local"},
		{"library/mine", "local"},
		{"app", "official"},
		{"docker.io/app", "official"},
		{"docker.io/library/app:latest", "official"},
		{"docker.io/team/app:1", "far"},
		{"index.docker.io/team/app:1", "far"},
		{up.host + "/team/app:1", "far"},
		{"127.0.0.1:8070/team/app:1", "local"},
		{"localhost:8070/team/app:1", "local"},
		{"127.0.0.1:8070/team/app:2", ""},
		{"000000000000.dkr.ecr.us-east-1.amazonaws.com/team/app:1", "local"},
		{"999999999999.dkr.ecr-fips.cn-north-1.amazonaws.com.cn/mine", "local"},
		{"000000000000.dkr.ecr.us-east-1.amazonaws.com/app", ""},
		{"123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/app:1", "far"},
		{"public.ecr.aws/team/app:1", "local"},
		{"renamed:1", "far"},
	}
	want := map[string]string{"local": digest, "far": imagetest.Digest(t, far), "official": imagetest.Digest(t, official)}
	for _, tt := range tests {
		img, err := s.Pull(t.Context(), tt.ref, nil)
		if tt.want == "" {
			wantUser(t, err, slipway.NotFound, tt.ref, "this server's registry has no")
			continue
		}
		if err != nil || img.Digest != want[tt.want] {
			t.Errorf("%s: %s, %v; want the %s image", tt.ref, img.Digest, err, tt.want)
		}
	}
	_, err := s.Pull(t.Context(), "127.0.0.1:8070/team/app:2", nil)
	wantUser(t, err, slipway.NotFound, `no "2" in the repository "team/app", but 1`)
	_, err = s.Pull(t.Context(), "absent", nil)
	wantUser(t, err, slipway.NotFound, "library/absent", "own registry does not have it either")
}
