package slipway

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"slices"
	"strings"
	"time"
)

// SettingPrefix begins the keys of tags that are settings: what App Runner's API has
// no member for, and every client can set nevertheless, as it can set tags.
const SettingPrefix = "slipway:"

// Settings are the parsed settings of one resource: a field each, zero if its tag is
// missing.
type Settings struct {
	Build   BuildSettings
	Init    bool // see Process.Init
	Routing RoutingSettings

	PauseKeeps time.Duration // for which a pause keeps instances, frozen; 0: it stops them
}

// BuildSettings are a service's settings for the builds of its code, beside those of
// App Runner's API and of apprunner.yaml.
type BuildSettings struct {
	Mode   BuildMode `json:",omitempty"`
	Detect bool      `json:",omitempty"` // without a configuration file, code is built as its files suggest

	Env     map[string]string `json:",omitempty"` // variables of build commands by name
	Secrets map[string]string `json:",omitempty"` // references by variable: see ParseSecretReference

	Dockerfile string            `json:",omitempty"` // path below the source directory; "" for what the configuration says
	Target     string            `json:",omitempty"` // stage of the Dockerfile; "" for the last
	Args       map[string]string `json:",omitempty"` // values of the Dockerfile's ARGs by name
}

// BuildMode says what of a build is deployed.
type BuildMode string

const (
	BuildModeAppRunner BuildMode = ""     // only /app, as App Runner does it for the runtime
	BuildModeKeep      BuildMode = "keep" // everything that the build commands changed
)

// Fingerprint returns a text that differs for settings that differ, "" for none. It
// reveals nothing of them.
func (b BuildSettings) Fingerprint() string {
	text, err := json.Marshal(b)
	if err != nil || string(text) == "{}" { // it has only strings: there are no errors
		return ""
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}

// CheckRole refuses secrets of builds for a service without an instance role. As with
// the secrets of applications, the role is what allows a service to read secrets on AWS.
func (b BuildSettings) CheckRole(spec Spec) error {
	if len(b.Secrets) == 0 || spec.Instance.InstanceRoleArn != nil && *spec.Instance.InstanceRoleArn != "" {
		return nil
	}
	return Errorf(InvalidRequest,
		"The settings %sbuild-secret.NAME need an Instance Role, as RuntimeEnvironmentSecrets do; set InstanceConfiguration.InstanceRoleArn.", SettingPrefix)
}

// Effect says when a change of a setting takes effect.
type Effect string

const (
	EffectAtOnce     Effect = "at once"                  // its reader looks at the tag each time
	EffectDeployment Effect = "with the next deployment" // it is part of the release
	EffectPause      Effect = "with the next pause"      // the pause reads it once
)

// setting is one entry of the table of settings.
type setting struct {
	// name follows SettingPrefix. One that ends with nameSuffix stands for any number
	// of settings, each with a name of the user's in its place.
	name     string
	resource string // type of the resource, as in its ARN
	allowed  string // the allowed values, for people: "a number from 0 to 25"
	effect   Effect

	// parse stores the value. name is what stands for NAME, else "". It returns false
	// if the value is not allowed.
	parse func(s *Settings, name, value string) bool

	// private values are not repeated in errors: somebody may have put a secret there.
	private bool
}

// MaxPauseKeeps is the longest time for which a pause keeps instances.
const MaxPauseKeeps = 24 * time.Hour

// nameSuffix ends the name of a setting of which a resource can have many.
const nameSuffix = ".NAME"

// settings returns the table of settings.
func settings() []setting {
	return slices.Concat(routingSettings(), []setting{
		{
			name: "pause-keeps", resource: "service", effect: EffectPause,
			allowed: "the seconds for which a paused service keeps its instances, frozen, from 0 to 86400; a resume within that time thaws them. 0 without it: a pause stops them, as in App Runner",
			parse: func(s *Settings, _, value string) (ok bool) {
				if value == "0" {
					return true
				}
				s.PauseKeeps, ok = parseSeconds(value, int(MaxPauseKeeps/time.Second))
				return ok
			},
		},
		{
			name: "init", resource: "service", effect: EffectDeployment,
			allowed: "`true` (process 1 of an instance is a small init, which forwards signals to the application and reaps orphans) or `false` (the application is process 1)",
			parse: func(s *Settings, _, value string) (ok bool) {
				s.Init, ok = parseBool(value)
				return ok
			},
		},
		{
			name: "build-mode", resource: "service", effect: EffectDeployment,
			allowed: "`app-runner` (only /app is deployed) or `keep` (everything that the build commands changed)",
			parse: func(s *Settings, _, value string) bool {
				if value == "keep" {
					s.Build.Mode = BuildModeKeep
				}
				return value == "keep" || value == "app-runner"
			},
		},
		{
			name: "detect", resource: "service", effect: EffectDeployment,
			allowed: "`true` (without an apprunner.yaml, the code is built as its files suggest, or by its Dockerfile) or `false`",
			parse: func(s *Settings, _, value string) (ok bool) {
				s.Build.Detect, ok = parseBool(value)
				return ok
			},
		},
		{
			name: "build-env.NAME", resource: "service", effect: EffectDeployment,
			allowed: "text, the value of the variable NAME for build commands",
			parse: func(s *Settings, name, value string) bool {
				set(&s.Build.Env, name, value)
				return !strings.Contains(value, "\x00")
			},
		},
		{
			name: "build-secret.NAME", resource: "service", effect: EffectDeployment, private: true,
			allowed: "a reference as in RuntimeEnvironmentSecrets: the ARN of a secret, or the name or ARN of a parameter",
			parse: func(s *Settings, name, value string) bool {
				set(&s.Build.Secrets, name, value)
				_, err := ParseSecretReference(value)
				return err == nil
			},
		},
		{
			name: "dockerfile", resource: "service", effect: EffectDeployment,
			allowed: "the path of a Dockerfile below the source directory, such as `deploy/Dockerfile`; it then makes the image, whatever the configuration says",
			parse: func(s *Settings, _, value string) bool {
				s.Build.Dockerfile = value
				return fs.ValidPath(value) && value != "." && !strings.Contains(value, "\x00")
			},
		},
		{
			name: "docker-target", resource: "service", effect: EffectDeployment,
			allowed: "the name of a stage of the Dockerfile; without it, the last one is deployed",
			parse: func(s *Settings, _, value string) bool {
				s.Build.Target = value
				return value != "" && !strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r == 0x7f })
			},
		},
		{
			name: "build-arg.NAME", resource: "service", effect: EffectDeployment,
			allowed: "text, the value of the Dockerfile's ARG NAME. It can be read from the image: use build-secret.NAME for secrets",
			parse: func(s *Settings, name, value string) bool {
				set(&s.Build.Args, name, value)
				return !strings.Contains(value, "\x00")
			},
		},
	})
}

func set(m *map[string]string, name, value string) {
	if *m == nil {
		*m = map[string]string{}
	}
	(*m)[name] = value
}

// ParseSettings returns the settings among the tags of a resource of the type. Tags
// without SettingPrefix are ignored. A setting that is unknown for the type, or a
// value that is not allowed, is an *Error: a misspelt setting must not pass for a tag.
func ParseSettings(resource string, tags []Tag) (Settings, error) {
	return parseSettings(settings(), resource, tags)
}

// RoutingOf returns the settings for requests among the tags of a service. It passes over
// what is not allowed, or no such setting: a router must not stop for one.
func RoutingOf(tags []Tag) RoutingSettings {
	var s Settings
	table := routingSettings()
	for _, t := range tags {
		if name, ok := strings.CutPrefix(t.Key, SettingPrefix); ok {
			was := s.Routing
			if parseSetting(table, &s, "service", name, t) != nil {
				s.Routing = was
			}
		}
	}
	s.Routing.complete()
	return s.Routing
}

func parseSettings(table []setting, resource string, tags []Tag) (s Settings, err error) {
	for _, t := range tags {
		name, ok := strings.CutPrefix(t.Key, SettingPrefix)
		if !ok {
			continue
		}
		if err := parseSetting(table, &s, resource, name, t); err != nil {
			return s, err
		}
	}
	s.Routing.complete()
	return s, nil
}

func parseSetting(table []setting, s *Settings, resource, name string, t Tag) error {
	for _, row := range table {
		variable, ok := row.match(resource, name)
		switch {
		case !ok:
		case row.isMany() && !isVariable(variable):
			return Errorf(InvalidRequest, "Tags: the key %q must end with the name of a variable: %s%s.", t.Key, SettingPrefix, row.name)
		case row.parse(s, variable, t.Value):
			return nil
		case row.private:
			return Errorf(InvalidRequest, "Tags: the value of %q is not allowed; it must be %s. The setting takes effect %s.", t.Key, row.allowed, row.effect)
		default:
			return Errorf(InvalidRequest, "Tags: the value of %q is %.100q; it must be %s. The setting takes effect %s.", t.Key, t.Value, row.allowed, row.effect)
		}
	}
	return Errorf(InvalidRequest,
		"Tags: %q is no setting that this server knows for the resource type %s; the prefix %s is reserved for settings.", t.Key, resource, SettingPrefix)
}

func (s setting) isMany() bool { return strings.HasSuffix(s.name, nameSuffix) }

// match reports whether the row is for this name, and what stands for NAME in it.
func (s setting) match(resource, name string) (variable string, ok bool) {
	if s.resource != resource {
		return "", false
	}
	if !s.isMany() {
		return "", s.name == name
	}
	return strings.CutPrefix(name, strings.TrimSuffix(s.name, "NAME"))
}

// isVariable reports whether an environment can have a variable of the name. Package
// managers read variables that no shell can name ("npm_config_@shop:registry").
func isVariable(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == '=' || r == 0x7f })
}
