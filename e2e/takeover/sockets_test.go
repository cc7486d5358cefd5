package takeover

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/e2e/harness"
)

// connect makes a private service answer at a VPC endpoint until the test ends, and returns
// its host there.
func connect(t *testing.T, s *harness.Server, svc *types.Service, endpoint string) (host string) {
	t.Helper()
	made, err := s.Client().CreateVpcIngressConnection(t.Context(), &apprunner.CreateVpcIngressConnectionInput{
		ServiceArn: svc.ServiceArn, VpcIngressConnectionName: aws.String("door-" + endpoint),
		IngressVpcConfiguration: &types.IngressVpcConfiguration{VpcId: aws.String("vpc-1"), VpcEndpointId: &endpoint},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, err := s.Client().DeleteVpcIngressConnection(context.Background(), &apprunner.DeleteVpcIngressConnectionInput{VpcIngressConnectionArn: made.VpcIngressConnection.VpcIngressConnectionArn})
		if err != nil {
			t.Error(err)
		}
	})
	c := s.WaitIngressConnection(*made.VpcIngressConnection.VpcIngressConnectionArn, types.VpcIngressConnectionStatusAvailable)
	return *c.DomainName
}

// TestInheritedSockets replaces a server that has its sockets from systemd, one of a VPC
// endpoint among them, and another endpoint's by a flag. Clients at all of them lose nothing,
// when the next server fails, too; and whoever holds the sockets can start a server again.
func TestInheritedSockets(t *testing.T) {
	t.Parallel()
	one, two := harness.FreeAddr(t), harness.FreeAddr(t)
	s := harness.Prepare(t, nil, "--api-addr", harness.FreeAddr(t), "--http-addr", harness.FreeAddr(t), "--vpc-endpoint", "vpce-1="+one, "--vpc-endpoint", "vpce-2="+two)
	held := s.Hold("http", "api", "vpce-1")
	s.Start()
	image := s.Push(harness.WebImage(t, "1"), "steady:1")
	b := &busy{Server: s, svc: s.RunningService("steady", harness.Spec{Image: image, Health: harness.QuickHealthCheck()})}
	first := s.RunningService("first", harness.Spec{Image: image, Network: harness.PrivateNetwork(true)})
	second := s.RunningService("second", harness.Spec{Image: image, Network: harness.PrivateNetwork(true)})
	all := map[string]*clients{
		"the services' socket":    newClients(s, b.svc),
		"an inherited endpoint":   clientsAt(held[2], connect(t, s, first, "vpce-1")),
		"an endpoint by its flag": clientsAt(two, connect(t, s, second, "vpce-2")),
	}
	b.clients = all["the services' socket"]
	if b.HostPort() != held[0] || s.Endpoints["vpce-1"] != held[2] {
		t.Fatalf("the server is at %s and %v; it inherits %v", b.HostPort(), s.Endpoints, held)
	}
	for _, c := range all {
		s.WaitStatus(c.addr, c.host, 200)
	}
	ctx, cancel := context.WithCancel(t.Context())
	stop := func() {
		cancel()
		for _, c := range all {
			c.all.Wait()
		}
	}
	t.Cleanup(stop)
	for _, c := range all {
		c.run(ctx, kept, "/?ms=1", "a body", whole)
		c.run(ctx, kept, "/?ms=700", "", whole)
		c.run(ctx, fresh, "/?ms=5", "", whole)
	}
	lossless := func(when string) {
		t.Helper()
		for name, c := range all {
			c.passes(t, 50)
			_, list := c.losses()
			if len(list) > 0 || c.closes.Load() > 0 {
				t.Errorf("%s, %s: %d connections were closed; lost were %q", when, name, c.closes.Load(), list)
			}
		}
	}
	lossless("before")
	for n := range 2 {
		if out, err := b.Upgrade(); err != nil {
			t.Fatalf("upgrade %d: %v: %s", n, err, out)
		}
		lossless(fmt.Sprint("upgrade ", n))
		b.works(t, fmt.Sprint("upgraded ", n))
	}
	if out, err := b.TryUpgrade(append(os.Environ(), "SLIPWAY_ALIAS=x"), "--environment"); err == nil || !strings.Contains(out, "--alias") {
		t.Errorf("a wrong setting: %v: %s", err, out)
	}
	lossless("a failure")
	b.works(t, "failed")
	if out, err := b.Upgrade(); err != nil {
		t.Fatalf("an upgrade after a failure: %v: %s", err, out)
	}
	lossless("an upgrade after a failure")
	if s.Endpoints["vpce-1"] != held[2] || s.Endpoints["vpce-2"] != two {
		t.Errorf("the endpoints are %v", s.Endpoints)
	}
	stop()
	b.AwaitFormers()
	s.Kill()
	s.Start() // with the sockets as they are
	b.works(t, "started again")
	for _, c := range all {
		s.WaitStatus(c.addr, c.host, 200)
	}
}

// TestAccessLogs has requests in flight when the server is replaced: they end in the former
// process, and the access log has all of them.
func TestAccessLogs(t *testing.T) {
	t.Parallel()
	s := harness.Serve(t)
	svc := s.RunningService("seen", harness.Spec{Image: s.Push(harness.WebImage(t, "1"), "seen"), Scaling: s.CreateAutoScaling("wide", 200, 1, 1)})
	s.Set(svc, "access-log", "true")
	harness.Eventually(t, "a request is in the access log", func() (bool, string) {
		if _, err := s.Ask(svc, "/begin"); err != nil {
			return false, err.Error()
		}
		last := s.MustSlipway(t, "logs", "seen", "--access", "-n", "1")
		return strings.Contains(last, "/begin"), last
	})
	c := newClients(s, svc)
	const n = 5
	for k := range n {
		c.all.Go(func() {
			at, err := c.dial()
			if err == nil {
				defer at.Close()
				_, err = c.exchange(at, fmt.Sprintf("/slow/%d?ms=30000", k), "", whole)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	awaitInFlight(s, svc, n)
	if out, err := s.Upgrade(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if !s.FormerRuns() {
		t.Error("the former server has ended before the requests")
	}
	c.all.Wait()
	s.AwaitFormers()
	harness.Eventually(t, "the access log has all requests", func() (bool, string) {
		text := s.MustSlipway(t, "logs", "seen", "--access")
		for k := range n {
			if strings.Count(text, fmt.Sprintf(`"path":"/slow/%d"`, k)) != 1 {
				return false, text
			}
		}
		return true, ""
	})
}
