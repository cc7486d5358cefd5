package detect

import (
	"github.com/openslipway/slipway/internal/source/config"
)

// Graph is what a build of a result does, for people and programs. It holds names of
// variables, never their values.
type Graph struct {
	Configuration  string `json:",omitempty"` // the file that was followed; "" when the rest was detected
	Language       string `json:",omitempty"`
	Framework      string `json:",omitempty"`
	Runtime        string
	RuntimeVersion string `json:",omitempty"` // "" for the newest of the runtime
	Build          config.BuildKind
	Dockerfile     string `json:",omitempty"` // path of the Dockerfile that is built
	Binary         string `json:",omitempty"` // path of the program, when it needs no runtime
	Stages         []Stage
	Image          string // name of the stage that becomes the image
	Start          string `json:",omitempty"` // "" for the image's own command
	Port           int
	Environment    []string // names of the variables of the running program, PORT first
	Secrets        []string `json:",omitempty"`
	Caches         []string `json:",omitempty"` // directories that are kept between builds of the service
	Why            []string `json:",omitempty"`
	Warnings       []string `json:",omitempty"`
}

// Stage is commands that run one after the other on one root file system.
type Stage struct {
	Name        string   // "build", "run", "post-build"
	From        string   // what its file system begins with
	Commands    []string `json:",omitempty"`
	Environment []string `json:",omitempty"` // names of variables
	Keeps       string   // what of its file system is used later
}

// GraphOf returns the graph of a result. It decides nothing: the configuration and the
// runtime's kind of build determine it.
func GraphOf(r Result) Graph {
	f := r.File
	g := Graph{
		Configuration: r.Configuration, Language: r.Language, Framework: r.Framework,
		Runtime: f.Runtime, RuntimeVersion: f.RuntimeVersion, Dockerfile: r.Dockerfile, Binary: r.Binaries,
		Start: f.Command, Port: f.Port, Secrets: names(f.Secrets), Why: r.Why, Warnings: r.Warnings,
	}
	if g.Port == 0 {
		g.Port = config.DefaultPort
	}
	g.Environment = []string{"PORT"}
	if f.PortVariable != "" && f.PortVariable != "PORT" {
		g.Environment = append(g.Environment, f.PortVariable)
	}
	g.Environment = append(g.Environment, names(f.Env)...)
	runtime, _ := config.RuntimeNamed(f.Runtime)
	g.Build = runtime.Build
	g.Caches = caches(runtime.Language)
	g.Stages, g.Image = stages(f, runtime, r.Binaries)
	return g
}

func stages(f config.File, runtime config.Runtime, program string) ([]Stage, string) {
	if runtime.Build == config.DockerfileBuild {
		return []Stage{{Name: "dockerfile", From: "the Dockerfile's own images", Keeps: "the last stage"}}, "dockerfile"
	}
	env := names(f.BuildEnv)
	first := Stage{Name: "build", From: "runtime " + f.Runtime + ", the source in /app", Commands: join(f.PreBuild, f.Build), Environment: env, Keeps: "/app"}
	run := Stage{Name: "run", From: "runtime " + f.Runtime + ", /app of build", Commands: f.PreRun, Environment: env, Keeps: "everything: it becomes the image"}
	switch {
	case program != "":
		first.Keeps = program
		run.From, run.Commands, run.Environment = program+" of build, certificates and time zones", nil, nil
		first.Commands = join(first.Commands, f.PreRun)
	case runtime.Build == config.OriginalBuild:
		// App Runner runs the build commands again, in the image that is deployed.
		run.Commands = join(f.Build, f.PreRun)
	}
	all := []Stage{first, run}
	if len(f.PostBuild) > 0 {
		all = append(all, Stage{Name: "post-build", From: "stage build", Commands: f.PostBuild, Environment: env, Keeps: "nothing"})
	}
	return all, run.Name
}

func join(a, b []string) []string { return append(append([]string(nil), a...), b...) }

func names(variables []config.Variable) []string {
	var list []string
	for _, v := range variables {
		list = append(list, v.Name)
	}
	return list
}

// caches returns the directories in which a language's tools keep what they download:
// those that internal/build/runtimes binds into builds.
func caches(language string) []string {
	const dir = "/var/cache/slipway/"
	switch language {
	case "nodejs":
		return []string{dir + "npm"}
	case "python":
		return []string{dir + "pip"}
	case "go":
		return []string{dir + "go"}
	case "corretto":
		return []string{dir + "maven", dir + "gradle"}
	case "ruby":
		return []string{dir + "bundler"}
	case "php":
		return []string{dir + "composer"}
	case "dotnet":
		return []string{dir + "nuget"}
	}
	return nil
}
