package handoff

// Kind is the kind of a message on the socket. Its values are part of the protocol.
type Kind byte

const (
	KindSkeleton Kind = 'S' // daemon to init: make the sandbox ready for any image
	KindRoot     Kind = 'T' // daemon to init, no body, with the root file system's mount: enter it
	KindReady    Kind = 'R' // init to daemon: done, waiting for what is next
	KindOrder    Kind = 'O' // daemon to init: run this
	KindStarted  Kind = 'G' // init to daemon: the application runs
	KindFailed   Kind = 'F' // init to daemon: it does not; the body says why
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

// Skeleton says what a sandbox is made with before its image is known.
type Skeleton struct {
	Cgroups    []CgroupMount // to show below /sys/fs/cgroup
	Shm        uint64        // size of /dev/shm in bytes
	OutputSize uint64        // most bytes in each of the two output files
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
	return appendUint64(appendUint64(b, s.Shm), s.OutputSize)
}

// ParseSkeleton decodes a body that Append made.
func ParseSkeleton(b []byte) (Skeleton, error) {
	d := decoder{b: b}
	var s Skeleton
	for n := d.uint32(); n > 0 && !d.bad; n-- {
		s.Cgroups = append(s.Cgroups, CgroupMount{Name: d.string(), Options: d.string()})
	}
	s.Shm, s.OutputSize = d.uint64(), d.uint64()
	return s, d.end()
}

// Order is what to run in a sandbox that has its root file system.
type Order struct {
	Hostname string

	Argv []string
	Env  []string
	Dir  string // absolute; made if it is missing
	User string // as in an image's config

	Volumes []string // directories that are made if they are missing

	Hosts  string // contents of /etc/hosts
	Resolv string // contents of /etc/resolv.conf

	Caps   uint64 // capabilities the application may have, bit n for number n
	Filter []byte // seccomp program: the kernel's struct sock_filter, one after another
}

// Append appends the encoded body.
func (o *Order) Append(b []byte) []byte {
	b = appendString(b, o.Hostname)
	b = appendStrings(b, o.Argv)
	b = appendStrings(b, o.Env)
	b = appendString(b, o.Dir)
	b = appendString(b, o.User)
	b = appendStrings(b, o.Volumes)
	b = appendString(b, o.Hosts)
	b = appendString(b, o.Resolv)
	b = appendUint64(b, o.Caps)
	return appendString(b, string(o.Filter))
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
		Volumes:  d.strings(),
		Hosts:    d.string(),
		Resolv:   d.string(),
		Caps:     d.uint64(),
		Filter:   []byte(d.string()),
	}
	if len(o.Filter)%8 != 0 {
		d.bad = true
	}
	return o, d.end()
}
