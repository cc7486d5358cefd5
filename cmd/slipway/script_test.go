package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/openslipway/slipway/internal/image/imagetest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"slipway": main})
}

// scriptLimit bounds waiting within scripts; a wait asks for a condition, and
// this is when it is thought never to come.
const scriptLimit = 60 * time.Second

// TestScripts runs testdata/script/*.txtar, sessions of a user with real
// servers. They need root, as servers do, but for those that have none. Beside
// the commands of testscript there are
//
//	ready FILE         wait for a server's ready file, and name that server in the environment
//	ask CODE URL TEXT  request a service's URL until the answer has the status and the text
//	says FILE          wait until a file has a line
//	freeport NAME      set NAME to a port that nothing listens on
//
// and the images hello.tar (version one of a service that greets with GREETING),
// hello2 (version two, an OCI layout) and broken.tar (whose program is missing).
func TestScripts(t *testing.T) {
	t.Parallel()
	images := scriptImages(t)
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
			"ready":    scriptReady,
			"ask":      scriptAsk,
			"freeport": scriptFreePort,
			"says":     scriptSays,
		},
	})
}

// scriptImages makes the images that scripts use and returns where they are.
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

// eventually asks for a condition until it holds.
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

func scriptReady(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: ready FILE")
	}
	useServer(ts, ts.MkAbs(args[0]))
	ts.Defer(func() { deleteServices(ts) })
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

// deleteServices deletes all services that a script has left, since instances
// outlive their server. Where that has ended, another one does it.
func deleteServices(ts *testscript.TestScript) {
	if deleteAll(ts) {
		return
	}
	ready := filepath.Join(ts.Getenv("WORK"), "last.json")
	serve := exec.Command("slipway", "serve", "--ready-file", ready)
	serve.Path = filepath.Join(strings.Split(ts.Getenv("PATH"), string(os.PathListSeparator))[0], "slipway")
	serve.Env = []string{"PATH=" + os.Getenv("PATH")}
	for _, name := range []string{"SLIPWAY_DATA_DIR", "SLIPWAY_API_ADDR", "SLIPWAY_HTTP_ADDR", "HOME"} {
		serve.Env = append(serve.Env, name+"="+ts.Getenv(name))
	}
	if err := serve.Start(); err != nil {
		ts.Logf("start a server to delete what is left: %v", err)
		return
	}
	useServer(ts, ready)
	if !deleteAll(ts) {
		ts.Logf("services are left in %s", ts.Getenv("SLIPWAY_DATA_DIR"))
	}
	serve.Process.Signal(os.Interrupt)
	serve.Wait()
}

// deleteAll deletes all services, and reports false when no server answers.
func deleteAll(ts *testscript.TestScript) bool {
	run := func(args ...string) string {
		var out bytes.Buffer
		m := &Main{Stdin: strings.NewReader(""), Stdout: &out, Stderr: io.Discard, Getenv: ts.Getenv, Now: time.Now}
		ctx, cancel := context.WithTimeout(context.Background(), scriptLimit)
		defer cancel()
		m.Run(ctx, args)
		return out.String()
	}
	var list struct {
		ServiceSummaryList []struct{ ServiceName, ServiceArn, Status string }
	}
	for {
		if err := json.Unmarshal([]byte(run("ls", "--json")), &list); err != nil {
			return false
		}
		if len(list.ServiceSummaryList) == 0 {
			return true
		}
		for _, s := range list.ServiceSummaryList {
			if s.Status != "OPERATION_IN_PROGRESS" {
				run("rm", s.ServiceArn)
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

// ask sends one request to a service: to its listener on the loopback, for
// hosts below slipway.localhost need not resolve everywhere.
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

func scriptFreePort(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: freeport NAME")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	_, port, err := net.SplitHostPort(l.Addr().String())
	ts.Check(errors.Join(err, l.Close()))
	ts.Setenv(args[0], port)
}
