package builds

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/e2e/harness"
	"github.com/openslipway/slipway/internal/source/git/gittest"
)

// token is what the git server accepts.
const token = "token-of-the-git-server"

// codeServer is a server beside a private git server that stands for GitHub.
type codeServer struct {
	*harness.Server
	repository *gittest.Repository
	url        string
	connection string // ARN
}

// serveCode starts both and completes a connection. Runtimes are made of packages: a
// test that can't reach them is skipped.
func serveCode(t *testing.T, files map[string]string) *codeServer {
	t.Helper()
	root := t.TempDir()
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	repository := gittest.New(t, root, "shop.git")
	repository.Commit("Begin", files)
	web := gittest.ServeHTTPS(t, root, gittest.Options{Token: token, Before: func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/api/v3/user" {
			return false
		}
		if r.Header.Get("Authorization") != "Bearer "+token {
			http.Error(w, `{"message":"Bad credentials"}`, http.StatusUnauthorized)
			return true
		}
		w.Write([]byte("{}"))
		return true
	}})
	s := harness.Prepare(t, nil, "--api-addr", harness.FreeAddr(t), "--http-addr", harness.FreeAddr(t),
		"--github-api", web.URL+"/api/v3", "--git-ca-file", web.CAFile, "--runtime-recipes", "--git-poll", "1s")
	s.Env = append(os.Environ(), "SSL_CERT_FILE="+web.CAFile)
	s.Start()
	s.MustSlipway(t, "connection", "create", "code")
	arn := completeConnection(t, s)
	return &codeServer{s, repository, web.URL + "/shop.git", arn}
}

// completeConnection gives the connection its token.
func completeConnection(t *testing.T, s *harness.Server) string {
	t.Helper()
	t.Setenv("SLIPWAY_CONNECTION_TOKEN", token)
	s.MustSlipway(t, "connection", "complete", "code")
	out, err := s.Client().ListConnections(t.Context(), &apprunner.ListConnectionsInput{})
	if err != nil || len(out.ConnectionSummaryList) != 1 || out.ConnectionSummaryList[0].Status != types.ConnectionStatusAvailable {
		t.Fatalf("connections: %+v, %v", out, err)
	}
	return *out.ConnectionSummaryList[0].ConnectionArn
}

// source is the source configuration of the AWS CLI.
func (s *codeServer) source(configuration string) string {
	return `{"AuthenticationConfiguration":{"ConnectionArn":"` + s.connection + `"},"AutoDeploymentsEnabled":false,"CodeRepository":{"RepositoryUrl":"` + s.url + `",
		"SourceCodeVersion":{"Type":"BRANCH","Value":"main"},"CodeConfiguration":` + configuration + `}}`
}

// created waits for an operation; the test is skipped where packages can't be had.
func (s *codeServer) created(svc *types.Service, id string) {
	s.T.Helper()
	var status types.OperationStatus
	waitLong(s.T, 15*time.Minute, "operation "+id+" ends", func() bool {
		op, err := s.Operation(*svc.ServiceArn, id)
		status = op.Status
		return err == nil && status != types.OperationStatusInProgress && status != types.OperationStatusPending
	})
	if status == types.OperationStatusSucceeded {
		return
	}
	output := s.MustSlipway(s.T.(*testing.T), "logs", *svc.ServiceName, "--deployment", id)
	if strings.Contains(output, "could not be made") || strings.Contains(output, "cannot make runtimes") {
		s.T.Skip("the runtime could not be made here:\n" + output)
	}
	s.T.Fatalf("operation %s ended %s:\n%s", id, status, output)
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

// app is a web service of Python's standard library that answers with a file that the
// build wrote.
const app = `import http.server, os
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = (open("built.txt").read().strip() + " " + os.environ.get("STAGE", "")).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), H).serve_forever()
`

const configFile = `version: 1.0
runtime: python311
build:
  commands:
    build:
      - python3 -c "print('version one')" > built.txt
run:
  command: test -f built.txt && exec python3 app.py
  network:
    port: 9000
  env:
    - name: STAGE
      value: from the file
`

func (s *codeServer) answers(svc *types.Service, want string) {
	s.T.Helper()
	harness.Eventually(s.T, "the service answers "+want, func() (bool, string) {
		code, body, err := s.Request(svc, "/")
		if err != nil {
			return false, err.Error()
		}
		return code == http.StatusOK && body == want, body
	})
}

// A private repository with an apprunner.yaml, through the AWS CLI: created, deployed
// again with a new commit, and kept as it is by a commit that does not build.
func TestPythonFromTheFile(t *testing.T) {
	s := serveCode(t, map[string]string{"app.py": app, "apprunner.yaml": configFile})
	aws := harness.NewAWSCLI(t, s.Server)
	var made struct {
		Service     struct{ ServiceArn string }
		OperationID string `json:"OperationId"`
	}
	aws.Run(&made, "create-service", "--service-name", "shop", "--source-configuration", s.source(`{"ConfigurationSource":"REPOSITORY"}`))
	out, err := s.Client().DescribeService(t.Context(), &apprunner.DescribeServiceInput{ServiceArn: &made.Service.ServiceArn})
	if err != nil {
		t.Fatal(err)
	}
	svc := out.Service
	if c := svc.SourceConfiguration.CodeRepository.CodeConfiguration; c.ConfigurationSource != types.ConfigurationSourceRepository || c.CodeConfigurationValues != nil {
		t.Errorf("described is the configuration %+v", c)
	}
	s.created(svc, made.OperationID)
	s.answers(svc, "version one from the file")
	lines := s.MustSlipway(t, "logs", "shop", "--deployment", made.OperationID)
	for _, line := range []string{
		"[AppRunner] Successfully pulled your application source code.", "[AppRunner] Successfully validate configuration file.",
		"[AppRunner] Successfully built your application source code.",
	} {
		if !strings.Contains(lines, line) {
			t.Errorf("the deployment's log lacks %q:\n%s", line, lines)
		}
	}
	if strings.Contains(lines+s.Output.String(), token) {
		t.Error("a log has the token")
	}

	s.repository.Commit("Second", map[string]string{"apprunner.yaml": strings.ReplaceAll(configFile, "version one", "version two")})
	aws.Change(*svc.ServiceArn, "start-deployment")
	s.answers(svc, "version two from the file")

	s.repository.Commit("Break it", map[string]string{"apprunner.yaml": strings.ReplaceAll(configFile, "      - python3", "      - exit 7 && python3")})
	var started harness.AnswerID
	aws.Run(&started, "start-deployment", "--service-arn", *svc.ServiceArn)
	if status := s.WaitOperation(svc, started.OperationID); status != types.OperationStatusRollbackSucceeded {
		t.Errorf("a deployment that does not build ended %s", status)
	}
	s.answers(svc, "version two from the file")
	if events := s.Events(svc); !strings.Contains(events, "Failed to build your application source code. Reason: Failed to execute 'build' command.") {
		t.Errorf("the events do not say why:\n%s", events)
	}
}

// The same repository with the configuration of the API, through boto3; its
// apprunner.yaml is ignored.
func TestPythonFromTheAPI(t *testing.T) {
	s := serveCode(t, map[string]string{"app.py": app, "apprunner.yaml": "nonsense"})
	values, err := json.Marshal(map[string]any{"ConfigurationSource": "API", "CodeConfigurationValues": map[string]any{
		"Runtime": "PYTHON_311", "BuildCommand": "echo built > built.txt", "StartCommand": "python3 app.py", "Port": "9001",
		"RuntimeEnvironmentVariables": map[string]string{"STAGE": "from the API"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	s.Boto3("create.py", s.source(string(values)))
	svc := s.service("shop")
	s.answers(svc, "built from the API")
}

func (s *codeServer) service(name string) *types.Service {
	s.T.Helper()
	list, err := s.Client().ListServices(s.T.Context(), &apprunner.ListServicesInput{})
	if err != nil || len(list.ServiceSummaryList) != 1 || *list.ServiceSummaryList[0].ServiceName != name {
		s.T.Fatalf("services: %+v, %v", list, err)
	}
	out, err := s.Client().DescribeService(s.T.Context(), &apprunner.DescribeServiceInput{ServiceArn: list.ServiceSummaryList[0].ServiceArn})
	if err != nil {
		s.T.Fatal(err)
	}
	return out.Service
}
