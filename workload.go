package slipway

// Workload is what an instance of a release runs and what it may use. A release
// stores it and the driver receives it unchanged: a setting of instances is a
// field here, which the code that resolves a release sets and the driver reads.
//
// Its JSON form is stored with every release. A new field must mean today's
// behaviour when it is absent, and no field changes its name or meaning.
type Workload struct {
	Process   Process
	Port      int // TCP port the application listens on, 1-65535
	Resources Resources

	// Networks are the names of the only networks that the instance reaches.
	// Empty: whatever instances reach by default.
	Networks []string

	// Tracing gives the instance a trace collector on its loopback address.
	Tracing bool
}

// Process is what runs in an instance. Env never reaches a log.
type Process struct {
	Argv []string // at least one element
	Env  []string // "NAME=value"
	Dir  string   // absolute
	User string   // as in an image's config: "", "uid", "name", "uid:gid", "name:group"

	// Volumes are directories that are made, for root, if the image lacks them.
	Volumes []string `json:",omitempty"`

	StopSignal string // "SIGTERM" when empty

	// Init says that the process is not process 1 of the instance but the child of one
	// that forwards signals to it and reaps orphans.
	Init bool `json:",omitempty"`
}

// Resources are an instance's limits.
type Resources struct {
	CPU    int // units: 1024 are one core
	Memory int // MiB
}
