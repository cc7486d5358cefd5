package detect

import (
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

func seeRuby(s *scan) (manifest, program string) {
	manifest = s.first("Gemfile", "config.ru", "gems.rb")
	if manifest == "" {
		return "", ""
	}
	return manifest, s.rubyProgram()
}

// rubyProgram returns the file that shows a web program; "" for none.
func (s *scan) rubyProgram() string {
	if name := s.first("bin/rails", "config/application.rb", "config.ru"); name != "" {
		return name
	}
	for _, name := range rubyScripts {
		if sinatra.MatchString(s.text(name)) {
			return name
		}
	}
	return ""
}

// rubyScripts are files that may start a server themselves.
var rubyScripts = []string{"app.rb", "server.rb", "main.rb", "web.rb"}

// sinatraIn reports whether a directory has such a file.
func (s *scan) sinatraIn(dir string) bool {
	return slices.ContainsFunc(rubyScripts, func(name string) bool { return sinatra.MatchString(s.text(path.Join(dir, name))) })
}

var (
	sinatra     = regexp.MustCompile(`(?m)^\s*require ['"](?:sinatra|roda|rackup|webrick)`)
	gemfileRuby = regexp.MustCompile(`(?m)^\s*ruby\s*\(?\s*((?:["'][^"'\n]+["'](?:\s*,\s*)?)+)`)
	lockRuby    = regexp.MustCompile(`RUBY VERSION\s+ruby ([0-9]+\.[0-9]+\.[0-9]+)`)
	patchLevel  = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+$`)
	rubyGem     = regexp.MustCompile(`(?m)^\s*gem\s*\(?\s*["']([A-Za-z0-9_-]+)["']`)
	pumaPort    = regexp.MustCompile(`(?m)^\s*port\s*\(?\s*([0-9]{2,5})\b`)
)

// gems returns the names of the gems that the Gemfile and its lock name.
func (s *scan) gems() map[string]bool {
	gems := map[string]bool{}
	for _, m := range rubyGem.FindAllStringSubmatch(s.text("Gemfile")+s.text("gems.rb"), 500) {
		gems[m[1]] = true
	}
	for l := range strings.Lines(s.text("Gemfile.lock")) {
		if strings.HasPrefix(l, "    ") && !strings.HasPrefix(l, "     ") {
			name, _, _ := strings.Cut(strings.TrimSpace(l), " ")
			gems[name] = true
		}
	}
	return gems
}

func (s *scan) planRuby() error {
	s.rubyVersion()
	gems := s.gems()
	s.bundle()
	rails := gems["rails"] || gems["railties"] || s.first("bin/rails", "config/application.rb") != ""
	switch {
	case rails:
		s.Framework = "Rails"
		s.why("%s -> Rails", s.first("bin/rails", "config/application.rb", "Gemfile"))
	case gems["sinatra"]:
		s.Framework = "Sinatra"
		s.why("Gemfile has sinatra -> Sinatra")
	case gems["hanami"], gems["roda"], gems["grape"]:
		for _, name := range []string{"hanami", "roda", "grape"} {
			if gems[name] {
				s.Framework = strings.ToUpper(name[:1]) + name[1:]
				s.why("Gemfile has %s -> %s", name, s.Framework)
				break
			}
		}
	}
	if rails {
		s.rails(gems)
	} else {
		s.setEnv("RACK_ENV", "production")
	}
	if s.honour() {
		s.rubyHonoured()
		return nil
	}
	return s.rackCommand(rails, gems)
}

func (s *scan) rubyVersion() {
	gemfile := ""
	if m := gemfileRuby.FindStringSubmatch(s.text("Gemfile")); m != nil {
		gemfile = strings.NewReplacer(`"`, "", "'", "").Replace(m[1])
	}
	lock := ""
	if m := lockRuby.FindStringSubmatch(s.text("Gemfile.lock")); m != nil {
		lock = m[1]
	}
	if patchLevel.MatchString(strings.TrimSpace(gemfile)) {
		gemfile = strings.TrimSpace(gemfile)
		r, ok := runtimeFor("ruby", gemfile, gem)
		if ok {
			// Bundler refuses every other version.
			s.File.RuntimeVersion = gemfile
			s.use(r, "Gemfile says ruby "+gemfile+", and Bundler accepts no other version")
			return
		}
		s.use(r, says("Gemfile", "ruby "+gemfile))
		s.warn("There is no runtime for Ruby %s, and Bundler refuses others while the Gemfile names it: write `ruby \"~> %s\"` into the Gemfile, or add a Dockerfile.", gemfile, r.Lines[0])
		return
	}
	for _, c := range []struct{ constraint, where string }{
		{gemfile, "Gemfile, ruby"},
		{minorOf(s.versionFile(".ruby-version", "ruby-")), ".ruby-version"},
		{minorOf(s.toolVersion("ruby")), ".tool-versions"},
		{minorOf(lock), "Gemfile.lock"},
	} {
		if c.constraint != "" {
			s.pickRuntime("ruby", c.constraint, says(c.where, c.constraint), gem)
			return
		}
	}
	s.pickRuntime("ruby", "", "", gem)
}

// bundle installs the gems below vendor/bundle, which a build keeps.
func (s *scan) bundle() {
	if s.first("Gemfile", "gems.rb") == "" {
		s.why("there is no Gemfile -> rack and puma are installed for config.ru")
		s.File.Build = []string{"gem install --no-document --install-dir vendor/gems rack rackup puma"}
		s.setEnv("GEM_PATH", "vendor/gems")
		return
	}
	s.File.Build = []string{"bundle config set --local path vendor/bundle", "bundle config set --local without development:test"}
	if s.first("Gemfile.lock", "gems.locked") != "" {
		s.File.Build = append(s.File.Build, "bundle config set --local deployment true")
		s.why("Gemfile.lock -> its locked versions are installed into vendor/bundle")
	} else {
		s.why("no Gemfile.lock -> bundle install into vendor/bundle")
		s.warn("There is no Gemfile.lock, so each build may install other versions: run `bundle lock` and commit it.")
	}
	s.File.Build = append(s.File.Build, "bundle install")
}

// rails adds the assets and the variables of a Rails application in production.
func (s *scan) rails(gems map[string]bool) {
	s.setEnv("RAILS_ENV", "production")
	s.setEnv("RAILS_LOG_TO_STDOUT", "1")
	s.setEnv("RAILS_SERVE_STATIC_FILES", "1")
	if gems["sprockets-rails"] || gems["propshaft"] || gems["sprockets"] || gems["shakapacker"] || gems["webpacker"] || gems["vite_rails"] {
		s.File.Build = append(s.File.Build, "RAILS_ENV=production SECRET_KEY_BASE_DUMMY=1 SECRET_KEY_BASE=dummy bundle exec rake assets:precompile")
		s.why("the gems have an asset pipeline -> assets:precompile")
	}
	for _, name := range []string{"jsbundling-rails", "cssbundling-rails", "webpacker", "shakapacker", "vite_rails"} {
		if gems[name] {
			s.warn("%s needs Node.js to build assets, which Ruby's runtime may lack: commit the built assets, or add a Dockerfile.", name)
			break
		}
	}
	if s.has("config/credentials.yml.enc") {
		s.warn("Rails needs RAILS_MASTER_KEY to read its credentials: give it as a secret of the service.")
	} else {
		s.warn("Rails needs SECRET_KEY_BASE: give it as a secret of the service.")
	}
	if !strings.Contains(s.hosted.command, "migrate") {
		s.warn("Migrations are not run: run `bundle exec rails db:migrate` by hand, or make it a part of the start command.")
	}
}

// rackCommand sets the start command.
func (s *scan) rackCommand(rails bool, gems map[string]bool) error {
	port := strconv.Itoa(or8080(s.hosted.port))
	prefix := "bundle exec "
	if s.first("Gemfile", "gems.rb") == "" {
		prefix = "vendor/gems/bin/"
	}
	rackup := s.has("config.ru")
	switch {
	case s.has("config/puma.rb") && gems["puma"]:
		s.start(prefix+"puma -C config/puma.rb", "config/puma.rb configures puma")
		text := s.text("config/puma.rb")
		if m := pumaPort.FindStringSubmatch(text); m != nil && !strings.Contains(text, "PORT") {
			n, _ := strconv.Atoi(m[1])
			s.listens(n, "config/puma.rb says port "+m[1])
		}
	case rails:
		s.start(prefix+"rails server -b 0.0.0.0 -p "+port+" -e production", "Rails' own command starts its server")
	case rackup && (gems["puma"] || prefix != "bundle exec "):
		s.start(prefix+"puma -b tcp://0.0.0.0:"+port, "config.ru is a Rack application, and puma serves it")
	case rackup:
		s.start(prefix+"rackup -o 0.0.0.0 -p "+port, "config.ru is a Rack application")
	default:
		name := s.rubyProgram()
		if name == "" && gems["jekyll"] {
			return &Unknown{Problem: "This is a site of Jekyll, which has no runtime", Found: []string{"Gemfile"}, Next: "Add a Dockerfile that builds the site and serves its files."}
		}
		if name == "" {
			return &Unknown{
				Problem: "The Gemfile does not say how the program is started",
				Looked:  []string{"bin/rails", "config.ru", "app.rb", "server.rb", "main.rb", "web.rb", "Procfile"}, Found: []string{"Gemfile"},
				Next: "Add a config.ru, or a Procfile with a web: line.",
			}
		}
		flags := ""
		if strings.Contains(s.text(name), "sinatra") {
			flags = " -o 0.0.0.0 -p " + port
		}
		s.start(prefix+"ruby "+name+flags, name+" starts a server")
	}
	return nil
}

func or8080(port int) int {
	if port == 0 {
		return 8080
	}
	return port
}

// rubyCommand is a program of a gem, or ruby, at the beginning of a command.
var rubyCommand = regexp.MustCompile(`(^|&&\s*|\|\|\s*|;\s*)((?:[A-Z_]+=\S+\s+)*(?:exec\s+)?)(ruby|rake|rails|puma|rackup|thin|unicorn|falcon|hanami)\s`)

// rubyHonoured adds what a start command of another platform takes for granted: there,
// gems are found without Bundler.
func (s *scan) rubyHonoured() {
	if s.first("Gemfile", "gems.rb") != "" {
		if bundled := strings.TrimSpace(rubyCommand.ReplaceAllString(s.File.Command+" ", "${1}${2}bundle exec ${3} ")); bundled != s.File.Command {
			s.File.Command = bundled
			s.why("gems are in vendor/bundle, where only Bundler finds them -> %s", bundled)
		}
	}
	if m := portLiteral.FindStringSubmatch(s.File.Command); m != nil {
		port, _ := strconv.Atoi(m[1])
		s.listens(port, "the start command has "+m[0])
	}
}
