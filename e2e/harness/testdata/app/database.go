package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// database is a connection to a server that answers each line with another. It is opened
// once and kept, and a timer uses it all the time, as the pools of applications do.
type database struct {
	mu    sync.Mutex // guards what follows
	conn  net.Conn
	lines *bufio.Reader
}

// beat is the time between two uses by the timer.
const beat = 5 * time.Millisecond

// ask sends the line ?line= to the database ?at=, and returns its answer.
func (d *database) ask(w http.ResponseWriter, r *http.Request) {
	answer, err := d.query(r.FormValue("at"), r.FormValue("line"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	fmt.Fprint(w, answer)
}

func (d *database) query(at, line string) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.conn == nil {
		c, err := net.Dial("tcp", at)
		if err != nil {
			return "", err
		}
		d.conn, d.lines = c, bufio.NewReader(c)
		go func() {
			for range time.Tick(beat) {
				if _, err := d.query(at, "beat"); err != nil {
					return
				}
			}
		}()
	}
	if _, err := fmt.Fprintln(d.conn, line); err != nil {
		return "", err
	}
	return d.lines.ReadString('\n')
}
