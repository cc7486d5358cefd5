package network

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/e2e/harness"
)

// TestLocalAuthority serves with certificates of the server's own authority: the command line
// names https URLs, clients that are given the authority or have installed it accept them,
// and requests without TLS are sent there. All stays so after a kill.
func TestLocalAuthority(t *testing.T) {
	t.Parallel()
	s := harness.Serve(t, "--https-addr", harness.FreeAddr(t))
	svc := s.RunningService("shop", harness.Spec{Image: s.Push(harness.WebImage(t, "1"), "shop:1")})
	url := "https://" + *svc.ServiceUrl
	if out, err := s.RunSlipway("ls"); err != nil || !strings.Contains(out, url) {
		t.Errorf("slipway ls shows no %s: %s, %v", url, out, err)
	}
	root := authority(t, s)
	shopped(t, s, *svc.ServiceUrl, root)
	// What installs the authority changes a copy of this machine's trust store.
	script := `set -e
mount -t tmpfs tmpfs /mnt
cp -a /etc/ssl /mnt/ssl
mkdir -p /mnt/local "$HOME"
mount --bind /mnt/ssl /etc/ssl
mount --bind /mnt/local /usr/local/share/ca-certificates
fetch() { curl -sS -o /dev/null -w '%{http_code}\n' --connect-to "::$2" "$1"; }
fetch "$1" "$2" 2>/dev/null && exit 9
"$SLIPWAY" trust --yes
fetch "$1" "$2"
"$SLIPWAY" trust --remove --yes
fetch "$1" "$2" 2>/dev/null && exit 9
true`
	for _, tool := range []string{"curl", "update-ca-certificates", "unshare"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("without %s nothing can be installed", tool)
		}
	}
	cmd := exec.CommandContext(t.Context(), "unshare", "-m", "sh", "-c", script, "sh", url, strings.TrimPrefix(s.HTTPS, "https://"))
	cmd.Env = append(s.ClientEnv(), "SLIPWAY="+s.Binary, "HOME="+t.TempDir(), "PATH="+os.Getenv("PATH"))
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "\n200\n") {
		t.Errorf("slipway trust: %v\n%s", err, out)
	}
	s.Kill()
	s.Start()
	shopped(t, s, *svc.ServiceUrl, root)
}

// authority returns the pool with the authority of a server.
func authority(t *testing.T, s *harness.Server) *x509.CertPool {
	t.Helper()
	out, err := s.RunSlipway("trust", "--print")
	pool := x509.NewCertPool()
	if err != nil || !pool.AppendCertsFromPEM([]byte(out)) {
		t.Fatalf("slipway trust --print: %v\n%s", err, out)
	}
	return pool
}

// shopped checks that a service answers with TLS, and without it sends clients there. Another
// name gets no certificate.
func shopped(t *testing.T, s *harness.Server, host string, root *x509.CertPool) {
	t.Helper()
	secure := strings.TrimPrefix(s.HTTPS, "https://")
	dial := func(at string) *http.Client {
		return &http.Client{Timeout: harness.Timeout, Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "tcp", at)
			},
			TLSClientConfig: &tls.Config{RootCAs: root}, DisableKeepAlives: true,
		}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	resp, err := dial(secure).Get("https://" + host + "/")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("with TLS: %s", resp.Status)
	}
	second := dial(secure)
	second.Transport.(*http.Transport).ForceAttemptHTTP2 = true
	if resp, err = second.Get("https://" + host + "/"); err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.ProtoMajor != 2 {
		t.Errorf("with HTTP/2: %s %s", resp.Proto, resp.Status)
	}
	name, _, _ := net.SplitHostPort(host)
	resp, err = dial(s.HostPort()).Get("http://" + name + "/a?b=c")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got, want := resp.Header.Get("Location"), "https://"+host+"/a?b=c"; resp.StatusCode != http.StatusMovedPermanently || got != want {
		t.Errorf("without TLS: %s to %q, want %q", resp.Status, got, want)
	}
	c, err := net.DialTimeout("tcp", secure, harness.Timeout)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(harness.Timeout))
	stranger := "nobody." + name[strings.Index(name, ".")+1:]
	if err := tls.Client(c, &tls.Config{RootCAs: root, ServerName: stranger}).Handshake(); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
		t.Errorf("a name of no service: %v", err)
	}
}

// TestPrivateWithTLS reaches a private service with TLS at a VPC endpoint, before and after an
// upgrade. Other names get no certificate there.
func TestPrivateWithTLS(t *testing.T) {
	t.Parallel()
	addr := harness.FreeAddr(t)
	s := harness.Serve(t, "--vpc-endpoint", "vpce-1="+addr+",tls")
	image := s.Push(harness.WebImage(t, "1"), "web:1")
	open := s.RunningService("open", harness.Spec{Image: image})
	shop := s.RunningService("shop", harness.Spec{Image: image, Network: harness.PrivateNetwork(true)})
	made, err := s.Client().CreateVpcIngressConnection(t.Context(), &apprunner.CreateVpcIngressConnectionInput{
		ServiceArn: shop.ServiceArn, VpcIngressConnectionName: aws.String("door"),
		IngressVpcConfiguration: &types.IngressVpcConfiguration{VpcId: aws.String("vpc-1"), VpcEndpointId: aws.String("vpce-1")},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.WaitIngressConnection(*made.VpcIngressConnection.VpcIngressConnectionArn, types.VpcIngressConnectionStatusAvailable)
	root, host := authority(t, s), *made.VpcIngressConnection.DomainName
	ask := func(host string) (int, error) {
		c := &http.Client{Timeout: harness.Timeout, Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "tcp", addr)
			},
			TLSClientConfig: &tls.Config{RootCAs: root}, DisableKeepAlives: true,
		}}
		resp, err := c.Get("https://" + host + "/")
		if err != nil {
			return 0, err
		}
		resp.Body.Close()
		return resp.StatusCode, nil
	}
	for _, when := range []string{"at first", "after an upgrade"} {
		if status, err := ask(host); status != http.StatusOK {
			t.Errorf("%s: %d, %v", when, status, err)
		}
		if status, err := ask(*open.ServiceUrl); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
			t.Errorf("%s: a public service: %d, %v", when, status, err)
		}
		if when == "at first" {
			if out, err := s.Upgrade(); err != nil {
				t.Fatal(err, out)
			}
		}
	}
	arn := made.VpcIngressConnection.VpcIngressConnectionArn
	if _, err := s.Client().DeleteVpcIngressConnection(t.Context(), &apprunner.DeleteVpcIngressConnectionInput{VpcIngressConnectionArn: arn}); err != nil {
		t.Fatal(err)
	}
	s.WaitIngressConnection(*arn, types.VpcIngressConnectionStatusDeleted)
}
