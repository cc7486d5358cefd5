package seal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"

	"github.com/openslipway/slipway/internal/atomicfile"
)

// keyFile is the file with the master key: an age identity file whose first
// identity is the master key. There is a second one only during a rotation.
// With a passphrase the file is encrypted as `age --passphrase --armor` does
// it, so that age itself can read it or change the passphrase.
type keyFile struct {
	path       string
	passphrase string
	workFactor int // of scrypt, as a power of two; 0 for age's own choice
}

// master is a master key.
type master struct {
	public    string
	recipient age.Recipient
	identity  age.Identity
	text      string
}

var errNoKeyFile = errors.New("no key file")

// maxKeyFile bounds the file in bytes. Two keys need a few hundred.
const maxKeyFile = 64 << 10

// read returns the master keys, the current one first. Its error is
// errNoKeyFile if there is no file. If a passphrase is configured and the file
// is not encrypted, read encrypts it.
func (f keyFile) read() ([]master, error) {
	b, err := os.ReadFile(f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, errNoKeyFile
	case err != nil:
		return nil, fmt.Errorf("read the key file: %w", err)
	case len(b) > maxKeyFile:
		return nil, fmt.Errorf("%s is no key file: it is longer than %d bytes", f.path, maxKeyFile)
	}
	masters, encrypted, err := f.parse(b)
	if err != nil {
		return nil, err
	}
	if !encrypted && f.passphrase != "" {
		if err := f.write(masters); err != nil {
			return nil, fmt.Errorf("encrypt the key file with the passphrase: %w", err)
		}
	}
	return masters, nil
}

// parse reads the content of the file.
func (f keyFile) parse(b []byte) (masters []master, encrypted bool, err error) {
	armored := bytes.HasPrefix(b, []byte(armor.Header))
	encrypted = armored || bytes.HasPrefix(b, []byte("age-encryption.org/"))
	if encrypted {
		if b, err = f.decrypt(b, armored); err != nil {
			return nil, true, err
		}
	}
	if masters, err = parseMasters(string(b)); err != nil {
		return nil, encrypted, fmt.Errorf("%s is no key file: %w", f.path, err)
	}
	return masters, encrypted, nil
}

// ErrEncrypted is wrapped by the error about a key file whose passphrase is not given.
var ErrEncrypted = errors.New("it is encrypted and no passphrase was given: set SLIPWAY_KEY_PASSPHRASE or --key-passphrase-file")

func (f keyFile) decrypt(b []byte, armored bool) ([]byte, error) {
	if f.passphrase == "" {
		return nil, fmt.Errorf("read the key file %s: %w", f.path, ErrEncrypted)
	}
	id, err := age.NewScryptIdentity(f.passphrase)
	if err != nil {
		return nil, err
	}
	var in io.Reader = bytes.NewReader(b)
	if armored {
		in = armor.NewReader(in)
	}
	r, err := age.Decrypt(in, id)
	if err != nil {
		return nil, fmt.Errorf("the key file %s cannot be decrypted with the passphrase: %w", f.path, err)
	}
	return io.ReadAll(io.LimitReader(r, maxKeyFile))
}

// parseMasters parses the lines of an identity file. age's own parser repeats
// lines that it does not understand in its errors; those must not be logged.
func parseMasters(text string) ([]master, error) {
	var list []master
	for n, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		m, err := parseMaster(line)
		if err != nil {
			return nil, fmt.Errorf("line %d is not an AGE-SECRET-KEY", n+1)
		}
		list = append(list, m)
	}
	if len(list) == 0 {
		return nil, errors.New("there is no AGE-SECRET-KEY in it")
	}
	return list, nil
}

func parseMaster(line string) (master, error) {
	if id, err := age.ParseX25519Identity(line); err == nil {
		return master{id.Recipient().String(), id.Recipient(), id, line}, nil
	}
	id, err := age.ParseHybridIdentity(line)
	if err != nil {
		return master{}, err
	}
	return master{id.Recipient().String(), id.Recipient(), id, line}, nil
}

func newMaster() (master, error) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return master{}, err
	}
	return parseMaster(id.String())
}

// make makes a master key and writes it.
func (f keyFile) make() ([]master, error) {
	m, err := newMaster()
	if err != nil {
		return nil, err
	}
	return []master{m}, f.write([]master{m})
}

// write replaces the file with the master keys, atomically and durably.
func (f keyFile) write(masters []master) error {
	var b bytes.Buffer
	b.WriteString("# The master key of a Slipway server. Without it the secrets in its database are lost.\n")
	for _, m := range masters {
		fmt.Fprintf(&b, "# public key: %s\n%s\n", m.public, m.text)
	}
	content := b.Bytes()
	if f.passphrase != "" {
		var err error
		if content, err = f.encrypt(content); err != nil {
			return fmt.Errorf("encrypt the key file: %w", err)
		}
	}
	if err := atomicfile.Write(f.path, content, 0o600); err != nil {
		return fmt.Errorf("write the key file: %w", err)
	}
	return nil
}

func (f keyFile) encrypt(content []byte) ([]byte, error) {
	to, err := age.NewScryptRecipient(f.passphrase)
	if err != nil {
		return nil, err
	}
	if f.workFactor != 0 {
		to.SetWorkFactor(f.workFactor)
	}
	var b bytes.Buffer
	a := armor.NewWriter(&b)
	w, err := age.Encrypt(a, to)
	if err != nil {
		return nil, err
	}
	_, err = w.Write(content)
	err = errors.Join(err, w.Close(), a.Close())
	return b.Bytes(), err
}
