package detect

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"path"
	"regexp"
	"strconv"
	"strings"
)

func seeJava(s *scan) (manifest, program string) {
	manifest = s.first("pom.xml", "build.gradle.kts", "build.gradle", "settings.gradle.kts", "settings.gradle")
	if manifest == "" {
		return "", ""
	}
	return manifest, manifest
}

func (s *scan) planJava() error {
	if s.has("pom.xml") && s.first("build.gradle", "build.gradle.kts") != "" {
		o, err := s.ask(KindTool, "Both Maven's and Gradle's files are there", []Option{{"maven", "pom.xml"}, {"gradle", s.first("build.gradle", "build.gradle.kts")}})
		if err != nil {
			return err
		}
		if o.Value == "gradle" {
			return s.planGradle()
		}
		return s.planMaven()
	}
	if s.has("pom.xml") {
		return s.planMaven()
	}
	return s.planGradle()
}

// pom is what detection reads of a pom.xml: the text of elements by their path below
// project, and the identifiers of dependencies and plugins.
type pom struct {
	values    map[string]string
	artifacts map[string]bool
	modules   []string
}

// maxXMLDepth is the deepest element of a pom.xml that is read.
const maxXMLDepth = 64

// readPOM reads a pom.xml.
func (s *scan) readPOM(name string) pom {
	p := pom{values: map[string]string{}, artifacts: map[string]bool{}}
	data, ok := s.parse(name, maxParsed)
	if !ok {
		return p
	}
	d := xml.NewDecoder(bytes.NewReader(data))
	d.Strict = true
	d.CharsetReader = func(_ string, input io.Reader) (io.Reader, error) { return input, nil }
	var at []string
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || len(at) > maxXMLDepth {
			m := &Malformed{File: name, Problem: "the elements are nested too deeply"}
			if err != nil {
				m.Problem = "this is no valid XML: " + clean(err.Error())
			}
			m.Line, m.Column = d.InputPos()
			s.fail(m)
			break
		}
		switch e := token.(type) {
		case xml.StartElement:
			at = append(at, e.Name.Local)
		case xml.EndElement:
			at = at[:len(at)-1]
		case xml.CharData:
			p.add(at, strings.TrimSpace(string(e)))
		}
	}
	return p
}

func (p *pom) add(at []string, text string) {
	if text == "" || len(at) < 2 || len(text) > 200 {
		return
	}
	switch at[len(at)-1] {
	case "artifactId":
		p.artifacts[text] = true
	case "module":
		p.modules = append(p.modules, text)
	}
	key := strings.Join(at[1:], "/")
	if p.values[key] == "" {
		p.values[key] = text
	}
}

var pomReference = regexp.MustCompile(`^\$\{([A-Za-z0-9_.-]+)\}$`)

// value returns the first of the elements that has a text, with a reference to a
// property replaced.
func (p pom) value(keys ...string) string {
	for _, k := range keys {
		v := p.values[k]
		for range 3 {
			m := pomReference.FindStringSubmatch(v)
			if m == nil {
				break
			}
			v = p.values["properties/"+m[1]]
		}
		if v != "" && !strings.Contains(v, "$") {
			return v
		}
	}
	return ""
}

func (s *scan) planMaven() error {
	p := s.readPOM("pom.xml")
	if s.broken != nil {
		return s.broken
	}
	module := "."
	if len(p.modules) > 0 {
		var err error
		if module, err = s.mavenModule(p); err != nil {
			return err
		}
	}
	app := p
	if module != "." {
		app = s.readPOM(path.Join(module, "pom.xml"))
	}
	compiler := "build/plugins/plugin/configuration/"
	keys := []string{"properties/maven.compiler.release", "properties/java.version", "properties/maven.compiler.target", "properties/maven.compiler.source", compiler + "release", compiler + "target", compiler + "source"}
	v := app.value(keys...)
	if v == "" {
		v = p.value(keys...)
	}
	s.javaVersion(v, "pom.xml")
	command := "mvn"
	if s.has("mvnw") {
		command = "sh mvnw"
		s.why("mvnw -> Maven of the version that the project names")
	}
	command += " --batch-mode --no-transfer-progress -DskipTests package"
	if module != "." {
		command += " --also-make --projects " + shellWord(module)
	}
	s.File.Build = []string{command}
	s.why("pom.xml -> %s", command)
	switch {
	case app.artifacts["quarkus-maven-plugin"] || app.artifacts["quarkus-universe-bom"] || app.artifacts["quarkus-bom"]:
		s.Framework = "Quarkus"
		s.why("pom.xml has Quarkus")
		s.jar(path.Join(module, "target/quarkus-app/quarkus-run.jar"), "", "quarkus.http.port")
	case app.artifacts["spring-boot-maven-plugin"]:
		s.Framework = "Spring Boot"
		s.why("pom.xml has spring-boot-maven-plugin -> Spring Boot")
		s.jar("app.jar", path.Join(module, "target"), "server.port")
	case app.artifacts["micronaut-maven-plugin"]:
		s.Framework = "Micronaut"
		s.why("pom.xml has micronaut-maven-plugin -> Micronaut")
		s.jar("app.jar", path.Join(module, "target"), "micronaut.server.port")
	default:
		if v := app.value("packaging"); v == "war" {
			return &Unknown{Problem: "The project makes a WAR, which needs an application server", Found: []string{"pom.xml, packaging war"}, Next: "Make it a program that starts its own server (an executable JAR), or add a Dockerfile with the application server."}
		}
		s.executableJar(app)
	}
	s.javaPort(module)
	return nil
}

// executableJar warns of a project in which nothing makes a JAR that can be started.
func (s *scan) executableJar(p pom) {
	s.jar("app.jar", "target", "")
	if !p.artifacts["maven-shade-plugin"] && !p.artifacts["maven-assembly-plugin"] && !p.artifacts["maven-jar-plugin"] {
		s.warn("pom.xml has no plugin that makes an executable JAR with its dependencies: java -jar may not find the main class.")
	}
}

// mavenModule finds the module that makes the program.
func (s *scan) mavenModule(p pom) (string, error) {
	var options []Option
	for _, m := range p.modules {
		dir := cleanPath(m)
		if dir == "" || !s.has(path.Join(dir, "pom.xml")) {
			continue
		}
		one := s.readPOM(path.Join(dir, "pom.xml"))
		for _, plugin := range []string{"spring-boot-maven-plugin", "quarkus-maven-plugin", "micronaut-maven-plugin", "maven-shade-plugin"} {
			if one.artifacts[plugin] {
				options = append(options, Option{Value: dir, Why: path.Join(dir, "pom.xml") + " has " + plugin})
				break
			}
		}
	}
	if len(options) == 0 {
		return ".", nil
	}
	o, err := s.ask(KindProject, "Several modules make a program", options)
	if err != nil {
		return "", err
	}
	s.why("%s -> the module %s makes the program", o.Why, o.Value)
	return o.Value, nil
}

var sdkmanJava = regexp.MustCompile(`(?m)^java=([0-9]+)`)

// javaVersion picks the runtime by the version that the build file names, or other files.
func (s *scan) javaVersion(v, where string) {
	for _, c := range []struct{ v, where string }{
		{v, where},
		{propertyOf(s.text("system.properties"), "java.runtime.version"), "system.properties"},
		{s.versionFile(".java-version", "temurin-", "corretto-", "openjdk-"), ".java-version"},
		{strings.TrimPrefix(sdkmanJava.FindString(s.text(".sdkmanrc")), "java="), ".sdkmanrc"},
	} {
		major := strings.TrimPrefix(c.v, "1.")
		major, _, _ = strings.Cut(major, ".")
		if n, err := strconv.Atoi(major); err == nil && n > 0 && n < 100 {
			s.javaRuntime(n, says(c.where, "Java "+c.v))
			return
		}
	}
	s.pickRuntime("corretto", "", "", npm)
}

// javaRuntime picks the runtime of a version or the next one: newer ones compile and
// run what is written for an older one.
func (s *scan) javaRuntime(n int, where string) {
	if n < 8 {
		n = 8
	}
	s.pickRuntime("corretto", strconv.Itoa(n), where, npm)
}

func propertyOf(text, name string) string {
	for l := range strings.Lines(text) {
		key, value, ok := strings.Cut(l, "=")
		if ok && strings.TrimSpace(key) == name {
			return clean(value)
		}
	}
	return ""
}

// jar sets the start command. A JAR whose name holds a version is copied from dir to a
// name that does not; the command must not need a shell.
func (s *scan) jar(jar, dir, portProperty string) {
	if dir != "" {
		s.File.Build = append(s.File.Build, "cp $(ls -S "+shellWord(dir)+"/*.jar | grep -v -e -sources.jar -e -javadoc.jar -e -plain.jar -e /original- | head -n 1) app.jar")
		s.why("the largest JAR of %s is the program -> app.jar", dir)
	}
	if s.honour() {
		return
	}
	port := ""
	if portProperty != "" && s.hosted.port != 0 {
		port = "-D" + portProperty + "=" + strconv.Itoa(s.hosted.port) + " "
	}
	s.start("java "+port+"-jar "+shellWord(jar), "the build makes "+jar)
}

var yamlServerPort = regexp.MustCompile(`(?m)^server:\s*\n(?:[ \t]+.*\n)*?[ \t]+port:\s*["']?([0-9]{2,5})\b`)

// javaPort looks into the configuration of Spring Boot, Quarkus and Micronaut.
func (s *scan) javaPort(module string) {
	for _, name := range []string{"application.properties", "application.yml", "application.yaml"} {
		name = path.Join(module, "src/main/resources", name)
		text := s.text(name)
		if strings.Contains(text, "${PORT") {
			s.why("%s reads PORT", name)
			return
		}
		v := propertyOf(text, "server.port")
		if v == "" {
			v = propertyOf(text, "quarkus.http.port")
		}
		if m := yamlServerPort.FindStringSubmatch(text); m != nil && v == "" {
			v = m[1]
		}
		if port, err := strconv.Atoi(v); err == nil {
			s.listens(port, name+" says port "+v)
			return
		}
	}
}

var (
	gradleVersion  = regexp.MustCompile(`(?:JavaLanguageVersion\.of\(\s*|jvmToolchain\(\s*|languageVersion\s*=\s*JavaVersion\.VERSION_|(?:source|target)Compatibility\s*=?\s*(?:JavaVersion\.VERSION_|['"]?))(1[._]8|[0-9]{1,2})`)
	gradleRootName = regexp.MustCompile(`rootProject\.name\s*=\s*["']([A-Za-z0-9_.-]+)["']`)
	gradleInclude  = regexp.MustCompile(`(?m)^\s*include\s*\(?(.+)$`)
	gradleQuoted   = regexp.MustCompile(`["']:?([A-Za-z0-9_.:-]+)["']`)
)

func gradleFile(s *scan, dir string) string {
	return s.first(path.Join(dir, "build.gradle.kts"), path.Join(dir, "build.gradle"))
}

var (
	// commonAliases are usual names of plugins in catalogues that are elsewhere.
	commonAliases = []struct{ form, plugin string }{
		{`\.plugins\.ktor\b`, "io.ktor.plugin"},
		{`\.plugins\.spring\.?[bB]oot\b`, "org.springframework.boot"},
		{`\.plugins\.quarkus\b`, "io.quarkus"},
		{`\.plugins\.micronaut\.application\b`, "io.micronaut.application"},
	}
	gradleAlias  = regexp.MustCompile(`alias\s*\(?\s*libs\.plugins\.([A-Za-z0-9_.]+)`)
	aliasDivider = strings.NewReplacer("-", ".", "_", ".")
)

// gradleText returns a build file with the plugins that it takes of the version
// catalogue by their identifiers too.
func (s *scan) gradleText(name string) string {
	text := s.text(name)
	aliases := gradleAlias.FindAllStringSubmatch(text, 50)
	if !strings.Contains(text, "alias") {
		return text
	}
	for _, a := range commonAliases {
		if regexp.MustCompile(`alias\s*\(?\s*\w+` + a.form).MatchString(text) {
			text += "\nid(\"" + a.plugin + "\")"
		}
	}
	if len(aliases) == 0 {
		return text
	}
	var catalogue struct {
		Plugins map[string]any `toml:"plugins"`
	}
	s.attempt(func() { s.toml("gradle/libs.versions.toml", &catalogue) })
	for key, value := range catalogue.Plugins {
		id, _ := value.(string)
		if table, ok := value.(map[string]any); ok {
			id, _ = table["id"].(string)
		}
		id, _, _ = strings.Cut(id, ":")
		for _, a := range aliases {
			if id != "" && aliasDivider.Replace(key) == strings.TrimSuffix(a[1], ".") {
				text += "\nid(\"" + clean(id) + "\")"
			}
		}
	}
	return text
}

func gradleKind(text string) (framework, task, plugin string) {
	switch {
	case strings.Contains(text, "org.springframework.boot"):
		return "Spring Boot", "bootJar", "org.springframework.boot"
	case strings.Contains(text, "io.quarkus"):
		return "Quarkus", "quarkusBuild", "io.quarkus"
	case strings.Contains(text, "io.micronaut.application"):
		return "Micronaut", "installDist", "io.micronaut.application"
	case strings.Contains(text, "io.ktor.plugin"):
		return "Ktor", "installDist", "io.ktor.plugin"
	case regexp.MustCompile(`(?m)^\s*(?:id[ (]["']application["']|application\b|apply plugin: ["']application["'])`).MatchString(text):
		return "", "installDist", "application"
	}
	return "", "", ""
}

func (s *scan) planGradle() error {
	dir, err := s.gradleModule()
	if err != nil {
		return err
	}
	name := gradleFile(s, dir)
	text := s.gradleText(name)
	v := ""
	for _, from := range []string{text, s.text(gradleFile(s, "."))} {
		if m := gradleVersion.FindStringSubmatch(from); m != nil && v == "" {
			v = strings.ReplaceAll(m[1], "_", ".")
		}
	}
	s.javaVersion(v, name)
	framework, task, plugin := gradleKind(text)
	s.Framework = framework
	if plugin == "" && !gradleMain.MatchString(text) && !s.javaMain(dir) {
		return &Unknown{
			Problem: name + " makes no program: it is a library or a plugin", Looked: []string{"the plugins org.springframework.boot, io.quarkus, io.micronaut.application, io.ktor.plugin and application", "Main-Class", "a main method"}, Found: []string{name},
			Next: "Apply the plugin application with the main class, or name the directory that has the program.",
		}
	}
	if plugin == "" {
		task = "jar"
		s.warn("%s has no plugin that makes a program (org.springframework.boot, application): java -jar may not find the main class.", name)
	} else {
		s.why("%s has the plugin %s -> task %s", name, plugin, task)
	}
	command := "gradle"
	if s.has("gradlew") {
		command = "sh gradlew"
		s.why("gradlew -> Gradle of the version that the project names")
	}
	if dir != "." {
		task = ":" + strings.ReplaceAll(dir, "/", ":") + ":" + task
	}
	s.File.Build = []string{command + " --no-daemon --console=plain " + task}
	s.gradleStart(dir, plugin)
	s.javaPort(dir)
	return nil
}

var (
	gradleMain = regexp.MustCompile(`Main-Class|mainClass|shadow`)
	mainMethod = regexp.MustCompile(`static\s+(?:public\s+)?void\s+main\s*\(|(?m:^fun main\s*\()|@SpringBootApplication|(?m:^\s*void main\s*\()`)
)

// javaMain reports whether a project may have a main method. Deep trees are not looked
// at whole: then it may.
func (s *scan) javaMain(dir string) bool {
	const deep = 12
	for _, pattern := range []string{"*.java", "*.kt", "*.groovy", "*.scala"} {
		for _, name := range s.find(path.Join(dir, "src"), deep, pattern) {
			if mainMethod.MatchString(s.text(name)) {
				return true
			}
		}
	}
	return s.cut != ""
}

func (s *scan) gradleStart(dir, plugin string) {
	switch plugin {
	case "io.quarkus":
		s.jar(path.Join(dir, "build/quarkus-app/quarkus-run.jar"), "", "quarkus.http.port")
	case "org.springframework.boot":
		s.jar("app.jar", path.Join(dir, "build/libs"), "server.port")
	case "":
		s.jar("app.jar", path.Join(dir, "build/libs"), "")
	default:
		name := path.Base(dir)
		if dir == "." {
			name = "app"
			if m := gradleRootName.FindStringSubmatch(s.text(s.first("settings.gradle.kts", "settings.gradle"))); m != nil {
				name = m[1]
			} else {
				s.warn("The settings of Gradle name no rootProject.name: the program is expected to be called app, as the build's directory is.")
			}
		}
		if !s.honour() {
			s.start("sh "+path.Join(dir, "build/install", name, "bin", name), "installDist makes that script")
		}
	}
}

// gradleModule finds the directory whose build file makes the program.
func (s *scan) gradleModule() (string, error) {
	if _, _, plugin := gradleKind(s.gradleText(gradleFile(s, "."))); plugin != "" && gradleFile(s, ".") != "" && !s.gradleApplyFalse() {
		return ".", nil
	}
	var options []Option
	settings := s.text(s.first("settings.gradle.kts", "settings.gradle"))
	for _, line := range gradleInclude.FindAllStringSubmatch(settings, 100) {
		for _, m := range gradleQuoted.FindAllStringSubmatch(line[1], 100) {
			dir := cleanPath(strings.ReplaceAll(m[1], ":", "/"))
			name := gradleFile(s, dir)
			if dir == "" || name == "" {
				continue
			}
			if _, _, plugin := gradleKind(s.gradleText(name)); plugin != "" {
				options = append(options, Option{Value: dir, Why: name + " has the plugin " + plugin})
			}
		}
	}
	if len(options) == 0 {
		if gradleFile(s, ".") == "" {
			return "", &Unknown{Problem: "No project of the Gradle build makes a program", Looked: []string{"build.gradle", "build.gradle.kts"}, Found: []string{s.first("settings.gradle.kts", "settings.gradle")}, Next: "Apply the plugin application or org.springframework.boot in the project that is to be started."}
		}
		return ".", nil
	}
	o, err := s.ask(KindProject, "Several projects of the Gradle build make a program", options)
	if err != nil {
		return "", err
	}
	s.why("%s -> the project %s makes the program", o.Why, o.Value)
	return o.Value, nil
}

// gradleApplyFalse reports whether the root only names the plugin's version for its
// projects.
func (s *scan) gradleApplyFalse() bool {
	text := s.text(gradleFile(s, "."))
	return strings.Contains(text, "apply false") && !s.hasDir("src/main")
}
