package seccomp

import (
	"fmt"
	"slices"

	"github.com/elastic/go-seccomp-bpf/arch"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// unknown is the result of system calls that the tables do not have and of those of
// other architectures: that of a kernel without them, so that libraries fall back to
// older calls.
const unknown = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)

// Offsets in struct seccomp_data, which describes the call to the filter, on a
// little-endian machine.
const (
	offsetNumber = 0
	offsetArch   = 4
	offsetArgs   = 16
)

// compile turns a profile into a filter. For each ABI that processes of this machine
// can use, the native one first, it is a binary search for the system call's number
// over ranges that are treated alike, then the arguments if they matter.
func compile(profile *specs.LinuxSeccomp, abis ...*arch.Info) (Program, error) {
	b := &builder{}
	next := b.ret(unknown)
	for _, group := range slices.Backward(byArch(abis)) {
		numbers, err := b.numbers(profile, group)
		if err != nil {
			return nil, err
		}
		next = b.branch(unix.BPF_JEQ, uint32(group[0].ID), numbers, next)
	}
	b.load(offsetArch, next)
	return b.program()
}

// byArch groups ABIs that the kernel reports as the same architecture: x32 is told
// from x86-64 by a bit of the system call's number.
func byArch(abis []*arch.Info) (groups [][]*arch.Info) {
	for _, a := range abis {
		at := slices.IndexFunc(groups, func(g []*arch.Info) bool { return g[0].ID == a.ID })
		if at < 0 {
			groups = append(groups, []*arch.Info{a})
			continue
		}
		groups[at] = append(groups[at], a)
	}
	return groups
}

// numbers emits what decides on the calls of one architecture by their numbers, and
// returns where it begins.
func (b *builder) numbers(profile *specs.LinuxSeccomp, abis []*arch.Info) (target, error) {
	slices.SortStableFunc(abis, func(x, y *arch.Info) int { return y.SeccompMask - x.SeccompMask })
	var next target
	for i, abi := range slices.Backward(abis) {
		all, err := rules(profile, abi)
		if err != nil {
			return 0, err
		}
		search, err := b.search(ranges(all))
		if err != nil {
			return 0, err
		}
		switch {
		case abi.SeccompMask == 0:
			next = search
		case i == len(abis)-1:
			return 0, fmt.Errorf("%s has no ABI without a mask", abi.Name)
		default:
			marked := b.emit(unix.BPF_ALU|unix.BPF_AND|unix.BPF_K, ^uint32(abi.SeccompMask), search)
			next = b.branch(unix.BPF_JGE, uint32(abi.SeccompMask), marked, next)
		}
	}
	return b.load(offsetNumber, next), nil
}

// span is a range of numbers from first up to the next span's.
type span struct {
	first int
	rule  rule
}

// ranges joins neighbouring numbers with the same unconditional rule.
func ranges(all map[int]rule) []span {
	numbers := make([]int, 0, len(all))
	for n := range all {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	spans := []span{{0, rule{otherwise: unknown}}}
	add := func(first int, r rule) {
		last := &spans[len(spans)-1]
		switch {
		case last.first == first:
			last.rule = r
		case last.rule.unconditional() && r.unconditional() && last.rule.otherwise == r.otherwise:
			return
		default:
			spans = append(spans, span{first, r})
		}
	}
	for i, n := range numbers {
		add(n, all[n])
		if i == len(numbers)-1 || numbers[i+1] != n+1 {
			add(n+1, rule{otherwise: unknown})
		}
	}
	return spans
}

// search emits the search and returns where it begins. The number is in the
// accumulator.
func (b *builder) search(spans []span) (target, error) {
	if len(spans) == 1 {
		return b.rule(spans[0].rule)
	}
	half := len(spans) / 2
	high, err := b.search(spans[half:])
	if err != nil {
		return 0, err
	}
	low, err := b.search(spans[:half])
	if err != nil {
		return 0, err
	}
	return b.branch(unix.BPF_JGE, uint32(spans[half].first), high, low), nil
}

// rule emits a rule and returns where it begins.
func (b *builder) rule(r rule) (target, error) {
	next := b.ret(r.otherwise)
	for _, a := range slices.Backward(r.alternatives) {
		then := b.ret(a.result)
		for _, c := range slices.Backward(a.conditions) {
			test, err := b.condition(c, then, next)
			if err != nil {
				return 0, err
			}
			then = test
		}
		next = then
	}
	return next, nil
}

// condition emits a comparison of a 64-bit argument and returns where it
// begins. It continues at yes or at no.
func (b *builder) condition(c specs.LinuxSeccompArg, yes, no target) (target, error) {
	if c.Index > 5 {
		return 0, fmt.Errorf("the profile looks at argument %d of a system call", c.Index)
	}
	at := uint32(offsetArgs + 8*c.Index)
	switch c.Op {
	case specs.OpEqualTo:
		return b.equal(at, ^uint64(0), c.Value, yes, no), nil
	case specs.OpNotEqual:
		return b.equal(at, ^uint64(0), c.Value, no, yes), nil
	case specs.OpMaskedEqual:
		return b.equal(at, c.Value, c.ValueTwo, yes, no), nil
	case specs.OpGreaterThan:
		return b.above(at, c.Value, false, yes, no), nil
	case specs.OpGreaterEqual:
		return b.above(at, c.Value, true, yes, no), nil
	case specs.OpLessEqual:
		return b.above(at, c.Value, false, no, yes), nil
	case specs.OpLessThan:
		return b.above(at, c.Value, true, no, yes), nil
	}
	return 0, fmt.Errorf("the profile compares with %s", c.Op)
}

// equal emits whether an argument, masked, equals a value.
func (b *builder) equal(at uint32, mask, value uint64, yes, no target) target {
	low := b.maskedEqual(at, uint32(mask), uint32(value), yes, no)
	return b.maskedEqual(at+4, uint32(mask>>32), uint32(value>>32), low, no)
}

func (b *builder) maskedEqual(at, mask, value uint32, yes, no target) target {
	next := b.branch(unix.BPF_JEQ, value, yes, no)
	if mask != ^uint32(0) {
		next = b.emit(unix.BPF_ALU|unix.BPF_AND|unix.BPF_K, mask, next)
	}
	return b.load(at, next)
}

// above emits whether an argument is greater than a value, or equal to it.
func (b *builder) above(at uint32, value uint64, orEqual bool, yes, no target) target {
	compare := uint16(unix.BPF_JGT)
	if orEqual {
		compare = unix.BPF_JGE
	}
	low := b.load(at, b.branch(compare, uint32(value), yes, no))
	same := b.branch(unix.BPF_JEQ, uint32(value>>32), low, no)
	return b.load(at+4, b.branch(unix.BPF_JGT, uint32(value>>32), yes, same))
}
