package proxy

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// startNginx starts nginx in front of an instance and returns its address.
func startNginx(t *testing.T, to string) string {
	t.Helper()
	program, err := exec.LookPath("nginx")
	if err != nil {
		t.Skip("nginx is not installed: apt-get install nginx-light")
	}
	dir := t.TempDir()
	socket := filepath.Join(dir, "http")
	conf := fmt.Sprintf(`
daemon off; master_process off; pid %[1]s/pid; error_log stderr crit;
events { worker_connections 200; }
http {
	access_log off; lingering_timeout 1s; client_body_timeout 1s; proxy_read_timeout 1s;
	client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s; uwsgi_temp_path %[1]s; scgi_temp_path %[1]s;
	large_client_header_buffers 4 64k;
	server { listen unix:%[2]s default_server; return 404; }
	server {
		listen unix:%[2]s; server_name shop.test;
		location / {
			proxy_pass http://%[3]s; proxy_http_version 1.1; proxy_set_header Host $http_host;
			proxy_request_buffering off; proxy_buffering off; proxy_ignore_client_abort on;
		}
		location /switch {
			proxy_pass http://%[3]s; proxy_http_version 1.1; proxy_set_header Host $http_host;
			proxy_set_header Connection Upgrade; proxy_set_header Upgrade $http_upgrade;
		}
	}
}
`, dir, socket, to)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-e", "stderr", "-p", dir, "-c", file)
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		cmd.Wait()
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
	})
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for {
		if c, err := net.Dial("unix", socket); err == nil {
			c.Close()
			return socket
		}
		select {
		case <-ended:
			t.Fatalf("nginx ended: %s", log.String())
		case <-look.C:
		}
	}
}

// verdictOf is what is compared: what a client is told, whether its connection stays open, and
// how many requests the instance saw. How a refusal is numbered is not.
func verdictOf(o outcome) string {
	if o.requests() == 0 && !o.open && o.statuses != nil && strings.Trim(o.statuses[0], "45") != o.statuses[0] {
		return "refused"
	}
	return fmt.Sprintf("%s, %d to the instance", o.verdict(), o.requests())
}

// TestNginxAgrees sends the requests of testdata/requests.txt through nginx. Where its verdict
// is another, the entry has a line that says so, and why ours is right.
func TestNginxAgrees(t *testing.T) {
	t.Parallel()
	list, save := readEntries(t, "testdata/requests.txt")
	to, theirs := startRecorder(t), startRecorder(t)
	nginx := startNginx(t, theirs.addr)
	w := newFixture(t, nil)
	w.addAt("a", to.addr)
	for _, e := range list {
		t.Run(strings.ReplaceAll(e.name, " ", "_"), func(t *testing.T) {
			if lines := e.get("nginx: waits; "); len(lines) == 1 && !*update {
				t.Skip(lines[0])
			}
			in := decode(t, strings.Join(e.get(">"), ""))
			ours := sendRaw(t, "tcp", w.addr, in, e.has("eof"), len(in)+1000)
			eventually(t, "all connections to the instance ended", func() bool { return w.connections("a") == 0 && w.inFlight() == 0 })
			ours.finish(to.take(t, w.dialed("a")))
			other := sendRaw(t, "unix", nginx, in, e.has("eof"), len(in)+1000)
			other.finish(theirs.take(t, 0))
			got, want := verdictOf(other), verdictOf(ours)
			why := ""
			if lines := e.get("nginx:"); len(lines) == 1 {
				want, why, _ = strings.Cut(lines[0], "; ")
			}
			if got != want && *update {
				e.set([]string{"nginx:"}, nil)
				if got != verdictOf(ours) {
					e.set([]string{"nginx:"}, []string{"nginx: " + got + "; " + why})
				}
			} else if got != want {
				t.Errorf("nginx: %s; want %s", got, want)
			}
			if want != verdictOf(ours) && why == "" {
				t.Error("the line does not say why ours is right")
			}
		})
	}
	if *update {
		save()
	}
}
