package git

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// PublicHosts are the keys of the ssh servers of public providers, in the form of
// known_hosts. They were compared with the fingerprints that the providers publish; a
// test repeats that.
//
//   - https://docs.github.com/en/authentication/keeping-your-account-and-data-secure/githubs-ssh-key-fingerprints
//   - https://docs.gitlab.com/user/gitlab_com/#ssh-host-keys-fingerprints
//   - https://support.atlassian.com/bitbucket-cloud/docs/configure-ssh-and-two-step-verification/
func PublicHosts() []byte {
	return []byte(`github.com,[ssh.github.com]:443 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl
github.com,[ssh.github.com]:443 ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEmKSENjQEezOmxkZMy7opKgwFB9nkt5YRrYMjNuG5N87uRgg6CLrbo5wAdT/y6v0mKV0U2w0WZ2YB/++Tpockg=
gitlab.com,[altssh.gitlab.com]:443 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAfuCHKVTjquxvt6CM6tdG4SLp1Btn/nOeHHE5UOzRdf
gitlab.com,[altssh.gitlab.com]:443 ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBFSMqzJeV9rUzU4kWitGjeR4PWSa29SPqJ1fVkhtj3Hw9xjLVXVYrU9QlYWrOLXBpQ6KWjbjTDTdDkoohFzgbEY=
bitbucket.org,[altssh.bitbucket.org]:443 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIazEu89wgQZ4bqs3d63QSMzYVa0MuJ2e2gKTKqu+UUO
bitbucket.org,[altssh.bitbucket.org]:443 ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBPIQmuzMBuKdWeF4+a2sjSSpBK0iqitSQ+5BM9KhpexuGt20JpTVM7u5BDZngncgrqDMbWdxMWWOGtZ9UgbqgZE=
`)
}

const greetKeyLimit = 15 * time.Second

// hostKey asks the ssh server of the session which key it has, and returns the line
// for known_hosts and the fingerprint; "" if it does not say. The server is not
// trusted for it: an operator compares.
func (s *session) hostKey(ctx context.Context) (line, fingerprint string) {
	ctx, cancel := context.WithTimeout(ctx, greetKeyLimit)
	defer cancel()
	c, err := s.relay.dial(ctx, address(s.url))
	if err != nil {
		return "", ""
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	var shown ssh.PublicKey
	_, _, _, err = ssh.NewClientConn(c, address(s.url), &ssh.ClientConfig{
		User: s.url.User.Username(), Timeout: greetKeyLimit,
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			shown = key
			return errors.New("only the key was wanted")
		},
		HostKeyAlgorithms: []string{ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256},
	})
	if err == nil || shown == nil {
		return "", ""
	}
	return hostAlias(s.url) + " " + strings.TrimSpace(string(ssh.MarshalAuthorizedKey(shown))), ssh.FingerprintSHA256(shown)
}

// untrusted is the message for an ssh server whose key is not known.
func (s *session) untrusted(ctx context.Context, changed bool) error {
	line, fingerprint := s.hostKey(ctx)
	switch {
	case line == "":
		return fail(Untrusted, "The ssh server of %s is not known. Add its host key to the file of --git-known-hosts.", s.shown())
	case changed:
		return fail(Untrusted, "The ssh server of %s has another host key than the known one: %s. Somebody may be listening. If the server's owner has changed it, replace the line of the file of --git-known-hosts by: %s",
			s.shown(), fingerprint, line)
	}
	return fail(Untrusted, "The ssh server of %s is not known. Its host key is %s; if the server's owner says the same, add this line to the file of --git-known-hosts: %s",
		s.shown(), fingerprint, line)
}
