package graph

import (
	"encoding/json"
	"strings"
	"testing"
)

// valid is an answer with a step of each kind.
const valid = `{"result": 6, "config": {"container": {}}, "steps": [
	{"image": "sha256:0123456789012345678901234567890123456789012345678901234567890123"},
	{"context": true},
	{"fetch": {"url": "https://example.com/a", "name": "a"}},
	{"inputs": [0, 1], "run": {"args": ["x"], "root": 0, "mounts": [{"kind": "bind", "target": "/a/", "input": 1}, {"kind": "tmpfs", "target": "/t", "input": -1}]}},
	{"inputs": [3, 2], "files": [{"root": 0, "mkdir": {"path": "/x"}}, {"root": 0, "copy": {"from": 1, "source": "/a", "dest": "/b"}}]},
	{"files": [{"root": -1, "mkfile": {"path": "/x"}}]},
	{"inputs": [4, 5], "merge": true}
]}`

func TestParse(t *testing.T) {
	t.Parallel()
	a, err := Parse([]byte(valid))
	if err != nil {
		t.Fatal(err)
	}
	if m := a.Steps[3].Run.Mounts[0]; m.Target != "/a" || a.Steps[3].Run.Dir != "/" {
		t.Errorf("paths are not cleaned: %+v", a.Steps[3].Run)
	}
	for name, change := range map[string][2]string{
		"no JSON":                   {`{"result"`, `{result`},
		"a result that is none":     {`"result": 6`, `"result": 7`},
		"a negative result":         {`"result": 6`, `"result": -2`},
		"an input that comes after": {`"inputs": [0, 1]`, `"inputs": [0, 4]`},
		"itself as an input":        {`"inputs": [0, 1]`, `"inputs": [0, 3]`},
		"a negative input":          {`"inputs": [0, 1]`, `"inputs": [0, -1]`},
		"no digest":                 {`"sha256:0123`, `"sha256:../../0123`},
		"two things":                {`"context": true`, `"context": true, "merge": true`},
		"nothing":                   {`"context": true`, `"context": false`},
		"a path as a file's name":   {`"name": "a"`, `"name": "../a"`},
		"no arguments":              {`"args": ["x"]`, `"args": []`},
		"a root that is no input":   {`"args": ["x"], "root": 0`, `"args": ["x"], "root": 2`},
		"a relative target":         {`"target": "/t"`, `"target": "t"`},
		"the root as target":        {`"target": "/t"`, `"target": "/t/.."`},
		"an unknown mount":          {`"kind": "tmpfs"`, `"kind": "disk"`},
		"a mount of no input":       {`"target": "/a/", "input": 1`, `"target": "/a/", "input": 9`},
		"another root":              {`"root": 0, "copy"`, `"root": 1, "copy"`},
		"a copy of no input":        {`"from": 1`, `"from": 2`},
		"an action of two kinds":    {`"mkdir": {"path": "/x"}`, `"mkdir": {"path": "/x"}, "remove": {"path": "/x"}`},
		"a relative directory":      {`"run": {`, `"run": {"dir": "../x", `},
	} {
		text := strings.Replace(valid, change[0], change[1], 1)
		if text == valid {
			t.Errorf("%s: the test changes nothing", name)
		}
		if _, err := Parse([]byte(text)); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

// FuzzParse checks that what is accepted holds to what package docker relies on.
func FuzzParse(f *testing.F) {
	f.Add([]byte(valid))
	f.Add([]byte(`{"wanted": [{"name": "debian:12"}]}`))
	f.Add([]byte(`{"error": {"message": "no", "line": 3}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		a, err := Parse(text)
		if err != nil {
			return
		}
		for i, s := range a.Steps {
			for _, in := range s.Inputs {
				if in < 0 || in >= i {
					t.Fatalf("step %d has the input %d", i, in)
				}
			}
			if s.Run != nil {
				for _, m := range s.Run.Mounts {
					if !isPath(m.Target) || m.Input < None || m.Input >= len(s.Inputs) {
						t.Fatalf("step %d has the mount %+v", i, m)
					}
				}
			}
		}
		again, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(again); err != nil {
			t.Fatalf("what was accepted is refused: %v", err)
		}
	})
}
