package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/cli/term"
)

// describeRunning adds what a service runs at the moment, and what went wrong.
func describeRunning(s *attributeTable, more details, now time.Time) {
	if op := more.last; op != nil {
		s.toned("Last operation", fmt.Sprintf("%s %s, %s", op.Type, op.Status, term.Ago(now, aws.ToTime(op.StartedAt))), statusTone(string(op.Status)))
	}
	if lines := term.Lines(more.cause); len(lines) > 0 {
		s.toned("Its failure", strings.Join(lines, " "), term.Bad)
	}
	i := more.instances
	if i == nil {
		return
	}
	if r := i.Release; r != nil {
		what := shortDigest(r.ImageDigest)
		if r.Commit != "" {
			what += " of commit " + r.Commit[:min(12, len(r.Commit))]
		}
		s.line("Release", fmt.Sprintf("%s, image %s, %s", r.ID[:min(8, len(r.ID))], what, term.Ago(now, r.CreatedAt.Time())))
	}
	if i.Sleep != nil {
		s.line("Sleep", sleepLine(i.Sleep, now))
	}
	if x := i.LastFailure; x != nil {
		s.toned("Restarts", fmt.Sprintf("%d, the last %s: instance %s %s", i.Restarts, term.Ago(now, x.EndedAt.Time()), shortID(x.InstanceID), exited(*x)), term.Warn)
	}
}

// crashing says how a service goes on whose instances end by themselves one after
// another; "" if they do not.
func crashing(s client.ServiceInstances, now time.Time) string {
	if s.Crashing == nil {
		return ""
	}
	next := "starting now"
	if wait := s.Crashing.NextStartAt.Time().Sub(now); wait > 0 {
		next = fmt.Sprintf("next in %d s", int((wait+time.Second-1)/time.Second))
	}
	how := ""
	if x := s.LastFailure; x != nil {
		switch {
		case x.OutOfMemory:
			how = " (out of memory)"
		case x.Reason != "":
			how = " (" + term.Printable(x.Reason) + ")"
		case x.Signal != "":
			how = " (" + x.Signal + ")"
		default:
			how = fmt.Sprintf(" (exit code %d)", x.Code)
		}
	}
	return fmt.Sprintf("crashing, %s, %s%s", counted(s.Crashing.Restarts, "restart"), next, how)
}

// crashingJSON is what --json says of a service that crashes.
type crashingJSON struct {
	ServiceArn     string
	Restarts       int
	NextStartAt    client.Seconds
	ExitCode       int
	Signal, Reason string `json:",omitempty"`
	OutOfMemory    bool   `json:",omitempty"`
}

func crashingOf(s client.ServiceInstances) *crashingJSON {
	if s.Crashing == nil {
		return nil
	}
	c := &crashingJSON{ServiceArn: s.ServiceArn, Restarts: s.Crashing.Restarts, NextStartAt: s.Crashing.NextStartAt}
	if x := s.LastFailure; x != nil {
		c.ExitCode, c.Signal, c.Reason, c.OutOfMemory = x.Code, x.Signal, x.Reason, x.OutOfMemory
	}
	return c
}

// exited says how an instance ended.
func exited(x client.Exit) string {
	how := fmt.Sprintf("exited with code %d", x.Code)
	switch {
	case x.OutOfMemory:
		how = "was killed because it used more memory than it may"
	case x.Reason != "":
		return "ended: " + term.Printable(x.Reason)
	case x.Signal != "":
		how = "was killed by " + x.Signal
	}
	return fmt.Sprintf("%s after %s", how, term.Took(time.Duration(x.RanSeconds*float64(time.Second))))
}

// shortID returns the beginning of an instance's id, as logs show it.
func shortID(id string) string { return id[:min(8, len(id))] }

// printInstances prints the live instances of a service.
func (d *describeCommand) printInstances(s *client.ServiceInstances, st term.Style) error {
	if s == nil || len(s.Instances) == 0 {
		return nil
	}
	now := d.m.Now()
	t := term.Table{
		Head: []string{"ID", "STATE", "AGE", "MEMORY", "CPU", "PROBLEM"}, Indent: "  ", Wrap: true,
		Yield: []term.Yield{{Column: "MEMORY", Short: true}, {Column: "CPU"}, {Column: "AGE"}, {Column: "MEMORY"}},
	}
	problems := false
	for _, i := range s.Instances {
		state := i.State
		if s.Release != nil && i.ReleaseID != s.Release.ID {
			state += " (other release)"
		}
		memory, cpu := term.Cell{Text: "-"}, term.Cell{Text: "-"}
		if i.CPUSeconds != nil {
			used := term.Bytes(i.MemoryBytes)
			memory = term.Cell{Text: used + " of " + memoryForPeople(strconv.FormatInt(i.MemoryLimit>>20, 10)), Short: used}
			cpu.Text = term.Took(time.Duration(*i.CPUSeconds * float64(time.Second)))
		}
		problems = problems || i.Problem != ""
		t.Add(term.Cell{Text: shortID(i.ID)}, term.Cell{Text: state, Tone: stateTone(i.State)},
			term.Cell{Text: term.Age(now, i.CreatedAt.Time())}, memory, cpu, term.Cell{Text: i.Problem})
	}
	if !problems {
		t.Head = t.Head[:len(t.Head)-1]
	}
	if _, err := fmt.Fprintf(d.m.Stdout, "\n%s\n", st.Render(term.Strong, "Instances")); err != nil {
		return err
	}
	return t.Write(d.m.Stdout, st)
}

func stateTone(state string) term.Tone {
	switch state {
	case "ready":
		return term.Good
	case "unhealthy":
		return term.Bad
	}
	return term.Warn
}
