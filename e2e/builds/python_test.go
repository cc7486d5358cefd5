package builds

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/e2e/harness"
)

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

// apiPython is the configuration of the API for app.
func apiPython(build, port, stage string) string {
	return apiValues("PYTHON_311", build, "python3 app.py", port, stage)
}

// apiValues is the configuration of the API.
func apiValues(runtime, build, start, port, stage string) string {
	values, err := json.Marshal(map[string]any{"ConfigurationSource": "API", "CodeConfigurationValues": map[string]any{
		"Runtime": runtime, "BuildCommand": build, "StartCommand": start, "Port": port,
		"RuntimeEnvironmentVariables": map[string]string{"STAGE": stage},
	}})
	if err != nil {
		panic(err) // cannot happen: there are only strings
	}
	return string(values)
}

// A private repository with an apprunner.yaml, through the AWS CLI: created, deployed
// again with a new commit, and kept as it is by a commit that does not build.
func TestPythonFromTheFile(t *testing.T) {
	t.Parallel()
	s := serveCode(t)
	r := s.repository(t, "shop", map[string]string{"app.py": app, "apprunner.yaml": configFile})
	svc, id := s.create(t, "shop", s.source(r, "", fromFile))
	if c := svc.SourceConfiguration.CodeRepository.CodeConfiguration; c.ConfigurationSource != types.ConfigurationSourceRepository || c.CodeConfigurationValues != nil {
		t.Errorf("described is the configuration %+v", c)
	}
	s.answers(t, svc, "version one from the file")
	lines := s.MustSlipway(t, "logs", "shop", "--deployment", id)
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
	aws := harness.NewAWSCLI(t, s.Server)

	r.Commit("Second", map[string]string{"apprunner.yaml": strings.ReplaceAll(configFile, "version one", "version two")})
	aws.Change(*svc.ServiceArn, "start-deployment")
	s.answers(t, svc, "version two from the file")

	r.Commit("Break it", map[string]string{"apprunner.yaml": strings.ReplaceAll(configFile, "      - python3", "      - exit 7 && python3")})
	var started harness.AnswerID
	aws.Run(&started, "start-deployment", "--service-arn", *svc.ServiceArn)
	if status := s.WaitOperation(svc, started.OperationID); status != types.OperationStatusRollbackSucceeded {
		t.Errorf("a deployment that does not build ended %s", status)
	}
	s.answers(t, svc, "version two from the file")
	if events := s.Events(svc); !strings.Contains(events, "Failed to build your application source code. Reason: Failed to execute 'build' command.") {
		t.Errorf("the events do not say why:\n%s", events)
	}
}

// The same repository with the configuration of the API, through boto3; its
// apprunner.yaml is ignored.
func TestPythonFromTheAPI(t *testing.T) {
	t.Parallel()
	s := serveCode(t)
	r := s.repository(t, "shop", map[string]string{"app.py": app, "apprunner.yaml": "nonsense"})
	s.createByBoto3(t, "shop", s.source(r, "", apiPython("echo built > built.txt", "9001", "from the API")))
	s.answers(t, s.named(t, "shop"), "built from the API")
}
