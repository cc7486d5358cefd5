package seal

import (
	"bytes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"io"
	"time"

	"filippo.io/age"

	"github.com/openslipway/slipway"
)

// newDataKey makes a data key, wrapped for the master key.
func newDataKey(m master, now time.Time) (slipway.DataKey, error) {
	row := slipway.DataKey{ID: slipway.NewID(), CreatedAt: now}
	id, err := parseKeyID(row.ID)
	if err != nil {
		return row, err
	}
	key := make([]byte, keySize)
	rand.Read(key)
	return wrap(m, row, id, key)
}

// wrap encrypts a data key together with its id to the master key: age has no
// associated data that could bind it to its row.
func wrap(m master, row slipway.DataKey, id keyID, key []byte) (slipway.DataKey, error) {
	var b bytes.Buffer
	w, err := age.Encrypt(&b, m.recipient)
	if err == nil {
		_, err = w.Write(append(id[:], key...))
	}
	if err == nil {
		err = w.Close()
	}
	row.Master, row.Wrapped = m.public, b.Bytes()
	return row, err
}

// unwrap returns a row's data key, ready for use.
func unwrap(masters []master, row slipway.DataKey) (keyID, cipher.AEAD, error) {
	id, key, err := unwrapKey(masters, row)
	if err != nil {
		return id, nil, err
	}
	aead, err := newAEAD(key)
	return id, aead, err
}

func unwrapKey(masters []master, row slipway.DataKey) (keyID, []byte, error) {
	id, err := parseKeyID(row.ID)
	if err != nil {
		return id, nil, err
	}
	identities := make([]age.Identity, len(masters))
	for i, m := range masters {
		identities[i] = m.identity
	}
	r, err := age.Decrypt(bytes.NewReader(row.Wrapped), identities...)
	if err != nil {
		return id, nil, err
	}
	plain, err := io.ReadAll(io.LimitReader(r, idSize+keySize+1))
	if err != nil {
		return id, nil, err
	}
	if len(plain) != idSize+keySize || !bytes.Equal(plain[:idSize], id[:]) {
		return id, nil, errors.New("it wraps another key")
	}
	return id, plain[idSize:], nil
}
