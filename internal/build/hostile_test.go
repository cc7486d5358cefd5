package build_test

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/build"
	"github.com/openslipway/slipway/internal/build/step"
	"github.com/openslipway/slipway/internal/source/config"
)

// TestHostileBuilds runs builds that attack the host, their limits and each other. Each
// is contained, and its log says what happened.
func TestHostileBuilds(t *testing.T) {
	s := sharedStand(t)
	secret := filepath.Join(t.TempDir(), "host-secret")
	if err := os.WriteFile(secret, []byte("the host's secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	warm, _, err := s.build(t, build.Request{Tree: source(t, "hello-python"), File: config.File{Runtime: "python311"}})
	unreachable(t, "Debian's package archive", err, warm)
	t.Setenv("HOST_SECRET", "the host's variable")
	small := build.Limits{Memory: 512, Pids: 64, Disk: 64 << 20, Output: 1 << 20, Time: 60 * time.Second}
	for name, c := range map[string]struct {
		limits   func(l *build.Limits)
		commands []string
		fails    string // what the error has; "" if the build succeeds
		logs     []string
		without  []string
	}{
		"host files": {
			commands: []string{"cat " + secret + " || echo no secret", "ls / /var/lib", "cat /proc/1/environ /proc/*/environ 2>/dev/null | tr '\\0' '\\n'", "env"},
			logs:     []string{"no secret"}, without: []string{"the host's"},
		},
		"devices": {
			commands: []string{"mknod /app/disk b 8 0 || echo no device", "cat /dev/sda /dev/vda /dev/mem 2>&1 || true", "mount -t tmpfs none /mnt 2>&1 || echo no mount"},
			logs:     []string{"no device", "no mount"},
		},
		"links out": {
			commands: []string{"ln -s /etc/shadow shadow", "ln -s ../../../../../../.. up", "cat shadow", "mv /app/server.py /app/other && ln -s /proc/1/root /app/root"},
		},
		"fork bomb": {commands: []string{"python3 -c 'import os\nwhile True: os.fork()'"}, fails: "had met its limit of 64 processes and threads; let it use fewer"},
		"endless fork bomb": {
			limits:   func(l *build.Limits) { l.Time = 5 * time.Second },
			commands: []string{"python3 -c 'import os, time\nwhile True:\n try: os.fork()\n except OSError: time.sleep(.01)'"}, fails: "was killed at the time limit of 5s",
		},
		"memory":         {commands: []string{"python3 -c 'x = bytearray(2 << 30)'"}, fails: "was killed at its memory limit of 512 MiB"},
		"disk":           {commands: []string{"head -c 1G /dev/zero > /app/big"}, fails: "failed when its disk of 64 MiB was full"},
		"never ends":     {limits: func(l *build.Limits) { l.Time = 2 * time.Second }, commands: []string{"sleep 1000"}, fails: "was killed at the time limit of 2s"},
		"left behind":    {commands: []string{"(sleep 1000; echo late) & echo early"}, logs: []string{"early"}, without: []string{"late"}},
		"endless output": {commands: []string{"yes | head -c 50M"}, logs: []string{"The output is longer than its limit of 1 MiB"}},
		"endless line":   {commands: []string{"head -c 100k /dev/zero | tr '\\0' x"}, logs: []string{strings.Repeat("x", 8000)}},
		"escapes":        {commands: []string{`printf '\036forged 7\036 [AppRunner] Successfully\033[2J\n'`}, logs: []string{"[Build] forged 7 [AppRunner] Successfully"}, without: []string{"\x1e", "\x1b"}},
		"whiteout name":  {commands: []string{"touch /app/.wh.main"}, fails: "The build made a file \"/app/.wh.main\""},
		"whiteout node":  {commands: []string{"mknod /app/gone c 0 0 && echo made || echo refused", "rm /app/server.py && test ! -e /app/server.py"}},
		"overlay attributes": {
			commands: []string{"python3 -c 'import os\nos.mkdir(\"/app/d\")\nfor n in (\"trusted.overlay.opaque\", \"user.overlay.opaque\", \"trusted.overlay.redirect\", \"security.capability\"):\n try: os.setxattr(\"/app/d\", n, b\"y\"); print(n, \"set\")\n except OSError as e: print(n, e)'"},
			without:  []string{"trusted.overlay.opaque set", "trusted.overlay.redirect set"},
		},
		"many files": {commands: []string{"python3 -c 'import os\nfor i in range(10**6): open(f\"/app/{i}\", \"w\").close()'"}, fails: "failed when its disk of 64 MiB was full"},
		"holes":      {commands: []string{"truncate -s 100G /app/sparse"}, fails: "failed when its disk of 64 MiB was full"},
		"deep directories": {
			commands: []string{"python3 -c 'import os\nos.chdir(\"/app\")\nfor i in range(3000): os.mkdir(\"d\"); os.chdir(\"d\")'"},
			fails:    "The build made directories so deep",
		},
		"deep directories in a cache": {commands: []string{"python3 -c 'import os\nos.chdir(os.environ[\"PIP_CACHE_DIR\"])\nfor i in range(3000): os.mkdir(\"d\"); os.chdir(\"d\")'"}, logs: []string{"have been emptied"}},
		"links for the next stage": {
			commands: []string{"ln -sfn /proc/1/root/etc /app/out; rm -rf /tmp /root; ln -s /app /tmp; ln -s / /root", "ls -la /app"},
		},
		"replaced caches":  {commands: []string{"mv /var /var2 2>/dev/null; ln -sfn /etc /var; mv /var/cache /old; ln -sfn /etc /var/cache; ls -ld /var /var/cache"}},
		"spins":            {limits: func(l *build.Limits) { l.Time = 3 * time.Second }, commands: []string{"while :; do :; done"}, fails: "was killed at the time limit of 3s"},
		"ignores signals":  {limits: func(l *build.Limits) { l.Time = 2 * time.Second }, commands: []string{"trap '' TERM INT HUP; while :; do sleep 1; done"}, fails: "was killed at the time limit of 2s"},
		"replaced app":     {commands: []string{"cd / && rm -rf /app/* && rm -rf /app"}, fails: "The build removed or replaced /app"},
		"host network":     {commands: []string{"python3 -c \"import socket; socket.create_connection(('169.254.169.254', 80), 3)\" 2>&1 && echo reached || echo refused"}, logs: []string{"refused"}, without: []string{"reached"}},
		"kills everything": {commands: []string{"kill -9 -1; echo alive"}, logs: []string{"alive"}}, // but itself and process 1
	} {
		t.Run(name, func(t *testing.T) {
			limits := small
			if c.limits != nil {
				c.limits(&limits)
			}
			began := time.Now()
			log, _, err := s.build(t, build.Request{Tree: source(t, "hello-python"), File: config.File{Runtime: "python311", Build: c.commands, PostBuild: []string{"true"}}, Limits: limits})
			switch {
			case c.fails == "" && err != nil:
				t.Errorf("it failed: %v", err)
			case c.fails == "?" && err == nil:
				t.Error("it succeeded")
			case c.fails != "" && c.fails != "?" && (slipway.CodeOf(err) != slipway.InvalidRequest || !strings.Contains(err.Error(), c.fails)):
				t.Errorf("%v, want %q", err, c.fails)
			}
			for _, want := range c.logs {
				if !strings.Contains(log, want) {
					t.Errorf("the log lacks %.100q", want)
				}
			}
			for _, bad := range c.without {
				if strings.Contains(output(log), bad) {
					t.Errorf("the log has %q", bad)
				}
			}
			if took := time.Since(began); took > 90*time.Second {
				t.Errorf("it took %v", took)
			}
			if t.Failed() {
				t.Logf("%v\n%.4000s", err, log)
			}
		})
	}
}

// output is a log without the echoed commands.
func output(log string) string {
	var kept []string
	for line := range strings.Lines(log) {
		if !strings.Contains(line, "] $ ") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

// TestCachesAreApart has one service try to read and to poison the cache of another.
func TestCachesAreApart(t *testing.T) {
	s := sharedStand(t)
	file := func(command string) config.File { return config.File{Runtime: "python311", Build: []string{command}} }
	one, _, err := s.build(t, build.Request{Service: "one", Tree: source(t, "hello-python"), File: file("echo poison > $PIP_CACHE_DIR/x; ls -A $PIP_CACHE_DIR")})
	unreachable(t, "Debian's package archive", err, one)
	two, _, err := s.build(t, build.Request{Service: "two", Tree: source(t, "hello-python"), File: file("echo has $(ls -A $PIP_CACHE_DIR /var/cache/slipway)")})
	if err != nil || strings.Contains(output(two), "poison") || strings.Contains(output(two), " x") {
		t.Errorf("%v\n%s", err, two)
	}
	again, res, err := s.build(t, build.Request{Service: "one", Tree: source(t, "hello-python"), File: file("cat $PIP_CACHE_DIR/x")})
	if err != nil || !strings.Contains(again, "[Build] poison") {
		t.Errorf("its own cache is gone: %v\n%s", err, again)
	}
	if out := s.start(t, res.Digest, "ls -A /var/cache/slipway/pip 2>/dev/null; echo listed"); strings.Contains(out, "x") {
		t.Errorf("the cache is in the image: %s", out)
	}
	if err := s.builder.Remove("one"); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(filepath.Join(s.dir, "build", "cache", "one")); !os.IsNotExist(err) {
		t.Errorf("after its removal, the service has %v, %v", left, err)
	}
}

// TestNeighbours has a build look for another one that runs beside it: for its
// processes, its variables, its files and its server.
func TestNeighbours(t *testing.T) {
	s := sharedStand(t)
	warm, _, err := s.build(t, build.Request{Tree: source(t, "hello-python"), File: config.File{Runtime: "python311"}})
	unreachable(t, "Debian's package archive", err, warm)
	ctx, cancel := context.WithCancel(t.Context())
	address, up, ended := make(chan string, 1), make(chan bool), make(chan error, 1)
	go func() {
		_, err := s.builder.Build(ctx, build.Request{
			Service: "quiet", Tree: source(t, "hello-python"), Secrets: []config.Variable{{Name: "NEIGHBOUR", Value: "ne1ghbour-secret"}},
			File: config.File{Runtime: "python311", Build: []string{
				"cp /bin/sleep /app/ne1ghbour-program; python3 -m http.server --bind 0.0.0.0 8099 >/dev/null 2>&1 & hostname -I 2>/dev/null || sed -n 's/\t.*//;$p' /etc/hosts",
				"until python3 -c 'import urllib.request; urllib.request.urlopen(\"http://localhost:8099\").read()' 2>/dev/null; do sleep .1; done; echo up; exec /app/ne1ghbour-program 1000",
			}},
		}, func(l build.Line) {
			if host, err := netip.ParseAddr(strings.TrimSpace(l.Text)); err == nil && host.Is4() {
				address <- host.String()
			} else if l.Text == "up" {
				close(up)
			}
		})
		ended <- err
	}()
	host := <-address
	<-up
	var log strings.Builder
	_, err = s.builder.Build(t.Context(), build.Request{Service: "curious", Tree: source(t, "hello-python"), File: config.File{Runtime: "python311", Build: []string{
		"cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\\0' '\\n' | grep 'ne1gh[b]our' && echo found its process || echo no process",
		"find / -xdev -name 'ne1gh*bour-*' 2>/dev/null | grep . && echo found its file || echo no file",
		"python3 -c 'import socket; socket.create_connection((\"" + host + "\", 8099), 3)' 2>/dev/null && echo reached it || echo not reached",
	}}}, func(l build.Line) { log.WriteString(l.String() + "\n") })
	if err != nil {
		t.Errorf("%v\n%s", err, log.String())
	}
	for _, want := range []string{"no process", "no file", "not reached"} {
		if !strings.Contains(output(log.String()), want) {
			t.Errorf("the log lacks %q:\n%s", want, log.String())
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the neighbour ended with %v", err)
	}
}

// TestCacheBomb has a build fill a cache without end.
func TestCacheBomb(t *testing.T) {
	s := sharedStand(t)
	const most = 32 << 20
	dir := filepath.Join(s.dir, "bomb")
	t.Cleanup(func() { os.RemoveAll(dir) })
	b, err := build.New(build.Config{
		Dir: dir, Images: s.images, Runner: step.Runner{Jobs: s.driver}, Runtimes: s.runtimes, Log: slog.New(slog.DiscardHandler), CacheBytes: most,
	})
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	began := time.Now()
	_, err = b.Build(t.Context(), build.Request{Service: "bomb", Tree: source(t, "hello-python"), File: config.File{Runtime: "python311", Build: []string{
		"i=0; while :; do head -c 1M /dev/zero > $PIP_CACHE_DIR/$i; i=$((i+1)); done",
	}}}, func(l build.Line) { log.WriteString(l.String() + "\n") })
	unreachable(t, "Debian's package archive", nil, log.String())
	if slipway.CodeOf(err) != slipway.InvalidRequest || !strings.Contains(err.Error(), "The build was stopped: its dependency caches have grown to more than 64 MiB") {
		t.Errorf("%v\n%s", err, log.String())
	}
	if took := time.Since(began); took > time.Minute {
		t.Errorf("it was stopped after %v", took)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "cache", "bomb", "cache")); err == nil && len(left) > 0 {
		t.Errorf("the cache was not emptied: %v", left)
	}
}

// TestProvenance checks what an image tells of itself: labels and the list of software.
func TestProvenance(t *testing.T) {
	s := sharedStand(t)
	tree := source(t, "hello-python")
	if err := os.WriteFile(tree+"/requirements.txt", []byte("flask==3.0.0\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	log, res, err := s.build(t, build.Request{
		Tree: tree, SourceID: "tree-of-provenance", Commit: "c0ffee", Time: time.Unix(1700000000, 0), Origin: "https://git.example.com/shop",
		File: config.File{Runtime: "python311", Build: []string{
			"mkdir -p lib/greet-1.2.dist-info && printf 'Name: greet\\nVersion: 1.2\\n' > lib/greet-1.2.dist-info/METADATA",
		}},
	})
	unreachable(t, "Debian's package archive", err, log)
	img, err := s.images.Get(res.Digest)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"io.slipway.builder": "test", "io.slipway.runtime": "python311", "io.slipway.source": "tree-of-provenance",
		"org.opencontainers.image.revision": "c0ffee", "org.opencontainers.image.created": "2023-11-14T22:13:20Z", "org.opencontainers.image.source": "https://git.example.com/shop",
	} {
		if got := img.Config.Labels[name]; got != want {
			t.Errorf("label %s is %q, want %q", name, got, want)
		}
	}
	if v := img.Config.Labels["io.slipway.runtime-version"]; !strings.HasPrefix(v, "3.11.") || !strings.HasPrefix(img.Config.Labels["org.opencontainers.image.base.digest"], "sha256:") {
		t.Errorf("labels %v", img.Config.Labels)
	}
	list, err := s.images.SBOM(res.Digest)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"pkg:deb/debian/python3.11@3.11.`, `"pkg:pypi/greet@1.2"`, `"/app/lib/greet-1.2.dist-info/METADATA"`} {
		if !strings.Contains(string(list), want) {
			t.Errorf("the list of software lacks %s", want)
		}
	}
	if strings.Contains(string(list), "flask") {
		t.Error("the list of software has what is not installed")
	}
}

// TestSecrets checks that a secret reaches commands, and neither log nor image.
func TestSecrets(t *testing.T) {
	s := sharedStand(t)
	log, res, err := s.build(t, build.Request{
		Tree: source(t, "hello-python"), Secrets: []config.Variable{{Name: "TOKEN", Value: "t0ken-value"}},
		File: config.File{Runtime: "python311", Build: []string{`test "$TOKEN" = t0ken-value`, "echo it is $TOKEN"}},
	})
	unreachable(t, "Debian's package archive", err, log)
	if !strings.Contains(log, "[Build] it is ***") {
		t.Error(log)
	}
	img, err := s.images.Get(res.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if text := strings.Join(img.Config.Env, " "); strings.Contains(text, "TOKEN") {
		t.Errorf("the image has %s", text)
	}
	if out := s.start(t, res.Digest, "grep -r t0ken-value /app /root /tmp /run 2>/dev/null; echo searched"); strings.Contains(out, "t0ken") {
		t.Error(out)
	}
}
