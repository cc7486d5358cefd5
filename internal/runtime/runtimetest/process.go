package runtimetest

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/runtime"
)

// process plays one instance in a goroutine.
type process struct {
	machine *Machine
	spec    runtime.Spec
	program Program
	handler http.Handler
	failure string // why it cannot start; "" when it can
	pid     int
	started time.Time

	stops chan struct{} // a stop signal is waiting
	kills chan bool     // SIGKILL is waiting; true when for lack of memory
	done  chan struct{} // closed at its end

	// The rest is guarded by machine.mu.
	full   runtime.Full
	disk   int64
	out    output
	accept *pipeListener // nil while it does not listen

	freezes int           // how often it was frozen
	thawed  chan struct{} // closed when it is frozen no more; nil while it is not
	exit    *slipway.Exit // nil while it lives
}

func newProcess(w *Machine, spec runtime.Spec, img Image, pid int) *process {
	p := &process{
		machine: w,
		spec:    spec,
		program: img.Program,
		handler: img.Handler,
		failure: img.StartFails,
		pid:     pid,
		started: time.Now(),
		stops:   make(chan struct{}, 1),
		kills:   make(chan bool, 1),
		done:    make(chan struct{}),
		out:     output{kept: w.outputKept},
	}
	if img.FromArgv {
		var err error
		if p.program, err = parseProgram(spec.Process.Argv); err != nil {
			p.failure = err.Error()
		}
	}
	if p.handler == nil {
		p.handler = http.HandlerFunc(p.answer)
	}
	app := p.handler
	p.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.machine.mu.Lock()
		thawed := p.thawed
		p.machine.mu.Unlock()
		if thawed != nil {
			select {
			case <-thawed:
			case <-r.Context().Done():
				return
			}
		}
		app.ServeHTTP(w, r)
	})
	if p.failure != "" {
		// Nothing of it ever ran: it is dead before anybody can look.
		p.exit = &slipway.Exit{Code: 127, Reason: p.failure, At: p.started}
	}
	return p
}

// run plays the program to its end and records it.
func (p *process) run() {
	defer close(p.done)
	if p.failure != "" {
		return
	}
	p.write()
	exit := p.live()
	p.deafen()
	exit.At = time.Now()
	exit.Ran = exit.At.Sub(p.started)
	p.machine.mu.Lock()
	defer p.machine.mu.Unlock()
	exit.Tail = p.out.tail()
	p.exit = &exit
}

func (p *process) write() {
	p.print(false, string(p.program.Stdout))
	p.print(true, string(p.program.Stderr))
	for _, name := range p.program.PrintEnv {
		value := ""
		for _, e := range p.spec.Process.Env {
			if v, ok := strings.CutPrefix(e, name+"="); ok {
				value = v
			}
		}
		p.print(false, name+"="+value+"\n")
	}
	for pos := int64(0); pos < p.program.Flood; pos += 64 {
		p.print(false, FloodLine(pos))
	}
}

func (p *process) print(stderr bool, s string) {
	if s == "" {
		return
	}
	p.machine.mu.Lock()
	defer p.machine.mu.Unlock()
	p.out.append(time.Now(), stderr, []byte(s))
}

// live waits for what ends the process and returns how it ended.
func (p *process) live() slipway.Exit {
	if limit := int64(p.spec.Resources.Memory) << 20; limit > 0 && p.program.Memory > limit {
		return exitBySignal(true)
	}
	var listen, unreachable, end, stopped <-chan time.Time
	if !p.program.NoListen {
		listen = p.timer(p.program.ListenAfter)
	}
	if p.program.UnreachableAfter > 0 {
		unreachable = p.timer(p.program.UnreachableAfter)
	}
	if p.program.Exit != nil {
		end = p.timer(p.program.Exit.After)
	}
	for {
		select {
		case <-listen:
			p.listen()
		case <-unreachable:
			p.deafen()
		case <-end:
			if p.program.Exit.Kill {
				return exitBySignal(false)
			}
			return slipway.Exit{Code: p.program.Exit.Code}
		case <-p.stops:
			if p.program.IgnoreStop {
				p.print(false, "signal "+p.stopSignal()+"\n")
			} else if stopped == nil {
				stopped = time.After(p.program.StopTakes)
			}
		case <-stopped:
			return slipway.Exit{}
		case oom := <-p.kills:
			return exitBySignal(oom)
		}
	}
}

// timer fires d after the start. A timer of zero fires as well, so that all
// ends go through the one select.
func (p *process) timer(d time.Duration) <-chan time.Time {
	return time.After(time.Until(p.started.Add(d)))
}

func (p *process) stopSignal() string {
	if s := p.spec.Process.StopSignal; s != "" {
		return s
	}
	return "SIGTERM"
}

func (p *process) signal() {
	select {
	case p.stops <- struct{}{}:
	default:
	}
}

func (p *process) kill(oom bool) {
	select {
	case p.kills <- oom:
	default:
	}
}

func (p *process) listen() {
	l := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	p.machine.mu.Lock()
	p.accept = l
	p.machine.mu.Unlock()
	p.machine.processes.Add(1)
	go func() {
		defer p.machine.processes.Done()
		srv := &http.Server{Handler: p.handler}
		go func() {
			<-l.closed
			srv.Close() // cuts connections, as a process's death does
		}()
		srv.Serve(l)
	}()
}

func (p *process) deafen() {
	p.machine.mu.Lock()
	defer p.machine.mu.Unlock()
	if p.accept != nil {
		p.accept.Close()
		p.accept = nil
	}
}

func (p *process) answer(w http.ResponseWriter, r *http.Request) {
	if p.program.SickAfter > 0 && time.Since(p.started) >= p.program.SickAfter {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	io.WriteString(w, p.spec.ID)
}

// sockets returns where the process listens.
func (p *process) sockets() []runtime.Socket {
	p.machine.mu.Lock()
	defer p.machine.mu.Unlock()
	if p.accept == nil {
		return nil
	}
	return []runtime.Socket{{Addr: netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(cmp.Or(p.program.Port, p.spec.Port)))}}
}

// dial connects to the process's port.
func (p *process) dial(ctx context.Context, port int) (net.Conn, error) {
	p.machine.mu.Lock()
	l, dead := p.accept, p.exit != nil
	p.machine.mu.Unlock()
	if dead {
		return nil, fmt.Errorf("dial %s: %w", p.spec.ID, runtime.ErrNotRunning)
	}
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	if l == nil || port != cmp.Or(p.program.Port, p.spec.Port) {
		return nil, refused
	}
	ours, theirs := net.Pipe()
	select {
	case l.conns <- theirs:
		return ours, nil
	case <-l.closed:
		return nil, refused
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// rest freezes or thaws the process. It needs machine.mu.
func (p *process) rest(frozen bool) {
	switch {
	case frozen && p.thawed == nil:
		p.thawed = make(chan struct{})
		p.freezes++
	case !frozen && p.thawed != nil:
		close(p.thawed)
		p.thawed = nil
	}
}

// observed needs machine.mu.
func (p *process) observed() runtime.Observed {
	o := runtime.Observed{
		ID: p.spec.ID, Service: p.spec.Service, Release: p.spec.Release, Run: p.spec.Run,
		Running: p.exit == nil, StartedAt: p.started,
	}
	if o.Running {
		o.PID, o.Frozen = p.pid, p.thawed != nil
		o.Full, o.Disk = p.full, p.disk
	} else {
		exit := *p.exit
		o.Exit = &exit
	}
	return o
}

// pipeListener accepts the far ends of pipes.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }
