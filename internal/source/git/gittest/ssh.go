package gittest

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

// SSH serves the repositories below a directory, as ssh://git@127.0.0.1:port/name,
// to the holder of one key.
type SSH struct {
	URL        string // without a slash at its end
	PrivateKey []byte // the deploy key, in OpenSSH's form
	KnownHosts []byte // the server's own key
}

// NewKey makes a deploy key: the private one in OpenSSH's form.
func NewKey(t testing.TB) (private []byte, public ssh.PublicKey) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(block), signer.PublicKey()
}

// ServeSSH serves the repositories below root until the test ends.
func ServeSSH(t testing.TB, root string) *SSH {
	t.Helper()
	private, public := NewKey(t)
	hostKey, hostPublic := NewKey(t)
	signer, err := ssh.ParsePrivateKey(hostKey)
	if err != nil {
		t.Fatal(err)
	}
	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if !bytes.Equal(key.Marshal(), public.Marshal()) {
			return nil, errors.New("not the deploy key")
		}
		return &ssh.Permissions{}, nil
	}}
	config.AddHostKey(signer)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serveConn(c, config, root)
		}
	}()
	port := l.Addr().(*net.TCPAddr).Port
	return &SSH{
		URL:        "ssh://git@" + l.Addr().String(),
		PrivateKey: private,
		KnownHosts: fmt.Appendf(nil, "[127.0.0.1]:%d %s", port, ssh.MarshalAuthorizedKey(hostPublic)),
	}
}

func serveConn(c net.Conn, config *ssh.ServerConfig, root string) {
	defer c.Close()
	conn, channels, requests, err := ssh.NewServerConn(c, config)
	if err != nil {
		return
	}
	defer conn.Close()
	go ssh.DiscardRequests(requests)
	for offered := range channels {
		if offered.ChannelType() != "session" {
			_ = offered.Reject(ssh.UnknownChannelType, "only sessions")
			continue
		}
		channel, requests, err := offered.Accept()
		if err != nil {
			return
		}
		go serveSession(channel, requests, root)
	}
}

// serveSession runs git-upload-pack 'name', and nothing else.
func serveSession(channel ssh.Channel, requests <-chan *ssh.Request, root string) {
	defer channel.Close()
	env := []string{"PATH=/usr/bin:/bin", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"}
	for r := range requests {
		var text struct{ Name, Value string }
		switch {
		case r.Type == "env" && ssh.Unmarshal(r.Payload, &text) == nil && text.Name == "GIT_PROTOCOL":
			env = append(env, "GIT_PROTOCOL="+text.Value)
			_ = r.Reply(true, nil)
		case r.Type == "exec":
			_ = r.Reply(true, nil)
			status := uploadPack(channel, r.Payload, root, env)
			_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{status}))
			return
		default:
			_ = r.Reply(false, nil)
		}
	}
}

func uploadPack(channel ssh.Channel, payload []byte, root string, env []string) uint32 {
	var text struct{ Command string }
	if err := ssh.Unmarshal(payload, &text); err != nil {
		return 1
	}
	name, ok := strings.CutPrefix(text.Command, "git-upload-pack '")
	if !ok || strings.Contains(name, "..") {
		_, _ = io.WriteString(channel.Stderr(), "only git-upload-pack\n")
		return 1
	}
	cmd := exec.Command("git", "upload-pack", filepath.Join(root, strings.TrimSuffix(name, "'")))
	cmd.Env = env
	cmd.Stdout, cmd.Stderr = channel, channel.Stderr()
	in, err := cmd.StdinPipe() // not Stdin: Wait would wait for the client to close
	if err != nil || cmd.Start() != nil {
		return 1
	}
	go func() {
		_, _ = io.Copy(in, channel)
		in.Close()
	}()
	if cmd.Wait() != nil {
		return 1
	}
	return 0
}
