package handoff

// Descriptors that a spawner, a shim or an init starts with, beside 0, 1 and 2.
const (
	FDControl = 3 // socket to the daemon

	// Of a shim only:
	FDStatus  = 4 // status file
	FDOutput0 = 5 // output files, see package ring
	FDOutput1 = 6

	// Of an init only:
	FDShim = 4 // socket to the shim; the application that is executed closes it
)

// Spawn asks the spawner for the shim of one sandbox. The message carries
// descriptors: those that become the shim's FDControl to FDOutput1 and, if
// IntoCgroup is set, the directory of the cgroup to start in.
type Spawn struct {
	IntoCgroup bool
}

// Append appends the encoded request.
func (s *Spawn) Append(b []byte) []byte {
	return appendBool(b, s.IntoCgroup)
}

// ParseSpawn decodes what Append made.
func ParseSpawn(b []byte) (Spawn, error) {
	d := decoder{b: b}
	s := Spawn{IntoCgroup: d.bool()}
	return s, d.end()
}

// Spawned is the spawner's answer. It carries a pidfd unless Err is set.
type Spawned struct {
	PID int // of the shim, in the spawner's pid namespace
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
