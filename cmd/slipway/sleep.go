package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/cli/term"
)

// sleepJSON is what --json says of a service that sleeps or was woken.
type sleepJSON struct {
	ServiceArn string
	client.Sleep
}

func sleepOf(s client.ServiceInstances) *sleepJSON {
	if s.Sleep == nil {
		return nil
	}
	return &sleepJSON{s.ServiceArn, *s.Sleep}
}

// asleep says that a service sleeps, in full and in a word; "" if it does not.
func asleep(s client.ServiceInstances) (text, short string) {
	switch {
	case s.Sleep == nil:
	case s.Sleep.State == client.SleepFrozen:
		return "asleep", "asleep"
	case s.Sleep.State == client.SleepStopped:
		return "stopped (wakes on request)", "stopped"
	}
	return "", ""
}

// keptJSON is what --json says of a paused service that keeps instances.
type keptJSON struct {
	ServiceArn string
	client.Kept
}

func keptOf(s client.ServiceInstances) *keptJSON {
	if s.Kept == nil {
		return nil
	}
	return &keptJSON{s.ServiceArn, *s.Kept}
}

// kept says how many instances a paused service keeps and until when, in full and in a word;
// "" for none.
func kept(s client.ServiceInstances, now time.Time) (text, short string) {
	if s.Kept == nil {
		return "", ""
	}
	return fmt.Sprintf("%s kept frozen until %s", counted(s.Kept.Instances, "instance"), clock(now, s.Kept.Until.Time())), fmt.Sprintf("%d kept", s.Kept.Instances)
}

// sleepLine says since when a service sleeps, how long it has slept, and what its wakes
// cost.
func sleepLine(s *client.Sleep, now time.Time) string {
	var parts []string
	state := map[string]string{client.SleepFrozen: "asleep", client.SleepStopped: "stopped"}[s.State]
	since := ""
	if at := s.Since.Time(); !at.IsZero() {
		since = " since " + clock(now, at)
	}
	switch {
	case s.State == client.SleepStopped:
		parts = append(parts, "stopped"+since+", the next request starts an instance")
	case state != "":
		parts = append(parts, state+since)
	default:
		parts = append(parts, "awake")
	}
	if s.SleptSeconds > 0 {
		line := "slept " + term.Took(durationOf(s.SleptSeconds))
		if at := s.CountedSince.Time(); !at.IsZero() {
			line += " since " + clock(now, at)
		}
		for _, w := range []struct {
			n      int64
			median float64
			from   string
		}{{s.FrozenWakes, s.FrozenMedianSeconds, ""}, {s.StoppedWakes, s.StoppedMedianSeconds, " from stopped"}} {
			if w.n > 0 {
				line += fmt.Sprintf(", %s%s, median %s", counted(int(w.n), "wake"), w.from, wakeTime(w.median))
			}
		}
		parts = append(parts, line)
	}
	if at := s.LastWakeAt.Time(); !at.IsZero() {
		parts = append(parts, fmt.Sprintf("last woken %s by a request, after %s, in %s", term.Ago(now, at), term.Took(durationOf(s.LastSleepSeconds)), wakeTime(s.LastWakeSeconds)))
	}
	return strings.Join(parts, "; ")
}

func durationOf(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func wakeTime(s float64) string {
	if d := durationOf(s); d >= time.Millisecond {
		return term.Took(d)
	}
	return "less than 1 ms"
}

// clock returns a time of day, with its date if that is not today's.
func clock(now, at time.Time) string {
	at = at.In(now.Location())
	if at.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return at.Format("15:04")
	}
	return at.Format("2006-01-02 15:04")
}
