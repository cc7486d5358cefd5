package handoff

// Kind is the kind of a message on the socket. Its values are part of the protocol.
type Kind byte

const (
	KindBegin    Kind = 'B' // daemon to shim: you are in your cgroups, start the init
	KindInit     Kind = 'I' // shim to daemon, no body, with the init's pidfd: it is started
	KindSkeleton Kind = 'S' // daemon to init: make the sandbox ready for any image
	KindRoot     Kind = 'T' // daemon to init, no body, with the root file system's mount: enter it
	KindReady    Kind = 'R' // init to daemon: done, waiting for what is next
	KindOrder    Kind = 'O' // daemon to init: run this
	KindPipes    Kind = 'P' // init to shim, no body, with the read ends of stdout and stderr: about to execute
	KindStarted  Kind = 'G' // shim to daemon: the application runs
	KindFailed   Kind = 'F' // to the daemon: it does not, the body says why; init to shim: the body is an Ended record
)

// HeaderSize is the length of what precedes every message's body.
const HeaderSize = 5

// MaxBody bounds a message's body, in bytes. Arguments and environment, the bulk
// of an order, are at most 2 MiB for the kernel.
const MaxBody = 8 << 20

// AppendHeader appends the header of a message whose body has size bytes.
func AppendHeader(b []byte, k Kind, size int) []byte {
	return appendUint32(append(b, byte(k)), uint32(size))
}

// ParseHeader is the inverse of AppendHeader. It refuses bodies over MaxBody.
func ParseHeader(b []byte) (k Kind, size int, err error) {
	d := decoder{b: b}
	kind := d.take(1)
	n := d.uint32()
	if err := d.end(); err != nil || n > MaxBody {
		return 0, 0, ErrMalformed
	}
	return Kind(kind[0]), int(n), nil
}

// Begin says what a sandbox's processes are and what the shim keeps of its output.
type Begin struct {
	FirstID    uint32 // host id of the sandbox's user and group 0, see IDMaps
	ShimID     uint32 // host id of the shim's user and group, which no sandbox has
	OutputSize uint64 // most bytes in each of the two output files
}

// Append appends the encoded body.
func (m *Begin) Append(b []byte) []byte {
	b = appendUint32(appendUint32(b, m.FirstID), m.ShimID)
	return appendUint64(b, m.OutputSize)
}

// ParseBegin decodes a body that Append made.
func ParseBegin(b []byte) (Begin, error) {
	d := decoder{b: b}
	m := Begin{FirstID: d.uint32(), ShimID: d.uint32(), OutputSize: d.uint64()}
	return m, d.end()
}

// Skeleton says what a sandbox is made with before its image is known.
type Skeleton struct {
	Cgroups []CgroupMount // to show below /sys/fs/cgroup
	Shm     uint64        // size of /dev/shm in bytes
}

// CgroupMount is a cgroup hierarchy that is mounted, read-only, for the application.
type CgroupMount struct {
	Name    string // directory below /sys/fs/cgroup; "" for the unified hierarchy
	Options string // mount options that select a version 1 hierarchy; "" for the unified one
}

// Append appends the encoded body.
func (s *Skeleton) Append(b []byte) []byte {
	b = appendUint32(b, uint32(len(s.Cgroups)))
	for _, c := range s.Cgroups {
		b = appendString(appendString(b, c.Name), c.Options)
	}
	return appendUint64(b, s.Shm)
}

// ParseSkeleton decodes a body that Append made.
func ParseSkeleton(b []byte) (Skeleton, error) {
	d := decoder{b: b}
	var s Skeleton
	for n := d.uint32(); n > 0 && !d.bad; n-- {
		s.Cgroups = append(s.Cgroups, CgroupMount{Name: d.string(), Options: d.string()})
	}
	s.Shm = d.uint64()
	return s, d.end()
}

// Order is what to run in a sandbox that has its root file system.
type Order struct {
	Hostname string

	Argv []string
	Env  []string
	Dir  string // absolute; made if it is missing
	User string // as in an image's config
	Init bool   // the init stays process 1, forwards signals and reaps orphans

	Volumes []string // directories that are made if they are missing

	Hosts  string // contents of /etc/hosts
	Resolv string // contents of /etc/resolv.conf

	Caps   uint64 // capabilities the application may have, bit n for number n
	Filter []byte // seccomp program: the kernel's struct sock_filter, one after another

	Access uint64 // rights of Landlock that it has beneath its root directory only; 0: no Landlock
	Scopes uint64 // scopes of Landlock

	Profile string // of AppArmor, which what is executed is confined by; "": none
}

// Append appends the encoded body.
func (o *Order) Append(b []byte) []byte {
	b = appendString(b, o.Hostname)
	b = appendStrings(b, o.Argv)
	b = appendStrings(b, o.Env)
	b = appendString(b, o.Dir)
	b = appendString(b, o.User)
	b = appendBool(b, o.Init)
	b = appendStrings(b, o.Volumes)
	b = appendString(b, o.Hosts)
	b = appendString(b, o.Resolv)
	b = appendUint64(b, o.Caps)
	b = appendString(b, string(o.Filter))
	b = appendUint64(appendUint64(b, o.Access), o.Scopes)
	return appendString(b, o.Profile)
}

// ParseOrder decodes a body that Append made.
func ParseOrder(b []byte) (Order, error) {
	d := decoder{b: b}
	o := Order{
		Hostname: d.string(),
		Argv:     d.strings(),
		Env:      d.strings(),
		Dir:      d.string(),
		User:     d.string(),
		Init:     d.bool(),
		Volumes:  d.strings(),
		Hosts:    d.string(),
		Resolv:   d.string(),
		Caps:     d.uint64(),
		Filter:   []byte(d.string()),
		Access:   d.uint64(),
		Scopes:   d.uint64(),
		Profile:  d.string(),
	}
	if len(o.Filter)%8 != 0 {
		d.bad = true
	}
	return o, d.end()
}
