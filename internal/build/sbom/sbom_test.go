package sbom_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/build/sbom"
	"github.com/openslipway/slipway/internal/image/pack"
)

// layer makes a directory with these files.
func layer(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// scan returns the package URLs found, each with "?" if it is only declared.
func scan(t testing.TB, base bool, layers ...string) []string {
	t.Helper()
	r, err := sbom.Scan(context.Background(), layers, base)
	if err != nil || r.Partial {
		t.Errorf("partial: %v, %v", r.Partial, err)
	}
	return urls(r)
}

func urls(r sbom.Result) (list []string) {
	for _, c := range r.Components {
		u := c.URL()
		if c.Declared {
			u += "?"
		}
		list = append(list, u)
	}
	return list
}

const (
	lockThree = `{"lockfileVersion":3,"packages":{"":{"name":"shop","version":"1.0.0"},"node_modules/a":{"version":"1.0.0"},
		"node_modules/a/node_modules/@s/b":{"version":"2.0.0+x"},"node_modules/alias":{"name":"real","version":"3.0.0"},"packages/own":{"version":"1.0.0"},"node_modules/own":{"link":true}}}`
	lockOne = `{"lockfileVersion":1,"dependencies":{"a":{"version":"1.0.0","dependencies":{"b":{"version":"2.0.0"}}},"git":{"version":"git+ssh://x/y#1"}}}`
	status  = "Package: libc6\nStatus: install ok installed\nVersion: 2.36-9+deb12u9\nDescription: x\n y\n\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n\nPackage: tz\nVersion: 2024a\n"
)

func TestFiles(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		files map[string]string
		want  []string
	}{
		"npm lock":      {map[string]string{"app/package-lock.json": lockThree}, []string{"pkg:npm/a@1.0.0?", "pkg:npm/real@3.0.0?", "pkg:npm/%40s/b@2.0.0%2Bx?"}},
		"npm lock, old": {map[string]string{"app/package-lock.json": lockOne}, []string{"pkg:npm/a@1.0.0?", "pkg:npm/b@2.0.0?"}},
		"npm installed": {
			map[string]string{"app/package-lock.json": lockOne, "app/node_modules/.package-lock.json": lockThree, "app/node_modules/x/package.json": `{"name":"x","version":"9"}`},
			[]string{"pkg:npm/a@1.0.0", "pkg:npm/real@3.0.0", "pkg:npm/%40s/b@2.0.0%2Bx"},
		},
		"node_modules without a list": {
			map[string]string{
				"app/node_modules/x/package.json": `{"name":"x","version":"9"}`, "app/node_modules/x/lib/package.json": `{"name":"inner","version":"1"}`,
				"app/node_modules/@s/y/package.json": `{"name":"@s/y","version":"8"}`, "app/package.json": `{"name":"shop","version":"1"}`,
			},
			[]string{"pkg:npm/x@9", "pkg:npm/%40s/y@8"},
		},
		"pip installed": {
			map[string]string{"usr/lib/python3/site-packages/Flask_Cors-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: Flask_Cors\nVersion: 1.0\n\nName: no\n", "app/requirements.txt": "flask==2\n"},
			[]string{"pkg:pypi/flask-cors@1.0"},
		},
		"requirements": {map[string]string{"app/requirements.txt": "# x\nFlask[async]==2.0 ; python_version > '3'\nother>=1\n-r more.txt\n  zope.interface == 5\n"}, []string{"pkg:pypi/flask@2.0?", "pkg:pypi/zope-interface@5?"}},
		"go.sum":       {map[string]string{"app/go.sum": "github.com/x/y v1.0.0 h1:a=\ngithub.com/x/y v1.0.0/go.mod h1:b=\ngithub.com/x/z v2.0.0/go.mod h1:b=\n"}, []string{"pkg:golang/github.com/x/y@v1.0.0?"}},
		"Gemfile.lock": {map[string]string{"app/Gemfile.lock": "GEM\n  remote: https://rubygems.org/\n  specs:\n    rack (3.0.0)\n      base (>= 1)\n\nPLATFORMS\n    ruby (1)\n\nDEPENDENCIES\n  rack\n"}, []string{"pkg:gem/rack@3.0.0?"}},
		"gems":         {map[string]string{"app/vendor/bundle/ruby/3.1.0/specifications/rack-test-2.1.0.gemspec": "", "app/Gemfile.lock": "GEM\n    rack (3.0.0)\n"}, []string{"pkg:gem/rack-test@2.1.0"}},
		"composer":     {map[string]string{"app/composer.lock": `{"packages":[{"name":"monolog/monolog","version":"3.0"}],"packages-dev":[{"name":"a/b","version":"1"}]}`}, []string{"pkg:composer/monolog/monolog@3.0?"}},
		"vendor":       {map[string]string{"app/vendor/composer/installed.json": `[{"name":"psr/log","version":"1"}]`}, []string{"pkg:composer/psr/log@1"}},
		"pom": {
			map[string]string{"app/pom.xml": `<project><dependencies><dependency><groupId>g</groupId><artifactId>a</artifactId><version>1</version></dependency>
				<dependency><groupId>g</groupId><artifactId>b</artifactId><version>${v}</version></dependency><dependency><groupId>g</groupId><artifactId>t</artifactId><version>1</version><scope>test</scope></dependency></dependencies></project>`},
			[]string{"pkg:maven/g/a@1?"},
		},
		"Debian":         {map[string]string{"var/lib/dpkg/status": status}, []string{"pkg:deb/debian/libc6@2.36-9%2Bdeb12u9", "pkg:deb/debian/tz@2024a"}},
		"distroless":     {map[string]string{"var/lib/dpkg/status.d/tz": "Package: tz\nVersion: 1\n"}, []string{"pkg:deb/debian/tz@1"}},
		"Alpine":         {map[string]string{"lib/apk/db/installed": "C:x\nP:musl\nV:1.2-r0\n\nP:no\n\n"}, []string{"pkg:apk/alpine/musl@1.2-r0"}},
		"nonsense":       {map[string]string{"app/package-lock.json": "{", "app/pom.xml": "<", "app/composer.lock": "[]", "app/x.jar": "no zip"}, nil},
		"hostile names":  {map[string]string{"app/go.sum": "a\x1b[31m v1 h1:\n" + strings.Repeat("x", 300) + " v1 h1:\n"}, nil},
		"other's status": {map[string]string{"app/status": status, "app/METADATA": "Name: a\nVersion: 1\n"}, nil},
	} {
		if name == "nonsense" {
			r, err := sbom.Scan(t.Context(), []string{layer(t, c.files)}, false)
			if err != nil || len(r.Components) > 0 {
				t.Errorf("%s: %+v, %v", name, r, err)
			}
			continue
		}
		got := scan(t, false, layer(t, c.files))
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

// A layer hides what is below: by files of the same name, by whiteouts and by opaque
// directories.
func TestLayers(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("whiteouts are device nodes: needs root")
	}
	pkg := func(name string) string { return `{"name":"` + name + `","version":"1"}` }
	low := layer(t, map[string]string{
		"app/node_modules/kept/package.json": pkg("kept"), "app/node_modules/gone/package.json": pkg("gone"), "app/node_modules/changed/package.json": pkg("changed"),
		"srv/node_modules/hidden/package.json": pkg("hidden"), "app/node_modules/file/package.json": pkg("file"),
	})
	high := layer(t, map[string]string{
		"app/node_modules/changed/package.json": `{"name":"changed","version":"2"}`, "srv/node_modules/new/package.json": pkg("new"), "app/node_modules/file/x": "",
	})
	if err := errors.Join(
		unix.Mknod(high+"/app/node_modules/gone", unix.S_IFCHR, 0), unix.Mknod(high+"/app/node_modules/file/package.json", unix.S_IFCHR, 0), pack.SetOpaque(high+"/srv"),
	); err != nil {
		t.Fatal(err)
	}
	want := []string{"pkg:npm/changed@2", "pkg:npm/kept@1", "pkg:npm/new@1"}
	if d := cmp.Diff(want, scan(t, false, high, low)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// The modules of a Go program count, and not those of go.sum beside it. A base's
// programs are not searched.
func TestGoProgram(t *testing.T) {
	t.Parallel()
	self, err := os.Executable() // a test's program has no modules; the go command's has
	if err != nil {
		t.Fatal(err)
	}
	if path, err := exec.LookPath("go"); err == nil {
		self = path
	}
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	dir := layer(t, map[string]string{"app/server": string(program), "app/go.sum": "github.com/x/y v1.0.0 h1:a=\n"})
	if err := os.Chmod(dir+"/app/server", 0o755); err != nil {
		t.Fatal(err)
	}
	got := scan(t, false, dir)
	if !slices.ContainsFunc(got, func(u string) bool { return strings.HasPrefix(u, "pkg:golang/stdlib@1.") }) || slices.ContainsFunc(got, func(u string) bool { return strings.HasSuffix(u, "?") }) {
		t.Errorf("found %v", got)
	}
	if got := scan(t, true, dir); !slices.Equal(got, []string{"pkg:golang/github.com/x/y@v1.0.0?"}) {
		t.Errorf("in a base, found %v", got)
	}
}

func archive(t testing.TB, files map[string]string) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, text := range files {
		h := &zip.FileHeader{Name: name, Method: zip.Deflate}
		if text == "" {
			h.Method = zip.Store // a compressor for each of many files takes minutes
		}
		w, err := z.CreateHeader(h)
		if err == nil {
			_, err = w.Write([]byte(text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestJar(t *testing.T) {
	t.Parallel()
	fat := archive(t, map[string]string{
		"META-INF/maven/g/shop/pom.properties": "#x\ngroupId=g\nartifactId=shop\nversion=1.0\n", "BOOT-INF/lib/guava-33.0.0-jre.jar": "", "a.class": "",
	})
	dir := layer(t, map[string]string{"app/shop.jar": fat, "app/lib/slf4j-api-2.0.1.jar": archive(t, nil)})
	want := []string{"pkg:maven/guava@33.0.0-jre", "pkg:maven/slf4j-api@2.0.1", "pkg:maven/g/shop@1.0"}
	if d := cmp.Diff(want, scan(t, false, dir)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	many := map[string]string{}
	for range 70_000 {
		many[strings.Repeat("x", 60)+time.Duration(len(many)).String()] = ""
	}
	r, err := sbom.Scan(t.Context(), []string{layer(t, map[string]string{"app/bomb.jar": archive(t, many)})}, false)
	if err != nil || !r.Partial || len(r.Components) > 0 {
		t.Errorf("a jar with %d files gives %+v, %v", len(many), r, err)
	}
}

// Files that lead elsewhere, that block and that are too large are not read.
func TestHostileFiles(t *testing.T) {
	t.Parallel()
	secret := layer(t, map[string]string{"status": status})
	dir := layer(t, map[string]string{"app/go.sum": strings.Repeat("a/b v1 h1:\n", 2<<20)})
	if err := errors.Join(
		os.MkdirAll(dir+"/var/lib/dpkg", 0o755), os.Symlink(secret+"/status", dir+"/var/lib/dpkg/status"), os.Symlink(secret, dir+"/app/link"),
		unix.Mkfifo(dir+"/app/package-lock.json", 0o644), os.Symlink("/", dir+"/app/node_modules"),
	); err != nil {
		t.Fatal(err)
	}
	r, err := sbom.Scan(t.Context(), []string{dir}, false)
	if err != nil || len(r.Components) > 0 || !r.Partial {
		t.Errorf("found %+v, %v", r, err)
	}
	deep := t.TempDir()
	if err := os.MkdirAll(deep+strings.Repeat("/d", 200), 0o755); err != nil {
		t.Fatal(err)
	}
	if r, err := sbom.Scan(t.Context(), []string{deep}, false); err != nil || !r.Partial {
		t.Errorf("a deep tree gives %+v, %v", r, err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("no longer wanted")
	cancel(stop)
	if _, err := sbom.Scan(ctx, []string{dir}, false); !errors.Is(err, stop) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestDocument(t *testing.T) {
	t.Parallel()
	list := []sbom.Component{
		{Type: "npm", Namespace: "@s", Name: "b", Version: "1", Found: "/app/package-lock.json", Declared: true}, {Type: "deb", Namespace: "debian", Name: "tz", Version: "2", Found: "/var/lib/dpkg/status"},
	}
	s := sbom.Subject{Name: "shop", Version: "c0ffee", Time: time.Unix(1700000000, 0), Tool: "v1", Serial: "00112233445566778899aabbccddeeff"}
	got, err := sbom.Document(s, list)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/document.json")
	if os.Getenv("UPDATE") != "" {
		want, err = got, os.WriteFile("testdata/document.json", got, 0o644)
	}
	if d := cmp.Diff(string(want), string(got)); err != nil || d != "" {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
	s.Partial = true
	if got, err = sbom.Document(s, nil); err != nil || !strings.Contains(string(got), `"incomplete"`) || !strings.Contains(string(got), `"components": []`) {
		t.Errorf("%v\n%s", err, got)
	}
}

// FuzzScan has files of every kind with any content.
func FuzzScan(f *testing.F) {
	names := []string{
		"app/package-lock.json", "app/node_modules/.package-lock.json", "app/node_modules/x/package.json", "x.dist-info/METADATA", "app/requirements.txt", "app/go.sum",
		"app/Gemfile.lock", "app/composer.lock", "app/vendor/composer/installed.json", "app/pom.xml", "var/lib/dpkg/status", "lib/apk/db/installed", "app/x-1.jar", "app/server",
	}
	for i, text := range []string{lockThree, lockThree, `{"name":"x","version":"1"}`, "Name: a\nVersion: 1\n", "a==1\n", "a v1 h1:\n", "GEM\n    a (1)\n", `{"packages":[{"name":"a/b","version":"1"}]}`, `[]`, "<project/>", status, "P:a\nV:1\n"} {
		f.Add(i, []byte(text))
	}
	f.Add(12, []byte(archive(f, map[string]string{"META-INF/maven/g/a/pom.properties": "groupId=g\nartifactId=a\nversion=1"})))
	f.Add(0, []byte(lockOne))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, which int, data []byte) {
		name := names[uint(which)%uint(len(names))]
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, data, 0o755)); err != nil {
			t.Fatal(err)
		}
		defer os.Remove(path)
		r, err := sbom.Scan(t.Context(), []string{dir}, false)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := sbom.Document(sbom.Subject{Name: "x"}, r.Components)
		if err != nil || !json.Valid(doc) {
			t.Fatalf("%v\n%s", err, doc)
		}
	})
}
