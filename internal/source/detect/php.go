package detect

import (
	"path"
	"slices"
	"strconv"
	"strings"
)

type composerJSON struct {
	Require loose[map[string]string] `json:"require"`
	Config  loose[struct {
		Platform map[string]any `json:"platform"`
	}] `json:"config"`
	Scripts loose[map[string]any] `json:"scripts"`
}

func seePHP(s *scan) (manifest, program string) {
	manifest = s.first("composer.json")
	program = s.first("artisan", "bin/console", "public/index.php", "web/index.php", "index.php", "wp-config-sample.php")
	if manifest == "" {
		if manifest = s.first("index.php", "public/index.php", "web/index.php"); manifest == "" {
			return "", ""
		}
	}
	return manifest, program
}

func (s *scan) planPHP() error {
	var c composerJSON
	s.json("composer.json", &c)
	s.phpVersion(c)
	s.phpFramework(c)
	s.phpExtensions(c)
	s.composer(c)
	if s.honour() {
		if strings.Contains(s.hosted.command, "heroku-php") {
			root := s.herokuRoot()
			s.File.Command = ""
			s.why("%s is Heroku's own server", strings.Fields(s.hosted.command)[0])
			s.servePHP(root)
		}
		return nil
	}
	root, ok := s.documentRoot()
	if !ok {
		return &Unknown{
			Problem: "No document root is found", Looked: []string{"public/index.php", "web/index.php", "index.php"}, Found: []string{"composer.json"},
			Next: "Add public/index.php, or a Procfile with a web: line.",
		}
	}
	s.why("%s -> document root %s", path.Join(root, "index.php"), root)
	s.servePHP(root)
	return nil
}

func (s *scan) phpVersion(c composerJSON) {
	if platform, ok := c.Config.v.Platform["php"].(string); ok {
		s.pickRuntime("php", minorOf(platform), says("composer.json, config.platform.php", platform), composer)
		return
	}
	if constraint := c.Require.v["php"]; constraint != "" {
		s.pickRuntime("php", constraint, says("composer.json, require.php", constraint), composer)
		return
	}
	if v := s.versionFile(".php-version"); v != "" {
		s.pickRuntime("php", minorOf(v), says(".php-version", v), composer)
		return
	}
	s.pickRuntime("php", "", "", composer)
}

func (s *scan) phpFramework(c composerJSON) {
	for _, f := range []struct{ pkg, name string }{
		{"laravel/framework", "Laravel"},
		{"laravel/lumen-framework", "Lumen"},
		{"symfony/framework-bundle", "Symfony"},
		{"slim/slim", "Slim"},
		{"cakephp/cakephp", "CakePHP"},
		{"codeigniter4/framework", "CodeIgniter"},
		{"yiisoft/yii2", "Yii"},
		{"drupal/core-recommended", "Drupal"},
		{"johnpbloch/wordpress", "WordPress"},
		{"roots/wordpress", "WordPress"},
	} {
		if c.Require.v[f.pkg] != "" {
			s.Framework = f.name
			s.why("composer.json requires %s -> %s", f.pkg, f.name)
			return
		}
	}
	if s.has("wp-config-sample.php") || s.has("wp-config.php") {
		s.Framework = "WordPress"
		s.why("wp-config -> WordPress")
	}
}

var phpBuiltin = map[string]bool{
	"ext-json": true, "ext-ctype": true, "ext-iconv": true, "ext-filter": true, "ext-hash": true, "ext-pcre": true, "ext-session": true,
	"ext-tokenizer": true, "ext-pdo": true, "ext-openssl": true, "ext-fileinfo": true, "ext-libxml": true, "ext-phar": true, "ext-posix": true, "ext-spl": true, "ext-date": true,
}

// phpExtensions warns of extensions that a runtime may lack.
func (s *scan) phpExtensions(c composerJSON) {
	var names []string
	for name := range c.Require.v {
		if strings.HasPrefix(name, "ext-") && !phpBuiltin[name] {
			names = append(names, name)
		}
	}
	if len(names) > 0 {
		slices.Sort(names)
		s.warn("composer.json requires extensions that the runtime may lack: %s.", strings.Join(names, ", "))
	}
}

func (s *scan) composer(c composerJSON) {
	if len(c.Require.v) == 0 {
		s.File.Build = []string{"php --version"}
		s.why("no packages are required, but App Runner requires a build command -> php --version")
		return
	}
	s.File.Build = []string{"composer install --no-dev --no-interaction --prefer-dist --optimize-autoloader"}
	if s.has("composer.lock") {
		s.why("composer.lock -> composer install --no-dev")
	} else {
		s.why("composer.json -> composer install --no-dev")
		s.warn("There is no composer.lock, so each build may install other versions: run `composer update` and commit it.")
	}
	if s.has("package.json") {
		s.warn("package.json is there too: PHP's runtime may lack Node.js, so commit the built assets, or add a Dockerfile.")
	}
	switch s.Framework {
	case "Laravel", "Lumen":
		s.setEnv("LOG_CHANNEL", "stderr")
		s.warn("Laravel needs APP_KEY: give it as a secret of the service.")
	case "Symfony":
		s.setEnv("APP_ENV", "prod")
		s.warn("Symfony needs APP_SECRET: give it as a secret of the service.")
	}
}

func (s *scan) documentRoot() (string, bool) {
	for _, dir := range []string{"public", "web", "webroot", "htdocs", "www", "."} {
		if s.has(path.Join(dir, "index.php")) {
			return dir, true
		}
	}
	return "", false
}

// herokuRoot returns the document root of Heroku's command: its last word that is a
// directory, or the root.
func (s *scan) herokuRoot() string {
	words := strings.Fields(s.hosted.command)
	for i := len(words) - 1; i > 0; i-- {
		if dir := cleanPath(words[i]); dir != "" && s.hasDir(dir) {
			return dir
		}
	}
	return "."
}

func (s *scan) servePHP(root string) {
	s.setEnv("PHP_CLI_SERVER_WORKERS", "4")
	s.start("php -S 0.0.0.0:"+strconv.Itoa(or8080(s.hosted.port))+" -t "+shellWord(root), "PHP needs a server, and has a small one itself")
	s.warn("The service runs PHP's own server with 4 processes: for much traffic add a Dockerfile with php-fpm.")
}
