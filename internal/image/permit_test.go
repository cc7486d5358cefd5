package image_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/openslipway/slipway/internal/image"
	"github.com/openslipway/slipway/internal/image/imagetest"
)

// A pull reads a repository of this registry only if its context permits that, by whatever
// name it is given and whether or not the image is there. Other registries' images need no
// permission.
func TestPermit(t *testing.T) {
	t.Parallel()
	up := newUpstream(t)
	far, local := small(t, "far"), small(t, "local")
	up.push(t, far, "team/app:1")
	up.push(t, far, "library/app:1")
	s := open(t, func(c *image.Config) {
		c.DockerHub = true
		c.LocalHosts = func() []string { return []string{"127.0.0.1:8070"} }
		c.Aliases = []image.Alias{{From: "docker.io", To: up.host}, {From: "mirror.example/", To: "local/"}}
	})
	if _, err := s.Put(t.Context(), "secret/base:1", local); err != nil {
		t.Fatal(err)
	}
	digest := imagetest.Digest(t, local)
	no := errors.New("no")
	for ref, denied := range map[string]bool{
		"secret/base:1":                true,
		"secret/base:2":                true,
		"secret/base@" + digest:        true,
		"127.0.0.1:8070/secret/base:1": true,
		"127.0.0.1:8070/secret/none:1": true,
		"000000000000.dkr.ecr.us-east-1.amazonaws.com/secret/base:1": true,
		"000000000000.dkr.ecr.us-east-1.amazonaws.com/secret/none:1": true,
		"999999999999.dkr.ecr.eu-west-1.amazonaws.com/secret/base:1": true,
		"mirror.example/secret/base:1":                               true,
		"app:1":                                                      false,
		"docker.io/team/app:1":                                       false,
		up.host + "/team/app:1":                                      false,
	} {
		for way, pull := range map[string]func(context.Context, string, func(image.Progress)) (image.Image, error){
			"Pull": s.Pull, "FROM": image.Bases{Store: s}.Pull,
		} {
			var asked []string
			ctx := image.WithPermit(t.Context(), func(repository string) error {
				asked = append(asked, repository)
				return no
			})
			_, err := pull(ctx, ref, nil)
			if errors.Is(err, no) != denied || !denied && err != nil || denied != (len(asked) > 0) {
				t.Errorf("%s %s: %v, asked about %v", way, ref, err, asked)
			}
		}
	}
	if _, err := s.Pull(image.WithPermit(t.Context(), func(string) error { return nil }), "secret/base:1", nil); err != nil {
		t.Errorf("with a permit that permits: %v", err)
	}
	unasked := image.WithPermit(image.WithPermit(t.Context(), func(string) error { return no }), nil)
	if _, err := s.Pull(unasked, "secret/base:1", nil); err != nil {
		t.Errorf("for the server itself: %v", err)
	}
}

func TestMeans(t *testing.T) {
	t.Parallel()
	for _, hub := range []bool{false, true} {
		s := open(t, func(c *image.Config) {
			c.DockerHub = hub
			c.LocalHosts = func() []string { return []string{"127.0.0.1:8070"} }
			c.Aliases = []image.Alias{{From: "mirror.example/", To: "local/"}, {From: "short", To: "docker.io/team/app"}}
		})
		for _, n := range []string{"base:1", "library/redis:1"} {
			if _, err := s.Put(t.Context(), n, small(t, "local")); err != nil {
				t.Fatal(err)
			}
		}
		for ref, want := range map[string]image.Meaning{
			"base":                   {Repository: "base", Short: true},
			"base:none":              {Repository: "base", Short: true},
			"library/base":           {Repository: "base", Short: true},
			"redis":                  {Repository: "library/redis", Short: true},
			"none":                   {Repository: "none", Hub: hub, Short: true},
			"team/none@" + noDigest:  {Repository: "team/none", Hub: hub, Short: true},
			"127.0.0.1:8070/none":    {Repository: "none"},
			"mirror.example/none:1":  {Repository: "none"},
			"short":                  {Short: true},
			"docker.io/library/base": {},
			"000000000000.dkr.ecr.us-east-1.amazonaws.com/none:1": {Repository: "none"},
		} {
			if got, err := s.Means(ref); err != nil || got != want {
				t.Errorf("hub %v, %s: %+v %v, want %+v", hub, ref, got, err, want)
			}
		}
		if m, err := s.Means("No Name"); err == nil {
			t.Errorf("no name means %+v", m)
		}
	}
}

var noDigest = "sha256:" + strings.Repeat("0", 64)
