package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// nginx, haproxy and caddy return the command of a reverse proxy that listens at addr and
// passes requests to the backend, with one worker, kept connections and the fields that
// Slipway sets, or why it cannot run.

func nginx(dir, addr, backend string) (string, []string, error) {
	exe, err := found("nginx", "/usr/sbin/nginx")
	if err != nil {
		return "nginx", nil, err
	}
	dir = filepath.Join(dir, "nginx")
	conf, err := written(dir, "nginx.conf", `
daemon off; worker_processes 1; pid DIR/pid; error_log DIR/error.log;
events { worker_connections 16384; }
http {
  access_log off; keepalive_requests 1000000000; keepalive_timeout 75s;
  client_body_temp_path DIR/a; proxy_temp_path DIR/b; fastcgi_temp_path DIR/c; uwsgi_temp_path DIR/d; scgi_temp_path DIR/e;
  upstream backend { server BACKEND; keepalive 512; keepalive_requests 1000000000; }
  server {
    listen ADDR backlog=4096;
    location / {
      proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffers 16 64k; proxy_buffer_size 16k; proxy_busy_buffers_size 256k; proxy_max_temp_file_size 0;
      proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $host; proxy_set_header X-Forwarded-Port $server_port; proxy_set_header X-Request-Id $request_id;
    }
  }
}
`, addr, backend)
	return "nginx", []string{exe, "-p", dir, "-c", conf}, err
}

func haproxy(dir, addr, backend string) (string, []string, error) {
	exe, err := found("haproxy", "/usr/sbin/haproxy")
	if err != nil {
		return "HAProxy", nil, err
	}
	conf, err := written(filepath.Join(dir, "haproxy"), "haproxy.cfg", `
global
  nbthread 1
  maxconn 7500
defaults
  mode http
  timeout connect 5s
  timeout client 75s
  timeout server 120s
  http-reuse always
  option splice-auto
frontend front
  bind ADDR
  option forwardfor
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-header X-Forwarded-Port %[dst_port]
  http-request set-header X-Request-Id %[uuid()]
  default_backend back
backend back
  server one BACKEND pool-max-conn 512
`, addr, backend)
	return "HAProxy", []string{exe, "-db", "-f", conf}, err
}

func caddy(dir, addr, backend string) (string, []string, error) {
	exe, err := found("caddy", "/usr/bin/caddy")
	if err != nil {
		return "Caddy", nil, err
	}
	conf, err := written(filepath.Join(dir, "caddy"), "Caddyfile", `
{
  admin off
  auto_https off
  storage file_system DIR/storage
  log {
    level ERROR
  }
}
http://ADDR, http://bench.test:PORT {
  reverse_proxy BACKEND {
    transport http {
      keepalive_idle_conns_per_host 512
    }
  }
}
`, addr, backend)
	return "Caddy", []string{exe, "run", "--adapter", "caddyfile", "--config", conf}, err
}

func found(name, path string) (string, error) {
	if exe, err := exec.LookPath(name); err == nil {
		return exe, nil
	}
	if _, err := os.Stat(path); err != nil {
		return "", errors.New("it is not installed")
	}
	return path, nil
}

// written writes a configuration, with the places filled in.
func written(dir, name, text, addr, backend string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	_, port, _ := strings.Cut(addr, ":")
	path := filepath.Join(dir, name)
	return path, os.WriteFile(path, []byte(strings.NewReplacer("ADDR", addr, "PORT", port, "BACKEND", backend, "DIR", dir).Replace(text)), 0o644)
}
