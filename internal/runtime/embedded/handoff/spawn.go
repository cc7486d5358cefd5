package handoff

// Descriptors that a spawner or an init starts with, beside 0, 1 and 2.
const (
	FDControl = 3 // socket to the daemon

	// Of an init only:
	FDStatus  = 4 // status file
	FDOutput0 = 5 // output files, see package ring
	FDOutput1 = 6
)

// Spawn asks the spawner for one sandbox: an init in new namespaces. The message
// carries descriptors: those that become the init's FDControl to FDOutput1 and,
// if IntoCgroup is set, the directory of the cgroup to start in.
type Spawn struct {
	FirstID    uint32 // host id of the sandbox's user and group 0
	IDs        uint32 // how many ids it has
	IntoCgroup bool
}

// Append appends the encoded request.
func (s *Spawn) Append(b []byte) []byte {
	b = appendUint32(appendUint32(b, s.FirstID), s.IDs)
	into := uint32(0)
	if s.IntoCgroup {
		into = 1
	}
	return appendUint32(b, into)
}

// ParseSpawn decodes what Append made.
func ParseSpawn(b []byte) (Spawn, error) {
	d := decoder{b: b}
	s := Spawn{FirstID: d.uint32(), IDs: d.uint32(), IntoCgroup: d.uint32() == 1}
	return s, d.end()
}

// Spawned is the spawner's answer. It carries a pidfd unless Err is set.
type Spawned struct {
	PID int // of the init, in the spawner's pid namespace
	Err string
}

// Append appends the encoded answer.
func (s *Spawned) Append(b []byte) []byte {
	return appendString(appendUint32(b, uint32(s.PID)), s.Err)
}

// ParseSpawned decodes what Append made.
func ParseSpawned(b []byte) (Spawned, error) {
	d := decoder{b: b}
	s := Spawned{PID: int(d.uint32()), Err: d.string()}
	return s, d.end()
}
