package attack

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/e2e/harness"
)

// reach is a server and a user of its API who may do everything with services and read
// their logs, and nothing else.
type reach struct {
	*harness.Server
	key, secret string
}

func reachOf(t *testing.T, s *harness.Server) reach {
	t.Helper()
	file := filepath.Join(t.TempDir(), "policy.json")
	if err := os.WriteFile(file, []byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["apprunner:*","logs:*"],"Resource":"*"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	s.MustSlipway(t, "iam", "user", "add", "mallory")
	s.MustSlipway(t, "iam", "policy", "put", "p", file, "--user", "mallory")
	var made struct {
		AccessKey struct{ AccessKeyID, SecretAccessKey string }
	}
	if err := json.Unmarshal([]byte(s.MustSlipway(t, "iam", "key", "add", "mallory", "--json")), &made); err != nil {
		t.Fatal(err)
	}
	return reach{s, made.AccessKey.AccessKeyID, made.AccessKey.SecretAccessKey}
}

// slipway runs the command as the user and returns what it prints.
func (r reach) slipway(t *testing.T, input string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), r.Binary, args...)
	cmd.Env = append(r.ClientEnv(), "NO_COLOR=1", "AWS_ACCESS_KEY_ID="+r.key, "AWS_SECRET_ACCESS_KEY="+r.secret)
	cmd.Stdin = strings.NewReader(input)
	out, _ := cmd.CombinedOutput() // an attack may fail
	return string(out)
}

// bystander is a program of the host that has nothing to do with the server. It counts who
// connects.
type bystander struct {
	net.Listener
	met atomic.Int64
}

func newBystander(t *testing.T) *bystander {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &bystander{Listener: l}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b.met.Add(1)
			fmt.Fprint(c, "HTTP/1.1 418 planted words\r\nContent-Length: 13\r\nConnection: close\r\n\r\nplanted words")
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close() })
	return b
}

// TestReach has a user give the server addresses of its own host: in each way there is, as
// an address and as a name. The control is a server whose operator allows them.
func TestReach(t *testing.T) {
	t.Parallel()
	strict := harness.Prepare(t, nil, "--api-addr", harness.FreeAddr(t), "--http-addr", harness.FreeAddr(t), "--isolated", "--warm", "0", "--metrics-addr", "127.0.0.1:0")
	strict.Strict = true
	strict.Start()
	open := harness.Serve(t, "--isolated", "--warm", "0", "--api-host", "*", "--trusted-proxy", "127.0.0.0/8", "--underscore-headers")
	attacked, control := reachOf(t, strict), reachOf(t, open)
	name, err := os.Hostname() // of which the server does not know by its text that it is at home
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []struct {
		name string
		do   func(r reach, t *testing.T, at string, there *bystander) string
	}{
		{"webhook", reach.webhook},
		{"image", reach.image},
		{"repository", reach.repository},
		{"connection", reach.connection},
	} {
		for _, host := range []string{"127.0.0.1", name} {
			if at, err := net.LookupHost(host); err != nil || len(at) == 0 || !strings.HasPrefix(at[0], "127.") {
				continue // a machine whose name is not at a loopback address
			}
			t.Run(a.name+" at "+host, func(t *testing.T) {
				there, gone := newBystander(t), newBystander(t)
				gone.Close()
				at := func(b *bystander) string {
					_, port, _ := net.SplitHostPort(b.Addr().String())
					return net.JoinHostPort(host, port)
				}
				a.do(control, t, at(there), there)
				if there.met.Load() == 0 {
					t.Error("the control does not connect: the attack shows nothing")
				}
				before := there.met.Load()
				said := a.do(attacked, t, at(there), there)
				if n := there.met.Load() - before; n != 0 {
					t.Errorf("the server connected %d times", n)
				}
				if !strings.Contains(said, "--allow-address") || strings.Contains(said, "planted") {
					t.Errorf("the server says %s", said)
				}
				if other := a.do(attacked, t, at(gone), gone); strings.ReplaceAll(other, at(gone), at(there)) != said {
					t.Errorf("the refusal tells whether somebody listens:\n%s\n%s", said, other)
				}
			})
		}
	}
	t.Run("headers", func(t *testing.T) { attackHeaders(t, strict, open) })
	t.Run("ids", func(t *testing.T) { assertNoCommonIDs(t, strict, open) })
	t.Run("metrics", func(t *testing.T) { attackMetrics(t, strict) })
	t.Run("rebinding", func(t *testing.T) { attackRebinding(t, strict, open) })
}

// webhook returns the refusal of a webhook, or what became of its first delivery.
func (r reach) webhook(t *testing.T, at string, _ *bystander) string {
	out := r.slipway(t, "", "hooks", "add", "http://"+at+"/", "--json")
	var made struct {
		Webhook struct {
			WebhookID string `json:"WebhookId"`
		}
	}
	if err := json.Unmarshal([]byte(out), &made); err != nil {
		return out
	}
	id := made.Webhook.WebhookID
	said := r.slipway(t, "", "hooks", "test", id)
	r.slipway(t, "", "hooks", "rm", id, "--yes")
	_, said, _ = strings.Cut(said, "delivered") // the event's id before it is another each time
	said, _, _ = strings.Cut(said, "\n")
	return said
}

// image returns the refusal of an image.
func (r reach) image(t *testing.T, at string, _ *bystander) string {
	out := r.slipway(t, "", "up", at+"/app:1", "--name", "reached")
	r.slipway(t, "", "rm", "reached", "--yes")
	for line := range strings.Lines(out) {
		if strings.Contains(line, "cannot be pulled") {
			return line[strings.Index(line, "cannot be pulled"):]
		}
	}
	return out
}

// repository returns the refusal of a repository of code. The server that may connect to it
// tries for half a minute, so the control ends with the first attempt.
func (r reach) repository(t *testing.T, at string, there *bystander) string {
	sdk := r.SDK()
	sdk.Credentials = credentials.NewStaticCredentialsProvider(r.key, r.secret, "")
	client := apprunner.NewFromConfig(sdk)
	made, err := client.CreateService(t.Context(), &apprunner.CreateServiceInput{
		ServiceName: aws.String("repository"),
		SourceConfiguration: &types.SourceConfiguration{CodeRepository: &types.CodeRepository{
			RepositoryUrl: aws.String("https://" + at + "/app"), SourceCodeVersion: &types.SourceCodeVersion{Type: types.SourceCodeVersionTypeBranch, Value: aws.String("main")},
			CodeConfiguration: &types.CodeConfiguration{ConfigurationSource: types.ConfigurationSourceRepository},
		}},
	})
	if err != nil {
		return err.Error()
	}
	if !r.Strict {
		harness.Eventually(t, "the server connects to the repository", func() (bool, string) { return there.met.Load() > 0, "no connection" })
		r.slipway(t, "", "ops", "cancel", "repository")
	}
	r.WaitOperation(made.Service, *made.OperationId)
	said := r.slipway(t, "", "logs", "repository", "--events")
	r.slipway(t, "", "rm", "repository", "--yes")
	for line := range strings.Lines(said) {
		if strings.Contains(line, at) {
			return line[strings.Index(line, at):]
		}
	}
	return said
}

// connection returns the refusal of the host of a connection that is to get a token.
func (r reach) connection(t *testing.T, at string, _ *bystander) string {
	r.slipway(t, "", "connection", "create", "code", "--provider", "gitea", "--host", at)
	said := r.slipway(t, "token", "connection", "complete", "code")
	r.slipway(t, "", "connection", "rm", "code", "--yes")
	return said
}

// attackHeaders sends what applications take for the word of a router of some platform. The
// control is a server that trusts the client as its proxy and lets underscores pass.
func attackHeaders(t *testing.T, s, open *harness.Server) {
	forged := []string{
		"X-Forwarded-For", "10.6.6.6", "X-Real-IP", "10.6.6.6", "CF-Connecting-IP", "10.6.6.6", "True-Client-IP", "10.6.6.6", "Fly-Client-IP", "10.6.6.6",
		"X-Envoy-External-Address", "10.6.6.6", "X-Original-URL", "/10.6.6.6", "Forwarded", "for=10.6.6.6", "Api_Key", "10.6.6.6",
		"Proxy", "http://10.6.6.6", "X_Real_IP", "10.6.6.6", "X-Own", "passes",
	}
	got := func(s *harness.Server) string {
		svc := s.RunningService("echo", harness.Spec{Image: s.Push(harness.WebImage(t, "1"), "web:1")})
		_, body, err := s.Request(svc, "/?headers=1", forged...)
		if err != nil || !strings.Contains(body, "passes") {
			t.Fatalf("%s, %v", body, err)
		}
		return body
	}
	if body := got(s); strings.Contains(body, "10.6.6.6") {
		t.Errorf("the application gets %s", body)
	}
	body := got(open)
	for name, want := range map[string]bool{
		"X-Forwarded-For": true, "Cf-Connecting-Ip": true, "True-Client-Ip": true, "X-Original-Url": true, "Api_key": true, "Proxy": false, "X_real_ip": false,
	} {
		if strings.Contains(body, `"`+name+`"`) != want {
			t.Errorf("with a trusted proxy the application gets %s: %v\n%s", name, !want, body)
		}
	}
}

// assertNoCommonIDs compares the users of the processes of two servers' instances: with a
// common one a process that got out of its sandbox could harm the other's.
func assertNoCommonIDs(t *testing.T, servers ...*harness.Server) {
	seen := map[uint32]*harness.Server{}
	for _, s := range servers {
		found := 0
		for _, pid := range harness.ProcessesInCgroup(harness.CgroupName(s.DataDir)) {
			var st syscall.Stat_t
			if err := syscall.Stat(fmt.Sprintf("/proc/%d", pid), &st); err != nil {
				continue // it has ended
			}
			found++
			if other := seen[st.Uid]; st.Uid != 0 && other != nil && other != s {
				t.Errorf("user %d of the host has processes of two servers", st.Uid)
			}
			seen[st.Uid] = s
		}
		if found == 0 {
			t.Error("an instance has no processes: the attack shows nothing")
		}
	}
}

// attackMetrics reads the names of everybody's services and instances. The control is the
// address that the operator has given to them.
func attackMetrics(t *testing.T, s *harness.Server) {
	if status, body := get(t, s.API+"/metrics", ""); status == http.StatusOK || strings.Contains(body, "slipway_") {
		t.Errorf("the API's address answers %d %.100s", status, body)
	}
	if status, body := get(t, s.Metrics, ""); status != http.StatusOK || !strings.Contains(body, "slipway_api_call_seconds") {
		t.Errorf("the metrics' own address %s answers %d %.100s", s.Metrics, status, body)
	}
	if status, _ := get(t, s.Metrics, "evil.example"); status != http.StatusMisdirectedRequest {
		t.Errorf("the metrics' own address answers another host with %d", status)
	}
}

// attackRebinding sends what a browser sends whose page has had its own name resolved to
// this address. The control is the server that takes any name.
func attackRebinding(t *testing.T, s, open *harness.Server) {
	for _, path := range []string{"/", "/healthz", "/readyz", "/version", "/v2/", "/webhooks/x"} {
		if status, body := get(t, s.API+path, "evil.example:8070"); status != http.StatusMisdirectedRequest || !strings.Contains(body, "--api-host") {
			t.Errorf("%s: %d %.200s", path, status, body)
		}
		if status, _ := get(t, open.API+path, "evil.example:8070"); status == http.StatusMisdirectedRequest {
			t.Errorf("%s: the control is refused, too", path)
		}
		if status, _ := get(t, s.API+path, "localhost:8070"); status == http.StatusMisdirectedRequest {
			t.Errorf("%s: localhost is refused", path)
		}
	}
}

func get(t *testing.T, url, host string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	res, err := (&http.Client{Timeout: harness.Timeout}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}
