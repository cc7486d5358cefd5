package attack

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	media "github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/openslipway/slipway/e2e/harness"
	"github.com/openslipway/slipway/internal/image/imagetest"
)

// foreignBytes is a server with a user who may deploy, and no more.
type foreignBytes struct {
	authority
	mallory aws.Config
}

// TestForeignBytes has a user, their images and their instances send the server bytes
// that cost it far more than they cost to send.
func TestForeignBytes(t *testing.T) {
	t.Parallel()
	s := harness.Serve(t, "--isolated", "--warm", "0", "--connections-per-address", strconv.Itoa(perAddress), "--trusted-proxy", "127.0.0.8/32")
	x := foreignBytes{authority: authority{ServiceSecrets: harness.NewServiceSecrets(s)}}
	x.mallory = x.user(t, "mallory", `{"Effect":"Allow","Action":["apprunner:*","ecr:*"],"Resource":"*"}`)
	slow := x.startSlowBodies(t)
	t.Run("connections", x.attackConnections)
	t.Run("layers", x.attackLayers)
	t.Run("logs", x.attackLogs)
	t.Run("bodies", slow.areCutOff)
}

// perAddress is the limit of connections that the server is started with.
const perAddress = 60

// connect opens a connection to the server from an address and sends text.
func connect(t *testing.T, from, to, text string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.DialContext(t.Context(), "tcp", to)
	if errors.Is(err, syscall.ECONNRESET) {
		c, _ = net.Pipe() // the server has refused it already
		c.Close()
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_, _ = io.WriteString(c, text) // a refused connection may be gone by now
	return c
}

// attackConnections opens many connections that send half of a head, to the API and to
// the services. The control does the same from the address of a proxy, for which the
// limit does not hold.
func (x foreignBytes) attackConnections(t *testing.T) {
	for _, addr := range []string{x.RegistryHost(), x.HostPort()} {
		open := func(from string) int {
			var all []net.Conn
			for range 3 * perAddress {
				all = append(all, connect(t, from, addr, "GET / HTTP/1.1\r\nHost: x\r\n"))
			}
			var reads sync.WaitGroup
			var kept atomic.Int64
			for _, c := range all {
				reads.Go(func() {
					_ = c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
					if _, err := c.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
						kept.Add(1)
					}
				})
			}
			reads.Wait()
			ask := connect(t, "127.0.0.5", addr, "GET /healthz HTTP/1.1\r\nHost: "+addr+"\r\nConnection: close\r\n\r\n")
			if b, err := io.ReadAll(ask); err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 ") {
				t.Errorf("another client is answered %q, %v", b, err)
			}
			for _, c := range all {
				c.Close()
			}
			return int(kept.Load())
		}
		if n := open("127.0.0.6"); n > perAddress || n == 0 {
			t.Errorf("%s: an address holds %d connections, want %d at most", addr, n, perAddress)
		}
		if n := open("127.0.0.8"); n < 3*perAddress {
			t.Errorf("the control: %s: a proxy holds %d connections only", addr, n)
		}
	}
}

// slowBodies are requests that stop in their body.
type slowBodies struct {
	unknown map[string]net.Conn // of nobody that the server knows
	upload  net.Conn            // of a user who may push: the control
	cancel  func() (int, error) // cancels that upload
}

// startSlowBodies sends a part of each body.
func (x foreignBytes) startSlowBodies(t *testing.T) slowBodies {
	t.Helper()
	send := func(request, header string) net.Conn {
		return connect(t, "127.0.0.7", x.RegistryHost(), request+" HTTP/1.1\r\nHost: "+x.RegistryHost()+"\r\n"+header+"Content-Length: 1000\r\n\r\nhalf")
	}
	s := slowBodies{unknown: map[string]net.Conn{}}
	for _, request := range []string{
		"GET /healthz", "GET /readyz", "GET /version", "GET /metrics", "GET /v2/", "POST /v2/a/blobs/uploads/", "PUT /v2/a/manifests/1", "POST /", "POST /webhooks/source/x", "GET /favicon.ico",
	} {
		s.unknown[request] = send(request, "")
	}
	keys, err := x.mallory.Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	begin, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+x.RegistryHost()+"/v2/slow/blobs/uploads/", nil)
	if err != nil {
		t.Fatal(err)
	}
	begin.SetBasicAuth(keys.AccessKeyID, keys.SecretAccessKey)
	res, err := x.HTTPClient.Do(begin)
	if err != nil || res.StatusCode != http.StatusAccepted {
		t.Fatalf("begin an upload: %v, %v", res, err)
	}
	res.Body.Close()
	at, err := res.Location()
	if err != nil {
		t.Fatal(err)
	}
	s.cancel = func() (int, error) {
		end := begin.Clone(context.WithoutCancel(t.Context()))
		end.Method, end.URL = http.MethodDelete, at
		res, err := x.HTTPClient.Do(end)
		if err != nil {
			return 0, err
		}
		return res.StatusCode, res.Body.Close()
	}
	s.upload = send("PATCH "+at.RequestURI(), "Authorization: "+begin.Header.Get("Authorization")+"\r\nContent-Type: application/octet-stream\r\n")
	return s
}

// areCutOff fails unless the server has ended, or ends, all but the upload.
func (s slowBodies) areCutOff(t *testing.T) {
	for request, c := range s.unknown {
		_ = c.SetReadDeadline(time.Now().Add(harness.Timeout))
		if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: the server still waits for the body of somebody unknown", request)
		}
	}
	_ = s.upload.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := s.upload.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the control: the upload of a user has ended, too: %v", err)
	}
	s.upload.Close()
	harness.Eventually(t, "the upload is cancelled", func() (bool, string) {
		code, err := s.cancel()
		return code == http.StatusNoContent || code == http.StatusNotFound, fmt.Sprint(code, err)
	})
}

// layered returns an image that serves, with further layers.
func layered(t *testing.T, layers ...v1.Layer) v1.Image {
	t.Helper()
	img, err := mutate.AppendLayers(harness.WebImage(t, "1"), layers...)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// attackLayers deploys images whose layers are small, and large once unpacked.
func (x foreignBytes) attackLayers(t *testing.T) {
	const gib = 1 << 30
	before := x.DiskUsed()
	grown := func() int64 { return x.DiskUsed() - before }

	// A tar of 2 KB with a file of 6 GiB that is one hole: it stays one.
	sparse := static.NewLayer(hole("hole", 6*gib), media.OCIUncompressedLayer)
	if op := x.deployed(t, "hole", layered(t, sparse)); op != types.OperationStatusSucceeded {
		t.Errorf("an image with a sparse file: %s", op)
	}
	if n := grown(); n > 64<<20 {
		t.Errorf("a hole of 6 GiB took %d MiB of the disk", n>>20)
	}
	if n := unpackBare(t, hole("hole", 64<<20)); n < 64<<20 {
		t.Errorf("the control: a reader of tars wrote %d bytes of a hole of 64 MiB", n)
	}

	// Each of many layers of a kilobyte has the file of another copied.
	big := imagetest.Layer(t, imagetest.Text("big", strings.Repeat("x", 32<<20)))
	copies := func(n int) v1.Image {
		layers := []v1.Layer{big}
		for i := range n {
			layers = append(layers, imagetest.Layer(t, imagetest.Hardlink(fmt.Sprint("copy", i), "big")))
		}
		return layered(t, layers...)
	}
	if op := x.deployed(t, "copies", copies(150)); op == types.OperationStatusSucceeded {
		t.Errorf("150 copies of a file of 32 MiB were made")
	}
	if op := x.deployed(t, "control", copies(2)); op != types.OperationStatusSucceeded {
		t.Errorf("the control, with two copies: %s", op)
	}
}

// deployed pushes an image, creates a service of it as the user, and returns how that
// ended.
func (x foreignBytes) deployed(t *testing.T, name string, img v1.Image) types.OperationStatus {
	t.Helper()
	out, err := apprunner.NewFromConfig(x.mallory).CreateService(t.Context(), &apprunner.CreateServiceInput{
		ServiceName: &name, SourceConfiguration: harness.Spec{Image: x.Push(img, name+":1")}.Source(),
		HealthCheckConfiguration: harness.QuickHealthCheck(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return x.WaitOperation(out.Service, *out.OperationId)
}

// hole is a tar with one file that is one hole, as `tar --sparse` writes it.
func hole(name string, size uint64) []byte {
	var h [512]byte
	copy(h[:], name)
	copy(h[100:], "0000644\x000000000\x000000000\x0000000000000\x0000000000000\x00        S")
	copy(h[257:], "ustar  \x00")
	base256 := func(at int) {
		h[at] = 0x80
		binary.BigEndian.PutUint64(h[at+4:], size)
	}
	base256(386)                  // the first data is at the end,
	copy(h[398:], "000000000000") // none of it
	base256(483)
	sum := 0
	for _, c := range h {
		sum += int(c)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
	return append(h[:], make([]byte, 1024)...)
}

// unpackBare unpacks the only file of a tar as it reads, and returns what that wrote.
func unpackBare(t *testing.T, b []byte) int64 {
	t.Helper()
	r := tar.NewReader(bytes.NewReader(b))
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n, err := io.Copy(f, r)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// attackLogs has three instances print empty lines. The control is what they say they
// have printed.
func (x foreignBytes) attackLogs(t *testing.T) {
	const flooding, seconds = 3, 5
	image := x.Push(harness.HostileImage(t), "hostile:1")
	var services []*types.Service
	for i := range flooding {
		services = append(services, x.RunningService(fmt.Sprint("flood", i), harness.Spec{Image: image}))
	}
	ran, waited := x.processorTime(t)
	calm := x.askDuring(t, time.NewTimer(seconds*time.Second).C)
	calmRan, calmWaited := x.processorTime(t)
	memory := x.memory(t)
	disk := x.DiskUsed()

	var all sync.WaitGroup
	printed := make([]int, flooding)
	for i, svc := range services {
		all.Go(func() {
			_, detail := x.Attack(t, svc, "lines", url.Values{"seconds": {strconv.Itoa(seconds)}})
			if _, err := fmt.Sscanf(detail, "%d lines", &printed[i]); err != nil {
				t.Errorf("the attack says %q", detail)
			}
		})
	}
	ended := make(chan time.Time)
	go func() { all.Wait(); close(ended) }()
	flooded := x.askDuring(t, ended)
	floodRan, floodWaited := x.processorTime(t)
	perCall := func(d time.Duration, calls []time.Duration) time.Duration {
		return (d / time.Duration(len(calls))).Round(time.Microsecond)
	}
	t.Logf("the server ran %v and waited %v for a processor per call, calm %v and %v",
		perCall(floodRan-calmRan, flooded), perCall(floodWaited-calmWaited, flooded), perCall(calmRan-ran, calm), perCall(calmWaited-waited, calm))

	total, grown := 0, x.memory(t)-memory
	for i, n := range printed {
		if total += n; n < 10_000_000 {
			t.Errorf("the control: an instance printed %d lines only", printed[i])
		}
	}
	t.Logf("%d million lines; a call took %v (99%%: %v), calm %v (%v); memory grew by %d MiB at its peak; %d MiB of logs",
		total/1e6, flooded[len(flooded)/2], flooded[len(flooded)*99/100], calm[len(calm)/2], calm[len(calm)*99/100], grown>>20, (x.DiskUsed()-disk)>>20)
	if grown > 64<<20 {
		t.Errorf("the flood took %d MiB of the server's memory", grown>>20)
	}
}

// askDuring calls the API again and again until a channel is closed or ready, and
// returns how long each call took, in order.
func (x foreignBytes) askDuring(t *testing.T, until <-chan time.Time) (took []time.Duration) {
	t.Helper()
	client := apprunner.NewFromConfig(x.mallory)
	for {
		began := time.Now()
		if _, err := client.ListServices(t.Context(), &apprunner.ListServicesInput{}); err != nil {
			t.Fatal(err)
		}
		took = append(took, time.Since(began))
		select {
		case <-until:
			slices.Sort(took)
			return took
		default:
		}
	}
}

// processorTime returns how long the server's threads have run, and how long they could
// have run but waited for a processor.
func (x foreignBytes) processorTime(t *testing.T) (ran, waited time.Duration) {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", x.PID))
	if err != nil || len(threads) == 0 {
		t.Fatalf("the server has %d threads: %v", len(threads), err)
	}
	for _, path := range threads {
		b, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue // it has ended
		}
		var run, wait time.Duration
		if _, err := fmt.Sscan(string(b), &run, &wait); err != nil {
			t.Fatal(err)
		}
		ran, waited = ran+run, waited+wait
	}
	return ran, waited
}

// memory returns the most memory that the server has had, in bytes.
func (x foreignBytes) memory(t *testing.T) (peak int64) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", x.PID))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(b), "VmHWM:")
	if _, err := fmt.Sscan(after, &peak); err != nil {
		t.Fatal(err)
	}
	return peak << 10
}
