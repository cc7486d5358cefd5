// Command program is the application inside test images: it carries out the
// runtimetest.Program that its first argument holds as JSON. It is never
// part of the product.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// program mirrors runtimetest.Program, whose package would bring testing in.
type program struct {
	Stdout, Stderr []byte
	PrintEnv       []string
	Flood          int64

	Deeds []deed

	Memory   int64
	Children int
	Disk     int64

	NoListen                                 bool
	Port                                     int
	ListenAfter, SickAfter, UnreachableAfter time.Duration

	Exit *struct {
		After time.Duration
		Code  int
		Kill  bool
	}

	IgnoreStop bool
	StopTakes  time.Duration
}

func main() {
	started := time.Now()
	stops := make(chan os.Signal, 1)
	signal.Notify(stops, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP, syscall.SIGUSR1)

	var p program
	if len(os.Args) > 1 {
		d := json.NewDecoder(strings.NewReader(os.Args[1]))
		d.DisallowUnknownFields()
		if err := d.Decode(&p); err != nil {
			fail(err)
		}
	}
	p.write()
	for _, d := range p.Deeds {
		d.do()
	}
	p.consume()
	if p.Exit != nil {
		go p.end(started)
	}
	if !p.NoListen {
		go p.listen(started)
	}
	for s := range stops {
		if p.IgnoreStop {
			fmt.Printf("signal %s\n", unix.SignalName(s.(syscall.Signal)))
			continue
		}
		time.Sleep(p.StopTakes)
		os.Exit(0)
	}
}

func (p program) write() {
	os.Stdout.Write(p.Stdout)
	os.Stderr.Write(p.Stderr)
	for _, name := range p.PrintEnv {
		fmt.Printf("%s=%s\n", name, os.Getenv(name))
	}
	for pos := int64(0); pos < p.Flood; pos += 64 {
		fmt.Printf("%063d\n", pos)
	}
}

// consume takes what the limits are to deny.
func (p program) consume() {
	if p.Memory > 0 {
		hold = make([]byte, p.Memory)
		for i := 0; i < len(hold); i += 4096 {
			hold[i] = 1
		}
	}
	if p.Children > 0 {
		fmt.Printf("children %d\n", spawn(p.Children))
	}
	if p.Disk > 0 {
		fmt.Printf("disk %d\n", fill("/disk", p.Disk))
	}
}

var hold []byte // keeps the memory that consume took

// spawn forks sleeping children until one is refused; their number is returned.
func spawn(most int) int {
	for n := range most {
		if !forkSleeper() {
			return n
		}
	}
	return most
}

// forkSleeper must not call into the Go runtime in the child, which has one
// thread and no scheduler.
//
//go:norace
//go:nosplit
func forkSleeper() bool {
	pid, _, errno := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	if errno != 0 {
		return false
	}
	for pid == 0 {
		syscall.RawSyscall6(syscall.SYS_PPOLL, 0, 0, 0, 0, 0, 0)
	}
	return true
}

func fill(path string, size int64) int64 {
	f, err := os.Create(path)
	if err != nil {
		fail(err)
	}
	defer f.Close()
	block := make([]byte, 1<<16)
	for n := int64(0); n < size; {
		k, err := f.Write(block)
		n += int64(k)
		if err != nil {
			return n
		}
	}
	return size
}

func (p program) end(started time.Time) {
	time.Sleep(time.Until(started.Add(p.Exit.After)))
	if p.Exit.Kill {
		kill()
	}
	os.Exit(p.Exit.Code)
}

// kill ends this process by SIGKILL. As process 1 it cannot send that to itself: it
// takes more processor time than it may.
func kill() {
	if err := unix.Setrlimit(unix.RLIMIT_CPU, &unix.Rlimit{Cur: 1, Max: 1}); err != nil {
		fail(err)
	}
	for {
		unix.Getppid()
	}
}

func (p program) listen(started time.Time) {
	time.Sleep(time.Until(started.Add(p.ListenAfter)))
	port := os.Getenv("PORT")
	if p.Port != 0 {
		port = strconv.Itoa(p.Port)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:"+port)
	if err != nil {
		fail(err)
	}
	if p.UnreachableAfter > 0 {
		time.AfterFunc(time.Until(started.Add(p.UnreachableAfter)), func() { l.Close() })
	}
	host, _ := os.Hostname() // an empty name shows in the answer
	http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.SickAfter > 0 && time.Since(started) >= p.SickAfter {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		io.WriteString(w, host)
	}))
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(111)
}
