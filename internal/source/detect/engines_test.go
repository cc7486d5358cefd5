package detect_test

import (
	"testing"
	"testing/fstest"

	"github.com/openslipway/slipway/internal/source/detect"
)

func TestNodeEngines(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		json, version, want string
		allowed             bool
	}{
		{`{"engines":{"node":">=18"}}`, "22", ">=18", true},
		{`{"engines":{"node":"18.x"}}`, "22", "18.x", false},
		{`{"engines":{"node":"18.x"}}`, "18.17.1", "18.x", true},
		{`{"engines":{"node":"^16.14 || >=18.12 <19"}}`, "18.3", "^16.14 || >=18.12 <19", false},
		{`{"engines":{"node":"^16.14 || >=18.12 <19"}}`, "18", "^16.14 || >=18.12 <19", true},
		{`{"engines":{"node":"16.18.1"}}`, "16.18.2", "16.18.1", false},
		{`{"engines":{"node":"lts/*"}}`, "16", "lts/*", true},
		{`{"engines":{"npm":">=8"}}`, "16", "", true},
		{`{"engines":"node"}`, "16", "", true},
		{`{`, "16", "", true},
		{`[1]`, "16", "", true},
	} {
		want, allowed := detect.NodeEngines(fstest.MapFS{"package.json": {Data: []byte(c.json)}}, c.version)
		if want != c.want || allowed != c.allowed {
			t.Errorf("%s with %s: %q, %v", c.json, c.version, want, allowed)
		}
	}
	if want, allowed := detect.NodeEngines(fstest.MapFS{}, "16"); want != "" || !allowed {
		t.Errorf("without a package.json: %q, %v", want, allowed)
	}
}

func TestStartsAlone(t *testing.T) {
	t.Parallel()
	for command, want := range map[string]bool{
		"./bin/app": true, "bin/app -addr=:8080": true, "./bin/app  serve": true,
		"": false, "./bin/application": false, "exec ./bin/app": false, "./bin/app && true": false, "./bin/app -p $PORT": false,
		"migrate; ./bin/app": false, "A=b ./bin/app": false, "./bin/app 'a b'": false, "./bin/app\ntrue": false,
	} {
		if got := detect.StartsAlone(command, "bin/app"); got != want {
			t.Errorf("%q: %v", command, got)
		}
	}
	if detect.StartsAlone("./bin/app", "") {
		t.Error("no program starts alone")
	}
}
