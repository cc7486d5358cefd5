#include "textflag.h"

// The kernel calls it as a C function: the signal is in R0.
TEXT forward<>(SB),NOSPLIT|NOFRAME,$0
	MOVW	R0, R1
	MOVD	·forwardTo(SB), R0
	MOVD	$129, R8 // kill
	SVC
	RET

TEXT return<>(SB),NOSPLIT|NOFRAME,$0
	MOVD	$139, R8 // rt_sigreturn
	SVC
	BRK

DATA	·forwardSignal(SB)/8, $forward<>(SB)
GLOBL	·forwardSignal(SB), NOPTR, $8
DATA	·returnFromSignal(SB)/8, $return<>(SB)
GLOBL	·returnFromSignal(SB), NOPTR, $8
