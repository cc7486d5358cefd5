package registry_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/openslipway/slipway/internal/image"
	"github.com/openslipway/slipway/internal/registry"
)

// Every request is one action of ECR on its repository, and is refused with the
// sentence that Permit returns.
func TestPermit(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	images, err := image.Open(image.Config{Dir: t.TempDir(), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { images.Close() })
	var asked string
	var broken bool
	h, err := registry.New(registry.Config{
		Images: images, Log: log,
		Authenticate: func(context.Context, string, string) (bool, error) { return true, nil },
		Permit: func(r *http.Request, action, repository string) (string, error) {
			if broken {
				return "", errors.New("hush")
			}
			if user, _, _ := r.BasicAuth(); user != "ann" {
				t.Errorf("the request is %q's", user)
			}
			asked = action + " " + repository
			return "Not you.", nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	do := func(method, path string) (int, string) {
		r := httptest.NewRequest(method, path, nil)
		r.SetBasicAuth("ann", "x")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		body, _ := io.ReadAll(w.Body)
		return w.Code, string(body)
	}
	digest := "sha256:" + strings.Repeat("0", 64)
	for request, want := range map[string]string{
		"GET /v2/_catalog":                             "ecr:DescribeRepositories ",
		"GET /v2/a/b/tags/list":                        "ecr:ListImages a/b",
		"GET /v2/a/b/manifests/1":                      "ecr:BatchGetImage a/b",
		"HEAD /v2/a/b/manifests/1":                     "ecr:BatchGetImage a/b",
		"PUT /v2/a/b/manifests/1":                      "ecr:PutImage a/b",
		"DELETE /v2/a/b/manifests/1":                   "ecr:BatchDeleteImage a/b",
		"GET /v2/a/b/referrers/" + digest:              "ecr:BatchGetImage a/b",
		"GET /v2/a/b/blobs/" + digest:                  "ecr:GetDownloadUrlForLayer a/b",
		"HEAD /v2/a/b/blobs/" + digest:                 "ecr:BatchCheckLayerAvailability a/b",
		"DELETE /v2/a/b/blobs/" + digest:               "ecr:BatchDeleteImage a/b",
		"POST /v2/a/b/blobs/uploads/":                  "ecr:InitiateLayerUpload a/b",
		"POST /v2/a/b/blobs/uploads":                   "ecr:InitiateLayerUpload a/b",
		"PATCH /v2/a/b/blobs/uploads/u":                "ecr:UploadLayerPart a/b",
		"GET /v2/a/b/blobs/uploads/u":                  "ecr:UploadLayerPart a/b",
		"PUT /v2/a/b/blobs/uploads/u?digest=" + digest: "ecr:CompleteLayerUpload a/b",
		"DELETE /v2/a/b/blobs/uploads/u":               "ecr:UploadLayerPart a/b",
	} {
		asked = ""
		method, path, _ := strings.Cut(request, " ")
		code, body := do(method, path)
		if code != http.StatusForbidden || asked != want || method != "HEAD" && !strings.Contains(body, `"code":"DENIED","message":"Not you."`) {
			t.Errorf("%s: %d %s, asked for %q, want %q", request, code, body, asked, want)
		}
	}
	asked = ""
	if code, _ := do("GET", "/v2/"); code != http.StatusOK || asked != "" {
		t.Errorf("logging in: %d, asked for %q", code, asked)
	}
	broken = true
	if code, body := do("GET", "/v2/a/tags/list"); code != http.StatusInternalServerError || strings.Contains(body, "hush") {
		t.Errorf("our failure: %d %s", code, body)
	}
}

// A mount needs the right to pull from the repository that has the blob. Without it, and
// without a repository that has it, the client is asked to upload, in the same words.
func TestMountNeedsPermission(t *testing.T) {
	t.Parallel()
	denied := map[string]bool{"ecr:GetDownloadUrlForLayer hers": true}
	p := openWith(t, t.TempDir(), registry.Config{Permit: func(_ *http.Request, action, repository string) (string, error) {
		if denied[action+" "+repository] {
			return "Not you.", nil
		}
		return "", nil
	}})
	secret := digestOf("secret")
	p.expect(201, "", "POST", "/v2/hers/blobs/uploads/?digest="+secret, "secret")
	for _, from := range []string{"&from=hers", "&from=nobody", "&from=mine", "&from=../hers", ""} {
		p.expect(202, "", "POST", "/v2/mine/blobs/uploads/?mount="+secret+from, "")
		p.expect(404, "BLOB_UNKNOWN", "GET", "/v2/mine/blobs/"+secret, "")
		p.expect(404, "", "HEAD", "/v2/mine/blobs/"+secret, "")
		p.expect(404, "BLOB_UNKNOWN", "DELETE", "/v2/mine/blobs/"+secret, "")
	}
	body := fmt.Sprintf(`{"schemaVersion":2,"config":{"mediaType":"application/x","digest":%q,"size":6},"layers":[]}`, secret)
	p.expect(404, "MANIFEST_BLOB_UNKNOWN", "PUT", "/v2/mine/manifests/1", body, "Content-Type", "application/vnd.oci.image.manifest.v1+json")
	// Who has the content needs no permission for it.
	p.expect(201, "", "POST", "/v2/mine/blobs/uploads/?digest="+secret, "secret")
	p.expect(201, "", "PUT", "/v2/mine/manifests/1", body, "Content-Type", "application/vnd.oci.image.manifest.v1+json")
	p.expect(202, "", "DELETE", "/v2/mine/manifests/"+digestOf(body), "")
	p.expect(202, "", "DELETE", "/v2/mine/blobs/"+secret, "")
	p.expect(404, "BLOB_UNKNOWN", "GET", "/v2/mine/blobs/"+secret, "")
	clear(denied)
	p.expect(200, "", "GET", "/v2/hers/blobs/"+secret, "")
	p.expect(201, "", "POST", "/v2/mine/blobs/uploads/?from=hers&mount="+secret, "")
	p.expect(200, "", "GET", "/v2/mine/blobs/"+secret, "")
}
