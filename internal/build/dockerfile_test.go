package build_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/openslipway/slipway/internal/build"
	"github.com/openslipway/slipway/internal/build/docker"
	"github.com/openslipway/slipway/internal/build/step"
	"github.com/openslipway/slipway/internal/image/imagetest"
	"github.com/openslipway/slipway/internal/source/config"
)

// baseOnce puts the images that Dockerfiles of the tests begin with into the store.
var baseOnce sync.Once

// dockerStand is the stand with base images.
func dockerStand(t *testing.T) *stand {
	t.Helper()
	if !docker.Available() {
		t.Skip("the programs for Dockerfiles are not built: run `make programs`")
	}
	s := sharedStand(t)
	baseOnce.Do(func() {
		for name, o := range map[string]imagetest.Options{
			"base:1": {Env: []string{"FROM_BASE=yes"}}, "base:user": {User: "app", Dir: "/home/app"},
		} {
			if _, err := s.images.Put(t.Context(), name, imagetest.Shell(t, o)); err != nil {
				t.Fatal(err)
			}
		}
	})
	return s
}

// context makes a source tree of files by name.
func files(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tree")
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		mode := os.FileMode(0o644)
		if strings.HasPrefix(text, "#!") {
			mode = 0o755
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// runImage runs the command of an image, or another by its shell, and returns its output.
func (s *stand) runImage(t *testing.T, digest, command string) string {
	t.Helper()
	img, err := s.images.Get(digest)
	if err != nil {
		t.Fatal(err)
	}
	argv := append(img.Config.Entrypoint, img.Config.Cmd...)
	if command != "" {
		argv = []string{"/bin/sh", "-c", command}
	}
	var out strings.Builder
	res, err := step.Runner{Jobs: s.driver}.Exec(t.Context(), step.Process{
		Image: digest, Argv: argv, Env: img.Config.Env, Dir: img.Config.Dir, User: img.Config.User, Limits: step.Limits{Memory: 512, Pids: 500},
	}, func(b []byte) { out.Write(b) })
	if err != nil || res.Exit.Code != 0 {
		t.Errorf("%q ended with %+v, %v: %s", argv, res.Exit, err, out.String())
	}
	return strings.TrimSpace(out.String())
}

// TestDockerfiles builds a Dockerfile for each feature and runs what it makes.
func TestDockerfiles(t *testing.T) {
	s := dockerStand(t)
	for name, c := range map[string]struct {
		file    string
		files   map[string]string
		request build.Request
		command string // "": the image's own
		want    string
		logs    []string
		without []string
	}{
		"stages": {
			file: `# syntax=docker/dockerfile:1
ARG TAG=1
FROM base:$TAG AS build
WORKDIR /src
COPY main.txt .
RUN cat main.txt > /out && echo built >> /out

FROM base:1
COPY --from=build /out /app/out
WORKDIR /app
CMD ["cat", "out"]
`,
			files: map[string]string{"main.txt": "main\n"}, want: "main\nbuilt",
			logs: []string{"[Build] #", "RUN cat main.txt > /out && echo built >> /out", "CMD"}[:2],
		},
		"arguments": {
			file: `ARG VERSION=none
FROM base:1
ARG VERSION
ARG NAME=nobody
ENV GREETING="hello $NAME"
RUN echo "$VERSION $NAME $GREETING" > /said
ENTRYPOINT ["cat"]
CMD ["/said"]
`,
			request: build.Request{Args: []config.Variable{{Name: "NAME", Value: "you"}}}, want: "none you hello you",
		},
		"shell forms": {
			file:    "FROM base:1\nSHELL [\"/bin/sh\", \"-ec\"]\nENV A=1\nRUN echo $A > /a\nCMD echo $(cat /a) $A $FROM_BASE\n",
			want:    "1 1 yes",
			without: []string{"cannot"},
		},
		"users": {
			file: "FROM base:1\nRUN mkdir /data && chown app:web /data\nUSER app\nWORKDIR /data\nRUN id -un > who; id -gn >> who; echo $HOME >> who\nCMD [\"cat\", \"who\"]\n",
			want: "app\napp\n/home/app",
		},
		"inherited": {
			file: "FROM base:user\nRUN pwd > /tmp/where; id -u >> /tmp/where\nCMD [\"cat\", \"/tmp/where\"]\n", want: "/home/app\n1000",
		},
		"secrets": {
			file: `FROM base:1
RUN --mount=type=secret,id=TOKEN test "$(cat /run/secrets/TOKEN)" = s3cret-value && stat -c %a /run/secrets/TOKEN > /mode
RUN --mount=type=secret,id=TOKEN,env=HIDDEN echo "it is $HIDDEN" && test "$HIDDEN" = s3cret-value
RUN --mount=type=secret,id=TOKEN,target=/t,mode=0444,uid=1000 stat -c '%a %u' /t >> /mode
RUN --mount=type=secret,id=none test ! -e /run/secrets/none
CMD cat /mode; ls /run/secrets 2>/dev/null; env; grep -r s3cret / --include=* -s -l 2>/dev/null; true
`,
			request: build.Request{Secrets: []config.Variable{{Name: "TOKEN", Value: "s3cret-value"}}},
			command: "cat /mode; ls -d /run/secrets /t 2>/dev/null; env | grep -c s3cret; true", want: "400\n444 1000\n0",
			logs: []string{"it is ***"}, without: []string{"s3cret-value"},
		},
		"mounts": {
			file: `FROM base:1 AS other
RUN mkdir /o && echo other > /o/file
FROM base:1
RUN --mount=type=bind,source=dir,target=/in cat /in/file > /a && ! touch /in/x
RUN --mount=type=bind,from=other,source=/o,target=/o,rw cat /o/file >> /a && touch /o/x
RUN --mount=type=tmpfs,target=/scratch touch /scratch/x && stat -f -c %T /scratch >> /a
RUN --mount=type=cache,target=/var/run/cache,uid=1000,mode=0700 stat -c '%u %a' /var/run/cache >> /a && touch /run/cache/x
RUN --mount=type=cache,target=/var/run/cache,uid=1000,mode=0700 ls /run/cache >> /a
RUN --mount=type=cache,from=other,source=/o,target=/seeded,id=seeded cat /seeded/file >> /a
CMD cat /a; ls -d /in /o /scratch /run/cache /seeded 2>/dev/null; true
`,
			files: map[string]string{"dir/file": "from the context\n"},
			want:  "from the context\nother\ntmpfs\n1000 700\nx\nother",
		},
		"heredocs": {
			file: `FROM base:1
RUN <<EOF
echo one > /a
echo two >> /a
echo one > /a
echo two >> /a
EOF
RUN <<"SCRIPT" cat >> /a
$HOME
SCRIPT
RUN <<EOF
#!/bin/sh
echo "three $0" >> /a
EOF
ARG WHO=you
COPY <<END /greeting
hello $WHO
END
COPY --chmod=0755 <<"A" <<"B" /dir/
#!/bin/sh
echo from a
A
b
B
CMD cat /a /greeting /dir/B; /dir/A
`,
			want: "one\ntwo\n$HOME\nthree /.slipway/pipes/EOF\nhello you\nb\nfrom a",
		},
		"ignore file": {
			file:  "FROM base:1\nCOPY . /c\nCMD find /c -type f | sort\n",
			files: map[string]string{".dockerignore": "*.log\ndir\n!dir/keep.log\n# no\n", "a.log": "", "b.txt": "", "dir/x": "", "dir/keep.log": ""},
			want:  "/c/.dockerignore\n/c/Dockerfile\n/c/b.txt\n/c/dir/keep.log",
		},
		"ignore file of the Dockerfile": {
			file:    "FROM scratch\n",
			request: build.Request{Dockerfile: "deploy/Prod.dockerfile"},
			files: map[string]string{
				".dockerignore": "*", "deploy/Prod.dockerfile": "FROM base:1\nCOPY . /c\nCMD find /c -type f | sort\n", "deploy/Prod.dockerfile.dockerignore": "deploy\nDockerfile\n", "x": "",
			},
			want: "/c/.dockerignore\n/c/x",
		},
		"target": {
			file:    "FROM base:1 AS one\nCMD echo one\nFROM base:1 AS two\nRUN exit 1\n",
			request: build.Request{Target: "one"}, want: "one", without: []string{"exit 1"},
		},
		"copies": {
			file: `FROM base:1
COPY --chmod=0600 --chown=app:web a.txt /one
COPY --chown=12:34 a.txt b*.txt /dir/
COPY --link a.txt /linked/
COPY --link --chown=5 a.txt /linked/b.txt
COPY --parents deep/er/*.txt /p/
COPY --exclude=b* *.txt /x/
COPY --chmod=u=rx,go= a.txt /text
COPY deep /whole
ADD a.txt /var/run/added
CMD stat -c '%n %a %u:%g' /one /dir/* /linked/* /p/deep/er/c.txt /x/* /text /whole/er/c.txt /run/added
`,
			files: map[string]string{"a.txt": "a", "b1.txt": "b", "b2.txt": "b", "deep/er/c.txt": "c"},
			want: "/one 600 1000:2000\n/dir/a.txt 644 12:34\n/dir/b1.txt 644 12:34\n/dir/b2.txt 644 12:34\n/linked/a.txt 644 0:0\n/linked/b.txt 644 5:5\n" +
				"/p/deep/er/c.txt 644 0:0\n/x/a.txt 644 0:0\n/text 500 0:0\n/whole/er/c.txt 644 0:0\n/run/added 644 0:0",
		},
		"archives": {
			file: "FROM base:1\nADD a.tar /t/\nCOPY a.tar /c/\nCMD cat /t/inside /t/etc/escaped; ls /t /c\n",
			files: map[string]string{
				"a.tar": string(imagetest.Tar(t, imagetest.Text("inside", "in the archive\n"), imagetest.Dir("etc/", 0o755), imagetest.Symlink("out", "/etc"), imagetest.Text("out/escaped", "x"))),
			},
			want: "in the archive\nx/c:\na.tar\n\n/t:\netc\ninside\nout",
		},
		"from scratch": {
			file: "FROM base:1 AS b\nRUN mkdir /empty\nFROM scratch\nCOPY --from=b / /\nRUN rm /bin/../tmp/../etc/group; echo done > /x\nCMD [\"/bin/cat\", \"/x\"]\n", want: "done",
		},
		"copy from an image": {
			file: "FROM base:1\nCOPY --from=base:user /etc/passwd /copied\nCMD head -n 1 /copied\n", want: "root:x:0:0:root:/root:/bin/sh",
		},
		"onbuild": {
			file: "FROM base:1 AS base\nONBUILD COPY a.txt /a\nONBUILD RUN echo more >> /a\nFROM base\nCMD [\"cat\", \"/a\"]\n", files: map[string]string{"a.txt": "a\n"}, want: "a\nmore",
		},
		"files that go": {
			file: "FROM base:1\nRUN mkdir /d && touch /d/a /d/b\nRUN rm -r /d && mkdir /d && touch /d/c\nRUN rm /usr/bin/wc\nCMD ls /d; ls /usr/bin/wc 2>/dev/null; true\n", want: "c",
		},
		"no network": {
			file: "FROM base:1\nRUN --network=none cat /sys/class/net/eth0/operstate > /a\nCMD cat /a\n", want: "down",
		},
		"variables of the service": {
			file:    "FROM base:1\nENV MODE=own\nRUN echo $CI $MODE > /a\nCMD cat /a; echo $CI\n",
			request: build.Request{Env: []config.Variable{{Name: "CI", Value: "true"}, {Name: "MODE", Value: "the service's"}}}, want: "true own",
		},
		"source directory": {
			file:    "FROM scratch\n",
			request: build.Request{SourceDirectory: "services/shop"},
			files:   map[string]string{"services/shop/Dockerfile": "FROM base:1\nCOPY . /c\nCMD find /c -type f | sort\n", "services/shop/x": ""}, want: "/c/Dockerfile\n/c/x",
		},
	} {
		t.Run(name, func(t *testing.T) {
			tree := map[string]string{"Dockerfile": c.file}
			for n, text := range c.files {
				tree[n] = text
			}
			r := c.request
			if r.Dockerfile == "" {
				r.Dockerfile = "Dockerfile"
			}
			r.Tree = files(t, tree)
			log, res, err := s.build(t, r)
			if err != nil {
				t.Fatalf("%v\n%s", err, log)
			}
			if got := s.runImage(t, res.Digest, c.command); got != c.want {
				t.Errorf("the image prints\n%s\nwant\n%s\n%s", got, c.want, log)
			}
			for _, l := range c.logs {
				if !strings.Contains(log, l) {
					t.Errorf("the log lacks %q:\n%s", l, log)
				}
			}
			for _, l := range c.without {
				if strings.Contains(log, l) {
					t.Errorf("the log has %q:\n%s", l, log)
				}
			}
		})
	}
}
