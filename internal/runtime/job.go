package runtime

import (
	"context"
	"io/fs"
	"net/netip"
	"time"

	"github.com/openslipway/slipway"
)

// Job is a driver that can run a process to its end, isolated as an instance is,
// and keep what it changed. Builds are made of jobs.
//
// Jobs come after instances: they get the processor time that no instance wants, the
// least share of disks where the kernel can tell, and are killed first when the
// machine has no memory left.
//
// A job lives no longer than the call that runs it. List never shows it, and
// nothing of it survives: when the daemon dies, the next driver kills what still
// runs before it serves calls, and removes everything else that the job had in the
// background.
type Job interface {
	// RunJob runs want to its end. output receives what the process writes, while
	// the job runs: one call at a time, and none after RunJob has returned. Each
	// stream is in order; the two are interleaved as the driver read them. While output blocks, the job
	// runs on, and output that is overwritten meanwhile shows as a gap in Pos.
	//
	// How the process ended is in the result, also when it could not start or met
	// a limit. An error means that the job could not be run (its context ended,
	// the specification is wrong, the machine failed). In either case no process
	// of the job lives when RunJob returns, and after an error there are no
	// changes.
	RunJob(ctx context.Context, want JobSpec, output func(Chunk)) (JobResult, error)
}

// JobSpec is all a driver needs to run one job.
//
// Of the Workload, Process, Resources and Networks have the meaning that they
// have for an instance. Port and Tracing have none. The process gets the
// variables of Process.Env and, where they are missing, PATH, HOME and HOSTNAME;
// nothing comes from the daemon's environment.
type JobSpec struct {
	ID string // 32 hexadecimal digits; its beginning is the host name

	Image string // manifest digest, prepared before; its layers are the lowest

	// Layers are absolute paths of directories over the image's layers, top
	// first: changes of earlier jobs, or other layers in the form that overlayfs
	// takes. They must not change while the job runs.
	Layers []string

	Binds []Bind

	// Offline leaves the job no network but its own loopback device, whatever Networks
	// says.
	Offline bool

	slipway.Workload

	// Running, if not nil, is called once the process runs, on a goroutine of its own.
	// Its context ends with the job, and RunJob returns after it has. listening returns
	// the addresses at which TCP sockets of the job listen at the moment.
	Running func(ctx context.Context, listening func() ([]netip.AddrPort, error)) `json:"-"`

	Pids    int           // most processes and threads; 0: the driver's default
	Disk    int64         // bytes that changes may take while the job runs; 0: the driver's default
	Output  int64         // most bytes of output; the rest is dropped; 0: no limit
	Timeout time.Duration // after which the job is killed; 0: none

	// Changes is the absolute path of a directory that RunJob makes for what the
	// process changed if it ended with code 0: a layer in the form that overlayfs
	// takes, with the image's ids. Its parent must exist, on the driver's file
	// system, and must be reachable for nobody but the daemon. From then on the
	// directory is the caller's. "": changes are dropped. No layer can have a name
	// that begins with ".wh.": the error about it is a *pack.NameError.
	Changes string
	// Unidentified leaves JobLayer.DiffID and Size out: the caller will change the
	// directory before it needs them, and they cost reading every file.
	Unidentified bool
}

// Bind shows files to a job: a directory or a file of the host, a root file system, or
// a new file system in memory. Device files and setuid bits in it have no effect. What
// is written there is no change of the job.
type Bind struct {
	Target string // absolute, in the job; made if it is missing, and then no change; no part may be a symbolic link
	Write  bool   // false: read-only

	// Source is an absolute path of the host, "" if Layers or Memory is set. The ids of
	// the files are those of the image: what belongs to root on the host belongs to
	// root in the job, and the other way round. What is written does not count as Disk.
	Source string

	// Layers are absolute paths of directories, top first, as in JobSpec: together they
	// are a root file system, of which Path is shown. With Write, what is written is
	// dropped with the job, and counts as Disk.
	Layers []string
	// Path is a directory or a file of the root file system of Layers; links in it lead
	// nowhere else. "" is all of it.
	Path string

	// Memory is shown if it is set. What is in it counts as memory of the job.
	Memory *Memory
}

// Memory is a new file system in memory: an empty directory, or one file.
type Memory struct {
	Size     int64       // most bytes of a directory; 0: what memory the job has
	File     bool        // a file with Data
	Data     []byte      // at most 1 MiB
	Mode     fs.FileMode // permissions and fs.ModeSticky; of a directory, 0 is as in /tmp
	UID, GID int         // of the image
}

// JobResult is how a job ended.
type JobResult struct {
	Exit      slipway.Exit
	Limit     Limit         // that the job met; "" for none
	Truncated bool          // output met JobSpec.Output
	CPU       time.Duration // that the job took, of user and system; 0 if the driver does not know

	// Layer identifies the changes: nil unless Changes was asked for and the exit
	// code is 0.
	Layer *JobLayer
}

// JobLayer is a directory of changes as a layer of an image. Its tar is not kept:
// package image/pack makes it from the directory.
type JobLayer struct {
	DiffID  string // "sha256:<hex>": the digest of the layer's tar
	Size    int64  // bytes of the tar
	Entries int    // in the tar; 0: nothing was changed. If the layer is unidentified: 1 if anything was
}

// Limit names a limit that a job met.
type Limit string

// Limits that a job can meet. A job that has too many processes only fails to get
// more, and may end well. So does one that has too little processor time, which no
// limit is reported for.
const (
	LimitMemory Limit = "memory" // a process of it was killed for lack of memory
	LimitDisk   Limit = "disk"   // its disk was full when it ended
	LimitTime   Limit = "time"   // it was killed at its Timeout
	LimitPids   Limit = "pids"   // a process or thread could not be made: it had Pids of them
)

// OutputLimitNote is the last line of output of a job that met JobSpec.Output. It
// comes as standard error and does not count.
const OutputLimitNote = "\n[output limit reached: the rest is not shown]\n"
