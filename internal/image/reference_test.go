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
		c.DockerHub = true
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
		{"team/app", ""}, // no such tag here: it is not Docker Hub's
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
	wantUser(t, err, slipway.NotFound, "library/absent")
}

// A name without a registry never leaves the machine if this server's registry has the
// repository, if something here bears it, or if the operator has not allowed it. Nothing
// is asked of Docker Hub then.
func TestNamesThatStayHere(t *testing.T) {
	t.Parallel()
	up := newUpstream(t)
	digest := imagetest.Digest(t, small(t, "stranger"))
	for _, n := range []string{"library/shop:latest", "library/shop:9.9", "team/shop:9.9", "library/created:1", "library/cart:1", "library/free:1"} {
		up.push(t, small(t, "stranger"), n)
	}
	with := func(hub bool) *image.Store {
		s := open(t, func(c *image.Config) {
			c.DockerHub = hub
			c.Aliases = []image.Alias{{From: "docker.io", To: up.host}, {From: "docker.io/library/kept", To: "local/kept"}}
			c.Created = func(repository string) (bool, error) { return repository == "created", nil }
			c.Borne = func(name string) (string, error) {
				if name == "cart" {
					return "service cart", nil
				}
				return "", nil
			}
		})
		for _, n := range []string{"shop:1", "team/shop:1", "kept:1"} {
			if _, err := s.Put(t.Context(), n, small(t, "own")); err != nil {
				t.Fatal(err)
			}
		}
		return s
	}
	own := imagetest.Digest(t, small(t, "own"))
	closed, opened := with(false), with(true)
	for _, c := range []struct {
		ref          string
		closed, open string // "own", "stranger", or a part of the refusal
		from         string // as the base image of a Dockerfile
	}{
		{"shop:1", "own", "own", "own"},
		{"library/shop:1", "own", "own", "own"},
		{"shop@" + own, "own", "own", "own"},
		{"kept:1", "own", "own", "own"},
		{"shop:9.9", `no "9.9" in the repository "shop", but 1`, `no "9.9" in the repository "shop", but 1`, `no "9.9"`},
		{"shop", `no "latest" in the repository "shop"`, `no "latest" in the repository "shop"`, `no "latest"`},
		{"library/shop:9.9", `in the repository "shop"`, `in the repository "shop"`, `in the repository "shop"`},
		{"team/shop:9.9", `in the repository "team/shop"`, `in the repository "team/shop"`, `in the repository "team/shop"`},
		{"shop@" + digest, `in the repository "shop"`, `in the repository "shop"`, `in the repository "shop"`},
		{"created:1", `no "1" in the repository "created"`, `no "1" in the repository "created"`, `no "1" in the repository "created"`},
		{"cart:1", "not looked up elsewhere", "it is also the name of service cart. Write docker.io/library/cart:1", "stranger"},
		{"free:1", "or write docker.io/library/free:1 if Docker Hub's is meant", "stranger", "stranger"},
		{"docker.io/library/free:1", "stranger", "stranger", "stranger"},
		{"docker.io/shop:9.9", "stranger", "stranger", "stranger"},
		{"index.docker.io/library/shop:9.9", "stranger", "stranger", "stranger"},
	} {
		up.forget()
		check := func(how string, img image.Image, err error, want string) {
			t.Helper()
			switch {
			case want == "own" || want == "stranger":
				if is := map[string]string{own: "own", digest: "stranger"}[img.Digest]; err != nil || is != want {
					t.Errorf("%s, %s: %s, %v; want the %s image", c.ref, how, is, err, want)
				}
			default:
				wantUser(t, err, slipway.NotFound, want)
				if n := up.count("GET", "") + up.count("HEAD", ""); n != 0 {
					t.Errorf("%s, %s: %d requests left the machine", c.ref, how, n)
				}
			}
		}
		img, err := image.Bases{Store: closed}.Pull(t.Context(), c.ref, nil)
		check("FROM", img, err, c.from)
		up.forget()
		img, err = closed.Pull(t.Context(), c.ref, nil)
		check("without Docker Hub", img, err, c.closed)
		up.forget()
		img, err = opened.Pull(t.Context(), c.ref, nil)
		check("with Docker Hub", img, err, c.open)
	}
}

// A name is completed once; afterwards it leads to the same place whatever is pushed.
func TestComplete(t *testing.T) {
	t.Parallel()
	s := open(t, func(c *image.Config) {
		c.DockerHub = true
		c.Aliases = []image.Alias{{From: "renamed", To: "registry.example.com/app"}}
	})
	if _, err := s.Put(t.Context(), "shop:latest", small(t, "own")); err != nil {
		t.Fatal(err)
	}
	// With both repositories, a name means its own, whatever the other one has.
	for _, n := range []string{"both:1", "library/both:2", "library/official:1"} {
		if _, err := s.Put(t.Context(), n, small(t, n)); err != nil {
			t.Fatal(err)
		}
	}
	for ref, why := range map[string]string{"both:2": `no "2" in the repository "both", but 1`, "library/both:1": `no "1" in the repository "library/both", but 2`} {
		_, err := s.Complete(ref)
		wantUser(t, err, slipway.NotFound, why)
		_, err = s.Pull(t.Context(), ref, nil)
		wantUser(t, err, slipway.NotFound, why)
	}
	for ref, want := range map[string]string{"both:2": "both", "library/both:1": "library/both", "official:9": "library/official", "library/official:9": "library/official"} {
		if repository, _, ok := s.Local(ref); !ok || repository != want {
			t.Errorf("pushes that deploy %s are those to %q, want %q", ref, repository, want)
		}
	}
	digest := imagetest.Digest(t, small(t, "own"))
	for ref, want := range map[string]image.Completed{
		"both:1":                         {Local: true, Name: "both:1"},
		"library/both:2":                 {Local: true, Name: "library/both:2"},
		"official:1":                     {Local: true, Name: "library/official:1"},
		"shop":                           {Local: true, Name: "shop:latest"},
		"library/shop":                   {Local: true, Name: "shop:latest"},
		"shop@" + digest:                 {Local: true, Name: "shop@" + digest},
		"nginx":                          {Name: "docker.io/library/nginx:latest"},
		"team/app:1":                     {Name: "docker.io/team/app:1"},
		"docker.io/nginx":                {Name: "docker.io/nginx"},
		"registry.example.com/shop:1":    {Name: "registry.example.com/shop:1"},
		"renamed:2":                      {Name: "renamed:2"},
		"public.ecr.aws/nginx/nginx:1.2": {Name: "public.ecr.aws/nginx/nginx:1.2"},
	} {
		if got, err := s.Complete(ref); err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", ref, got, err, want)
		}
	}
	_, err := s.Complete("shop:2")
	wantUser(t, err, slipway.NotFound, `no "2" in the repository "shop", but latest`)
}
