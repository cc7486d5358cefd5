package slipway

import "time"

// DataKey is a key that secrets are encrypted with, itself encrypted to the
// master key. package seal alone writes and reads it.
type DataKey struct {
	ID        string // 32 hexadecimal digits
	Master    string // the master key that it is wrapped with, by its public half
	Wrapped   []byte
	CreatedAt time.Time
}
