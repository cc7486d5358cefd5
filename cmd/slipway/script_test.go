package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/openslipway/slipway/internal/image/imagetest"
	"github.com/openslipway/slipway/internal/runtime/embedded/sandboxinit"
)

func TestMain(m *testing.M) {
	// The test binary is the server's program, and may be its own init.
	if sandboxinit.Wanted(os.Args) {
		sandboxinit.Main()
	}
	testscript.Main(m, map[string]func(){"slipway": main})
}

// scriptLimit is how long scripts wait for a condition before they fail.
const scriptLimit = 60 * time.Second

// TestScripts runs testdata/script/*.txtar, sessions of a user with real
// servers. They need root, as servers do, except for scripts without a server. In
// addition to the commands of testscript there are
//
//	serve [FLAG...]    start a server and name it in the environment
//	ready FILE         wait for the ready file of another one, and name that
//	ask CODE URL TEXT  request a service's URL until the answer has the status and the text
//	says FILE          wait until a file has a line
//	freeport NAME      set NAME to a port that nothing listens on
//
// and the images hello.tar (version one of a service that greets with GREETING),
// hello2 (version two, an OCI layout) and broken.tar (whose program is missing).
func TestScripts(t *testing.T) {
	t.Parallel()
	images := scriptImages(t)
	s := scripts{t}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		Setup:               func(e *testscript.Env) error { return setUpScript(e, images) },
		Condition: func(name string) (bool, error) {
			if name == "root" {
				return os.Geteuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %q", name)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"serve":    s.serve,
			"ready":    s.ready,
			"ask":      scriptAsk,
			"freeport": scriptFreePort,
			"says":     scriptSays,
		},
	})
}

// scripts is shared by the commands: the test that fails when a server does.
type scripts struct{ t *testing.T }

// scriptImages creates the images of the scripts and returns their directory.
func scriptImages(t *testing.T) map[string]string {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil // no script that uses them can run
	}
	program := imagetest.Program(t, "../../internal/image/imagetest/testdata/hello")
	hello := func(version string) imagetest.Options {
		return imagetest.Options{Ports: []string{"8000/tcp"}, Env: []string{"GREETING=" + version}, User: "1000"}
	}
	return map[string]string{
		"hello.tar":  imagetest.SaveTar(t, imagetest.Run(t, program, hello("one")), "hello:1.0"),
		"hello2":     imagetest.SaveLayout(t, imagetest.Run(t, program, hello("two")), "hello:2.0"),
		"broken.tar": imagetest.SaveTar(t, imagetest.Run(t, program, imagetest.Options{Entrypoint: []string{"/missing"}}), "broken:1.0"),
	}
}

func setUpScript(e *testscript.Env, images map[string]string) error {
	for name, path := range images {
		if err := os.Symlink(path, filepath.Join(e.WorkDir, name)); err != nil {
			return err
		}
	}
	e.Setenv("HOME", filepath.Join(e.WorkDir, "home"))
	e.Setenv("NO_COLOR", "1")
	e.Setenv("SLIPWAY_DATA_DIR", filepath.Join(e.WorkDir, "data"))
	e.Setenv("SLIPWAY_API_ADDR", "127.0.0.1:0")
	e.Setenv("SLIPWAY_HTTP_ADDR", "127.0.0.1:0")
	e.Setenv("SLIPWAY_READY_FILE", filepath.Join(e.WorkDir, "ready.json"))
	return nil
}

// eventually polls a condition until it holds.
func eventually(ts *testscript.TestScript, what string, holds func() error) {
	deadline := time.Now().Add(scriptLimit)
	for {
		err := holds()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s: %v", what, err)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// serve starts a server. After the script all services are deleted and it ends.
func (s scripts) serve(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: serve [FLAG...]")
	}
	stop, err := s.start(ts, args...)
	ts.Check(err)
	ts.Defer(stop)
}

func (s scripts) ready(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: ready FILE")
	}
	useServer(ts, ts.MkAbs(args[0]))
	ts.Defer(func() {
		if ts.Getenv("SCRIPT_CLEAN") != "" {
			return
		}
		// The server has ended, but its instances run.
		stop, err := s.start(ts)
		if err != nil {
			s.t.Errorf("start a server to delete what is left: %v", err)
			return
		}
		stop()
	})
}

// start starts a server for the script and returns what deletes all its
// services and ends it.
func (s scripts) start(ts *testscript.TestScript, args ...string) (stop func(), err error) {
	file := filepath.Join(ts.Getenv("WORK"), "serve.json")
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	serve := exec.Command("slipway", append([]string{"serve", "--ready-file", file}, args...)...)
	// The program is this test binary, under the name that testscript gave it.
	serve.Path = filepath.Join(strings.Split(ts.Getenv("PATH"), string(os.PathListSeparator))[0], "slipway")
	serve.Env = []string{"PATH=" + os.Getenv("PATH")}
	for _, name := range []string{"SLIPWAY_DATA_DIR", "SLIPWAY_API_ADDR", "SLIPWAY_HTTP_ADDR", "HOME"} {
		serve.Env = append(serve.Env, name+"="+ts.Getenv(name))
	}
	var log bytes.Buffer
	serve.Stdout, serve.Stderr = &log, &log
	if err := serve.Start(); err != nil {
		return nil, err
	}
	served := false
	defer func() {
		if !served {
			serve.Process.Kill()
			serve.Wait()
			s.t.Errorf("slipway serve did not serve:\n%s", &log)
		}
	}()
	useServer(ts, file)
	served = true
	return func() {
		if err := deleteAll(ts); err != nil {
			s.t.Errorf("services are left: %v", err)
		} else {
			ts.Setenv("SCRIPT_CLEAN", "yes")
		}
		serve.Process.Signal(os.Interrupt)
		if err := serve.Wait(); err != nil {
			s.t.Errorf("slipway serve: %v\n%s", err, &log)
		}
		ts.Logf("[serve]\n%s", &log)
	}, nil
}

// useServer waits for a ready file and names the server in the environment.
func useServer(ts *testscript.TestScript, file string) {
	var ready struct{ API string }
	eventually(ts, "the server gets ready", func() error {
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		return json.Unmarshal(b, &ready)
	})
	ts.Setenv("SLIPWAY_ENDPOINT", ready.API)
}

func scriptSays(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: says FILE")
	}
	eventually(ts, args[0]+" gets a line", func() error {
		b, err := os.ReadFile(ts.MkAbs(args[0]))
		if err == nil && !bytes.HasSuffix(b, []byte("\n")) {
			err = errors.New("no line yet")
		}
		return err
	})
}

// deleteAll deletes all services: their instances would outlive the server.
func deleteAll(ts *testscript.TestScript) error {
	run := func(args ...string) (string, error) {
		var out, errs bytes.Buffer
		m := &Main{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Getenv: ts.Getenv, Now: time.Now}
		ctx, cancel := context.WithTimeout(context.Background(), scriptLimit)
		defer cancel()
		if code := m.Run(ctx, args); code != exitOK {
			return "", fmt.Errorf("slipway %s: exit code %d: %s", strings.Join(args, " "), code, &errs)
		}
		return out.String(), nil
	}
	var list struct {
		ServiceSummaryList []struct{ ServiceName, ServiceArn, Status string }
	}
	for {
		out, err := run("ls", "--json")
		if err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(out), &list); err != nil {
			return err
		}
		if len(list.ServiceSummaryList) == 0 {
			return nil
		}
		for _, s := range list.ServiceSummaryList {
			if s.Status == "OPERATION_IN_PROGRESS" {
				continue
			}
			if _, err := run("rm", s.ServiceArn, "--yes"); err != nil {
				return err
			}
		}
		list.ServiceSummaryList = nil
		<-time.After(20 * time.Millisecond)
	}
}

func scriptAsk(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: ask CODE URL TEXT")
	}
	url := strings.TrimSpace(args[1])
	if strings.HasPrefix(url, "@") { // a file with the URL
		url = strings.TrimSpace(ts.ReadFile(url[1:]))
	}
	eventually(ts, "GET "+url, func() error { return ask(url, args[0], args[2]) })
}

// ask sends one request to a service's listener on the loopback address, since
// hosts below slipway.localhost do not resolve everywhere.
func ask(url, code, text string) error {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(req.URL.Host)
	if err != nil {
		return err
	}
	req.Host, req.URL.Host = req.URL.Host, net.JoinHostPort("127.0.0.1", port)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if fmt.Sprint(resp.StatusCode) != code || !strings.Contains(string(body), text) {
		return fmt.Errorf("%s: %s", resp.Status, body)
	}
	return nil
}

// scriptFreePort returns a port below the kernel's range of ephemeral ports, so that
// no other process takes it before the script's server listens.
func scriptFreePort(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: freeport NAME")
	}
	for range 100 {
		port := strconv.Itoa(10_000 + rand.IntN(10_000))
		if l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port)); err == nil {
			ts.Check(l.Close())
			ts.Setenv(args[0], port)
			return
		}
	}
	ts.Fatalf("no free port")
}
