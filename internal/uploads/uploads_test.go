package uploads_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/gateway/gatewaytest"
	"github.com/openslipway/slipway/internal/policy"
	"github.com/openslipway/slipway/internal/source/upload"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/uploads"
)

// bench is the calls about uploads, for root and two users who may make them.
type bench struct {
	gatewaytest.Calls
	uploads  *uploads.Uploads
	dir      string
	ann, bob *gatewaytest.Bench
}

func newBench(t *testing.T, limits upload.Limits) *bench {
	t.Helper()
	b := gatewaytest.New(t)
	out := &bench{dir: filepath.Join(t.TempDir(), "uploads")}
	out.open(t, b, limits)
	allow, err := policy.Parse([]byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["apprunner:CreateUpload","apprunner:ListUploads"],"Resource":"*"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	b.Open([]gateway.Service{out.uploads.Service()}, func(c *gateway.Config) {
		c.Policies = func(_ *store.Tx, user string) ([]policy.Policy, error) {
			if user == "eve" {
				return nil, nil
			}
			return []policy.Policy{{Name: "p", Document: allow}}, nil
		}
	})
	out.Calls = gatewaytest.Calls{Bench: b}
	out.ann, out.bob = out.user("ann"), out.user("bob")
	return out
}

func (b *bench) open(t *testing.T, g *gatewaytest.Bench, limits upload.Limits) {
	t.Helper()
	var err error
	b.uploads, err = uploads.New(uploads.Config{Dir: b.dir, Store: g.Store, Log: slog.New(slog.DiscardHandler), Limits: limits, Now: g.Clock.Now})
	if err != nil {
		t.Fatal(err)
	}
}

func (b *bench) user(name string) *gatewaytest.Bench {
	b.Helper()
	key := slipway.AccessKey{ID: "AKIA" + strings.ToUpper(name), Secret: name, User: name, CreatedAt: gatewaytest.T0}
	b.Update(func(tx *store.Tx) error {
		return errors.Join(tx.InsertUser(slipway.User{Name: name, ID: "AIDA" + strings.ToUpper(name), Path: "/", CreatedAt: gatewaytest.T0}), tx.InsertAccessKey(key))
	})
	return b.As(key, "")
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// tree is the input of CreateUpload for files with these contents, by path.
func tree(files ...string) string {
	var list []string
	for i := 0; i < len(files); i += 2 {
		list = append(list, fmt.Sprintf(`{"Path":%q,"Size":%d,"Sha256":%q}`, files[i], len(files[i+1]), digest(files[i+1])))
	}
	return `{"Files":[` + strings.Join(list, ",") + `]}`
}

func content(text string) string {
	return fmt.Sprintf(`{"Contents":[{"Sha256":%q,"Size":%d,"Data":%q}]}`, digest(text), len(text), base64.StdEncoding.EncodeToString([]byte(text)))
}

// create makes the call and returns the upload's URL, or how many contents are missing.
func create(b *gatewaytest.Bench, body string) (url string, missing int) {
	b.Helper()
	out := b.OK("Slipway.CreateUpload", body)
	if list, ok := out["Missing"].([]any); ok {
		return "", len(list)
	}
	return out["Upload"].(map[string]any)["RepositoryUrl"].(string), 0
}

// TestUpload sends a directory, and again with a change.
func TestUpload(t *testing.T) {
	t.Parallel()
	b := newBench(t, upload.Limits{})
	if _, n := create(b.ann, tree("a", "one", "b", "two")); n != 2 {
		t.Fatalf("%d contents are missing, want 2", n)
	}
	b.ann.OK("Slipway.PutUploadContents", content("one"))
	if _, n := create(b.ann, tree("a", "one", "b", "two")); n != 1 {
		t.Fatalf("%d contents are missing, want 1", n)
	}
	b.ann.OK("Slipway.PutUploadContents", content("two"))
	first, _ := create(b.ann, tree("a", "one", "b", "two"))
	if again, _ := create(b.ann, tree("a", "one", "b", "two")); again != first {
		t.Errorf("the same directory is %s and %s", first, again)
	}
	if _, n := create(b.ann, tree("a", "one", "b", "changed")); n != 1 {
		t.Errorf("after a change %d contents are missing, want 1", n)
	}
	id, err := slipway.ParseUploadURL(first)
	if err != nil {
		t.Fatal(err)
	}
	b.open(t, b.Bench, upload.Limits{}) // a new process
	up, err := b.uploads.Upload(t.Context(), id)
	if err != nil || up.Owner != "AIDAANN" || up.Files != 2 || up.Bytes != 6 {
		t.Fatalf("%+v, %v", up, err)
	}
	out := filepath.Join(t.TempDir(), "out")
	if err := b.uploads.Materialize(t.Context(), up, out); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(out, "b")); string(text) != "two" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	if list := b.ann.OK("Slipway.ListUploads", "{}")["Uploads"].([]any); len(list) != 1 || list[0].(map[string]any)["InUse"] != false {
		t.Errorf("listed are %v", list)
	}
	if _, err := b.uploads.Upload(t.Context(), strings.Repeat("0", 32)); slipway.CodeOf(err) != slipway.InvalidRequest {
		t.Errorf("an upload that is not there: %v", err)
	}
}

// Nobody learns from the answers what others have sent, or gets it by its digest.
func TestUsersAreApart(t *testing.T) {
	t.Parallel()
	b := newBench(t, upload.Limits{})
	body := tree("secret", "the content of ann's file")
	b.ann.OK("Slipway.PutUploadContents", content("the content of ann's file"))
	url, _ := create(b.ann, body)
	for who, other := range map[string]*gatewaytest.Bench{"bob": b.bob, "root": b.Bench} {
		if _, n := create(other, body); n != 1 {
			t.Errorf("%s is told that ann's content is there", who)
		}
		if list := other.OK("Slipway.ListUploads", "{}")["Uploads"].([]any); len(list) != 0 {
			t.Errorf("%s sees %v", who, list)
		}
	}
	b.bob.OK("Slipway.PutUploadContents", content("the content of ann's file"))
	if other, _ := create(b.bob, body); other == "" || other == url {
		t.Errorf("bob's upload of the same content is %q, ann's %q", other, url)
	}
	eve := b.user("eve")
	for call, body := range map[string]string{"CreateUpload": body, "PutUploadContents": content("x"), "ListUploads": "{}"} {
		eve.Refused("Slipway."+call, body, "AccessDeniedException", "is not authorized to perform: apprunner:")
	}
	b.Hides("the content of ann's file")
}

func TestRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t, upload.Limits{Files: 3, Bytes: 100, File: 50})
	for body, message := range map[string]string{
		`{}`:                               "Files is required",
		tree("../a", "x"):                  "not relative and clean",
		tree("b", "x", "a", "x"):           "not sorted",
		tree(".git/config", "x"):           "not uploaded",
		tree("a", strings.Repeat("x", 51)): "for one file",
		`{"Files":[{"Path":"a","Link":"../../etc"}]}`:                                                "leads out",
		`{"Files":[{"Path":"a","Size":1,"Sha256":"zz"}]}`:                                            "no SHA-256",
		tree("a", "x", "b", "x", "c", "x", "d", "x"):                                                 "4 files; 3 are allowed",
		`{"Files":[{"Path":"a","Link":"b"},{"Path":"a/x","Size":1,"Sha256":"` + digest("x") + `"}]}`: "as a directory",
	} {
		b.ann.Refused("Slipway.CreateUpload", body, "InvalidRequestException", message)
	}
	for body, message := range map[string]string{
		`{}`: "Contents has 0 entries",
		`{"Contents":[{"Sha256":"` + digest("x") + `","Size":1,"Data":"eQ=="}]}`:                              "is another one",
		`{"Contents":[{"Sha256":"../../../x","Size":1,"Data":"eQ=="}]}`:                                       "is not 64 hexadecimal digits",
		`{"Contents":[{"Sha256":"` + digest("x") + `","Size":-1,"Data":"eQ=="}]}`:                             "is not a part",
		`{"Contents":[{"Sha256":"` + digest("x") + `","Size":9223372036854775807,"Data":""}]}`:                "more than",
		`{"Contents":[{"Sha256":"` + digest("x") + `","Size":9,"Offset":9223372036854775807,"Data":"eQ=="}]}`: "is not a part",
	} {
		b.ann.Refused("Slipway.PutUploadContents", body, "InvalidRequestException", message)
	}
	if list, err := filepath.Glob(filepath.Join(b.dir, "*", "incoming", "*")); err != nil || len(list) != 0 {
		t.Errorf("left of what was refused: %v, %v", list, err)
	}
}

// What a service, an operation or a release needs is kept; the rest goes after a week,
// or earlier when its owner's store is full.
func TestCollect(t *testing.T) {
	t.Parallel()
	b := newBench(t, upload.Limits{Files: 100, Bytes: 1000, File: 1000, Stored: 1000})
	text := map[string]string{}
	send := func(name string) slipway.Upload {
		text[name] = strings.Repeat(name, 150)
		b.ann.OK("Slipway.PutUploadContents", content(text[name]))
		url, _ := create(b.ann, tree("f", text[name]))
		id, err := slipway.ParseUploadURL(url)
		if err != nil {
			t.Fatal(err)
		}
		up, err := b.uploads.Upload(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return up
	}
	service, release, unused := send("s"), send("r"), send("u")
	b.Update(func(tx *store.Tx) error {
		spec := slipway.Spec{Source: types.SourceConfiguration{CodeRepository: &types.CodeRepository{RepositoryUrl: aws.String(service.URL())}}}
		return errors.Join(
			tx.InsertService(slipway.Service{ID: "v", Name: "shop", ARN: "arn", Label: "l", Spec: spec, Wanted: slipway.WantedRunning}),
			tx.InsertRelease(slipway.Release{ID: "r", ServiceID: "v", Code: &slipway.CodeVersion{Upload: release.URL()}}),
		)
	})
	gone := func(up slipway.Upload) bool {
		_, err := b.uploads.Upload(t.Context(), up.ID)
		dir := filepath.Join(t.TempDir(), "out")
		if err == nil {
			err = b.uploads.Materialize(t.Context(), up, dir)
		}
		return err != nil
	}
	b.Clock.Advance(time.Minute)
	b.ann.Refused("Slipway.PutUploadContents", content(strings.Repeat("x", 400)), "ServiceQuotaExceededException", "--upload-quota")
	if gone(service) || gone(release) || gone(unused) {
		t.Error("a new upload was collected")
	}
	b.Clock.Advance(time.Hour)
	b.ann.OK("Slipway.PutUploadContents", content(strings.Repeat("x", 400)))
	if gone(service) || gone(release) || !gone(unused) {
		t.Errorf("when the store was full: the service's is gone: %t, the release's: %t, the unused one: %t", gone(service), gone(release), gone(unused))
	}
	b.Clock.Advance(8 * 24 * time.Hour)
	b.Update(func(tx *store.Tx) error { return tx.DeleteRelease(slipway.Release{ID: "r", ServiceID: "v"}) })
	if freed, err := b.uploads.Collect(t.Context()); err != nil || freed != 400+150 {
		t.Errorf("freed %d bytes, %v, want those of the release and of the content without an upload", freed, err)
	}
	if gone(service) || !gone(release) {
		t.Error("the service's upload is gone, or the deleted release's is not")
	}
}

// FuzzCreateUpload: whatever is sent, the answer is an upload, what is missing, or a
// refusal; never a failure of the server's.
func FuzzCreateUpload(f *testing.F) {
	f.Add([]byte(tree("a", "x", "b/c", "y")))
	f.Add([]byte(`{"Files":[{"Path":"a","Link":"b/../.."},{"Path":"\u0000"},null,{}]}`))
	f.Add([]byte(content("x")))
	f.Add([]byte(`{"Contents":[{"Sha256":"` + digest("x") + `","Size":9,"Offset":-9223372036854775808,"Data":"eQ=="}]}`))
	b := gatewaytest.New(f)
	u, err := uploads.New(uploads.Config{Dir: f.TempDir(), Store: b.Store, Log: slog.New(slog.DiscardHandler), Limits: upload.Limits{Files: 50, Bytes: 1000, File: 100, Stored: 1 << 20}})
	if err != nil {
		f.Fatal(err)
	}
	b.Open([]gateway.Service{u.Service()})
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, operation := range []string{"apprunner:CreateUpload", "apprunner:PutUploadContents"} {
			out, err := b.In(t).Invoke(operation, json.RawMessage(body))
			if err != nil && strings.Contains(err.Error(), "Internal") {
				t.Errorf("%s: %v", operation, err)
			}
			if made, ok := out.(*uploads.CreateUploadOutput); ok && err == nil && made.Upload == nil && len(made.Missing) == 0 {
				t.Error("neither an upload nor what is missing")
			}
		}
	})
}
