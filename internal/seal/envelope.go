package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"
	"fmt"
)

// An envelope is
//
//	version (1 byte, 1) | id of the data key (16 bytes) | nonce (12) | ciphertext | tag (16)
//
// where version, id and the context are authenticated together with the
// ciphertext.
const (
	version  = 1
	idSize   = 16
	header   = 1 + idSize
	keySize  = 32
	overhead = header + 12 + 16
)

// keyID is the id of a data key.
type keyID [idSize]byte

func (id keyID) String() string { return hex.EncodeToString(id[:]) }

func parseKeyID(s string) (id keyID, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != idSize {
		return id, fmt.Errorf("%q is not the id of a data key", s)
	}
	return keyID(b), nil
}

// newAEAD returns AES-256-GCM with a random nonce for each message. By the
// probability of repetition a key may seal 2^32 messages, far more than a
// server seals between two rotations.
func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

func encode(id keyID, aead cipher.AEAD, context string, secret []byte) []byte {
	out := make([]byte, header, overhead+len(secret))
	out[0] = version
	copy(out[1:], id[:])
	return aead.Seal(out, nil, secret, associated(out[:header], context))
}

// keyOf returns the id of the data key that an envelope names.
func keyOf(sealed []byte) (keyID, bool) {
	if len(sealed) < overhead || sealed[0] != version {
		return keyID{}, false
	}
	return keyID(sealed[1:header]), true
}

// decode opens an envelope that keyOf accepted.
func decode(aead cipher.AEAD, context string, sealed []byte) ([]byte, error) {
	secret, err := aead.Open(nil, nil, sealed[header:], associated(sealed[:header], context))
	if err != nil {
		return nil, ErrSealed
	}
	return secret, nil
}

// associated needs no length between its parts: the header's length is fixed.
func associated(header []byte, context string) []byte {
	return append(append([]byte(nil), header...), context...)
}
