package slipway

import (
	"crypto/rand"
	"encoding/hex"
)

// NewID returns 32 lower-case hexadecimal digits: the form of App Runner's
// service, operation and instance ids (a version 4 UUID without dashes).
func NewID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails: crypto/rand aborts the process instead
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return hex.EncodeToString(b[:])
}

// NewUUID returns a version 4 UUID with dashes.
func NewUUID() string {
	id := NewID()
	return id[:8] + "-" + id[8:12] + "-" + id[12:16] + "-" + id[16:20] + "-" + id[20:]
}

// labelDigits has 32 entries, so that five random bits pick one without bias.
// It omits letters and digits that people confuse.
const labelDigits = "abcdefghijkmnpqrstuvwxyz23456789"

// NewLabel returns ten random letters and digits: the first label of a service's
// host name.
func NewLabel() string {
	var b [10]byte
	rand.Read(b[:])
	for i := range b {
		b[i] = labelDigits[b[i]&31]
	}
	return string(b[:])
}
