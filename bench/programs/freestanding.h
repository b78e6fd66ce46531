/*
 * What the benchmark's programs need of an operating system: a start, an end, and six system calls of Linux. There
 * is no C library here, so the same source becomes a static binary of 64 or of 32 bits with any gcc that knows x86:
 *
 *     gcc -O2 -static -nostdlib -ffreestanding …          and -m32 for the 32-bit guest
 *
 * A program defines `unsigned run(unsigned amount)`. The amount is its first argument; what it returns is printed as
 * a decimal number, so that all machines can be seen to have computed the same.
 */
#ifndef FREESTANDING_H
#define FREESTANDING_H

unsigned run(unsigned amount);

#ifdef __x86_64__
enum { SYS_read = 0, SYS_write = 1, SYS_pipe = 22, SYS_fork = 57, SYS_exit = 60, SYS_wait4 = 61 };

static long system_call(long number, long a, long b, long c)
{
    long result;
    register long d __asm__("r10") = 0;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(d)
                     : "rcx", "r11", "memory");
    return result;
}

/* At the entry the stack holds argc, argv[0], argv[1], … (System V ABI, AMD64 supplement, 3.4.1). */
__asm__(".globl _start\n"
        "_start: xor %ebp, %ebp\n"
        "        mov %rsp, %rdi\n"
        "        and $-16, %rsp\n"
        "        call begin\n");
#else
enum { SYS_exit = 1, SYS_fork = 2, SYS_read = 3, SYS_write = 4, SYS_pipe = 42, SYS_wait4 = 114 };

static long system_call(long number, long a, long b, long c)
{
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c), "S"(0) : "memory");
    return result;
}

/* The same (System V ABI, Intel386 supplement, 3-28); the argument goes on an aligned stack. */
__asm__(".globl _start\n"
        "_start: xor %ebp, %ebp\n"
        "        mov %esp, %eax\n"
        "        and $-16, %esp\n"
        "        sub $12, %esp\n"
        "        push %eax\n"
        "        call begin\n");
#endif

static void print_number(unsigned value)
{
    char text[12];
    int at = sizeof text;
    text[--at] = '\n';
    do
        text[--at] = '0' + value % 10;
    while (value /= 10);
    system_call(SYS_write, 1, (long)(text + at), sizeof text - at);
}

__attribute__((used)) void begin(long *stack)
{
    const char *digits = stack[0] > 1 ? (const char *)stack[2] : "0";
    unsigned amount = 0;
    while (*digits)
        amount = amount * 10 + (*digits++ - '0');
    print_number(run(amount));
    system_call(SYS_exit, 0, 0, 0);
    for (;;)
        ;
}

#endif
