package detect

import (
	"fmt"
	"go/parser"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

func seeGo(s *scan) (manifest, program string) {
	manifest = s.first("go.mod", "go.work")
	if manifest == "" {
		if manifest = goMainFile(s.tree, "."); manifest == "" {
			return "", ""
		}
	}
	if mains := s.goMains(); len(mains) > 0 {
		program = "package main in " + mains[0]
	}
	return manifest, program
}

var (
	goDirective   = regexp.MustCompile(`(?m)^go\s+([0-9][0-9.a-z]*)`)
	goToolchain   = regexp.MustCompile(`(?m)^toolchain\s+go([0-9]+\.[0-9]+(?:\.[0-9]+)?)\s*$`)
	goModule      = regexp.MustCompile(`(?m)^module\s+"?([^\s"]+)`)
	goPort        = regexp.MustCompile(`(?:ListenAndServe|Listen|Run|Start)\w*\(\s*(?:"tcp4?",\s*)?"[^":]*:([0-9]{2,5})"|Addr:\s*"[^":]*:([0-9]{2,5})"`)
	majorVersion  = regexp.MustCompile(`^v[0-9]+$`)
	goFrameworkOf = []struct{ module, name string }{
		{"github.com/gin-gonic/gin", "Gin"},
		{"github.com/labstack/echo", "Echo"},
		{"github.com/gofiber/fiber", "Fiber"},
		{"github.com/go-chi/chi", "chi"},
		{"github.com/gorilla/mux", "Gorilla"},
		{"github.com/beego/beego", "Beego"},
	}
)

func (s *scan) planGo() error {
	s.goVersion()
	mod := s.text("go.mod")
	for _, f := range goFrameworkOf {
		if strings.Contains(mod, f.module) {
			s.Framework = f.name
			s.why("go.mod requires %s -> %s", f.module, f.name)
			break
		}
	}
	dir, err := s.goMain()
	if err != nil {
		return err
	}
	cgo := s.usesCgo()
	env := "CGO_ENABLED=0 "
	if cgo != "" {
		env = ""
		s.why("%s imports C -> built with cgo", cgo)
	} else if file, what := s.goReads(); file != "" {
		s.why("no file imports C -> one static program, but %s has %s -> it is deployed with its source", file, what)
	} else {
		s.Binary, s.Binaries = true, "bin/app"
		s.why("no file imports C, reads files or runs programs -> one static program, which is deployed alone")
	}
	mode := ""
	if s.has("vendor/modules.txt") {
		mode = "-mod=vendor "
		s.why("vendor/modules.txt -> dependencies from vendor")
	} else if strings.Contains(mod, "require") && !s.has("go.sum") {
		s.warn("go.mod requires modules, but there is no go.sum: run `go mod tidy` and commit it.")
	}
	if s.first("go.mod", "go.work") == "" {
		s.File.PreBuild = []string{"test -f go.mod || go mod init app"}
		s.why("there is no go.mod -> one is made for the build")
	}
	s.File.Build = []string{fmt.Sprintf("%sgo build %s-trimpath -o bin/app %s", env, mode, shellWord(dir))}
	if !s.honour() || s.goHonoured(dir) {
		s.start("./bin/app", "the program is built into bin/app")
	}
	if s.Binary && !StartsAlone(s.File.Command, s.Binaries) {
		s.Binary, s.Binaries = false, ""
		s.why("the start command needs more than the program -> it is deployed with its source")
	}
	s.goPort(dir)
	s.goServing(dir)
	return nil
}

var (
	goLocal   = regexp.MustCompile(`(?:ListenAndServe|Listen|Run|Start)\w*\(\s*(?:"tcp4?",\s*)?"(?:localhost|127\.0\.0\.1):|Addr:\s*"(?:localhost|127\.0\.0\.1):`)
	goServers = regexp.MustCompile(`"net(?:/http[a-z/]*|/rpc|/http/fcgi)?"|"google\.golang\.org/grpc|"github\.com/(?:gin-gonic|labstack|gofiber|go-chi|gorilla|beego|valyala/fasthttp|cloudwego|go-kratos|zeromicro|gobuffalo|kataras|revel|savsgio|danielgtaylor|pocketbase|urfave/negroni|julienschmidt|connectrpc|twitchtv)`)
)

// goServing warns of a program that does not seem to serve requests, or only those of
// its own machine.
func (s *scan) goServing(dir string) {
	for _, f := range s.goFiles(cleanDir(dir)) {
		if goLocal.MatchString(s.text(f)) {
			s.onlyLocal(f)
			break
		}
	}
	if goServers.MatchString(s.text("go.mod")) || s.cut != "" || s.has("vendor/modules.txt") {
		return
	}
	for _, name := range s.find(".", 5, "*.go") {
		if !strings.HasSuffix(name, "_test.go") && goServers.MatchString(s.text(name)) {
			return
		}
	}
	s.warn("No file imports net/http or a framework for the web: a service must answer requests on its port.")
}

// goHonoured replaces a start command that names the program as another platform's
// build leaves it (bin/NAME or NAME), and reports whether it did.
func (s *scan) goHonoured(dir string) bool {
	name := path.Base(cleanPath(dir))
	if name == "" || name == "." {
		if m := goModule.FindStringSubmatch(s.text("go.mod")); m != nil {
			if name = path.Base(m[1]); majorVersion.MatchString(name) {
				name = path.Base(path.Dir(m[1]))
			}
		}
	}
	words := strings.Fields(s.File.Command)
	if len(words) == 0 {
		return true
	}
	switch program := strings.TrimPrefix(words[0], "./"); program {
	case "bin/" + name, name, "/app/bin/" + name, "/app/" + name:
		command := strings.Join(append([]string{"./bin/app"}, words[1:]...), " ")
		s.File.Command = command
		s.why("%s is the program as that platform builds it -> %s", words[0], command)
	}
	return false
}

// goVersion takes Go's newest version unless a file pins one: every Go compiles what
// is written for an older one.
func (s *scan) goVersion() {
	r := runtimes("go")[0]
	text := s.text("go.mod")
	where := "go.mod"
	if text == "" {
		text, where = s.text("go.work"), "go.work"
	}
	reason, needed := "no version is named", ""
	minimum := version{}
	if m := goDirective.FindStringSubmatch(text); m != nil {
		needed = fmt.Sprintf("%s says go %s", where, m[1])
		reason = needed + ", which every newer Go compiles"
		if one, ok := comparison(m[1], npm); ok {
			minimum = one.lo
		}
	}
	if m := goToolchain.FindStringSubmatch(text); m != nil {
		s.File.RuntimeVersion = m[1]
		needed = fmt.Sprintf("%s says toolchain go%s", where, m[1])
		reason = needed
		if one, ok := comparison(m[1], npm); ok {
			minimum = one.lo
		}
	}
	s.use(r, reason)
	if (version{1, 18, 1 << 20}).less(minimum) {
		s.warn("App Runner's go1 is Go 1.18 only, which can't build this: %s.", needed)
	}
}

// goMain returns the directory of the main package, in the form of go build's
// argument: ".", "./cmd/shop".
func (s *scan) goMain() (string, error) {
	mains := s.goMains()
	if len(mains) == 0 {
		return "", &Unknown{
			Problem: "The Go module has no main package: it is a library",
			Looked:  []string{"main.go", "cmd/*/main.go"}, Found: []string{s.first("go.mod", "go.work")},
			Next: "Name the directory that has the program, or write an apprunner.yaml.",
		}
	}
	if len(mains) > 1 && mains[0] == "." && !s.chosen(KindMain) {
		s.why("the root is package main, which comes before cmd")
		return ".", nil
	}
	if servers := s.goServers(mains); len(servers) == 1 && len(mains) > 1 && !s.chosen(KindMain) {
		s.why("of %d main packages only %s serves HTTP or is called server", len(mains), servers[0])
		return servers[0], nil
	}
	var options []Option
	for _, m := range mains {
		options = append(options, Option{Value: m, Why: goMainFile(s.tree, cleanDir(m))})
	}
	o, err := s.ask(KindMain, "The Go module has several main packages", options)
	if err != nil {
		return "", err
	}
	s.why("%s is package main -> %s", o.Why, o.Value)
	return o.Value, nil
}

// goServers returns those of the main packages whose own files start an HTTP server.
func (s *scan) goServers(mains []string) []string {
	var servers []string
	for _, m := range mains {
		for _, f := range s.goFiles(cleanDir(m)) {
			if strings.Contains(s.text(f), "ListenAndServe") || strings.Contains(s.text(f), "gin.Default(") ||
				strings.Contains(s.text(f), "echo.New(") || strings.Contains(s.text(f), "fiber.New(") {
				servers = append(servers, m)
				break
			}
		}
	}
	if len(servers) == 0 {
		for _, m := range mains {
			if name := path.Base(m); name == "server" || name == "web" {
				servers = append(servers, m)
			}
		}
	}
	return servers
}

// goMains returns the directories of the module's main packages: the root, those below
// cmd, and else any other; not those of nested modules, examples and tools.
func (s *scan) goMains() []string {
	var mains []string
	add := func(dirs []string) {
		for _, dir := range dirs {
			if dir != "." && s.has(path.Join(dir, "go.mod")) && !s.has("go.work") {
				continue
			}
			if goMainFile(s.tree, dir) != "" {
				mains = append(mains, goArgument(dir))
			}
		}
	}
	add([]string{"."})
	add(s.subdirs("cmd"))
	if len(mains) > 0 {
		return mains
	}
	var rest []string
	for _, dir := range s.walk(".", 4)[1:] {
		aside := slices.ContainsFunc(strings.Split(dir, "/"), func(part string) bool {
			return part == "examples" || part == "example" || part == "tools" || part == "scripts" || part == "hack" || part == "test" || part == "internal" && !strings.HasPrefix(dir, "internal/cmd")
		})
		if !aside {
			rest = append(rest, dir)
		}
	}
	add(rest)
	return mains
}

func goArgument(dir string) string {
	if dir == "." {
		return "."
	}
	return "./" + dir
}

func cleanDir(argument string) string { return path.Clean(argument) }

// goFiles returns the Go files of a package without its tests.
func (s *scan) goFiles(dir string) []string {
	return slices.DeleteFunc(s.names(dir, "*.go"), func(n string) bool { return strings.HasSuffix(n, "_test.go") })
}

// goMainFile returns the file of package main in a directory that has its function
// main; "" for none.
func goMainFile(t *tree, dir string) string {
	for _, name := range t.names(dir, "*.go") {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text := t.read(name)
		if ignored.Match(text) {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, text, parser.PackageClauseOnly)
		if err == nil && f.Name.Name == "main" && funcMain.Match(text) {
			return name
		}
	}
	return ""
}

var funcMain = regexp.MustCompile(`(?m)^func main\(\)`)

// ignored are files that are run by hand, with `go run`.
var ignored = regexp.MustCompile(`(?m)^//(?:go:build ignore| \+build ignore)\s*$`)

// usesCgo returns a file that imports C; "" when none was found. Dependencies are not
// read: those that need cgo are known by name.
func (s *scan) usesCgo() string {
	mod := s.text("go.mod")
	for _, m := range []string{"github.com/mattn/go-sqlite3", "github.com/confluentinc/confluent-kafka-go", "gopkg.in/gographics/imagick", "github.com/h2non/bimg", "github.com/davidbyttow/govips"} {
		if strings.Contains(mod, m) {
			return "the dependency " + m
		}
	}
	for _, name := range s.find(".", 5, "*.go") {
		if strings.HasSuffix(name, "_test.go") || !strings.Contains(s.text(name), `"C"`) {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, s.read(name), parser.ImportsOnly)
		if err != nil {
			continue
		}
		for _, i := range f.Imports {
			if i.Path.Value == `"C"` {
				return name
			}
		}
	}
	return ""
}

var (
	goReading = regexp.MustCompile(`\b(?:os\.(?:Open|OpenFile|OpenRoot|ReadFile|ReadDir|DirFS|Stat|Lstat)|ioutil\.(?:ReadFile|ReadDir)|http\.(?:Dir|ServeFile)|filepath\.(?:Walk|WalkDir|Glob)|exec\.(?:Command|CommandContext|LookPath)|syscall\.Exec|plugin\.Open)\(|\.(?:ParseFiles|ParseGlob|LoadHTMLGlob|LoadHTMLFiles|Static|StaticFile|StaticFS|ServeFiles|SendFile|Attachment)\(`)
	// goReaders are modules that read files of the source.
	goReaders = []string{"github.com/golang-migrate/migrate", "github.com/pressly/goose", "github.com/spf13/viper", "github.com/joho/godotenv", "github.com/gobuffalo/", "github.com/revel/", "github.com/beego/", "github.com/pocketbase/"}
)

// StartsAlone reports whether a start command runs a program without the help of a
// shell or of another program.
func StartsAlone(command, program string) bool {
	words := strings.Fields(command)
	return program != "" && len(words) > 0 && strings.TrimPrefix(words[0], "./") == program && !strings.ContainsAny(command, "$|&;<>()`*?[#~%'\"\\\n")
}

// goReads returns a file that may read files of the source or run other programs, and
// how; "" when none was found. A file that embeds what it reads is none.
func (s *scan) goReads() (file, what string) {
	mod := s.text("go.mod")
	for _, m := range goReaders {
		if strings.Contains(mod, m) {
			return "go.mod", strings.TrimSuffix(m, "/")
		}
	}
	if s.cut != "" {
		return "the tree", "more files than are read"
	}
	for _, name := range s.find(".", 8, "*.go") {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		if m := goReading.FindString(s.text(name)); m != "" {
			return name, strings.TrimSuffix(strings.TrimPrefix(m, "."), "(")
		}
	}
	return "", ""
}

// goPort looks for a port in the main package.
func (s *scan) goPort(dir string) {
	files := s.goFiles(cleanDir(dir))
	for _, f := range files {
		if strings.Contains(s.text(f), `"PORT"`) {
			s.why("%s reads PORT", f)
			return
		}
	}
	for _, f := range files {
		if m := goPort.FindStringSubmatch(s.text(f)); m != nil {
			port, _ := strconv.Atoi(m[1] + m[2])
			s.listens(port, fmt.Sprintf("%s listens on :%d", f, port))
			return
		}
	}
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./:@%+=,-]+$`)

// shellWord quotes a word for the shell when it must be.
func shellWord(s string) string {
	if plainWord.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
