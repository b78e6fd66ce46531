/**
 * The hypercall page: 128 stubs of 32 bytes, so that a guest can `call page + number * 32` without knowing which
 * instruction makes a hypercall. Of today's kernels few use it; they issue SYSCALL or INT $0x82 themselves.
 *
 *     64-bit                          32-bit                iret (jumped to, never returns)
 *     push %rcx                       mov  $number, %eax    push %rcx / push %r11 / push %rax    (64-bit)
 *     push %r11                       int  $0x82            push %eax                            (32-bit)
 *     mov  $number, %eax              ret                   mov  $23, %eax
 *     syscall                                               syscall | int $0x82
 *     pop  %r11
 *     pop  %rcx
 *     ret
 *
 * (Xen 4.17, arch/x86/pv/hypercall.c: pv_ring3_init_hypercall_page, pv_ring1_init_hypercall_page.)
 */
import { __HYPERVISOR_iret } from '../abi/xen/numbers/index.ts';
import { type MachineMemory, type Mfn, PAGE_SIZE } from '../machine/memory.ts';

const STUB_BYTES = 32;
const INT3 = 0xcc;
const PUSH_RCX = [0x51];
const PUSH_R11 = [0x41, 0x53];
const PUSH_RAX = [0x50];
const SYSCALL = [0x0f, 0x05];
const INT_82 = [0xcd, 0x82];
const POP_R11_RCX_RET = [0x41, 0x5b, 0x59, 0xc3];
const RET = [0xc3];

/** Fills the frame with the stubs; the bytes between them trap. */
export function writeHypercallPage(memory: MachineMemory, mfn: Mfn, is64: boolean): void {
  const page = new Uint8Array(PAGE_SIZE).fill(INT3);
  for (let number = 0; number < PAGE_SIZE / STUB_BYTES; number++) {
    page.set(is64 ? stub64(number) : stub32(number), number * STUB_BYTES);
  }
  memory.writeBytes(mfn * PAGE_SIZE, page);
}

/** mov $number, %eax */
function loadNumber(number: number): number[] {
  return [0xb8, number & 0xff, number >> 8, 0, 0];
}

function stub64(number: number): number[] {
  if (number === __HYPERVISOR_iret) {
    return [...PUSH_RCX, ...PUSH_R11, ...PUSH_RAX, ...loadNumber(number), ...SYSCALL];
  }
  return [...PUSH_RCX, ...PUSH_R11, ...loadNumber(number), ...SYSCALL, ...POP_R11_RCX_RET];
}

function stub32(number: number): number[] {
  if (number === __HYPERVISOR_iret) return [...PUSH_RAX, ...loadNumber(number), ...INT_82];
  return [...loadNumber(number), ...INT_82, ...RET];
}
