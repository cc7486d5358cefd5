package strictjson_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/openslipway/slipway/internal/strictjson"
)

func TestUnmarshal(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text string
		ambiguous  bool
	}{
		{"plain", `{"schemaVersion":2,"layers":[{"digest":"sha256:` + hex + `","size":1}],"annotations":{"A":"1","a":"2"}}`, false},
		{"unknown members", `{"schemaVersion":2,"x":{"y":1}}`, false},
		{"null", `{"schemaVersion":2,"layers":null}`, false},
		{"twice", `{"schemaVersion":2,"layers":[],"layers":[]}`, true},
		{"twice below", `{"schemaVersion":2,"config":{"size":1,"size":2}}`, true},
		{"twice in what is unknown", `{"schemaVersion":2,"x":{"y":1,"y":2}}`, true},
		{"twice by an escape", `{"schemaVersion":2,"layers":[],"l\u0061yers":[]}`, true},
		{"other case beside", `{"schemaVersion":2,"layers":[],"Layers":[{"size":1}]}`, true},
		{"other case alone", `{"schemaVersion":2,"Layers":[{"size":1}]}`, true},
		{"other case below", `{"schemaVersion":2,"config":{"Size":1}}`, true},
		{"folded by Unicode", `{"\u017fchemaVersion":2}`, true},
	} {
		var got, want v1.Manifest
		err := strictjson.Unmarshal([]byte(c.text), &got)
		if errors.Is(err, strictjson.ErrAmbiguous) != c.ambiguous {
			t.Errorf("%s: %v", c.name, err)
		}
		if c.ambiguous {
			continue
		}
		if e := json.Unmarshal([]byte(c.text), &want); err != nil || e != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v; encoding/json has %+v, %v", c.name, got, err, want, e)
		}
	}
	var v v1.Manifest
	for _, text := range []string{`{`, `{"schemaVersion":"2"}`, `{} {}`, ``} {
		if err := strictjson.Unmarshal([]byte(text), &v); err == nil || errors.Is(err, strictjson.ErrAmbiguous) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

const hex = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
