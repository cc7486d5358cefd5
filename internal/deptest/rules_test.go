package deptest

// imports says what each part of the product may import of this module beside
// itself, the root package and the leaves. A part is a package under internal
// with the packages below it that have no rule of their own. The daemon may
// import "everything", and so may commands, within mostOfCommand.
var imports = map[string][]string{
	"metrics": {},
	"clock":   {},
	"loop":    {}, // and metrics, a leaf
	"wire":    {},
	"sigv4":   {},

	"page":       {},
	"atomicfile": {},
	"dirwatch":   {},
	"backup":     {},
	"sdkhttp":    {},
	"httpdrain":  {},
	"decompress": {},
	"strictjson": {},
	"room":       {},
	"health":     {},
	"httplimit":  {},
	"takeover":   {},
	// What follows an address that a user gave goes through it.
	"outbound": {},

	"policy": {},
	"iam":    {"gateway", "gateway/share", "gateway/tags", "wire", "store", "policy"},
	"audit":  {"gateway", "wire", "store"},

	"store":         {},
	"seal":          {"store"},
	"seal/sealtest": {"seal", "store"},

	// Secrets: found and sealed in one package for the services and deployments.
	"secrets":        {"store", "seal"},
	"secretsmanager": {"gateway", "gateway/share", "gateway/tags", "wire", "store", "seal", "secrets", "policy"},
	"masterkey":      {"gateway", "seal"},
	"ssm":            {"gateway", "gateway/share", "gateway/tags", "wire", "store", "seal", "secrets", "policy"},

	// The endpoint, and the services behind it.
	"gateway":             {"wire", "store", "policy"},
	"gateway/tags":        {"store", "policy"},
	"gateway/share":       {"gateway", "store"},
	"gateway/awshttp":     {"gateway", "wire", "sigv4"},
	"gateway/gatewaytest": {"gateway", "gateway/awshttp", "wire", "store", "policy"},
	"api":                 {"gateway", "gateway/share", "gateway/tags", "wire", "store", "policy"},
	"cloudwatch":          {"gateway", "wire", "store", "logs"},
	"hooks":               {"gateway", "store", "hooks/eventbridge"},
	"hooks/eventbridge":   {},
	"ecr":                 {"gateway", "gateway/share", "gateway/tags", "wire", "store", "image", "policy"},

	"codehost": {},
	// Deliveries of strangers: it finds a webhook, and wakes through a function.
	"pushhook": {"store"},

	// The page about compatibility: a table, and the model's table it goes by.
	"compat": {"wire"},

	"operation":     {"store"},
	"deploy":        {"store", "secrets", "operation", "source", "hooks/eventbridge"},
	"source":        {"image"},
	"source/config": {},
	"source/detect": {"source/config"},
	// Strangers' repositories: nothing of the product is near them.
	"source/git": {},
	// The command line scans directories with it, too.
	"source/upload": {},
	"uploads":       {"gateway", "store", "source/upload"},
	"builds":        {"gateway", "build"},
	// Builds of checks are package deploy's, by a function.
	"checks": {"gateway", "store", "source", "runtime"},

	// It joins git, configurations and builds for deployments, which know none of them.
	"source/repository": {"source", "source/config", "source/detect", "source/git", "build", "codehost", "image"},

	// Builds are jobs of a driver, over layers of the image store.
	"build": {"image", "image/pack", "runtime", "source/config"},

	"fleet":  {"store", "runtime"},
	"scale":  {"store"},
	"router": {"store", "router/http1"},
	// The parser works on bytes for any engine; an engine takes leases of the router.
	"router/http1":        {},
	"router/h2":           {"router/http1"},
	"router/proxy":        {"router/h2", "router", "router/http1"},
	"certs":               {"store", "certs/acme"},
	"certs/acme":          {"store"},
	"certs/acme/acmetest": {},

	// The router serves its listeners, by an interface of its own.
	"ingress": {"store"},

	// Custom domains are proved by DNS and served by the router: both go by rows.
	"domain":         {"store", "hooks/eventbridge"},
	"domain/dnstest": {},

	"runtime":             {},
	"runtime/embedded":    {"runtime", "image", "image/pack"},
	"runtime/docker":      {"runtime", "image"},
	"runtime/kube":        {"runtime", "image"},
	"runtime/runtimetest": {"runtime", "image/pack"},

	"image":           {"image/pack"},
	"image/imagetest": {},

	// Layers from directories, such as those that a driver's jobs leave.
	"image/pack": {},
	"registry":   {"image"},

	// Output comes from the driver, so logs knows its contract, not a driver.
	"logs": {"runtime"},

	// The command line uses only the public API.
	"cli":        {},
	"cli/lint":   {"cli", "source/config"},
	"cli/plan":   {"cli", "source/config", "source/detect"},
	"cli/upload": {"cli", "cli/plan", "source/config", "source/detect", "source/upload"},
	"console":    {"api"},

	// The daemon connects all parts. Only cmd/slipway imports it.
	"daemon": {"everything"},
}

// without says which packages must not import another one directly, and why.
var without = []struct{ part, imports, why string }{
	{"gateway", "net/http", "a call needs no HTTP: that is gateway/awshttp's"},
}

// mostOfCommand is how many packages of this module a command may import: a
// command that needs more has become a part of the server.
const mostOfCommand = 11

// leaves may be imported by anybody, as they import nothing but each other.
var leaves = []string{"atomicfile", "dirwatch", "metrics", "loop", "page", "sdkhttp", "httpdrain", "decompress", "strictjson", "room", "outbound", "httplimit", "takeover"}

// forbidden says what must not be linked into the binary, by import path
// prefix, and why.
var forbidden = map[string]string{
	"testing":                                             "test code",
	module + "/e2e":                                       "test code",
	"github.com/google/go-cmp":                            "a test library",
	"github.com/rogpeppe/go-internal":                     "a test library",
	"go.uber.org/goleak":                                  "a test library",
	"pgregory.net/rapid":                                  "a test library",
	"github.com/stretchr/testify":                         "a test library",
	"github.com/anishathalye/porcupine":                   "a test library",
	"github.com/google/go-containerregistry/pkg/registry": "a registry for tests: its manifests live in memory",
	"k8s.io/client-go":                                    "tens of megabytes: it belongs to the Kubernetes driver's own build",
	"github.com/opencontainers/runc":                      "the sandbox is our own",
	"github.com/docker/docker":                            "an engine, where a client's part would do",
	"github.com/containerd/containerd":                    "an engine",
	"github.com/prometheus/prometheus":                    "a database of its own: 700 packages",
	"github.com/mattn/go-sqlite3":                         "needs cgo",
	"github.com/go-git/go-git/v5":                         "needs gigabytes for large repositories",
	"github.com/sirupsen/logrus/hooks":                    "a second logger",
	"github.com/opentracing/opentracing-go":               "nothing uses it",
}

// buckets are package names that say where code was put, not what it is.
var buckets = []string{"util", "utils", "common", "helpers", "helper", "models", "types", "pkg", "shared", "misc", "base"}
