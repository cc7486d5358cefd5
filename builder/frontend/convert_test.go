package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/openslipway/slipway/internal/build/docker/graph"
)

// base is an image as the daemon describes it.
func base(config string) graph.Image {
	return graph.Image{
		Digest: "sha256:0123456789012345678901234567890123456789012345678901234567890123",
		Config: json.RawMessage(`{"architecture":"amd64","os":"linux","config":` + config + `,"rootfs":{"type":"layers","diff_ids":["sha256:0123456789012345678901234567890123456789012345678901234567890123"]}}`),
	}
}

// ask converts a Dockerfile and checks the answer as package docker does.
func ask(t *testing.T, r graph.Request) graph.Answer {
	t.Helper()
	if r.Platform == "" {
		r.Platform, r.Name = "linux/amd64", "Dockerfile"
	}
	a, err := convert(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := graph.Parse(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return parsed
}

// Base images are asked for once each, by the names that Slipway looks up.
func TestWanted(t *testing.T) {
	t.Parallel()
	r := graph.Request{
		Dockerfile: []byte("ARG V=12\nFROM debian:$V AS a\nRUN x\nFROM ghcr.io/one/two@sha256:0123456789012345678901234567890123456789012345678901234567890123 AS b\nFROM a\nCOPY --from=b /x /x\nRUN --mount=from=busybox,target=/b x\n"),
		Args:       map[string]string{"V": "13"}, Images: map[string]graph.Image{},
	}
	names := map[string]bool{}
	for _, w := range ask(t, r).Wanted {
		names[w.Name] = true
		r.Images[w.Name] = base(`{}`)
	}
	for _, want := range []string{"debian:13", "busybox:latest", "ghcr.io/one/two@sha256:0123456789012345678901234567890123456789012345678901234567890123"} {
		if !names[want] {
			t.Errorf("%s is not asked for, but %v", want, names)
		}
	}
	if a := ask(t, r); len(a.Wanted) > 0 || a.Error != nil || len(a.Steps) == 0 {
		t.Errorf("with all images the answer is %+v", a)
	}
}

// Triggers of a base image can need another one.
func TestTriggers(t *testing.T) {
	t.Parallel()
	r := graph.Request{Dockerfile: []byte("FROM one\n"), Images: map[string]graph.Image{"one:latest": base(`{"OnBuild":["COPY --from=two /a /b"]}`)}}
	if a := ask(t, r); len(a.Wanted) != 1 || a.Wanted[0].Name != "two:latest" {
		t.Errorf("the answer is %+v", a)
	}
	r.Images["two:latest"] = base(`{}`)
	if a := ask(t, r); len(a.Steps) != 3 || a.Steps[2].Files[0].Copy == nil || strings.Contains(string(a.Config.Container), "OnBuild") {
		t.Errorf("the answer is %+v", a)
	}
}

// The image's configuration is the base image's with the Dockerfile's over it.
func TestConfiguration(t *testing.T) {
	t.Parallel()
	a := ask(t, graph.Request{
		Dockerfile: []byte("FROM one\nENV A=2\nENTRYPOINT [\"x\"]\nEXPOSE 80 81/udp\nONBUILD RUN y\nHEALTHCHECK CMD z\nSTOPSIGNAL SIGINT\nLABEL l=m\n"),
		Images:     map[string]graph.Image{"one:latest": base(`{"Env":["PATH=/bin","A=1"],"Cmd":["old"],"User":"7","WorkingDir":"/w"}`)},
	})
	got := string(a.Config.Container)
	for _, want := range []string{`"Env":["PATH=/bin","A=2"]`, `"Entrypoint":["x"]`, `"80/tcp":{}`, `"81/udp":{}`, `"OnBuild":["RUN y"]`, `"StopSignal":"SIGINT"`, `"User":"7"`, `"WorkingDir":"/w"`, `"l":"m"`} {
		if !strings.Contains(got, want) {
			t.Errorf("the configuration lacks %s: %s", want, got)
		}
	}
	if strings.Contains(got, "old") {
		t.Errorf("the base image's command is still there: %s", got)
	}
	if a.Result != 0 || len(a.Steps) != 1 {
		t.Errorf("without files to change, the steps are %+v", a.Steps)
	}
}

// FuzzConvert checks that whatever a Dockerfile says, the answer is one that package
// docker accepts.
func FuzzConvert(f *testing.F) {
	for _, text := range []string{
		"FROM scratch\n", "FROM one AS a\nWORKDIR x\nRUN --mount=type=cache,target=/c,uid=5 --mount=type=secret,id=s,env=S y\nFROM a\nCOPY --link --from=0 --chown=5 a b /c/\n",
		"FROM one\nADD --checksum=sha256:0123456789012345678901234567890123456789012345678901234567890123 https://example.com/a/b /\nRUN <<A\n#!/bin/sh\nA\n",
		"# escape=`\nARG A=one\nFROM ${A:-two}\nSHELL [\"x\"]\nCOPY <<\"E\" <<F /d/\n$x\nE\nf\nF\nUSER $U\nVOLUME [\"/v\"]\n",
		"FROM --platform=$BUILDPLATFORM one\nRUN --network=none --security=sandbox x\nONBUILD ADD . /\n",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Count(text, "$") > 20 || len(text) > 4<<10 { // arguments can double, for which there is a limit of memory
			return
		}
		r := graph.Request{Dockerfile: []byte(text), Name: "Dockerfile", Platform: "linux/amd64", Images: map[string]graph.Image{"one:latest": base(`{"Env":["A=1"]}`)}}
		a, err := convert(t.Context(), r)
		if err != nil {
			return
		}
		answer, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := graph.Parse(answer); err != nil {
			t.Fatalf("%v: %s", err, answer)
		}
	})
}
