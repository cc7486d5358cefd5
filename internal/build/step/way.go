package step

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/openslipway/slipway/internal/runtime"
	"github.com/openslipway/slipway/internal/source/config"
)

// Way is how commands reach the outside: the operator's settings for all builds. None of
// it is in an image.
type Way struct {
	Env      []config.Variable // for each command
	Proxy    string            // URL, for HTTP and HTTPS; "" for none
	NoProxy  string            // hosts, as in the variable NO_PROXY
	CAFile   string            // bundle of certificates (PEM) that replaces the image's; "" for none
	Networks []string          // see slipway.Workload

	JavaStore string // the certificates of CAFile for Java; see WithJavaStore
}

// caFile is where commands find the operator's certificates.
const caFile = "/run/slipway/ca-certificates.crt"

// caVariables name a bundle of certificates for one program each: replacing the
// system's bundle is not enough, since some programs have certificates of their own.
func caVariables() []string {
	return []string{
		"SSL_CERT_FILE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS", "npm_config_cafile", "PIP_CERT",
		"REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE", "BUNDLE_SSL_CA_CERT", "COMPOSER_CAFILE",
	}
}

// Variables returns the variables of the way, those of Env last.
func (w Way) Variables() (list []config.Variable) {
	set := func(name, value string) { list = append(list, config.Variable{Name: name, Value: value}) }
	if w.CAFile != "" {
		for _, name := range caVariables() {
			set(name, caFile)
		}
	}
	for name, value := range map[string]string{"http_proxy": w.Proxy, "https_proxy": w.Proxy, "no_proxy": w.NoProxy} {
		if value != "" {
			set(name, value)
			set(strings.ToUpper(name), value)
		}
	}
	if o := w.javaOptions(); o != "" {
		set("JAVA_TOOL_OPTIONS", o)
	}
	slices.SortFunc(list, func(a, b config.Variable) int { return strings.Compare(a.Name, b.Name) })
	return append(list, w.Env...)
}

// Binds returns what the variables refer to.
func (w Way) Binds() []runtime.Bind {
	if w.CAFile == "" {
		return nil
	}
	list := []runtime.Bind{{Source: w.CAFile, Target: caFile}}
	if w.JavaStore != "" {
		list = append(list, runtime.Bind{Source: w.JavaStore, Target: javaFile})
	}
	return list
}

// Environment joins variables: of one name the last one counts, at the place of the
// first.
func Environment(lists ...[]config.Variable) []string {
	var env []string
	for _, v := range slices.Concat(lists...) {
		i := slices.IndexFunc(env, func(e string) bool { return strings.HasPrefix(e, v.Name+"=") })
		if i < 0 {
			env = append(env, v.Name+"="+v.Value)
		} else {
			env[i] = v.Name + "=" + v.Value
		}
	}
	return env
}

// hostVariables are those of the host's environment that say where packages come from.
func hostVariables() []string {
	return []string{"GOPROXY", "GOSUMDB", "GONOSUMDB", "GONOSUMCHECK", "npm_config_registry", "NPM_CONFIG_REGISTRY", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"}
}

// hostBundles are where distributions keep their bundle of certificates.
func hostBundles() []string {
	return []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"}
}

// HostWay returns the host's own way to the outside, so that what works on the host
// works in a build: its bundle of certificates, its proxy and the variables that name
// its package registries. getenv is os.Getenv.
func HostWay(getenv func(string) string) Way {
	w := Way{
		Proxy:   cmp.Or(getenv("https_proxy"), getenv("HTTPS_PROXY"), getenv("http_proxy"), getenv("HTTP_PROXY")),
		NoProxy: cmp.Or(getenv("no_proxy"), getenv("NO_PROXY")),
	}
	for _, file := range append([]string{getenv("SSL_CERT_FILE")}, hostBundles()...) {
		if st, err := os.Stat(file); err == nil && st.Mode().IsRegular() && filepath.IsAbs(file) {
			w.CAFile = file
			break
		}
	}
	for _, name := range hostVariables() {
		if value := getenv(name); value != "" {
			w.Env = append(w.Env, config.Variable{Name: name, Value: value})
		}
	}
	return w
}
