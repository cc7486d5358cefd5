package seccomp

import (
	"encoding/binary"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// Program is a filter as the kernel takes it.
type Program []unix.SockFilter

// Bytes returns the program as an array of struct sock_filter, of a
// little-endian machine.
func (p Program) Bytes() []byte {
	b := make([]byte, 0, 8*len(p))
	for _, i := range p {
		b = binary.LittleEndian.AppendUint16(b, i.Code)
		b = append(b, i.Jt, i.Jf)
		b = binary.LittleEndian.AppendUint32(b, i.K)
	}
	return b
}

// target is a place in a program being built: the number of instructions from
// it to the end.
type target int

// builder emits a program from its end to its beginning. The kernel's jumps
// only go forward, so a jump's target has been emitted before it.
type builder struct {
	reversed []unix.SockFilter
	returns  map[uint32]target
}

func (b *builder) here() target { return target(len(b.reversed)) }

// push emits one instruction.
func (b *builder) push(i unix.SockFilter) target {
	b.reversed = append(b.reversed, i)
	return b.here()
}

// distance is how many instructions a jump emitted now has to skip.
func (b *builder) distance(to target) int { return int(b.here() - to) }

// ret returns a place that ends the filter with a result. Places are shared while
// they are within the range of a jump.
func (b *builder) ret(result uint32) target {
	const near = 200
	if at, ok := b.returns[result]; ok && b.distance(at) < near {
		return at
	}
	if b.returns == nil {
		b.returns = map[uint32]target{}
	}
	b.returns[result] = b.push(unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: result})
	return b.returns[result]
}

// emit emits an instruction that continues at next.
func (b *builder) emit(code uint16, k uint32, next target) target {
	b.reach(next)
	return b.push(unix.SockFilter{Code: code, K: k})
}

// load emits the load of a word of the call's description.
func (b *builder) load(offset uint32, next target) target {
	return b.emit(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, offset, next)
}

// reach makes next what follows whatever is emitted now.
func (b *builder) reach(next target) {
	if d := b.distance(next); d > 0 {
		b.push(unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JA, K: uint32(d)})
	}
}

// branch emits a comparison of the accumulator that continues at yes or at no.
func (b *builder) branch(compare uint16, k uint32, yes, no target) target {
	const farthest = 255 // what a conditional jump can skip
	// A jump that is too far goes through another, emitted first. The one for no
	// is emitted second and moves yes one instruction away: hence the margin.
	if b.distance(yes) > farthest-1 {
		yes = b.push(unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JA, K: uint32(b.distance(yes))})
	}
	if b.distance(no) > farthest {
		no = b.push(unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JA, K: uint32(b.distance(no))})
	}
	return b.push(unix.SockFilter{
		Code: unix.BPF_JMP | compare | unix.BPF_K,
		Jt:   uint8(b.distance(yes)),
		Jf:   uint8(b.distance(no)),
		K:    k,
	})
}

// program returns what was emitted, in the order of execution.
func (b *builder) program() (Program, error) {
	const most = 4096 // BPF_MAXINSNS
	if len(b.reversed) > most {
		return nil, fmt.Errorf("the filter has %d instructions, the kernel takes %d", len(b.reversed), most)
	}
	p := slices.Clone(b.reversed)
	slices.Reverse(p)
	return p, nil
}
