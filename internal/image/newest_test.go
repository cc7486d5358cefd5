package image_test

import (
	"strings"
	"testing"

	"github.com/openslipway/slipway/internal/image"
	"github.com/openslipway/slipway/internal/image/imagetest"
)

func TestNewest(t *testing.T) {
	t.Parallel()
	s, up := open(t), newUpstream(t)
	newest := func(ref string) (string, string) {
		t.Helper()
		tag, leaf, err := s.Newest(t.Context(), ref)
		if err != nil {
			t.Fatal(err)
		}
		return tag, leaf
	}
	one := small(t, "a")
	ref := up.push(t, one, "hello:1")
	if tag, leaf := newest(ref); tag != imagetest.Digest(t, one) || leaf != tag {
		t.Errorf("a manifest that is not here: %s, %s", tag, leaf)
	}
	pulled := mustPull(t, s, ref)
	up.forget()
	if tag, leaf := newest(ref); tag != pulled.Digest || leaf != tag {
		t.Errorf("a manifest that is here: %s, %s", tag, leaf)
	}
	if g := up.count("GET", "/v2/hello/"); g != 0 {
		t.Errorf("%d GET requests for an image that is here", g)
	}
	index := up.pushIndex(t, imagetest.Index(t, small(t, "b")), "hello:1")
	tag, leaf := newest(index)
	if tag == leaf || tag == pulled.Digest {
		t.Errorf("an index: %s, %s", tag, leaf)
	}
	if again := mustPull(t, s, index); again.Digest != leaf {
		t.Errorf("the image of an index is %s, and %s was pulled", leaf, again.Digest)
	}
	up.forget()
	if tag2, leaf2 := newest(index); tag2 != tag || leaf2 != leaf || up.count("GET", "/v2/hello/") != 0 {
		t.Errorf("an index that is here: %s, %s", tag2, leaf2)
	}
	if _, _, err := s.Newest(t.Context(), strings.Replace(ref, "hello:1", "hello:none", 1)); err == nil {
		t.Error("a tag that does not exist has an image")
	}
}

func TestElsewhere(t *testing.T) {
	t.Parallel()
	s := open(t, func(c *image.Config) { c.DockerHub = true })
	for _, c := range []struct{ ref, want string }{
		{"registry.example.com/a/b:1", "registry.example.com"},
		{"registry.example.com/a/b", "registry.example.com"},
		{"nginx", "docker.io"},
		{"public.ecr.aws/nginx/nginx:latest", "public.ecr.aws"},
		{"registry.example.com/a/b@sha256:" + strings.Repeat("0", 64), ""},
		{"000000000000.dkr.ecr.us-east-1.amazonaws.com/a:1", ""},
		{"no image", ""},
	} {
		if got, ok := s.Elsewhere(c.ref); got != c.want || ok != (c.want != "") {
			t.Errorf("%s is at %q, want %q", c.ref, got, c.want)
		}
	}
}
