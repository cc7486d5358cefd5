package api_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/smithy-go"

	"github.com/openslipway/slipway/internal/sdkhttp"
	"github.com/openslipway/slipway/internal/wire"
)

// sdk is one of AWS's clients. It calls an operation with an input in the
// model's names and returns the output in the model's names as the client sees
// it, with times in milliseconds, or the code of an error.
type sdk interface {
	call(t *testing.T, operation string, input any) (output map[string]any, code, message string)
}

// sdks starts clients of the bench's gateway. The tests of a client that is not on
// this machine, and can't be fetched, are skipped.
var sdks = map[string]func(*testing.T, *bench) sdk{
	"go":         newGoSDK,
	"boto3":      newBoto3,
	"javascript": newJavaScript,
}

// goSDK is the SDK for Go.
type goSDK struct{ client *apprunner.Client }

func newGoSDK(_ *testing.T, b *bench) sdk { return goSDK{b.client()} }

func (g goSDK) call(t *testing.T, operation string, input any) (map[string]any, string, string) {
	t.Helper()
	method := reflect.ValueOf(g.client).MethodByName(operation)
	in := reflect.New(method.Type().In(1).Elem())
	text, err := json.Marshal(input)
	if err == nil {
		err = wire.Unmarshal(text, in.Interface())
	}
	if err != nil {
		t.Fatal(err)
	}
	result := method.Call([]reflect.Value{reflect.ValueOf(t.Context()), in})
	if err, _ := result[1].Interface().(error); err != nil {
		e, ok := errors.AsType[smithy.APIError](err)
		if !ok {
			t.Fatal(err)
		}
		return nil, e.ErrorCode(), e.ErrorMessage()
	}
	return document(result[0]).(map[string]any), "", ""
}

// document returns the content of one of the SDK's structs by the model's names.
func document(v reflect.Value) any {
	switch v.Kind() {
	case reflect.Pointer:
		return document(v.Elem())
	case reflect.Struct:
		if at, ok := v.Interface().(time.Time); ok {
			return float64(at.UnixMilli())
		}
		object := map[string]any{}
		for f, value := range v.Fields() {
			if !f.IsExported() || f.Name == "ResultMetadata" || unset(value) {
				continue
			}
			object[f.Name] = document(value)
		}
		return object
	case reflect.Slice:
		list := []any{}
		for i := range v.Len() {
			list = append(list, document(v.Index(i)))
		}
		return list
	case reflect.Map:
		object := map[string]any{}
		for _, key := range v.MapKeys() {
			object[key.String()] = document(v.MapIndex(key))
		}
		return object
	case reflect.String:
		return v.String()
	case reflect.Int32:
		return float64(v.Int())
	}
	return v.Bool()
}

// unset reports whether a field is absent. An enumerated value is not a pointer;
// it is absent if it is empty.
func unset(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		return v.IsNil()
	case reflect.String:
		return v.Len() == 0
	}
	return false
}

// process is a client in a separate process, which answers line by line.
type process struct {
	in     io.Writer
	out    *bufio.Reader
	stderr *bytes.Buffer
}

func newProcess(t *testing.T, b *bench, name string, args ...string) sdk {
	t.Helper()
	srv := httptest.NewServer(b.Handler)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	cmd := exec.CommandContext(ctx, name, append(args, srv.URL, region, b.Key.ID, b.Key.Secret)...)
	p := process{stderr: &bytes.Buffer{}}
	cmd.Stderr = p.stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cancel()
		cmd.Wait()
		srv.Close()
	})
	p.in, p.out = in, bufio.NewReader(out)
	return p
}

func (p process) call(t *testing.T, operation string, input any) (map[string]any, string, string) {
	t.Helper()
	line, err := json.Marshal(map[string]any{"operation": operation, "input": input})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		t.Fatalf("%s: %v\n%s", operation, err, p.stderr)
	}
	reply, err := p.out.ReadBytes('\n')
	if err != nil {
		t.Fatalf("%s: %v\n%s", operation, err, p.stderr)
	}
	var answer struct {
		Output         map[string]any
		Error, Message string
	}
	if err := json.Unmarshal(reply, &answer); err != nil {
		t.Fatalf("%s: %v: %s", operation, err, reply)
	}
	return answer.Output, answer.Error, answer.Message
}

const clients = "testdata/clients"

// newBoto3 starts the SDK for Python.
func newBoto3(t *testing.T, b *bench) sdk {
	t.Helper()
	for _, python := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(python, "-c", "import boto3").Run() == nil {
			return newProcess(t, b, python, filepath.Join(clients, "python.py"))
		}
	}
	t.Skip("skipped: there is no boto3 (Debian's python3-boto3)")
	return nil
}

// newJavaScript starts the SDK for JavaScript, which npm installs once into the
// user's cache.
func newJavaScript(t *testing.T, b *bench) sdk {
	t.Helper()
	manifest, err := os.ReadFile(filepath.Join(clients, "package.json"))
	if err != nil {
		t.Fatal(err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skipf("skipped: there is no place for JavaScript's SDK: %v", err)
	}
	h := fnv.New64a()
	h.Write(manifest)
	dir := filepath.Join(cache, "slipway-test", fmt.Sprintf("javascript-%x", h.Sum64()))
	if _, err := os.Stat(dir); err != nil {
		if err := installJavaScript(dir, manifest); err != nil {
			t.Skipf("skipped: JavaScript's SDK can't be installed: %v", err)
		}
	}
	// Node resolves modules from the script's directory, not from the working one.
	script, err := os.ReadFile(filepath.Join(clients, "javascript.mjs"))
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.CreateTemp(dir, "run-*.mjs")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(file.Name()) })
	if _, err := file.Write(script); err != nil {
		t.Fatal(err)
	}
	file.Close()
	return newProcess(t, b, "node", file.Name())
}

// installJavaScript installs what the manifest names into a directory, which
// appears complete or not at all.
func installJavaScript(dir string, manifest []byte) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(filepath.Dir(dir), "new-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	if err := os.WriteFile(filepath.Join(temp, "package.json"), manifest, 0o644); err != nil {
		return err
	}
	cmd := exec.Command("npm", "install", "--no-audit", "--no-fund", "--ignore-scripts")
	cmd.Dir = temp
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("npm install: %w: %.300s", err, out)
	}
	if err := os.Rename(temp, dir); err != nil {
		if _, serr := os.Stat(dir); serr != nil { // not even by another test
			return err
		}
	}
	return nil
}

// client returns the SDK for Go, which calls the bench's API over real HTTP.
func (b *bench) client() *apprunner.Client {
	b.Helper()
	srv := httptest.NewServer(b.Handler)
	b.Cleanup(srv.Close)
	return apprunner.New(apprunner.Options{
		Region:       region,
		BaseEndpoint: &srv.URL,
		Credentials:  credentials.NewStaticCredentialsProvider(b.Key.ID, b.Key.Secret, ""),
		HTTPClient:   &http.Client{Transport: sdkhttp.Transport(srv.Client().Transport)},
		Retryer:      aws.NopRetryer{},
	})
}
