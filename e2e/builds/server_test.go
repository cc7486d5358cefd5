package builds

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/e2e/harness"
	"github.com/openslipway/slipway/internal/build/step"
	"github.com/openslipway/slipway/internal/source/git/gittest"
)

// token is what the git server accepts.
const token = "token-of-the-git-server"

// codeServer is a server beside a private git server that stands for GitHub.
type codeServer struct {
	*harness.Server
	root       string // of the repositories
	git        *gittest.HTTPS
	connection string // ARN
}

// serveCode starts both and completes a connection. The server has the runtimes that
// the tests before have made (see giveRuntimes), and makes others of packages.
func serveCode(t *testing.T, flags ...string) *codeServer {
	t.Helper()
	s := prepareCode(t, flags...)
	giveRuntimes(t, s.DataDir)
	s.begin(t)
	return s
}

// prepareCode is serveCode without the runtimes and the start.
func prepareCode(t *testing.T, flags ...string) *codeServer {
	t.Helper()
	root := t.TempDir()
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	web := gittest.ServeHTTPS(t, root, gittest.Options{Token: token, Before: answerUser})
	s := harness.Prepare(t, nil, append([]string{
		"--api-addr", harness.FreeAddr(t), "--http-addr", harness.FreeAddr(t),
		"--github-api", web.URL + "/api/v3", "--git-ca-file", web.CAFile, "--runtime-recipes", "--git-poll", "1s",
		"--new-database", // beside the images of the runtimes that it is given
	}, flags...)...)
	s.Env = append(os.Environ(), "SSL_CERT_FILE="+trustBoth(t, web.CAFile))
	return &codeServer{Server: s, root: root, git: web}
}

// trustBoth returns a file with the certificates that this machine trusts and some more:
// builds trust what the server does.
func trustBoth(t *testing.T, files ...string) string {
	t.Helper()
	own, err := os.ReadFile(step.HostWay(os.Getenv).CAFile)
	if err != nil {
		t.Skipf("this machine has no bundle of certificates: %v", err)
	}
	for _, file := range files {
		more, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		own = append(own, more...)
	}
	both := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(both, own, 0o644); err != nil {
		t.Fatal(err)
	}
	return both
}

// answerUser answers the question of GitHub's API whose token it is.
func answerUser(w http.ResponseWriter, r *http.Request) bool {
	if r.URL.Path != "/api/v3/user" {
		return false
	}
	if r.Header.Get("Authorization") != "Bearer "+token {
		http.Error(w, `{"message":"Bad credentials"}`, http.StatusUnauthorized)
		return true
	}
	w.Write([]byte("{}"))
	return true
}

// begin starts the server and gives a connection the token.
func (s *codeServer) begin(t *testing.T) {
	t.Helper()
	s.Start()
	s.MustSlipway(t, "connection", "create", "code")
	s.MustSlipway(t, "connection", "complete", "code")
	out, err := s.Client().ListConnections(t.Context(), &apprunner.ListConnectionsInput{})
	if err != nil || len(out.ConnectionSummaryList) != 1 || out.ConnectionSummaryList[0].Status != types.ConnectionStatusAvailable {
		t.Fatalf("connections: %+v, %v", out, err)
	}
	s.connection = *out.ConnectionSummaryList[0].ConnectionArn
}

// repository is a repository of the git server.
type repository struct {
	*gittest.Repository
	url string
}

// repository makes a repository of the git server with one commit.
func (s *codeServer) repository(t *testing.T, name string, files map[string]string) repository {
	t.Helper()
	r := gittest.New(t, s.root, name+".git")
	r.Commit("Begin", files)
	return repository{r, s.git.URL + "/" + name + ".git"}
}

// source is the source configuration of AWS's clients for a repository. Debian's know
// no directory.
func (s *codeServer) source(r repository, directory, configuration string) string {
	if directory != "" {
		directory = `"SourceDirectory":"/` + directory + `",`
	}
	return `{"AuthenticationConfiguration":{"ConnectionArn":"` + s.connection + `"},"AutoDeploymentsEnabled":false,"CodeRepository":{"RepositoryUrl":"` + r.url + `",
		` + directory + `"SourceCodeVersion":{"Type":"BRANCH","Value":"main"},"CodeConfiguration":` + configuration + `}}`
}

const fromFile = `{"ConfigurationSource":"REPOSITORY"}`

// create creates a service by the AWS CLI, waits until it runs and returns it with the
// id of the operation. The test is skipped where packages can't be had.
func (s *codeServer) create(t *testing.T, name, source string) (*types.Service, string) {
	t.Helper()
	var made struct {
		Service     struct{ ServiceArn string }
		OperationID string `json:"OperationId"`
	}
	harness.NewAWSCLI(t, s.Server).Run(&made, "create-service", "--service-name", name, "--source-configuration", source)
	svc := s.describe(t, made.Service.ServiceArn)
	s.created(t, svc, made.OperationID)
	return svc, made.OperationID
}

// createBySDK is create by the SDK for Go, with tags.
func (s *codeServer) createBySDK(t *testing.T, name, source string, tags ...types.Tag) {
	t.Helper()
	var configuration types.SourceConfiguration
	if err := json.Unmarshal([]byte(source), &configuration); err != nil {
		t.Fatal(err)
	}
	out, err := s.Client().CreateService(t.Context(), &apprunner.CreateServiceInput{ServiceName: &name, SourceConfiguration: &configuration, Tags: tags})
	if err != nil {
		t.Fatal(err)
	}
	s.created(t, out.Service, *out.OperationId)
}

// created waits for an operation; the test is skipped where packages can't be had.
func (s *codeServer) created(t *testing.T, svc *types.Service, id string) {
	t.Helper()
	var status types.OperationStatus
	waitLong(t, 15*time.Minute, "operation "+id+" ends", func() bool {
		op, err := s.Operation(*svc.ServiceArn, id)
		status = op.Status
		return err == nil && status != types.OperationStatusInProgress && status != types.OperationStatusPending
	})
	if status == types.OperationStatusSucceeded {
		return
	}
	output := s.MustSlipway(t, "logs", *svc.ServiceName, "--deployment", id)
	if why := unreachable(output); why != "" {
		t.Skipf("a package registry cannot be reached from here: %s\n%s", why, output)
	}
	t.Fatalf("operation %s ended %s:\n%s", id, status, output)
}

// createByBoto3 is create by boto3.
func (s *codeServer) createByBoto3(t *testing.T, name, source string) {
	t.Helper()
	cmd := s.Python("create.py", name, source)
	cmd.Stderr = nil
	out, err := cmd.CombinedOutput()
	if err == nil {
		return
	}
	svc := s.named(t, name)
	s.created(t, svc, s.lastOperation(t, *svc.ServiceArn))
	t.Fatalf("create.py: %v\n%s", err, out)
}

// unreachable returns the sign in a build's output that a package registry did not
// answer, "" if there is none.
func unreachable(output string) string {
	for _, sign := range []string{
		"has no sources of Debian", "Temporary failure resolving", "Could not resolve", "EAI_AGAIN", "ENOTFOUND", "no such host", "Connection timed out",
		"network is unreachable",
	} {
		if strings.Contains(output, sign) {
			return sign
		}
	}
	return ""
}

func (s *codeServer) describe(t *testing.T, arn string) *types.Service {
	t.Helper()
	out, err := s.Client().DescribeService(t.Context(), &apprunner.DescribeServiceInput{ServiceArn: &arn})
	if err != nil {
		t.Fatal(err)
	}
	return out.Service
}

// named returns the service of a name.
func (s *codeServer) named(t *testing.T, name string) *types.Service {
	t.Helper()
	list, err := s.Client().ListServices(t.Context(), &apprunner.ListServicesInput{})
	if err != nil {
		t.Fatal(err)
	}
	for _, svc := range list.ServiceSummaryList {
		if *svc.ServiceName == name {
			return s.describe(t, *svc.ServiceArn)
		}
	}
	t.Fatalf("there is no service %s among %+v", name, list.ServiceSummaryList)
	return nil
}

// waitLong is harness.Eventually for what takes minutes: a runtime that is made.
func waitLong(t testing.TB, most time.Duration, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); !holds(); <-tick.C {
		if time.Since(began) > most {
			t.Fatalf("after %s it does not hold that %s", most, what)
		}
	}
}

// answers waits until the service answers exactly this.
func (s *codeServer) answers(t *testing.T, svc *types.Service, want string) {
	t.Helper()
	s.answersSo(t, svc, want, func(body string) bool { return body == want })
}

// answersSo waits for an answer.
func (s *codeServer) answersSo(t *testing.T, svc *types.Service, what string, ok func(body string) bool) {
	t.Helper()
	harness.Eventually(t, "the service answers "+what, func() (bool, string) {
		code, body, err := s.Request(svc, "/")
		if err != nil {
			return false, err.Error()
		}
		return code == http.StatusOK && ok(body), body
	})
}
