package codehost

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/openslipway/slipway"
)

// maxKey is the size of the largest private key in bytes.
const maxKey = 16 << 10

// DeployKey returns a private key in the form that ssh reads, and its public half as a
// line for the host: a new ed25519 key, or the given one. The comment of the line is a
// name for people.
func (h *Hosts) DeployKey(given []byte, comment string) (private []byte, public string, err error) {
	if given == nil {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, "", err
		}
		block, err := ssh.MarshalPrivateKey(key, "")
		if err != nil {
			return nil, "", err
		}
		given = pem.EncodeToMemory(block)
	}
	if len(given) > maxKey {
		return nil, "", slipway.Errorf(slipway.InvalidRequest, "PrivateKey has more than %d bytes.", maxKey)
	}
	signer, err := ssh.ParsePrivateKey(given)
	if _, locked := errors.AsType[*ssh.PassphraseMissingError](err); locked {
		return nil, "", slipway.Errorf(slipway.InvalidRequest, "PrivateKey has a passphrase, which nobody could type here. Give a key without one; it is stored encrypted.")
	}
	if err != nil {
		return nil, "", slipway.Errorf(slipway.InvalidRequest, "PrivateKey is not a private key in OpenSSH's or PEM form.")
	}
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
	return append([]byte(strings.TrimSpace(string(given))), '\n'), line + " " + comment, nil
}
