package client_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openslipway/slipway/internal/cli/client"
)

// env returns a getenv function for the pairs.
func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i+1 < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func TestResolve(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		what     string
		settings client.Settings
		env      []string
		endpoint string
		addr     string
		local    bool
	}{
		{"nothing", client.Settings{}, nil, "http://127.0.0.1:8070", "127.0.0.1:8070", true},
		{"variable", client.Settings{}, []string{"SLIPWAY_ENDPOINT", "https://paas.example.com"}, "https://paas.example.com", "paas.example.com:443", false},
		{"flag", client.Settings{Endpoint: "http://localhost/"}, []string{"SLIPWAY_ENDPOINT", "https://x"}, "http://localhost", "localhost:80", true},
		{"IPv6", client.Settings{Endpoint: "http://[::1]:1"}, nil, "http://[::1]:1", "[::1]:1", true},
		{"another machine", client.Settings{Endpoint: "http://10.0.0.1:8070"}, nil, "http://10.0.0.1:8070", "10.0.0.1:8070", false},
	} {
		t.Run(tc.what, func(t *testing.T) {
			t.Parallel()
			got, err := tc.settings.Resolve(env(append(tc.env, "HOME", "/home/ada")...))
			if err != nil {
				t.Fatal(err)
			}
			if got.Endpoint.String() != tc.endpoint || got.Addr() != tc.addr || got.Local() != tc.local {
				t.Errorf("%s, %s, local %v; want %s, %s, %v", got.Endpoint, got.Addr(), got.Local(), tc.endpoint, tc.addr, tc.local)
			}
		})
	}
}

func TestResolveRefusesEndpoints(t *testing.T) {
	t.Parallel()
	for _, endpoint := range []string{"127.0.0.1:8070", "ftp://x", "http://", "http://x/path", "http://x?q", "http://u:p@x", "http://x#f", "http://%"} {
		_, err := client.Settings{Endpoint: endpoint, DataDir: "/d"}.Resolve(env())
		p, ok := errors.AsType[*client.Problem](err)
		if !ok || !strings.Contains(p.Text, endpoint) || p.Hint == "" {
			t.Errorf("%q: error %v", endpoint, err)
		}
	}
}

func TestDataDir(t *testing.T) {
	t.Parallel()
	usual := "/home/ada/.local/share/slipway"
	xdg, windows := "/xdg/slipway", "/Users/ada/AppData/Local/slipway"
	if os.Geteuid() == 0 {
		usual, xdg, windows = "/var/lib/slipway", "/var/lib/slipway", "/var/lib/slipway"
	}
	for _, tc := range []struct {
		flag string
		env  []string
		want string
	}{
		{"/flag", []string{"SLIPWAY_DATA_DIR", "/var"}, "/flag"},
		{"", []string{"SLIPWAY_DATA_DIR", "/var", "HOME", "/home/ada"}, "/var"},
		{"", []string{"HOME", "/home/ada"}, usual},
		{"", []string{"HOME", "/home/ada", "XDG_DATA_HOME", "/xdg"}, xdg},
		{"", []string{"LOCALAPPDATA", "/Users/ada/AppData/Local"}, windows},
		{"", []string{"HOME", "/home/ada", "XDG_DATA_HOME", "relative"}, usual},
	} {
		got, err := client.DataDir(tc.flag, env(tc.env...))
		if err != nil || got != tc.want {
			t.Errorf("DataDir(%q) with %v = %q, %v; want %q", tc.flag, tc.env, got, err, tc.want)
		}
	}
	if got, err := client.DataDir("relative", env()); err != nil || !filepath.IsAbs(got) {
		t.Errorf("DataDir(relative) = %q, %v; want an absolute path", got, err)
	}
}

// keysFile writes a credentials file of lines.
func keysFile(t *testing.T, dir string, lines ...string) string {
	t.Helper()
	path := filepath.Join(dir, "credentials")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func key(id string) []string {
	return []string{"aws_access_key_id = " + id, "aws_secret_access_key = secret"}
}

func TestIdentity(t *testing.T) {
	t.Parallel()
	data, other := t.TempDir(), t.TempDir()
	keysFile(t, data, append([]string{"[default]"}, append(key("DATA"), "region = eu-west-1")...)...)
	file := keysFile(t, other, append(append([]string{"[default]"}, key("FILE")...), append([]string{"[work]"}, key("WORK")...)...)...)
	for _, tc := range []struct {
		what       string
		settings   client.Settings
		env        []string
		id, region string
		file       string
	}{
		{"data directory", client.Settings{}, nil, "DATA", "eu-west-1", filepath.Join(data, "credentials")},
		{"its region against AWS_REGION", client.Settings{}, []string{"AWS_REGION", "ap-south-1"}, "DATA", "eu-west-1", filepath.Join(data, "credentials")},
		{"its region against a flag", client.Settings{Region: "us-west-2"}, nil, "DATA", "us-west-2", filepath.Join(data, "credentials")},
		{"a profile that it has not", client.Settings{}, []string{"AWS_PROFILE", "work"}, "DATA", "eu-west-1", filepath.Join(data, "credentials")},
		{"AWS file", client.Settings{}, []string{"AWS_SHARED_CREDENTIALS_FILE", file}, "FILE", "us-east-1", file},
		{"AWS key", client.Settings{}, []string{"AWS_ACCESS_KEY_ID", "ENV", "AWS_SECRET_ACCESS_KEY", "secret", "AWS_SHARED_CREDENTIALS_FILE", file, "AWS_DEFAULT_REGION", "eu-west-3"}, "ENV", "eu-west-3", ""},
		{"variable", client.Settings{}, []string{"SLIPWAY_CREDENTIALS", file, "AWS_ACCESS_KEY_ID", "ENV"}, "FILE", "us-east-1", file},
		{"profile", client.Settings{Credentials: file}, []string{"AWS_PROFILE", "work"}, "WORK", "us-east-1", file},
		{"flag", client.Settings{Credentials: file}, []string{"SLIPWAY_CREDENTIALS", "/absent"}, "FILE", "us-east-1", file},
	} {
		t.Run(tc.what, func(t *testing.T) {
			t.Parallel()
			tc.settings.DataDir = data
			target, err := tc.settings.Resolve(env(tc.env...))
			if err != nil {
				t.Fatal(err)
			}
			got, err := target.Identity(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			keys, err := got.Provider.Retrieve(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if keys.AccessKeyID != tc.id || got.Region != tc.region || got.File != tc.file {
				t.Errorf("key %s, region %s, file %q; want %s, %s, %q", keys.AccessKeyID, got.Region, got.File, tc.id, tc.region, tc.file)
			}
		})
	}
}

func TestIdentityProblems(t *testing.T) {
	t.Parallel()
	empty := keysFile(t, t.TempDir(), "[default]")
	for file, says := range map[string]string{
		"/nowhere/credentials": "cannot read",
		empty:                  `no access key in its profile "default"`,
	} {
		target, err := client.Settings{Credentials: file, DataDir: "/d"}.Resolve(env())
		if err != nil {
			t.Fatal(err)
		}
		_, err = target.Identity(t.Context())
		p, ok := errors.AsType[*client.Problem](err)
		if !ok || !strings.Contains(p.Text, says) || !strings.Contains(p.Text, file) || p.Hint == "" {
			t.Errorf("%s: error %v", file, err)
		}
	}
}

// TestNoKeysAnywhere cannot run in parallel: the SDK reads the process's
// environment.
func TestNoKeysAnywhere(t *testing.T) {
	for _, name := range []string{"HOME", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"} {
		t.Setenv(name, filepath.Join(t.TempDir(), "absent"))
	}
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_WEB_IDENTITY_TOKEN_FILE"} {
		t.Setenv(name, "")
	}
	target, err := client.Settings{Endpoint: "http://127.0.0.1:1", DataDir: t.TempDir()}.Resolve(env())
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.Connect(t.Context(), target)
	if !client.Unreachable(err) {
		t.Fatalf("error %v, want that no server answers", err)
	}
	p := target.Explain(err)
	if !strings.Contains(p.Text, "no server answers at http://127.0.0.1:1") || !strings.Contains(p.Hint, "slipway serve") {
		t.Errorf("problem %q, %q", p.Text, p.Hint)
	}
}
