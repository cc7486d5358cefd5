#include "textflag.h"

// The kernel calls it as a C function: the signal is in DI.
TEXT forward<>(SB),NOSPLIT|NOFRAME,$0
	MOVQ	DI, SI
	MOVQ	·forwardTo(SB), DI
	MOVL	$62, AX // kill
	SYSCALL
	RET

TEXT return<>(SB),NOSPLIT|NOFRAME,$0
	MOVL	$15, AX // rt_sigreturn
	SYSCALL
	INT	$3

DATA	·forwardSignal(SB)/8, $forward<>(SB)
GLOBL	·forwardSignal(SB), NOPTR, $8
DATA	·returnFromSignal(SB)/8, $return<>(SB)
GLOBL	·returnFromSignal(SB), NOPTR, $8
