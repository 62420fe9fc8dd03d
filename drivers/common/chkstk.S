/* SPDX-License-Identifier: Apache-2.0
 *
 * ___chkstk_ms - the stack probe that clang and gcc call on entry to a function
 * whose frame exceeds one page, for links without libgcc or compiler-rt.
 *
 * In: RAX (EAX) = bytes about to be taken from the stack.  Every register is
 * preserved: the caller subtracts by itself.  Pages are touched from the top
 * down, one by one, so that the guard page moves.
 */
#if defined(__x86_64__)
    .text
    .globl ___chkstk_ms
    .p2align 4
    .def ___chkstk_ms; .scl 2; .type 32; .endef
    .seh_proc ___chkstk_ms
___chkstk_ms:
    pushq %rcx
    .seh_pushreg %rcx
    pushq %rax
    .seh_pushreg %rax
    .seh_endprologue
    leaq 24(%rsp), %rcx         /* the caller's stack pointer */
    cmpq $0x1000, %rax
    jb 2f
1:  subq $0x1000, %rcx
    testq %rcx, (%rcx)
    subq $0x1000, %rax
    cmpq $0x1000, %rax
    ja 1b
2:  subq %rax, %rcx
    testq %rcx, (%rcx)
    popq %rax
    popq %rcx
    retq
    .seh_endproc
#elif defined(__i386__)
    .text
    .globl ___chkstk_ms
    .p2align 4
___chkstk_ms:
    pushl %ecx
    pushl %eax
    leal 12(%esp), %ecx
    cmpl $0x1000, %eax
    jb 2f
1:  subl $0x1000, %ecx
    testl %ecx, (%ecx)
    subl $0x1000, %eax
    cmpl $0x1000, %eax
    ja 1b
2:  subl %eax, %ecx
    testl %ecx, (%ecx)
    popl %eax
    popl %ecx
    retl
#else
#error "no stack probe for this architecture"
#endif
