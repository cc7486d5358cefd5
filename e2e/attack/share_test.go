package attack

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/openslipway/slipway/e2e/harness"
	"github.com/openslipway/slipway/internal/domain/dnstest"
)

// share is a server that two users share, of whom each has repositories of their own.
type share struct {
	authority
	dns    *dnstest.Server
	image  v1.Image // in alice/app
	pushed string   // its name
	bob    aws.Config
}

func ownRepositories(name string) string {
	return fmt.Sprintf(`{"Effect":"Allow","Action":"apprunner:*","Resource":"*"},{"Effect":"Allow","Action":"ecr:*","Resource":"arn:aws:ecr:*:*:repository/%s/*"}`, name)
}

// TestShare has one user of a server try to get, block, use up or hide what belongs to
// all or to another. The controls are users for whom the same works.
func TestShare(t *testing.T) {
	t.Parallel()
	dns := dnstest.New(t)
	s := harness.Serve(t, "--isolated", "--warm", "0", "--dns-resolver", dns.Addr)
	x := share{authority: authority{ServiceSecrets: &harness.ServiceSecrets{Server: s}}, dns: dns, image: harness.WebImage(t, "1")}
	x.pushed = s.Push(x.image, "alice/app:1")
	denied := `,{"Effect":"Allow","Action":["cloudtrail:*","secretsmanager:*","ssm:*"],"Resource":"*"},{"Effect":"Deny","Action":"apprunner:Describe*","Resource":"arn:aws:apprunner:*:*:service/alice/*"}`
	x.alice = x.user(t, "alice", ownRepositories("alice"))
	x.mallory = x.user(t, "mallory", ownRepositories("mallory")+denied)
	x.bob = x.user(t, "bob", ownRepositories("*")+`,{"Effect":"Allow","Action":"cloudtrail:*","Resource":"*"}`)

	t.Run("digests", x.attackByDigest)
	t.Run("uploads by digest", x.attackByUpload)
	t.Run("names", x.attackByNames)
	t.Run("lookalikes", x.attackLookalikes)
	t.Run("uploads", x.attackUploads)
	t.Run("domains", x.attackDomains)
	t.Run("records", x.attackRecords)
	t.Run("others' records", x.attackLookup)
	t.Run("copies", func(t *testing.T) { x.copyWithRight(t, denied) }) // last: it gives mallory a right
}

// registry sends a request to the registry as a user.
func (x share) registry(t *testing.T, user aws.Config, method, path, body string) (int, string, http.Header) {
	t.Helper()
	keys, err := user.Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+x.RegistryHost()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(keys.AccessKeyID, keys.SecretAccessKey)
	req.Header.Set("Content-Type", "application/vnd.docker.distribution.manifest.v2+json")
	if strings.Contains(body, "vnd.oci") {
		req.Header.Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
	}
	res, err := x.HTTPClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text), res.Header
}

// attackByDigest knows the digests of another's image, and tries them by way of a
// repository of its own.
func (x share) attackByDigest(t *testing.T) {
	manifest, err := x.image.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	layers, err := x.image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	digest, err := layers[0].Digest()
	if err != nil {
		t.Fatal(err)
	}
	whole, err := x.image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []struct {
		method, path, body string
		control            string // the path for who may; "" for the same
		refused, allowed   int
	}{
		{"GET", "/v2/mallory/x/blobs/" + digest.String(), "", "/v2/alice/app/blobs/" + digest.String(), 404, 200},
		{"HEAD", "/v2/mallory/x/blobs/" + digest.String(), "", "/v2/alice/app/blobs/" + digest.String(), 404, 200},
		{"GET", "/v2/mallory/x/manifests/" + whole.String(), "", "/v2/alice/app/manifests/" + whole.String(), 404, 200},
		{"PUT", "/v2/mallory/x/manifests/1", string(manifest), "/v2/alice/app/manifests/2", 404, 201},
		{"POST", "/v2/mallory/x/blobs/uploads/?mount=" + digest.String(), "", "/v2/bob/x/blobs/uploads/?from=alice/app&mount=" + digest.String(), 202, 201},
		{"POST", "/v2/mallory/x/blobs/uploads/?from=alice/app&mount=" + digest.String(), "", "/v2/bob/y/blobs/uploads/?from=alice/app&mount=" + digest.String(), 202, 201},
		{"DELETE", "/v2/mallory/x/blobs/" + digest.String(), "", "/v2/bob/y/blobs/" + digest.String(), 404, 202},
		{"DELETE", "/v2/mallory/x/manifests/" + whole.String(), "", "/v2/alice/app/manifests/2", 404, 202},
	} {
		code, body, header := x.registry(t, x.mallory, a.method, a.path, a.body)
		if code != a.refused {
			t.Errorf("%s %s = %d %.200s, want %d", a.method, a.path, code, body, a.refused)
		}
		if code == http.StatusAccepted { // asked to upload instead
			x.registry(t, x.mallory, "DELETE", header.Get("Location"), "")
		}
		if code, body, _ := x.registry(t, x.bob, a.method, a.control, a.body); code != a.allowed {
			t.Errorf("the control %s %s = %d %.200s, want %d", a.method, a.control, code, body, a.allowed)
		}
	}
	if code, _, _ := x.registry(t, x.alice, "GET", "/v2/alice/app/blobs/"+digest.String(), ""); code != 200 {
		t.Errorf("after the deletions the owner's layer is %d", code)
	}
}

// copyWithRight is the control of attackByDigest by the same user: once mallory may pull
// from alice's repository, the requests that were refused copy her image.
func (x share) copyWithRight(t *testing.T, denied string) {
	x.allow(t, "mallory", ownRepositories("mallory")+denied+`,{"Effect":"Allow","Action":["ecr:BatchGetImage","ecr:GetDownloadUrlForLayer"],"Resource":"arn:aws:ecr:*:*:repository/alice/app"}`)
	manifest, err := x.image.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	m, err := x.image.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	layer := m.Layers[0].Digest.String()
	try := func(method, path, body string, want int) {
		t.Helper()
		if code, text, _ := x.registry(t, x.mallory, method, path, body); code != want {
			t.Errorf("with the right to pull, %s %s = %d %.200s, want %d", method, path, code, text, want)
		}
	}
	try("GET", "/v2/mallory/x/blobs/"+layer, "", 404) // a right to pull is not a copy
	try("PUT", "/v2/mallory/x/manifests/1", string(manifest), 404)
	for _, d := range append(m.Layers, m.Config) {
		try("POST", "/v2/mallory/x/blobs/uploads/?from=alice/app&mount="+d.Digest.String(), "", 201)
	}
	try("GET", "/v2/mallory/x/blobs/"+layer, "", 200)
	try("PUT", "/v2/mallory/x/manifests/1", string(manifest), 201)
	try("POST", "/v2/mallory/z/blobs/uploads/?from=mallory/x&mount="+layer, "", 201) // between one's own
	try("DELETE", "/v2/mallory/x/manifests/1", "", 202)
	if code, _, _ := x.registry(t, x.alice, "GET", "/v2/alice/app/blobs/"+layer, ""); code != 200 {
		t.Errorf("after the copy is deleted the owner's layer is %d", code)
	}
}

// attackByUpload claims to upload what it does not have: another's layer, by its digest,
// with no bytes and with others. The control sends the bytes.
func (x share) attackByUpload(t *testing.T) {
	layers, err := x.image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	digest, err := layers[0].Digest()
	if err != nil {
		t.Fatal(err)
	}
	packed, err := layers[0].Compressed()
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(packed)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what, body         string
		uploaded, readable int
	}{{"nothing", "", 400, 404}, {"others", "x", 400, 404}, {"a part", string(content[:len(content)-1]), 400, 404}, {"the bytes", string(content), 201, 200}} {
		code, body, _ := x.registry(t, x.mallory, "POST", "/v2/mallory/up/blobs/uploads/?digest="+digest.String(), c.body)
		if code != c.uploaded && !(c.body == "" && code == http.StatusAccepted) {
			t.Errorf("%s in one request: %d %.200s, want %d", c.what, code, body, c.uploaded)
		}
		code, body, header := x.registry(t, x.mallory, "POST", "/v2/mallory/up/blobs/uploads/", "")
		if code != http.StatusAccepted {
			t.Fatal(code, body)
		}
		location, err := url.Parse(header.Get("Location"))
		if err != nil {
			t.Fatal(err)
		}
		if code, body, _ := x.registry(t, x.mallory, "PUT", location.Path+"?digest="+digest.String(), c.body); code != c.uploaded {
			t.Errorf("%s: %d %.200s, want %d", c.what, code, body, c.uploaded)
		}
		if code, _, _ := x.registry(t, x.mallory, "GET", "/v2/mallory/up/blobs/"+digest.String(), ""); code != c.readable {
			t.Errorf("after an upload of %s the blob is %d, want %d", c.what, code, c.readable)
		}
	}
}

// attackLookup looks for what others did with what is hidden from it. bob, to whom nothing
// is denied, sees it by the same call.
func (x share) attackLookup(t *testing.T) {
	const body = `{"LookupAttributes":[{"AttributeKey":"EventName","AttributeValue":"CreateService"}]}`
	for _, c := range []struct {
		user  aws.Config
		shown bool
	}{{x.mallory, false}, {x.bob, true}} {
		got := x.call(t, c.user, "CloudTrail_20131101.LookupEvents", body)
		if !strings.Contains(got, "service/mallory/") || strings.Contains(got, "service/alice/") != c.shown {
			t.Errorf("the records shown: %.2000s; want those of alice's service: %v", got, c.shown)
		}
	}
}

// attackLookalikes takes names that look like, or fold to, those of others: full width, no
// width, composed and decomposed, and letters that Unicode folds to ASCII. The plain name
// is the control.
func (x share) attackLookalikes(t *testing.T) {
	const (
		repository = "AmazonEC2ContainerRegistry_V20150921.CreateRepository"
		image      = `"SourceConfiguration":{"ImageRepository":{"ImageIdentifier":"public.ecr.aws/x/y:1","ImageRepositoryType":"ECR_PUBLIC"}}`
	)
	for _, c := range []struct{ what, target, body string }{
		{"a secret", "secretsmanager.CreateSecret", `{"Name":"mallory/%s"}`},
		{"a parameter", "AmazonSSM.PutParameter", `{"Name":"/mallory/%s","Value":"v","Type":"String"}`},
		{"a repository", repository, `{"repositoryName":"mallory/%s"}`},
		{"a configuration", "AppRunner.CreateAutoScalingConfiguration", `{"AutoScalingConfigurationName":"%s"}`},
		{"a connection", "AppRunner.CreateConnection", `{"ConnectionName":"%s","ProviderType":"GITHUB"}`},
		{"a service", "AppRunner.CreateService", `{"ServiceName":"%s",` + image + `}`},
	} {
		for _, name := range []string{"shop\uff50", "shop\u200b", "\u017fhop", "shop\u212a", "caf\u00e9", "cafe\u0301", "shop\u00a0", "shop\u0000", "shop\n"} {
			if got := x.call(t, x.mallory, c.target, fmt.Sprintf(c.body, name)); !strings.Contains(got, "xception") {
				t.Errorf("%s is named %s: %.300s", c.what, name, got)
			}
		}
		if got := x.call(t, x.mallory, c.target, fmt.Sprintf(c.body, "shop")); strings.Contains(got, "xception") {
			t.Errorf("the control, %s named shop: %.300s", c.what, got)
		}
	}
	for _, path := range []string{"/v2/mallory%2fn/tags/list", "/v2/mallory/n/%2e%2e/%2e%2e/alice/app/tags/list", "/v2/mallory/n/tags/list?n=1&n=2"} {
		if code, body, _ := x.registry(t, x.mallory, "GET", path, ""); code != http.StatusBadRequest {
			t.Errorf("GET %s = %d %s, want 400", path, code, body)
		}
	}
	if code, body, _ := x.registry(t, x.mallory, "GET", "/v2/mallory/n/tags/list?n=1", ""); code != http.StatusOK {
		t.Errorf("the control: %d %s", code, body)
	}
}

// attackByNames gives one thing two names that some parts take for one.
func (x share) attackByNames(t *testing.T) {
	config := `{}`
	const digest = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
	if code, body, _ := x.registry(t, x.mallory, "POST", "/v2/mallory/n/blobs/uploads/?digest="+digest, config); code != 201 {
		t.Fatal(code, body)
	}
	manifest := func(more string) string {
		return `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"` + digest + `","size":2},"layers":[]` + more + `}`
	}
	for more, want := range map[string]int{``: 201, `,"annotations":{"A":"1","a":"2"}`: 201, `,"layers":[]`: 400, `,"Layers":[]`: 400, `,"con\u0066ig":null`: 400} {
		if code, body, _ := x.registry(t, x.mallory, "PUT", "/v2/mallory/n/manifests/1", manifest(more)); code != want {
			t.Errorf("a manifest with %q = %d %s, want %d", more, code, body, want)
		}
	}
	client := apprunner.NewFromConfig(x.bob)
	made, err := client.CreateAutoScalingConfiguration(t.Context(), &apprunner.CreateAutoScalingConfigurationInput{
		AutoScalingConfigurationName: aws.String("names"), Tags: []types.Tag{{Key: aws.String("owner"), Value: aws.String("alice")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for key, allowed := range map[string]bool{"owner": true, "stage": true, "Owner": false} {
		_, err := client.TagResource(t.Context(), &apprunner.TagResourceInput{
			ResourceArn: made.AutoScalingConfiguration.AutoScalingConfigurationArn, Tags: []types.Tag{{Key: &key, Value: aws.String("bob")}},
		})
		if (err == nil) != allowed || err != nil && !strings.Contains(err.Error(), "letter case") {
			t.Errorf("the tag %s: %v", key, err)
		}
	}
}

// attackUploads takes all places for uploads that it gets.
func (x share) attackUploads(t *testing.T) {
	got, refusal, one := 0, "", ""
	for range 300 {
		code, body, header := x.registry(t, x.mallory, "POST", "/v2/mallory/u/blobs/uploads/", "")
		if code == http.StatusAccepted {
			got++
			one = header.Get("Location")
			defer x.registry(t, x.mallory, "DELETE", header.Get("Location"), "")
		} else {
			refusal = fmt.Sprint(code, " ", body)
		}
	}
	if got == 0 || got > 64 || !strings.Contains(refusal, "429 ") || !strings.Contains(refusal, "most that a user may have") {
		t.Errorf("one user has %d uploads in progress; the last refusal is %q", got, refusal)
	}
	code, body, header := x.registry(t, x.alice, "POST", "/v2/alice/u/blobs/uploads/", "")
	if code != http.StatusAccepted {
		t.Errorf("another user's upload: %d %s", code, body)
	}
	x.registry(t, x.alice, "DELETE", header.Get("Location"), "")
	x.registry(t, x.mallory, "DELETE", one, "") // a place that is given back can be taken again
	if code, body, header := x.registry(t, x.mallory, "POST", "/v2/mallory/u/blobs/uploads/", ""); code != http.StatusAccepted {
		t.Errorf("after one has ended: %d %s", code, body)
	} else {
		x.registry(t, x.mallory, "DELETE", header.Get("Location"), "")
	}
}

// attackDomains names a domain first, and asks who has it.
func (x share) attackDomains(t *testing.T) {
	alices := x.RunningService("alice", harness.Spec{Image: x.pushed})
	mallorys := x.RunningService("mallory", harness.Spec{Image: x.pushed})
	claim := func(user aws.Config, svc *types.Service, name string) error {
		_, err := apprunner.NewFromConfig(user).AssociateCustomDomain(t.Context(), &apprunner.AssociateCustomDomainInput{
			ServiceArn: svc.ServiceArn, DomainName: &name, EnableWWWSubdomain: aws.Bool(false),
		})
		return err
	}
	if err := claim(x.mallory, mallorys, "shop.example.com"); err != nil {
		t.Fatal(err)
	}
	x.WaitDomain(mallorys, "shop.example.com", harness.DomainPending)
	if err := claim(x.alice, alices, "shop.example.com"); err != nil {
		t.Fatalf("a claim without a proof blocks the owner: %v", err)
	}
	harness.PublishRecords(x.dns, x.WaitDomain(alices, "shop.example.com", harness.DomainPending))
	x.WaitDomain(alices, "shop.example.com", "binding_certificate")
	x.WaitDomain(mallorys, "shop.example.com", "create_failed")
	if events := x.Events(mallorys); !strings.Contains(events, "another service proved first") {
		t.Errorf("the events of the loser: %s", events)
	}
	for _, c := range []struct {
		user  aws.Config
		shown bool
	}{{x.mallory, false}, {x.bob, true}} {
		err := claim(c.user, x.other(mallorys), "SHOP.example.com")
		if err == nil || strings.Contains(err.Error(), *alices.ServiceArn) != c.shown {
			t.Errorf("the refusal shows the holder: %v; want %v", err, c.shown)
		}
	}
}

// other returns the service under another name of its domain list: a service may claim a
// domain once, so the claim that lost goes first.
func (x share) other(svc *types.Service) *types.Service {
	name := "shop.example.com"
	_, err := x.Client().DisassociateCustomDomain(x.T.Context(), &apprunner.DisassociateCustomDomainInput{ServiceArn: svc.ServiceArn, DomainName: &name})
	if err == nil {
		x.WaitDomain(svc, name, harness.DomainGone)
	}
	return svc
}

// attackRecords guesses keys and looks where it may not, and hopes that nobody sees or
// that nothing else is seen.
func (x share) attackRecords(t *testing.T) {
	for i := range 200 {
		id := fmt.Sprintf("AKIAGUESS%011d", i)
		if i%4 == 0 {
			keys, err := x.alice.Credentials.Retrieve(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			id = keys.AccessKeyID // a known key, with a wrong secret
		}
		req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+x.RegistryHost()+"/v2/", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth(id, "guess")
		res, err := x.HTTPClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusUnauthorized {
			t.Fatalf("a guessed secret: %d", res.StatusCode)
		}
	}
	if code, _, _ := x.registry(t, x.alice, "GET", "/v2/", ""); code != http.StatusOK {
		t.Fatal(code)
	}
	if code, _, _ := x.registry(t, x.mallory, "GET", "/v2/alice/app/manifests/1", ""); code != http.StatusForbidden {
		t.Fatal(code)
	}
	var trail struct {
		Records []struct {
			EventName, ErrorCode string
			UserIdentity         struct{ UserName string }
			AdditionalEventData  struct{ Count int }
			Resources            []struct{ ARN string }
		}
	}
	if err := json.Unmarshal([]byte(x.MustSlipway(t, "audit", "--json", "--lines", "1000")), &trail); err != nil {
		t.Fatal(err)
	}
	count := func(name, user, code, resource string) (n, records int) {
		for _, r := range trail.Records {
			about := resource == "" || len(r.Resources) == 1 && strings.HasSuffix(r.Resources[0].ARN, resource)
			if r.EventName == name && r.UserIdentity.UserName == user && r.ErrorCode == code && about {
				records++
				n += max(1, r.AdditionalEventData.Count)
			}
		}
		return n, records
	}
	for _, c := range []struct {
		name, user, code, resource string
		n, records                 int
	}{
		{"RegistryLogin", "", "InvalidPassword", "", 150, 1},
		{"RegistryLogin", "alice", "InvalidPassword", "", 50, 1},
		{"RegistryLogin", "alice", "", "", 1, 1},
		{"BatchGetImage", "mallory", "AccessDenied", "repository/alice/app", 1, 1},
		{"PutImage", "bob", "", "repository/alice/app", 1, 1},
		{"BatchDeleteImage", "bob", "", "repository/alice/app", 1, 1},
	} {
		if n, records := count(c.name, c.user, c.code, c.resource); n != c.n || records != c.records {
			t.Errorf("%s of %q with %q: %d times in %d records, want %d in %d", c.name, c.user, c.code, n, records, c.n, c.records)
		}
	}
}
