package builds

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/e2e/harness"
	"github.com/openslipway/slipway/internal/image/imagetest"
)

// dockerProject is a directory with a Dockerfile. Its image, over base:1, starts a web
// server that answers with the content of /said.
type dockerProject struct {
	files map[string]string // "Dockerfile" is added to the tags if there is no apprunner.yaml
	tags  map[string]string
	want  string
}

// dockerProjects is a project for each feature.
func dockerProjects(t *testing.T) map[string]dockerProject {
	return map[string]dockerProject{
		"stages": {
			files: map[string]string{"main": "main", "Dockerfile": `# syntax=docker/dockerfile:1.7
ARG TAG=2
FROM base:${TAG} AS build
WORKDIR /src
COPY main ./
RUN echo "$(cat main) built" > out

FROM base:1
COPY --from=build /src/out /said
`},
			tags: map[string]string{"build-arg.TAG": "1"}, want: "main built",
		},
		"args": {
			files: map[string]string{"Dockerfile": "FROM base:1\nARG WHO=nobody\nENV GREETING=\"hello $WHO\"\nRUN echo $GREETING > /said\n"},
			tags:  map[string]string{"build-arg.WHO": "you and me"}, want: "hello you and me",
		},
		"user": {
			files: map[string]string{"Dockerfile": "FROM base:1\nWORKDIR /srv/data\nRUN chown app /srv/data && : > /said && chown app /said\nUSER app\nRUN echo \"$(id -un) in $(pwd) at $HOME\" > /said\n"},
			want:  "app in /srv/data at /home/app",
		},
		"entrypoint": {
			files: map[string]string{"Dockerfile": "FROM base:1\nENTRYPOINT [\"/bin/sh\", \"-c\", \"VERSION=$0-$1 exec /usr/local/bin/app\"]\nCMD [\"one\", \"two\"]\n"}, want: "one-two",
		},
		"shell": {
			files: map[string]string{"Dockerfile": "FROM base:1\nENV A=from-env\nENTRYPOINT VERSION=$A exec /usr/local/bin/app\n"}, want: "from-env",
		},
		"file": { // runtime: docker, with a start command and a port
			files: map[string]string{
				"Dockerfile":     "FROM base:1\nRUN echo said > /said\n",
				"apprunner.yaml": "version: 1.0\nruntime: docker\nrun:\n  command: VERSION=\"$STAGE on $PORT\" exec /usr/local/bin/app\n  network:\n    port: 9123\n  env:\n    - name: STAGE\n      value: prod\n",
			},
			want: "prod on 9123",
		},
		"expose": {
			files: map[string]string{"Dockerfile": "FROM base:1\nEXPOSE 9300 9200/tcp 53/udp\nENTRYPOINT VERSION=\"port $PORT\" exec /usr/local/bin/app\n"}, want: "port 9200",
		},
		"secret": {
			files: map[string]string{"Dockerfile": "FROM base:1\nRUN --mount=type=secret,id=TOKEN,required=true test \"$(cat /run/secrets/TOKEN)\" = secret-value-of-build && echo had it > /said; ! grep -rqs secret-value-of /etc /tmp /srv\n"},
			tags:  map[string]string{"build-secret.TOKEN": "/secretive/token"}, want: "had it",
		},
		"mounts": {
			files: map[string]string{"dir/a": "bound", "Dockerfile": `FROM base:1 AS other
RUN mkdir /o && echo other > /o/f
FROM base:1
RUN --mount=type=bind,source=dir,target=/in --mount=type=bind,from=other,source=/o,target=/o \
    --mount=type=tmpfs,target=/t --mount=type=cache,target=/var/cache/x \
    touch /t/x /var/cache/x/y && echo "$(cat /in/a) $(cat /o/f) $(ls /t /var/cache/x | wc -l)" > /said
RUN --mount=type=cache,target=/var/cache/x test -e /var/cache/x/y && test ! -e /in && test ! -e /t
`},
			want: "bound other 5",
		},
		"heredocs": {
			files: map[string]string{"Dockerfile": "FROM base:1\nRUN <<EOF\nmkdir /d\necho -n one > /d/1\nEOF\nCOPY <<A <<B /d/\n two\nA\n three\nB\nRUN echo $(cat /d/1 /d/A /d/B) > /said\n"}, want: "one two three",
		},
		"ignore": {
			files: map[string]string{
				"deploy/Dockerfile": "FROM base:1\nCOPY . /c\nRUN cd /c && echo $(find . -type f | sort) > /said\n", "deploy/Dockerfile.dockerignore": "deploy\n*.log\n!keep.log\n",
				".dockerignore": "*\n", "a.log": "", "keep.log": "", "src/x": "",
			},
			tags: map[string]string{"dockerfile": "deploy/Dockerfile"}, want: "./.dockerignore ./keep.log ./src/x",
		},
		"target": {
			files: map[string]string{"Dockerfile": "FROM base:1 AS web\nRUN echo web > /said\nFROM base:1 AS worker\nRUN exit 1\n"},
			tags:  map[string]string{"docker-target": "web"}, want: "web",
		},
		"onbuild": {
			files: map[string]string{"f": "trigger", "Dockerfile": "FROM base:onbuild\nRUN echo \"$(cat /f) ran\" > /said\n"}, want: "trigger ran",
		},
		"copies": {
			files: map[string]string{"a": "a", "b": "b", "Dockerfile": `FROM base:1
COPY --chmod=640 --chown=app:web a /x/
COPY --link b /x/b
ADD a.tar /x/
RUN echo $(stat -c '%n:%a:%U:%G' /x/*) > /said
`, "a.tar": string(imagetest.Tar(t, imagetest.Text("t", "t")))},
			want: "/x/a:640:app:web /x/b:644:root:root /x/t:644:root:root",
		},
		"scratch": {
			files: map[string]string{"Dockerfile": "FROM base:1 AS all\nFROM scratch\nCOPY --from=all /usr/local/bin/app /app\nENV VERSION=bare\nENTRYPOINT [\"/app\"]\n"}, want: "bare",
		},
	}
}

// TestDockerfiles deploys a repository whose directories have a Dockerfile each. All of
// them take a minute, and a few represent them in `make long`; internal/build has a test
// of each as well.
func TestDockerfiles(t *testing.T) {
	s := prepareCode(t)
	s.begin(t)
	app, err := os.ReadFile(harness.App(t))
	if err != nil {
		t.Fatal(err)
	}
	image := imagetest.Options{
		Files: []imagetest.File{imagetest.Dir("usr/local/", 0o755), imagetest.Dir("usr/local/bin/", 0o755), imagetest.Exec("usr/local/bin/app", app)},
		Cmd:   []string{"/bin/sh", "-c", "VERSION=\"$(cat /said)\" exec /usr/local/bin/app"},
	}
	s.Push(imagetest.Shell(t, image), "base:1")
	image.OnBuild = []string{"COPY f /f"}
	s.Push(imagetest.Shell(t, image), "base:onbuild")
	secret := harness.NewServiceSecrets(s.Server)
	secret.Put("of-build")
	projects, files := dockerProjects(t), map[string]string{}
	if os.Getenv(languagesEnv) != "all" {
		maps.DeleteFunc(projects, func(name string, _ dockerProject) bool {
			return !slices.Contains([]string{"stages", "file", "secret", "ignore", "expose"}, name)
		})
	}
	for name, p := range projects {
		for file, text := range p.files {
			files[name+"/"+file] = text
		}
	}
	r := s.repository(t, "docker", files)
	started := map[string]*apprunner.CreateServiceOutput{}
	for name, p := range projects {
		started[name] = s.createDocker(t, r, name, p)
	}
	for name, p := range projects {
		svc := started[name].Service
		if status := s.WaitOperation(svc, *started[name].OperationId); status != types.OperationStatusSucceeded {
			out, _ := s.RunSlipway("logs", *svc.ServiceName, "--deployment", *started[name].OperationId)
			t.Errorf("%s: the creation ended %s:\n%s", name, status, out)
			continue
		}
		s.saysSo(t, svc, p.want)
	}
	t.Run("changes", func(t *testing.T) { testDockerChanges(t, s, r, started["stages"].Service) })
	t.Run("up", func(t *testing.T) { testDockerUp(t, s) })
}

// testDockerUp deploys a directory with nothing but a Dockerfile and files.
func testDockerUp(t *testing.T, s *codeServer) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"Dockerfile": "FROM base:1\nEXPOSE 9400\nCOPY . /c\nRUN cd /c && echo $(ls) > /said\n", ".dockerignore": "*.log\n", "a.log": "", "b": "",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s.MustSlipway(t, "up", dir, "--name", "uploaded")
	s.saysSo(t, s.named(t, "uploaded"), "Dockerfile b")
}

// createDocker begins the creation of a service of a directory with a Dockerfile.
func (s *codeServer) createDocker(t *testing.T, r repository, name string, p dockerProject) *apprunner.CreateServiceOutput {
	t.Helper()
	in := &apprunner.CreateServiceInput{
		ServiceName: aws.String("docker-" + name),
		InstanceConfiguration: &types.InstanceConfiguration{
			Cpu: aws.String("256"), Memory: aws.String("512"), InstanceRoleArn: aws.String("arn:aws:iam::000000000000:role/web"),
		},
		HealthCheckConfiguration: &types.HealthCheckConfiguration{Interval: aws.Int32(1)},
		SourceConfiguration:      &types.SourceConfiguration{},
	}
	if err := json.Unmarshal([]byte(s.source(r, name, fromFile)), in.SourceConfiguration); err != nil {
		t.Fatal(err)
	}
	if p.files["apprunner.yaml"] == "" && p.tags["dockerfile"] == "" {
		in.Tags = append(in.Tags, types.Tag{Key: aws.String("slipway:dockerfile"), Value: aws.String("Dockerfile")})
	}
	for k, v := range p.tags {
		in.Tags = append(in.Tags, types.Tag{Key: aws.String("slipway:" + k), Value: &v})
	}
	out, err := s.Client().CreateService(t.Context(), in)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return out
}

// saysSo waits until the instance of a service answers with a version.
func (s *codeServer) saysSo(t *testing.T, svc *types.Service, want string) {
	t.Helper()
	s.answersSo(t, svc, want, func(body string) bool {
		var answer struct{ Version string }
		return json.Unmarshal([]byte(body), &answer) == nil && answer.Version == want
	})
}

// testDockerChanges deploys changes of a service: one that is built again in part, one
// that does not build and changes nothing, and the next that does.
func testDockerChanges(t *testing.T, s *codeServer, r repository, svc *types.Service) {
	deploy := func() (types.OperationStatus, string) {
		out, err := s.Client().StartDeployment(t.Context(), &apprunner.StartDeploymentInput{ServiceArn: svc.ServiceArn})
		if err != nil {
			t.Fatal(err)
		}
		status := s.WaitOperation(svc, *out.OperationId)
		return status, s.MustSlipway(t, "logs", *svc.ServiceName, "--deployment", *out.OperationId)
	}
	status, log := deploy()
	if status != types.OperationStatusSucceeded || !strings.Contains(log, "Nothing has changed since an earlier build") {
		t.Errorf("without a change it ended %s:\n%s", status, log)
	}
	r.Commit("Change main", map[string]string{"stages/main": "second"})
	status, log = deploy()
	if status != types.OperationStatusSucceeded || strings.Count(log, " CACHED") != 1 || !strings.Contains(log, "RUN echo") {
		t.Errorf("with another file it ended %s:\n%s", status, log)
	}
	s.saysSo(t, svc, "second built")

	r.Commit("Break it", map[string]string{"stages/Dockerfile": "FROM base:1\nRUN echo before && exit 9\n"})
	status, log = deploy()
	want := "Dockerfile:2: \"RUN echo before && exit 9\" ended with code 9"
	if status != types.OperationStatusRollbackSucceeded || !strings.Contains(log, want) || !strings.Contains(log, "[Build] #2 ") {
		t.Errorf("a Dockerfile that fails ended %s, want %s in\n%s", status, want, log)
	}
	if events := s.Events(svc); !strings.Contains(events, want) {
		t.Errorf("the events do not say why:\n%s", events)
	}
	s.saysSo(t, svc, "second built")
}
