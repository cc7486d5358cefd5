package config

import "slices"

// FileName is the name that App Runner looks for in the source directory.
const FileName = "apprunner.yaml"

// MaxSize is the largest file that Parse reads, in bytes. The largest real ones have
// about 10 KiB.
const MaxSize = 64 << 10

// DefaultPort is the port of an application that names none.
const DefaultPort = 8080

// File is what apprunner.yaml says, or what API values or detection say in its place.
type File struct {
	Runtime        string // canonical name of a Runtime: "python311"; "docker" beyond App Runner
	RuntimeVersion string // as written in the source: "3.10" stays "3.10"; "" for the newest

	// Commands of the build, in order. Each is one command line for a shell, and may
	// have several lines.
	PreBuild, Build, PostBuild []string
	BuildEnv                   []Variable // for the commands above and PreRun

	PreRun       []string // commands in the run image; only runtimes with a revised build
	Command      string   // start command, run by a shell
	Port         int      // TCP; 0 for DefaultPort
	PortVariable string   // also gets the port, beside PORT; "" for none

	Env     []Variable // of the running application only
	Secrets []Variable // values are references: see slipway.ParseSecretReference
}

// Variable is an environment variable.
type Variable struct{ Name, Value string }

// Severity says whether a file with a finding can be used.
type Severity string

const (
	// Error is a mistake: the file can't be used as it is.
	Error Severity = "error"
	// Warning is something that works here, but is not what it seems, not portable to
	// App Runner or not safe.
	Warning Severity = "warning"
)

// Finding is one remark about a file. Its texts never hold a value that looks like a
// credential.
type Finding struct {
	Line     int // from 1; 0 when the finding is about the whole file or an API value
	Column   int // from 1, in characters; 0 when Line is
	Severity Severity
	Code     string // stable, for programs: one of the Code constants
	Message  string // for people: what was found, what was meant, what to do
	Fix      *Fix   // nil when there is no repair that can be made without asking
}

// Fix is an offered repair of a file.
type Fix struct {
	Title string // what it does, in the imperative
	Edits []Edit // in ascending order, without overlaps
	Name  string // new name of the file; "" to keep it
}

// Edit replaces the bytes from Start to End by Text.
type Edit struct {
	Start, End int
	Text       string
}

// The codes of findings. docs/apprunner-yaml.md explains each.
const (
	CodeFileName       = "file-name"       // the file's name is not exactly apprunner.yaml
	CodeEmpty          = "empty"           // nothing is in the file
	CodeTooLarge       = "too-large"       // above MaxSize
	CodeEncoding       = "encoding"        // not UTF-8, a byte order mark, control characters
	CodeSyntax         = "syntax"          // no YAML
	CodeOtherFormat    = "other-format"    // another kind of file
	CodeDocuments      = "documents"       // more than one YAML document
	CodeDuplicateKey   = "duplicate-key"   // a key twice in one mapping
	CodeUnknownKey     = "unknown-key"     // a key that nothing knows
	CodeMisspeltKey    = "misspelt-key"    // a key that is written differently
	CodeMisplacedKey   = "misplaced-key"   // a key that belongs elsewhere in the file
	CodeServiceSetting = "service-setting" // a key for something that is set on the service
	CodeMissing        = "missing"         // a required key is absent or empty
	CodeType           = "type"            // a mapping, list or scalar where another is meant
	CodeTag            = "tag"             // a YAML tag that the file can't have
	CodeVersion        = "version"         // version is not 1.0
	CodeRuntime        = "runtime"         // there is no such runtime
	CodeRuntimeName    = "runtime-name"    // a runtime by another name
	CodeRuntimeBeyond  = "runtime-beyond"  // a runtime that App Runner doesn't have
	CodeRuntimeVersion = "runtime-version" // no version, or one of another runtime
	CodeNumber         = "number"          // a value that YAML readers change
	CodePort           = "port"            // no port number
	CodePortVariable   = "port-variable"   // PORT, which is always set
	CodeVariable       = "variable"        // a variable's name or entry
	CodeSecret         = "secret"          // no reference to a secret
	CodeCommand        = "command"         // a command that does not do what it seems to
	CodePreRun         = "pre-run"         // pre-run with a runtime that ignores it
	CodeDropped        = "dropped"         // an installation that the revised build drops
	CodeCredential     = "credential"      // a value that looks like a live credential
	CodeUnused         = "unused"          // something that has no effect
	CodeTooMany        = "too-many"        // further findings are left out
)

// HasErrors reports whether a finding is an Error.
func HasErrors(findings []Finding) bool {
	return slices.ContainsFunc(findings, func(f Finding) bool { return f.Severity == Error })
}
