package build_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/build"
	"github.com/openslipway/slipway/internal/image/imagetest"
	"github.com/openslipway/slipway/internal/source/config"
)

// mistakes are Dockerfiles that cannot be built, and what the error says.
var mistakes = map[string]struct {
	file    string
	request build.Request
	fails   string
	logs    []string
	without string
}{
	"a command": {
		file:  "FROM base:1\nRUN echo first\nRUN echo \"why it fails\" && \\\n  exit 7\n",
		fails: "Failed to execute 'build' command. Dockerfile:3: \"RUN echo \"why it fails\" &&   exit 7\" ended with code 7; its last lines above say why.",
		logs:  []string{"why it fails", "Dockerfile:3 >>> RUN echo", "Dockerfile:4 >>>   exit 7", "ERROR: exit code 7"},
	},
	"no such program":  {file: "FROM base:1\nRUN nothing-of-the-kind\n", fails: "a program in it does not exist in the image"},
	"no shell":         {file: "FROM scratch\nRUN echo\n", fails: "\"RUN echo\" could not be started"},
	"no such file":     {file: "FROM base:1\nCOPY none /x\n", fails: "Dockerfile:2: \"COPY none /x\" failed: \"/none\": not found. It is not in the source directory"},
	"no file in stage": {file: "FROM base:1 AS a\nFROM base:1\nCOPY --from=a /none /x\n", fails: "\"/none\": not found. The stage or image that is copied from does not have it."},
	"no such user":     {file: "FROM base:1\nUSER ghost\nRUN id\n", fails: "ghost"},
	"a secret": {
		file: "FROM base:1\nRUN echo ran\nRUN --mount=type=secret,id=NPM_TOKEN,required=true true\n", without: "DONE",
		fails: "Dockerfile:3: the RUN needs the secret \"NPM_TOKEN\", which the service does not have. Set slipway:build-secret.NPM_TOKEN",
	},
	"grammar":           {file: "FROM base:1\nRUNN x\n", fails: "Dockerfile:2: unknown instruction: RUNN (did you mean RUN?)."},
	"nothing":           {file: "\n", fails: "Dockerfile"},
	"no FROM":           {file: "RUN x\n", fails: "Dockerfile:1: no build stage in current context."},
	"an unknown stage":  {file: "FROM base:1\nCOPY --from=2 a /\n", fails: "invalid stage index"},
	"a circle":          {file: "FROM base:1 AS a\nCOPY --from=b /x /x\nFROM base:1 AS b\nCOPY --from=a /x /x\n", fails: "circular dependency"},
	"an unknown base":   {file: "FROM localhost:1/none:1\n", fails: "localhost:1"},
	"an unknown target": {file: "FROM base:1 AS web\n", request: build.Request{Target: "wbe"}, fails: "target stage \"wbe\" could not be found (did you mean web?)"},
	"another platform":  {file: "FROM --platform=linux/s390x base:1\nRUN x\n", fails: "the stage is for the platform linux/s390x, and this server builds and runs linux/"},
	"privileges":        {file: "FROM base:1\nRUN echo ran\nRUN --security=insecure id\n", fails: "RUN --security=insecure is not permitted", without: "DONE"},
	"network of the host": {
		file: "FROM base:1\nRUN echo ran\nRUN --network=host id\n", fails: "Dockerfile:3: RUN --network=host is not permitted", without: "DONE",
	},
	"ssh":               {file: "FROM base:1\nRUN --mount=type=ssh id\n", fails: "--mount=type=ssh is not supported"},
	"git":               {file: "FROM base:1\nADD https://example.com/x.git /x\n", fails: "ADD of a git repository is not supported"},
	"a mount on /proc":  {file: "FROM base:1\nRUN --mount=type=tmpfs,target=/proc/x id\n", fails: "nothing can be mounted to /proc/x"},
	"no such mount":     {file: "FROM base:1\nRUN --mount=type=bind,source=none,target=/x id\n", fails: "\"/none\" is not in the build context"},
	"another file":      {file: "FROM base:1\n", request: build.Request{Dockerfile: "deploy/Dockerfile"}, fails: "There is no file \"deploy/Dockerfile\" in the source directory \"/\""},
	"an image for none": {file: "FROM base:1\nRUN touch /.wh.x\n", fails: ".wh."},
}

// TestDockerfileMistakes checks that each mistake is told with its line and the next step,
// and that nothing runs that need not.
func TestDockerfileMistakes(t *testing.T) {
	s := dockerStand(t)
	for name, c := range mistakes {
		t.Run(name, func(t *testing.T) {
			r := c.request
			if r.Dockerfile == "" {
				r.Dockerfile = "Dockerfile"
			}
			r.Tree = files(t, map[string]string{"Dockerfile": c.file})
			log, _, err := s.build(t, r)
			if slipway.CodeOf(err) == "" || !strings.Contains(err.Error(), c.fails) {
				t.Errorf("it fails with %v, want %s\n%s", err, c.fails, log)
			}
			for _, l := range c.logs {
				if !strings.Contains(log, l) {
					t.Errorf("the log lacks %q:\n%s", l, log)
				}
			}
			if c.without != "" && strings.Contains(log, c.without) {
				t.Errorf("the log has %q:\n%s", c.without, log)
			}
		})
	}
}

// TestHostileDockerfiles builds Dockerfiles that attack the host, their limits and each
// other.
func TestHostileDockerfiles(t *testing.T) {
	s := dockerStand(t)
	secret := filepath.Join(t.TempDir(), "host-secret")
	if err := os.WriteFile(secret, []byte("the host's secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOST_SECRET", "the host's variable")
	small := build.Limits{Memory: 256, Pids: 64, Disk: 64 << 20, Output: 1 << 20, Time: 8 * time.Second}
	var doubling strings.Builder
	doubling.WriteString("ARG A0=xxxxxxxxxxxxxxxx\n")
	for i := range 40 {
		fmt.Fprintf(&doubling, "ARG A%d=$A%d$A%d\n", i+1, i, i)
	}
	for name, c := range map[string]struct {
		file    string
		links   map[string]string // in the context
		tar     []imagetest.File
		fails   string // "" if it is built
		prints  string // by the image
		without []string
	}{
		"links out of the context": {
			file: "FROM base:1\nCOPY link /x\n", links: map[string]string{"link": secret}, fails: "not found",
		},
		"a directory out of the context": {
			file: "FROM base:1\nCOPY up/host-secret /x\n", links: map[string]string{"up": filepath.Dir(secret)}, fails: "not found",
		},
		"links that stay links": {
			file: "FROM base:1\nCOPY . /c\nCMD cat /c/link 2>/dev/null || echo no secret\n", links: map[string]string{"link": secret}, prints: "no secret",
		},
		"a Dockerfile that is a link": {file: "", links: map[string]string{"Dockerfile": secret}, fails: "Dockerfile"},
		"links out of a stage": {
			file: "FROM base:1 AS a\nRUN ln -s " + secret + " /s && ln -s /proc/1/root /r && ln -s ../../../../../../.. /up\nFROM base:1\nCOPY --from=a /r" + secret + " /x\n", fails: "not found",
		},
		"a target that leads out": {
			file:   "FROM base:1\nRUN ln -s ../../../../../.. /up\nCOPY Dockerfile /up/tmp/escaped\nCMD ls /tmp\n",
			prints: "escaped",
		},
		"a target in /proc": {
			// Process 1 is the copier itself, and its root that of the image.
			file: "FROM base:1\nRUN ln -s /proc/1/root/tmp /out\nCOPY Dockerfile /out/escaped\nCMD ls /tmp\n", prints: "escaped",
		},
		"a mount that leads out": {
			file:  "FROM base:1 AS a\nRUN mkdir /m && ln -s " + filepath.Dir(secret) + " /m/l\nFROM base:1\nRUN --mount=type=bind,from=a,source=/m/l,target=/l cat /l/host-secret\n",
			fails: "does not exist",
		},
		"an archive that leads out": {
			file: "FROM base:1\nADD a.tar /a/\nCMD ls /a; ls /escaped 2>/dev/null; true\n",
			tar:  []imagetest.File{imagetest.Text("../../escaped", "x")}, prints: "escaped",
		},
		"host files": {
			file:   "FROM base:1\nRUN cat " + secret + " > /a || echo no secret > /a; cat /proc/1/environ >> /a; env >> /a\nCMD head -n 1 /a; grep -c 'the host' /a; true\n",
			prints: "no secret\n0",
		},
		"devices": {
			file:   "FROM base:1\nRUN mknod /disk b 8 0 || echo no device > /a; mount -t tmpfs none /mnt 2>/dev/null || echo no mount >> /a; cat /dev/mem 2>/dev/null || echo no memory >> /a\nCMD cat /a\n",
			prints: "no device\nno mount\nno memory",
		},
		"fork bomb":      {file: "FROM base:1\nRUN f() { f | f & }; f; sleep 3; exit 1\n", fails: "RUN f()"},
		"memory":         {file: "FROM base:1\nRUN dd if=/dev/zero bs=900M count=1 of=/dev/null\n", fails: "memory limit of 256 MiB"},
		"disk":           {file: "FROM base:1\nRUN dd if=/dev/zero of=/big bs=4k count=50000\n", fails: "its disk of 64 MiB was full"},
		"disk by copies": {file: "FROM base:1\nRUN dd if=/dev/zero of=/a bs=1M count=40\nFROM base:1\nCOPY --from=0 /a /a\nCOPY --from=0 /a /b\n", fails: "limit"},
		"endless output": {file: "FROM base:1\nRUN while :; do echo yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy; done\n", fails: "time limit"},
		"an endless build": {
			file: "FROM base:1\nRUN sleep 1000\n", fails: "time limit of 8s",
		},
		"a tmpfs as memory":     {file: "FROM base:1\nRUN --mount=type=tmpfs,target=/t dd if=/dev/zero of=/t/x bs=1M count=900\n", fails: "RUN"},
		"arguments that double": {file: doubling.String() + "FROM base:$A40\n", fails: "Dockerfile"},
		"a name of the server": {
			file: "FROM base:1\nRUN mkdir /.slipway && ln -s /etc /.slipway/from\nCOPY Dockerfile /x\n", fails: "Dockerfile:3: an earlier step put a link or a file",
		},
	} {
		t.Run(name, func(t *testing.T) {
			tree := files(t, map[string]string{"Dockerfile": c.file})
			if c.tar != nil {
				if err := os.WriteFile(filepath.Join(tree, "a.tar"), imagetest.Tar(t, c.tar...), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			for at, to := range c.links {
				os.Remove(filepath.Join(tree, at))
				if err := os.Symlink(to, filepath.Join(tree, at)); err != nil {
					t.Fatal(err)
				}
			}
			began := time.Now()
			log, res, err := s.build(t, build.Request{Tree: tree, Dockerfile: "Dockerfile", Limits: small})
			switch {
			case c.fails == "" && err != nil:
				t.Errorf("it failed: %v\n%s", err, log)
			case c.fails == "":
				if got := s.runImage(t, res.Digest, ""); got != c.prints {
					t.Errorf("the image prints %s, want %s", got, c.prints)
				}
			case slipway.CodeOf(err) == "" || !strings.Contains(err.Error(), c.fails):
				t.Errorf("it ended with %v, want %s\n%.3000s", err, c.fails, log)
			}
			for _, bad := range append(c.without, "the host's") {
				if strings.Contains(log, bad) {
					t.Errorf("the log has %q", bad)
				}
			}
			if took := time.Since(began); took > 30*time.Second {
				t.Errorf("it took %v", took)
			}
			if len(log) > 4<<20 {
				t.Errorf("the log has %d bytes", len(log))
			}
		})
	}
}

// TestDockerfileCache changes inputs one by one and looks at which steps run.
func TestDockerfileCache(t *testing.T) {
	s := dockerStand(t)
	const dockerfile = `FROM base:1 AS build
WORKDIR /src
COPY list .
RUN --mount=type=secret,id=TOKEN cat list > /installed
COPY . .
RUN cat main /installed > /out
FROM base:1
COPY --from=build /out /out
CMD ["cat", "/out"]
`
	tree := map[string]string{"Dockerfile": dockerfile, "list": "l1\n", "main": "m1\n", ".dockerignore": "notes\n"}
	at := time.Unix(1_700_000_000, 0)
	run := func(service string, change func(r *build.Request)) (log string, res build.Result) {
		t.Helper()
		r := build.Request{
			Service: service, Dockerfile: "Dockerfile", Time: at, SourceID: fmt.Sprint(tree), Secrets: []config.Variable{{Name: "TOKEN", Value: "token-one"}},
		}
		if change != nil {
			change(&r)
		}
		r.Tree = files(t, tree)
		log, res, err := s.build(t, r)
		if err != nil {
			t.Fatalf("%v\n%s", err, log)
		}
		return log, res
	}
	cached := func(log string) int { return strings.Count(log, " CACHED") }

	log, first := run("cached", nil)
	if cached(log) != 0 {
		t.Errorf("in the first build something is cached:\n%s", log)
	}
	if log, res := run("cached", nil); res != (build.Result{Digest: first.Digest, Runtime: "docker", Cached: true}) {
		t.Errorf("without a change the result is %+v\n%s", res, log)
	}
	tree["notes"], at = "something else", at.Add(time.Hour)
	log, res := run("cached", nil)
	if n := cached(log); n != 3 { // WORKDIR, a RUN and COPY --from; nobody needs the other RUN, and the context is looked at
		t.Errorf("with a new commit of ignored files, %d steps are cached:\n%s", n, log)
	}
	one, err1 := s.images.Get(first.Digest)
	other, err2 := s.images.Get(res.Digest)
	if err1 != nil || err2 != nil || fmt.Sprint(one.Layers) != fmt.Sprint(other.Layers) {
		t.Errorf("the layers are %v, %v; they were %v, %v", other.Layers, err2, one.Layers, err1)
	}
	tree["main"] = "m2\n"
	log, res = run("cached", nil)
	if n := cached(log); n != 2 || s.runImage(t, res.Digest, "") != "m2\nl1" { // WORKDIR and the first RUN
		t.Errorf("with another main, %d steps are cached:\n%s", n, log)
	}
	tree["list"] = "l2\n"
	log, res = run("cached", nil)
	if n := cached(log); n != 1 || s.runImage(t, res.Digest, "") != "m2\nl2" {
		t.Errorf("with another list, %d steps are cached:\n%s", n, log)
	}
	log, _ = run("cached", func(r *build.Request) {
		r.SourceID, r.Secrets = "", []config.Variable{{Name: "TOKEN", Value: "token-two"}}
	})
	if n := cached(log); n != 3 {
		t.Errorf("with another value of the secret, %d steps are cached:\n%s", n, log)
	}
	if log, _ := run("another", nil); cached(log) != 0 {
		t.Errorf("another service uses the layers of this one:\n%s", log)
	}

	// The name of the base image means another image.
	if _, err := s.images.Put(t.Context(), "moving:1", imagetest.Shell(t, imagetest.Options{Labels: map[string]string{"v": "1"}})); err != nil {
		t.Fatal(err)
	}
	tree = map[string]string{"Dockerfile": "FROM moving:1\nRUN echo ran\n"}
	run("moving", nil)
	if _, res := run("moving", nil); !res.Cached {
		t.Error("nothing has changed, and it was built again")
	}
	if _, err := s.images.Put(t.Context(), "moving:1", imagetest.Shell(t, imagetest.Options{Labels: map[string]string{"v": "2"}})); err != nil {
		t.Fatal(err)
	}
	if log, res := run("moving", nil); res.Cached || cached(log) != 0 {
		t.Errorf("the base image is another one, and the build was not repeated:\n%s", log)
	}
	if err := s.builder.Remove("cached"); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(filepath.Join(s.dir, "build", "cache", "cached")); !os.IsNotExist(err) {
		t.Errorf("after its removal, the service has %v, %v", left, err)
	}
}

// TestDockerfileCancel ends a build in its middle: it returns at once, says why, leaves
// nothing and what was done counts for the next one.
func TestDockerfileCancel(t *testing.T) {
	s := dockerStand(t)
	tree := map[string]string{"Dockerfile": "FROM base:1\nRUN echo first\nRUN echo waits && sleep 100\n"}
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("the user stopped it")
	began := time.Now()
	_, err := s.builder.Build(ctx, build.Request{Service: "cancelled", Dockerfile: "Dockerfile", Tree: files(t, tree)}, func(l build.Line) {
		if strings.HasSuffix(l.Text, " waits") {
			cancel(stopped)
		}
	})
	if !errors.Is(err, stopped) || slipway.CodeOf(err) != "" || time.Since(began) > 30*time.Second {
		t.Errorf("it ended after %v with %v", time.Since(began), err)
	}
	if left, err := os.ReadDir(filepath.Join(s.dir, "build", "work")); err != nil || len(left) > 0 {
		t.Errorf("it left %v, %v", left, err)
	}
	tree["Dockerfile"] = "FROM base:1\nRUN echo first\nRUN echo waits\n"
	log, _, err := s.build(t, build.Request{Service: "cancelled", Dockerfile: "Dockerfile", Tree: files(t, tree)})
	if err != nil || strings.Count(log, " CACHED") != 1 {
		t.Errorf("the next build: %v\n%s", err, log)
	}
}
