package slipway

import (
	"crypto/rand"
	"encoding/hex"

	"github.com/google/uuid"
)

// NewID returns 32 lower-case hexadecimal digits: the form of App Runner's
// service, operation and instance ids (a version 4 UUID without dashes).
func NewID() string {
	id := uuid.New()
	return hex.EncodeToString(id[:])
}

// NewUUID returns a version 4 UUID with dashes.
func NewUUID() string { return uuid.NewString() }

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
