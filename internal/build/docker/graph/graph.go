// Package graph is what a Dockerfile becomes: steps and what they depend on, in the
// form in which the programs of module builder and package docker exchange it, as JSON.
//
// It holds types and their checks and does nothing else. Its bytes come from a program
// that has read a stranger's Dockerfile, so [Parse] trusts none of them.
package graph

import "encoding/json"

// Request is what the frontend program reads.
type Request struct {
	Dockerfile []byte            `json:"dockerfile"`
	Name       string            `json:"name"` // of the file, for messages
	Target     string            `json:"target,omitempty"`
	Args       map[string]string `json:"args,omitempty"`
	Platform   string            `json:"platform"` // "linux/amd64"

	// Images are the base images that are known, by the name that Wanted has.
	Images map[string]Image `json:"images,omitempty"`
}

// Image is a base image.
type Image struct {
	Digest string          `json:"digest"` // of its manifest, "sha256:..."
	Config json.RawMessage `json:"config"` // its configuration file
}

// Answer is what the frontend program writes. One of Error, Wanted and Steps is set.
type Answer struct {
	Error    *Failure `json:"error,omitempty"`    // a mistake in the Dockerfile
	Wanted   []Wanted `json:"wanted,omitempty"`   // ask again with these images
	Steps    []Step   `json:"steps,omitempty"`    // each after all that it depends on
	Result   int      `json:"result"`             // index of the step whose files are the image's; None for no files
	Config   Config   `json:"config"`             // of the image
	Warnings []string `json:"warnings,omitempty"` // about the Dockerfile, one line each
}

// None is the index of no step: an empty root file system.
const None = -1

// NoTime leaves the time of a file as it is.
const NoTime = -1

// Failure is a mistake in a Dockerfile.
type Failure struct {
	Message string `json:"message"`
	Line    int    `json:"line,omitempty"` // 0 if it is not known
}

// Wanted is a base image that the Dockerfile names.
type Wanted struct {
	Name     string `json:"name"`
	Platform string `json:"platform"`
	Line     int    `json:"line,omitempty"`
}

// Config is the image's configuration.
type Config struct {
	// Container is the "config" object of an image configuration, which has members that
	// Slipway passes on without a use of its own, such as OnBuild.
	Container json.RawMessage `json:"container"`
}

// Step makes one root file system from others.
type Step struct {
	Name     string `json:"name,omitempty"` // "[build 2/4] RUN go build"; "" for what people need not see
	Line     int    `json:"line,omitempty"` // of the Dockerfile
	End      int    `json:"end,omitempty"`  // last line
	Inputs   []int  `json:"inputs,omitempty"`
	Platform string `json:"platform,omitempty"`

	// One of these is set.
	Image   string   `json:"image,omitempty"`   // manifest digest of a base image
	Context bool     `json:"context,omitempty"` // the build context
	Fetch   *Fetch   `json:"fetch,omitempty"`
	Run     *Run     `json:"run,omitempty"`
	Files   []Action `json:"files,omitempty"`
	Merge   bool     `json:"merge,omitempty"`   // the files of all inputs, one over the other
	Refused string   `json:"refused,omitempty"` // why this cannot be built here
}

// Fetch is a file at a URL.
type Fetch struct {
	URL      string `json:"url"`
	Checksum string `json:"checksum,omitempty"` // "sha256:..."
	Name     string `json:"name"`               // of the file
}

// Run is a command.
type Run struct {
	Args    []string `json:"args"`
	Env     []string `json:"env,omitempty"`
	Dir     string   `json:"dir"`
	User    string   `json:"user,omitempty"`
	Root    int      `json:"root"` // input whose files are changed; None for an empty root
	Mounts  []Mount  `json:"mounts,omitempty"`
	Offline bool     `json:"offline,omitempty"`

	SecretEnv []SecretEnv `json:"secretEnv,omitempty"`
}

// MountKind is what is mounted while a command runs.
type MountKind string

const (
	MountBind   MountKind = "bind"   // files of an input
	MountCache  MountKind = "cache"  // a directory of the service
	MountTmpfs  MountKind = "tmpfs"  // an empty file system in memory
	MountSecret MountKind = "secret" // a file with a secret
)

// Mount is a mount while a command runs.
type Mount struct {
	Kind     MountKind `json:"kind"`
	Target   string    `json:"target"`
	Input    int       `json:"input"`          // bind, and a cache's first contents; None for nothing
	Path     string    `json:"path,omitempty"` // in the input
	ReadOnly bool      `json:"readOnly,omitempty"`
	ID       string    `json:"id,omitempty"`   // of a cache or secret
	Size     int64     `json:"size,omitempty"` // bytes of a tmpfs; 0: no limit of its own
	UID      int       `json:"uid,omitempty"`  // of a secret
	GID      int       `json:"gid,omitempty"`
	Mode     uint32    `json:"mode,omitempty"`
	Optional bool      `json:"optional,omitempty"` // a secret that may be missing
}

// SecretEnv is a variable with a secret.
type SecretEnv struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Optional bool   `json:"optional,omitempty"`
}

// Action changes files. All actions of a step work on the same root, the step's first
// input unless Scratch is set, one after the other.
type Action struct {
	Copy    *Copy  `json:"copy,omitempty"`
	Mkdir   *Make  `json:"mkdir,omitempty"`
	Mkfile  *Make  `json:"mkfile,omitempty"`
	Symlink *Make  `json:"symlink,omitempty"`
	Remove  *Make  `json:"remove,omitempty"`
	Owner   *Owner `json:"owner,omitempty"`
	Root    int    `json:"root"` // input that is changed, the same in all actions; None for an empty root
}

// Copy copies files of an input. The members are those of BuildKit's FileActionCopy.
type Copy struct {
	From       int      `json:"from"` // input; None for an empty root
	Source     string   `json:"source"`
	Dest       string   `json:"dest"`
	Mode       int      `json:"mode"` // -1: as it is
	ModeText   string   `json:"modeText,omitempty"`
	Follow     bool     `json:"follow,omitempty"`
	Contents   bool     `json:"contents,omitempty"`
	Unpack     bool     `json:"unpack,omitempty"`
	CreateDest bool     `json:"createDest,omitempty"`
	Wildcard   bool     `json:"wildcard,omitempty"`
	AllowEmpty bool     `json:"allowEmpty,omitempty"`
	Include    []string `json:"include,omitempty"`
	Exclude    []string `json:"exclude,omitempty"`
	Required   []string `json:"required,omitempty"`
	Replace    bool     `json:"replace,omitempty"`
	Time       int64    `json:"time"`             // of the copies, in ns since 1970; NoTime: as they are
	Folder     string   `json:"folder,omitempty"` // where From is mounted: set by package docker
}

// Make makes or removes one file.
type Make struct {
	Path     string `json:"path"`
	Mode     uint32 `json:"mode,omitempty"`
	Parents  bool   `json:"parents,omitempty"`
	Data     []byte `json:"data,omitempty"`
	To       string `json:"to,omitempty"` // of a link
	Missing  bool   `json:"missing,omitempty"`
	Wildcard bool   `json:"wildcard,omitempty"`

	Time int64 `json:"time"` // see Copy
}

// Owner is who gets what an action makes. A name is one of the root's accounts.
type Owner struct {
	User  string `json:"user,omitempty"` // name or number; "" for root
	Group string `json:"group,omitempty"`
}

// Work is what the program for files reads: what to change, or what to fetch.
type Work struct {
	Actions []Action `json:"actions,omitempty"`
	Fetch   *Fetch   `json:"fetch,omitempty"`
}
