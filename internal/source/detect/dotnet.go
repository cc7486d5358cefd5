package detect

import (
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

func seeDotNet(s *scan) (manifest, program string) {
	projects := s.dotnetProjects()
	if len(projects) == 0 {
		if sln := append(s.names(".", "*.sln"), s.names(".", "*.slnx")...); len(sln) > 0 {
			return sln[0], ""
		}
		return "", ""
	}
	// A project below the root counts when the root has nothing of another language.
	if path.Dir(projects[0]) != "." && len(s.names(".", "*.sln")) == 0 && len(s.names(".", "*.slnx")) == 0 && s.first("global.json", "Directory.Build.props") == "" {
		return "", ""
	}
	if solution := append(s.names(".", "*.sln"), s.names(".", "*.slnx")...); len(solution) > 0 {
		return solution[0], solution[0]
	}
	return projects[0], projects[0]
}

// dotnetProjects returns the project files at the root, and else those below it.
func (s *scan) dotnetProjects() []string {
	var projects []string
	for _, pattern := range []string{"*.csproj", "*.fsproj", "*.vbproj"} {
		projects = append(projects, s.names(".", pattern)...)
	}
	if len(projects) > 0 {
		return projects
	}
	for _, pattern := range []string{"*.csproj", "*.fsproj", "*.vbproj"} {
		projects = append(projects, s.find(".", 3, pattern)...)
	}
	return projects
}

var (
	dotnetWeb       = regexp.MustCompile(`Sdk\s*=\s*"Microsoft\.NET\.Sdk\.(?:Web|BlazorWebAssembly)"|<Sdk Name="Microsoft\.NET\.Sdk\.Web"|Microsoft\.AspNetCore\.App`)
	dotnetExe       = regexp.MustCompile(`<OutputType>\s*Exe\s*</OutputType>`)
	dotnetFramework = regexp.MustCompile(`<TargetFrameworks?>\s*([^<]+?)\s*</TargetFrameworks?>`)
	dotnetVersion   = regexp.MustCompile(`^(?:net|netcoreapp)([0-9]+)\.([0-9]+)`)
	dotnetAssembly  = regexp.MustCompile(`<AssemblyName>\s*([A-Za-z0-9_.-]+)\s*</AssemblyName>`)
)

func (s *scan) planDotNet() error {
	project, err := s.dotnetProject()
	if err != nil {
		return err
	}
	text := s.text(project)
	if dotnetWeb.MatchString(text) {
		s.Framework = "ASP.NET Core"
		s.why("%s has the SDK Microsoft.NET.Sdk.Web -> ASP.NET Core", project)
	}
	s.dotnetRuntime(text, project)
	name := strings.TrimSuffix(path.Base(project), path.Ext(project))
	if m := dotnetAssembly.FindStringSubmatch(text); m != nil {
		name = m[1]
		s.why("%s names the assembly %s", project, name)
	}
	locked := ""
	if s.has(path.Join(path.Dir(project), "packages.lock.json")) {
		locked = " -p:RestoreLockedMode=true"
		s.why("packages.lock.json -> locked restore")
	}
	s.File.Build = []string{"dotnet publish " + shellWord(project) + " -c Release -o bin/publish" + locked}
	s.why("%s -> dotnet publish", project)
	s.setEnv("ASPNETCORE_URLS", "http://0.0.0.0:"+strconv.Itoa(or8080(s.hosted.port)))
	if !s.honour() {
		s.start("dotnet bin/publish/"+shellWord(name+".dll"), "the build publishes "+name+".dll")
	}
	return nil
}

func (s *scan) dotnetRuntime(text, project string) {
	m := dotnetFramework.FindStringSubmatch(text)
	if m == nil {
		if m = dotnetFramework.FindStringSubmatch(s.text("Directory.Build.props")); m != nil {
			project = "Directory.Build.props"
		}
	}
	best := ""
	if m != nil {
		for _, f := range strings.Split(m[1], ";") {
			v := dotnetVersion.FindStringSubmatch(strings.TrimSpace(f))
			if v == nil {
				continue
			}
			best = v[1] + "." + v[2]
			if _, ok := runtimeFor("dotnet", best, npm); ok {
				break
			}
		}
		if best == "" {
			s.warn("%s targets %s, which does not run on Linux.", project, clean(m[1]))
		}
	}
	if best == "" {
		s.pickRuntime("dotnet", "", "", npm)
		return
	}
	s.pickRuntime("dotnet", best, says(project, ".NET "+best), npm)
}

func (s *scan) dotnetProject() (string, error) {
	projects := slices.DeleteFunc(s.dotnetProjects(), func(p string) bool {
		base := strings.ToLower(path.Base(p))
		return strings.Contains(base, "test") || strings.Contains(base, "benchmark")
	})
	var web, programs []string
	for _, p := range projects {
		text := s.text(p)
		if dotnetWeb.MatchString(text) {
			web = append(web, p)
		} else if dotnetExe.MatchString(text) {
			programs = append(programs, p)
		}
	}
	if len(web) == 0 {
		web = programs
	}
	if len(web) == 0 {
		return "", &Unknown{
			Problem: "No .NET project makes a program", Looked: []string{"Sdk=\"Microsoft.NET.Sdk.Web\"", "<OutputType>Exe</OutputType>"}, Found: projects,
			Next: "Name the directory that has the program, or add a Dockerfile.",
		}
	}
	var options []Option
	for _, p := range web {
		options = append(options, Option{Value: p, Why: "a program of .NET"})
	}
	o, err := s.ask(KindProject, "Several .NET projects make a program", options)
	return o.Value, err
}
