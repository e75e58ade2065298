# The first sector of a disk: loads what follows it to 0x10000, enters 64-bit mode with the
# vector registers of XCR0 switched on and the first GiB mapped as it is, and goes there.
# CHUNKS: how many times 32 KiB follow.
.code16
.globl _start
_start:
    cli
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %ss
    movw $0x7c00, %sp
    movb %dl, drive
    # Address line 20.
    inb $0x92, %al
    orb $2, %al
    outb %al, $0x92
    movw $CHUNKS, %cx
read:
    pushw %cx
    movw $packet, %si
    movb $0x42, %ah
    movb drive, %dl
    int $0x13
    jc stop
    addw $0x800, packet + 6
    addl $64, packet + 8
    popw %cx
    loop read
    cli
    # Page tables at 0x90000: 512 pages of 2 MiB.
    movw $0x9000, %ax
    movw %ax, %es
    xorw %di, %di
    xorw %ax, %ax
    movw $0x1800, %cx
    rep stosw
    movl $0x91003, %es:0
    movl $0x92003, %es:0x1000
    movw $0x2000, %di
    movl $0x83, %eax
    movw $512, %cx
page:
    movl %eax, %es:(%di)
    addl $0x200000, %eax
    addw $8, %di
    loop page
    # PAE, OSFXSR, OSXMMEXCPT, OSXSAVE
    movl %cr4, %eax
    orl $0x40620, %eax
    movl %eax, %cr4
    movl $0x90000, %eax
    movl %eax, %cr3
    # EFER.LME
    movl $0xc0000080, %ecx
    rdmsr
    orl $0x100, %eax
    wrmsr
    movl %cr0, %eax
    andl $0xfffffff3, %eax
    orl $0x80000003, %eax
    lgdt table
    movl %eax, %cr0
    ljmp $8, $long
stop:
    hlt
    jmp stop
.code64
long:
    movw $16, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl $0x3f00000, %esp
    xorl %ecx, %ecx
    movl $XCR0, %eax
    xorl %edx, %edx
    xsetbv
    movl $0x10000, %eax
    call *%rax
halt:
    hlt
    jmp halt
.align 4
# 64 sectors, to 0x1000:0, from sector 1.
packet: .byte 16, 0
    .word 64
    .word 0, 0x1000
    .quad 1
drive: .byte 0
.align 8
segments: .quad 0
    .quad 0x00af9a000000ffff
    .quad 0x00cf92000000ffff
table: .word 23
    .long segments
.org 510
.word 0xaa55
