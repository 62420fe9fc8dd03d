/* SPDX-License-Identifier: Apache-2.0
 *
 * The whole "firmware" of the trial guest: 64 KiB that QEMU maps below 4 GiB
 * and below 1 MiB.  It goes from real mode through protected mode into long
 * mode with paging, touches memory in a loop, and leaves through
 * isa-debug-exit.  An accelerator that only pretends to work gets stuck on
 * the way.  Each stage writes a byte to the debug console.
 */
    .set base, 0xF0000

    .code16
    .org 0
start16:
    cli
    movb    $0x11, %al
    outb    %al, $0xe9
    lgdtl   %cs:(gdt_register - start16)
    movl    %cr0, %eax
    orl     $1, %eax
    movl    %eax, %cr0
    ljmpl   $8, $(base + start32 - start16)

    .code32
start32:
    movw    $16, %ax
    movw    %ax, %ds
    movw    %ax, %es
    movw    %ax, %ss
    movl    $0x8000, %esp
    movb    $0x22, %al
    outb    %al, $0xe9
    /* three zeroed pages: one entry each, the last maps the first 2 MiB */
    movl    $0x1000, %edi
    xorl    %eax, %eax
    movl    $3072, %ecx
    cld
    rep stosl
    movl    $0x2003, 0x1000
    movl    $0x3003, 0x2000
    movl    $0x0083, 0x3000
    movl    $0x1000, %eax
    movl    %eax, %cr3
    movl    %cr4, %eax
    orl     $0x20, %eax                 /* PAE */
    movl    %eax, %cr4
    movl    $0xC0000080, %ecx           /* EFER */
    rdmsr
    orl     $0x100, %eax                /* LME */
    wrmsr
    movl    %cr0, %eax
    orl     $0x80000000, %eax           /* PG */
    movl    %eax, %cr0
    ljmpl   $24, $(base + start64 - start16)

    .code64
start64:
    movb    $0x33, %al
    outb    %al, $0xe9
    xorl    %eax, %eax
    cpuid
    movl    $200000, %ecx
1:  movq    %rcx, 0x100000
    addq    %rdx, 0x100008
    loop    1b
    movb    $0x44, %al
    outb    %al, $0xe9
    movb    $0x21, %al
    outb    %al, $0xf4                  /* QEMU exits with (0x21 << 1) | 1 = 67 */
2:  hlt
    jmp     2b

    .align 8
gdt:
    .quad   0
    .quad   0x00cf9a000000ffff          /*  8: 32-bit code */
    .quad   0x00cf92000000ffff          /* 16: data */
    .quad   0x00af9a000000ffff          /* 24: 64-bit code */
gdt_register:
    .word   gdt_register - gdt - 1
    .long   base + gdt - start16

    .org 0xfff0
    .code16
    ljmpw   $0xf000, $0                 /* the reset vector */
    .org 0x10000
