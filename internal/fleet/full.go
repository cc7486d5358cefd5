package fleet

import (
	"fmt"
	"slices"

	"github.com/openslipway/slipway/internal/runtime"
)

// tellFull says in the service's log that an instance can't write to its disk, and whose
// fault that is. What is true of all instances is said once.
func (p *planner) tellFull(o *observation) {
	if o.presence != alive || o.full == o.toldFull {
		return
	}
	text := fullText(o.row.ID, o.full, o.toldFull, float64(o.disk)/(1<<30))
	if !slices.Contains(p.events, text) {
		p.events = append(p.events, text)
	}
}

// fullText returns the event about a disk of so many GiB that was full for another reason
// before, or not at all.
func fullText(id string, full, was runtime.Full, size float64) string {
	switch {
	case full == runtime.FullOwn:
		return fmt.Sprintf("Instance %s has filled its disk of %.1f GiB: what it writes fails (no space left on device). "+
			"Have the application write less, or delete what it no longer needs. An instance that is started anew has an empty disk.", id, size)
	case full == runtime.FullHost:
		return "The disk of the server is full: what instances write to their disks fails (no space left on device, or an I/O error), " +
			"although they have not reached their limit. That is no fault of the application: the server's operator has to make room."
	case was == runtime.FullHost:
		return "The disk of the server has room again: instances can write to their disks. " +
			"What they wrote meanwhile may be incomplete; start a deployment if the application does not recover."
	}
	return fmt.Sprintf("Instance %s has room on its disk again.", id)
}

// noteFull remembers what events have told.
func (f *Fleet) noteFull(p planned) {
	for _, o := range p.instances {
		if inst := f.instances[o.row.ID]; inst != nil && o.presence == alive {
			inst.toldFull = o.full
		}
	}
}

// logFull tells the operator.
func (f *Fleet) logFull(inst *instance) {
	switch inst.full {
	case runtime.FullOwn:
		f.log.Warn("an instance has filled its disk", "service", inst.service, "instance", inst.id, "bytes", inst.disk)
	case runtime.FullHost:
		f.log.Error("the server's disk is full: an instance can't write to its disk", "service", inst.service, "instance", inst.id)
	}
}
