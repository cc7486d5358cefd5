// Hostile is a service that attacks its host on request: GET /attack/<name>
// tries one way out of the sandbox and reports what came of it. It is built to
// be harmless where the sandbox fails: it opens what it must not write to
// without writing, passes invalid arguments to calls that would end the
// machine, and stops fork bombs and fillers at bounds of its own.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// outcome is an attack's result. Held says that the sandbox withstood it.
type outcome struct {
	Held   bool   `json:"held"`
	Detail string `json:"detail"`
}

func held(format string, args ...any) outcome {
	return outcome{Held: true, Detail: fmt.Sprintf(format, args...)}
}

func broken(format string, args ...any) outcome {
	return outcome{Detail: fmt.Sprintf(format, args...)}
}

// refused is the outcome of something that must fail.
func refused(what string, err error) outcome {
	if err == nil {
		return broken("%s succeeded", what)
	}
	return held("%s: %v", what, err)
}

// all holds when every outcome does, and tells of those that do not.
func all(outcomes ...outcome) outcome {
	var good, bad []string
	for _, o := range outcomes {
		if o.Held {
			good = append(good, o.Detail)
		} else {
			bad = append(bad, o.Detail)
		}
	}
	if len(bad) > 0 {
		return broken("%s", strings.Join(bad, "; "))
	}
	return held("%s", strings.Join(good, "; "))
}

// attacks by name; the query holds what an attack needs to know.
var attacks = map[string]func(url.Values) outcome{
	"host-files":  hostFiles,
	"handles":     openByHandle,
	"shim":        attackShim,
	"processes":   hostProcesses,
	"ptrace":      ptrace,
	"mount":       mount,
	"namespaces":  namespaces,
	"modules":     modules,
	"kernel":      kernel,
	"core-limit":  coreLimit,
	"disks":       disks,
	"syscalls":    syscalls,
	"sysctl":      sysctl,
	"cgroup":      cgroup,
	"devices":     devices,
	"privileges":  privileges,
	"dial":        dial,
	"bind":        bind,
	"raw-sockets": rawSockets,
	"fork-bomb":   forkBomb,
	"threads":     threads,
	"disk":        disk,
	"shm":         shm,
	"flood":       flood,
	"lines":       lines,
	"memory":      memory,
}

func main() {
	log.SetFlags(0)
	if len(os.Args) > 1 && os.Args[1] == "sleep" { // a child of the fork bomb
		os.Stdout.Write([]byte{1})
		for { // select {} would be a deadlock, which ends the process
			unix.Pause()
		}
	}
	signal.Ignore(syscall.SIGXFSZ)
	if len(os.Args) > 2 && os.Args[1] == "attack" { // outside of any sandbox: see TestAttacksWorkOutside
		attackOnce(os.Args[2:])
		return
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "hostile") })
	mux.HandleFunc("/addrs", addrs)
	mux.HandleFunc("/attack/{name}", func(w http.ResponseWriter, r *http.Request) {
		attack, ok := attacks[r.PathValue("name")]
		if !ok {
			http.NotFound(w, r)
			return
		}
		if err := r.ParseForm(); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if err := json.NewEncoder(w).Encode(attack(r.Form)); err != nil {
			log.Print("hostile: ", err)
		}
	})
	log.Fatal(http.ListenAndServe(":"+os.Getenv("PORT"), mux))
}

// attackOnce tries the attack that its arguments name, with a query, and prints
// what came of it.
func attackOnce(args []string) {
	q, err := url.ParseQuery(strings.Join(args[1:], "&"))
	if err != nil {
		log.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(attacks[args[0]](q)); err != nil {
		log.Fatal(err)
	}
}

// addrs lists the instance's own addresses and its gateways, one a line.
func addrs(w http.ResponseWriter, _ *http.Request) {
	own, err := net.InterfaceAddrs()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	for _, a := range own {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLoopback() && n.IP.To4() != nil {
			fmt.Fprintln(w, "own", n.IP)
		}
	}
	routes, err := os.ReadFile("/proc/net/route")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	for line := range strings.Lines(string(routes)) {
		var g [4]byte
		f := strings.Fields(line)
		if len(f) < 3 || f[2] == "00000000" {
			continue
		}
		if _, err := fmt.Sscanf(f[2], "%02x%02x%02x%02x", &g[3], &g[2], &g[1], &g[0]); err == nil {
			fmt.Fprintln(w, "gateway", net.IP(g[:]))
		}
	}
}

// dial connects to each address of ?to= and asks it for a page. It holds when
// none answers.
func dial(q url.Values) outcome {
	var out []outcome
	for _, to := range q["to"] {
		out = append(out, dialOne(to))
	}
	if len(out) == 0 {
		return broken("no address given")
	}
	return all(out...)
}

func dialOne(to string) outcome {
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Get("http://" + to + "/")
	if err != nil {
		return held("%s: %v", to, errors.Unwrap(err))
	}
	defer r.Body.Close()
	return broken("%s answers %s", to, r.Status)
}

// bind listens on addresses of the host: ?to= holds them.
func bind(q url.Values) outcome {
	var out []outcome
	for _, to := range q["to"] {
		l, err := net.Listen("tcp", to)
		if err == nil {
			l.Close()
		}
		out = append(out, refused("listen on "+to, err))
	}
	return all(out...)
}
