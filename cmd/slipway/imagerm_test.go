package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/openslipway/slipway/internal/cli/client"
)

func digestOf(letter string) string { return "sha256:" + strings.Repeat(letter, 64) }

// imageSession is a session with three images of shop, of which one is in use.
func imageSession(t *testing.T) *session {
	t.Helper()
	s := newSession(t)
	s.server.stored = []client.StoredImage{
		{Repository: "api", Digest: digestOf("d"), Size: 50, PushedAt: epoch},
		{Repository: "shop", Digest: digestOf("a"), Tags: []string{"1.0", "stable"}, Size: 100, PushedAt: epoch},
		{Repository: "shop", Digest: digestOf("b"), Tags: []string{"1.1"}, Size: 100, PushedAt: epoch},
		{Repository: "shop", Digest: digestOf("c"), Size: 100, PushedAt: epoch},
	}
	svc := s.server.add("shop", "RUNNING")
	svc.SourceConfiguration.ImageRepository.ImageIdentifier = aws.String("000000000000.dkr.ecr.us-east-1.amazonaws.com/shop:1.0")
	return s
}

func TestImageRmRefusesWhatServicesUse(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"shop:1.0":                       "shop:1.0 is in use: service shop is deployed from it",
		"shop@" + digestOf("a"):          "is in use: service shop is deployed from it",
		"shop:1.1 shop:1.0":              "shop:1.0 is in use",
		"shop:1.2":                       "the registry has no image shop:1.2\nDid you mean shop:1.0",
		"frobnicate":                     "the registry has no image frobnicate",
		"shop:stable":                    "",
		"shop:1.1 shop@" + digestOf("c"): "",
	} {
		s := imageSession(t)
		code, _, stderr := s.quietly(t.Context(), append([]string{"image", "rm", "--yes"}, strings.Fields(line)...)...)
		deleted := slices.ContainsFunc(s.server.calls, func(c string) bool { return strings.HasPrefix(c, "BatchDeleteImage") })
		if want == "" && (code != exitOK || !deleted) || want != "" && (code != exitFailed || deleted || !strings.Contains(stderr, want)) {
			t.Errorf("image rm %s: exit code %d, %q, deleted %v; want %q", line, code, stderr, deleted, want)
		}
	}
}

func TestImagePrune(t *testing.T) {
	t.Parallel()
	for flags, want := range map[string][]string{
		"":      {digestOf("d"), digestOf("c")},
		"--all": {digestOf("d"), digestOf("b"), digestOf("c")},
	} {
		s := imageSession(t)
		code, stdout, stderr := s.quietly(t.Context(), append([]string{"image", "prune", "--yes"}, strings.Fields(flags)...)...)
		all := strings.Join(s.server.calls, "\n")
		for _, letter := range []string{"a", "b", "c", "d"} {
			if d := digestOf(letter); strings.Contains(all, d) != slices.Contains(want, d) {
				t.Errorf("prune %s deleted %s: %v", flags, d[:12], strings.Contains(all, d))
			}
		}
		if code != exitOK || !strings.Contains(stdout, "Removed ") {
			t.Errorf("exit code %d: %q %q", code, stdout, stderr)
		}
	}
}

func TestUnusedKeepsThePlatformsOfAnIndex(t *testing.T) {
	t.Parallel()
	index := client.StoredImage{Repository: "shop", Digest: digestOf("a"), Tags: []string{"1"}}
	child := client.StoredImage{Repository: "shop", Digest: digestOf("b"), Parents: []string{digestOf("a")}}
	uses := []client.ImageUse{{Service: "shop", Repository: "shop", ImageID: client.ImageID{Tag: "1"}}}
	stored := []client.StoredImage{index, child}
	for all, uses := range map[bool][]client.ImageUse{false: nil, true: uses} {
		if got := unused(stored, uses, all); len(got) != 0 {
			t.Errorf("with all %v: %v", all, got)
		}
	}
	if got := unused(stored, nil, true); len(got) != 2 {
		t.Errorf("an index without a user: %v", got)
	}
}

func TestAMissingSecretIsToldBeforeTheDeployment(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.server.secrets = []string{"shop/db", "/shop/color"}
	for ref, want := range map[string]string{
		"shop/bd":        `there is neither a secret nor a parameter "shop/bd", for variable DB`,
		"/absent":        `there is neither a secret nor a parameter "/absent"`,
		"arn:aws:s3:::x": "--secret: It must be the ARN of a Secrets Manager secret",
	} {
		code, _, stderr := s.quietly(t.Context(), "up", "docker.io/library/nginx:1", "--name", "shop", "--secret", "DB="+ref)
		if code == exitOK || !strings.Contains(stderr, want) || len(s.server.calls) > 0 {
			t.Errorf("%s: exit code %d, %q, calls %v", ref, code, stderr, s.server.calls)
		}
	}
	s.server.secrets = append(s.server.secrets, "both")
	code, _, stderr := s.quietly(t.Context(), "up", "docker.io/library/nginx:1", "--name", "shop", "--secret", "DB=both")
	if code == exitOK || len(s.server.calls) > 0 || !strings.Contains(stderr, `"both" is the name of a secret and of a parameter`) ||
		!strings.Contains(stderr, "arn:aws:secretsmanager:us-east-1:000000000000:secret:both-AbCdEf or arn:aws:ssm:us-east-1:000000000000:parameter/both.") {
		t.Errorf("a name of two: exit code %d, %q, calls %v", code, stderr, s.server.calls)
	}
	for _, ref := range []string{"shop/db", "/shop/color"} {
		if code, _, stderr := s.quietly(t.Context(), "up", "docker.io/library/nginx:1", "--name", "shop", "--secret", "DB="+ref); code != exitOK {
			t.Errorf("%s: exit code %d, %q", ref, code, stderr)
		}
	}
}

func TestCompletionOfNames(t *testing.T) {
	t.Parallel()
	s := imageSession(t)
	s.server.secrets = []string{"shop/db"}
	s.server.addDomain(*s.server.services[0].ServiceArn, "shop.localhost", false)
	s.server.begin(s.server.services[0], "UPDATE_SERVICE", "deployment", "RUNNING")
	for line, want := range map[string]string{
		"image rm ":                     "shop:1.0\nshop:stable\nshop:1.1\n:4\n",
		"image rm shop:1.0 ":            "shop:stable\nshop:1.1\n:4\n",
		"up ":                           "shop:1.0\nshop:stable\nshop:1.1\n:0\n",
		"secret get ":                   "shop/db\n:4\n",
		"domain rm shop ":               "shop.localhost\n:4\n",
		"up --cpu ":                     "0.25\n0.5\n1\n2\n4\n:4\n",
		"up --secret DB=":               "DB=shop/db\n:4\n",
		"up --name ":                    "shop\n:4\n",
		"up --min ":                     ":4\n",
		"up --env-file ":                ":0\n",
		"hooks add --service ":          "shop\n:4\n",
		"connection create --provider ": "github\nbitbucket\ngitlab\ngitea\ngit\n:4\n",
		"serve --log-level ":            "debug\ninfo\nwarn\nerror\n:4\n",
		"ops cancel shop --operation ":  "00000000000000000000000000000002\tUPDATE_SERVICE PENDING\n:4\n",
		"help iam ":                     "key\tManage access keys\npolicy\tManage policies\nsimulate\tExplain whether policies allow a user an action\nuser\tManage users\n:4\n",
	} {
		if _, out, _ := s.quietly(t.Context(), append([]string{"__complete"}, strings.Split(line, " ")...)...); out != want {
			t.Errorf("completion of %q: %q, want %q", line, out, want)
		}
	}
}
