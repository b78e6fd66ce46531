/**
 * Programs of a few instructions that a guest's kernel is to run, stop or kill: what a shell cannot do by itself. Each is a
 * static ELF file of headers and code. `kernel.sh` runs them and says what becomes of them.
 */
import { type CpioEntry, cpio } from '../../src/index.ts';

/** Machine code in hexadecimal, an instruction to a string; what it means stands beside it, in AT&T syntax. */
const programs64: Readonly<Record<string, readonly string[]>> = {
  'write-to-null': ['c7 04 25 00 00 00 00 01 00 00 00'], //         movl $1, 0
  'write-to-own-code': ['c6 04 25 78 00 40 00 90'], //              movb $0x90, 0x400078
  // Were the stack executable, the status would be 0.
  'run-on-stack': [
    '48 b8 b8 3c 00 00 00 0f 05 90', //                             mov $…, %rax      (mov $60, %eax; syscall; nop)
    '50', //                                                        push %rax
    '31 ff', //                                                     xor %edi, %edi
    'ff e4', //                                                     jmp *%rsp
  ],
  'divide-by-zero': [
    '31 c9', //                                                     xor %ecx, %ecx
    'f7 f1', //                                                     div %ecx
  ],
  'undefined-instruction': ['0f 0b'], //                            ud2
  breakpoint: ['cc'], //                                            int3
  'single-step': [
    '9c', //                                                        pushf
    '81 0c 24 00 01 00 00', //                                      orl $0x100, (%rsp)
    '9d', //                                                        popf
    '90', //                                                        nop
  ],
  // A store to what a debug register watches.
  watchpoint: [
    '48 8d bc 24 00 ff ff ff', //                                   lea -256(%rsp), %rdi (a perf_event_attr of zeros)
    'c7 07 05 00 00 00', //                                         movl $5, (%rdi)    (PERF_TYPE_BREAKPOINT)
    'c7 47 04 80 00 00 00', //                                      movl $128, 4(%rdi) (its size)
    'c6 47 10 01', //                                               movb $1, 16(%rdi)  (every time)
    'c7 47 28 20 00 00 00', //                                      movl $0x20, 40(%rdi)
    'c7 47 2c 30 00 00 00', //                                      movl $0x30, 44(%rdi) (a SIGTRAP for it)
    'c6 47 34 02', //                                               movb $2, 52(%rdi)  (HW_BREAKPOINT_W)
    '48 89 67 38', //                                               mov %rsp, 56(%rdi)
    'c6 47 40 08', //                                               movb $8, 64(%rdi)
    '31 f6', //                                                     xor %esi, %esi
    '83 ca ff', //                                                  or $-1, %edx
    '49 83 ca ff', //                                               or $-1, %r10
    '45 31 c0', //                                                  xor %r8d, %r8d
    'b8 2a 01 00 00', //                                            mov $298, %eax    (perf_event_open)
    '0f 05', //                                                     syscall
    '48 89 04 24', //                                               mov %rax, (%rsp)
    'b9 80 f0 fa 02', //                                            mov $50000000, %ecx
    'ff c9', //                                                     1: dec %ecx       (the signal may wait for a tick)
    '75 fc', //                                                     jnz 1b
    'b8 3c 00 00 00', //                                            mov $60, %eax     (exit)
    '0f 05', //                                                     syscall
  ],
  'privileged-instruction': ['f4'], //                              hlt
  'port-access': ['e4 80'], //                                      in $0x80, %al
  'hypercall-by-interrupt': ['cd 82'], //                           int $0x82
  'x87-division-by-zero': [
    '68 7b 03 00 00', //                                            push $0x37b       (the exception is not masked)
    'd9 2c 24', //                                                  fldcw (%rsp)
    'd9 e8', //                                                     fld1
    'd9 ee', //                                                     fldz
    'de f9', //                                                     fdivrp
    '9b', //                                                        fwait
  ],
  'sse-division-by-zero': [
    '68 80 1d 00 00', //                                            push $0x1d80
    '0f ae 14 24', //                                               ldmxcsr (%rsp)
    '0f 57 c0', //                                                  xorps %xmm0, %xmm0
    '68 00 00 80 3f', //                                            push $0x3f800000
    'f3 0f 10 0c 24', //                                            movss (%rsp), %xmm1
    'f3 0f 5e c8', //                                               divss %xmm0, %xmm1
  ],
  'stack-overflow': [
    '50', //                                                        1: push %rax
    'eb fd', //                                                     jmp 1b
  ],
  'non-canonical-address': [
    '48 b8 00 00 00 00 00 00 00 80', //                             mov $0x8000000000000000, %rax
    '8b 00', //                                                     mov (%rax), %eax
  ],
  'read-hypervisor-memory': [
    '48 b8 00 00 00 00 00 80 ff ff', //                             mov $0xffff800000000000, %rax
    '8b 00', //                                                     mov (%rax), %eax
  ],
  'read-kernel-memory': [
    '48 c7 c0 00 00 00 81', //                                      mov $0xffffffff81000000, %rax
    '8b 00', //                                                     mov (%rax), %eax
  ],
  'interrupt-80': [
    'b8 01 00 00 00', //                                            mov $1, %eax      (exit, in the 32-bit table)
    'bb 2a 00 00 00', //                                            mov $42, %ebx
    'cd 80', //                                                     int $0x80
  ],
  // Holds the number of its arguments in registers of either unit over 2000 system calls; status 1 if one changes.
  'keep-registers': [
    '48 8b 1c 24', //                                               mov (%rsp), %rbx
    'f2 4c 0f 2a fb', //                                            cvtsi2sd %rbx, %xmm15
    '53', //                                                        push %rbx
    'df 2c 24', //                                                  fildll (%rsp)
    'bd d0 07 00 00', //                                            mov $2000, %ebp
    'b8 18 00 00 00', //                                            1: mov $24, %eax  (sched_yield)
    '0f 05', //                                                     syscall
    'd9 c0', //                                                     fld %st(0)
    'df 3c 24', //                                                  fistpll (%rsp)
    '48 39 1c 24', //                                               cmp %rbx, (%rsp)
    '75 12', //                                                     jne 2f
    'f2 49 0f 2d c7', //                                            cvtsd2si %xmm15, %rax
    '48 39 d8', //                                                  cmp %rbx, %rax
    '75 08', //                                                     jne 2f
    'ff cd', //                                                     dec %ebp
    '75 e0', //                                                     jnz 1b
    '31 ff', //                                                     xor %edi, %edi
    'eb 05', //                                                     jmp 3f
    'bf 01 00 00 00', //                                            2: mov $1, %edi
    'b8 3c 00 00 00', //                                            3: mov $60, %eax  (exit)
    '0f 05', //                                                     syscall
  ],
};

/** The same, in 32-bit mode. */
const programs32: Readonly<Record<string, readonly string[]>> = {
  'exit-by-interrupt': [
    'b8 01 00 00 00', //                                            mov $1, %eax      (exit)
    'bb 2b 00 00 00', //                                            mov $43, %ebx
    'cd 80', //                                                     int $0x80
  ],
  'exit-by-sysenter': [
    'b8 01 00 00 00', //                                            mov $1, %eax
    'bb 2c 00 00 00', //                                            mov $44, %ebx
    '89 e5', //                                                     mov %esp, %ebp
    '0f 34', //                                                     sysenter
  ],
  'jump-to-64-bits': [
    'ea 5b 80 04 08 33 00', //                                      ljmp $0x33, $0x804805b
    'b8 3c 00 00 00', //                                            mov $60, %eax     (exit, in the 64-bit table)
    'bf 2e 00 00 00', //                                            mov $46, %edi
    '0f 05', //                                                     syscall
  ],
  overflow: [
    'b8 ff ff ff 7f', //                                            mov $0x7fffffff, %eax
    '40', //                                                        inc %eax
    'ce', //                                                        into
  ],
  bound: [
    '6a 09', //                                                     push $9
    '6a 01', //                                                     push $1
    'b8 0a 00 00 00', //                                            mov $10, %eax
    '62 04 24', //                                                  bound %eax, (%esp)
  ],
};

const ELF_HEADER_BYTES = { 32: 52, 64: 64 } as const;
const PROGRAM_HEADER_BYTES = { 32: 32, 64: 56 } as const;
const BASE = { 32: 0x8048000, 64: 0x400000 } as const;
const MACHINE = { 32: 3, 64: 62 } as const;
const PF_READ_EXECUTE = 5;
const PT_LOAD = 1;
const ET_EXEC = 2;

/** A static ELF file; its first instruction comes right after the header for its one segment. */
function elf(bits: 32 | 64, instructions: readonly string[]): Uint8Array {
  const code = Buffer.from(instructions.join('').replaceAll(' ', ''), 'hex');
  const headers = ELF_HEADER_BYTES[bits] + PROGRAM_HEADER_BYTES[bits];
  const size = headers + code.length;
  const bytes: number[] = [0x7f, 0x45, 0x4c, 0x46, bits / 32, 1, 1, ...new Array<number>(9).fill(0)];
  const put = (width: number, ...values: number[]) => {
    for (const value of values) {
      for (let i = 0; i < width; i++) bytes.push(i < 4 ? (value >>> (8 * i)) & 0xff : 0);
    }
  };
  const word = bits / 8;
  put(2, ET_EXEC, MACHINE[bits]);
  put(4, 1);
  put(word, BASE[bits] + headers, ELF_HEADER_BYTES[bits], 0);
  put(4, 0);
  put(2, ELF_HEADER_BYTES[bits], PROGRAM_HEADER_BYTES[bits], 1, 0, 0, 0);
  put(4, PT_LOAD);
  // The flags stand in different places, so that what follows is aligned.
  if (bits === 64) put(4, PF_READ_EXECUTE);
  put(word, 0, BASE[bits], BASE[bits], size, size);
  if (bits === 32) put(4, PF_READ_EXECUTE);
  put(word, 0x1000);
  return Uint8Array.from([...bytes, ...code]);
}

/** The programs as files of a guest, in the directory `programs`; the 32-bit ones have names that begin with `32-`. */
export function programFiles(): CpioEntry[] {
  const file = (name: string, bits: 32 | 64, code: readonly string[]) =>
    cpio.file(`programs/${name}`, elf(bits, code), 0o755);
  return [
    cpio.directory('programs'),
    ...Object.entries(programs64).map(([name, code]) => file(name, 64, code)),
    ...Object.entries(programs32).map(([name, code]) => file(`32-${name}`, 32, code)),
  ];
}
