package build

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"github.com/openslipway/slipway/internal/build/runtimes"
	"github.com/openslipway/slipway/internal/build/step"
	"github.com/openslipway/slipway/internal/source/config"
)

// inputs is all that the image of a build depends on, but for what the network gives.
// Its JSON form is hashed.
type inputs struct {
	Form            int // of this struct and of what is made of it
	Builder         string
	Source          string
	SourceDirectory string
	Runtime         string // digest of its image
	RuntimeEnv      []config.Variable
	Mode            Mode
	PreBuild, Build []string
	PostBuild       []string
	PreRun          []string
	Env             []string
	Secrets         []string // names: a key must not tell anything of the values
	Settings        string   `json:",omitempty"`

	Program    string            `json:",omitempty"`
	Dockerfile string            `json:",omitempty"`
	Target     string            `json:",omitempty"`
	Args       []config.Variable `json:",omitempty"`
}

// key returns the key of a build's result, "" if it must not be used again.
func (b *Builder) key(r Request, rt runtimes.Runtime) string {
	if r.SourceID == "" {
		return ""
	}
	in := inputs{
		Form: 1, Builder: b.cfg.Version, Source: r.SourceID, SourceDirectory: r.dir(),
		Runtime: rt.Image, RuntimeEnv: rt.Env, Mode: r.Mode,
		PreBuild: r.File.PreBuild, Build: r.File.Build, PostBuild: r.File.PostBuild, PreRun: r.File.PreRun,
		Env: step.Environment(r.Env, r.File.BuildEnv), Settings: r.Settings,
		Program: r.Program, Dockerfile: r.Dockerfile, Target: r.Target, Args: r.Args,
	}
	for _, s := range r.Secrets {
		in.Secrets = append(in.Secrets, s.Name)
	}
	text, err := json.Marshal(in)
	if err != nil {
		return "" // cannot happen: there are only strings
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
