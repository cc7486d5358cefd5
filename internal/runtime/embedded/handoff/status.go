package handoff

// StatusSize is the length of a complete status file.
const StatusSize = startedSize + endedSize

const (
	startedSize = 64
	endedSize   = 4032
	// maxReason keeps an Ended record within its part of the file.
	maxReason = 2048
)

// StartedAt and EndedAt are the offsets of the records. Each record is a single
// write to a file that is open already: a shim killed in between leaves a record
// whose sum is wrong, which counts as none.
const (
	StartedAt = 0
	EndedAt   = startedSize
)

const (
	startedMagic = 0x31545253 // "SRT1"
	endedMagic   = 0x31444e45 // "END1"
)

// Started is written when the application has been started.
type Started struct {
	PID int   // of the application, in the pid namespace of which the shim is process 1
	At  int64 // Unix time in ns
}

// Ended is written as the shim's last act.
type Ended struct {
	Code   int
	Signal int    // number of the signal that ended the application, or 0
	At     int64  // Unix time in ns
	Ran    int64  // ns from start to end
	Reason string // why it could not start, for people; at most 2 KiB
}

// Append appends the record.
func (s *Started) Append(b []byte) []byte {
	from := len(b)
	b = appendUint32(b, startedMagic)
	b = appendUint64(b, uint64(s.PID))
	b = appendUint64(b, uint64(s.At))
	return appendUint64(b, sum(b[from:]))
}

// Append appends the record.
func (e *Ended) Append(b []byte) []byte {
	from := len(b)
	b = appendUint32(b, endedMagic)
	b = appendUint32(b, uint32(e.Code))
	b = appendUint32(b, uint32(e.Signal))
	b = appendUint64(b, uint64(e.At))
	b = appendUint64(b, uint64(e.Ran))
	b = appendString(b, e.Reason[:min(len(e.Reason), maxReason)])
	return appendUint64(b, sum(b[from:]))
}

// ParseStatus reads a status file. A record that is missing or incomplete is
// nil.
func ParseStatus(file []byte) (*Started, *Ended) {
	started := parseStarted(file[:min(len(file), startedSize)])
	if len(file) < startedSize {
		return started, nil
	}
	return started, ParseEnded(file[startedSize:])
}

func parseStarted(b []byte) *Started {
	d := decoder{b: b}
	magic := d.uint32()
	s := Started{PID: int(d.uint64()), At: int64(d.uint64())}
	if magic != startedMagic || !d.sumFits(b) {
		return nil
	}
	return &s
}

// ParseEnded decodes a record that Append made. A record that is incomplete is nil.
func ParseEnded(b []byte) *Ended {
	d := decoder{b: b}
	magic := d.uint32()
	e := Ended{
		Code:   int(d.uint32()),
		Signal: int(d.uint32()),
		At:     int64(d.uint64()),
		Ran:    int64(d.uint64()),
		Reason: d.string(),
	}
	if magic != endedMagic || !d.sumFits(b) {
		return nil
	}
	return &e
}

// sumFits reads the sum and compares it with that of what was read before it.
func (d *decoder) sumFits(whole []byte) bool {
	if d.bad {
		return false
	}
	want := sum(whole[:len(whole)-len(d.b)])
	return d.uint64() == want && !d.bad
}

// sum is FNV-1a. It detects torn records. It need not resist forgery: a process
// that can write the file gains nothing by it.
func sum(b []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h
}
