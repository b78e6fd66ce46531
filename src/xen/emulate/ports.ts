/**
 * IN, OUT, INS and OUTS of a guest without hardware.
 *
 * Xen asks two questions: does the guest's own IOPL, or its I/O bitmap, let the instruction through; and has the
 * administrator given the domain the port. A domU has no ports, so what passes the first question reads all ones and
 * writes into the void. (Xen 4.17, arch/x86/pv/emul-priv-op.c: guest_io_okay, guest_io_read.)
 */
import { ES, FLAG_DF, FS, RAX, RCX, RDI, RDX, RSI } from '../../machine/x86/registers.ts';
import type { XenVcpu } from '../vcpu.ts';
import type { InstructionBytes } from './instruction.ts';

/** The iterations of INS or OUTS that are done before other work gets its turn. */
const REPEATS_AT_ONCE = 1024;

/** Whether the guest lets itself access `bytes` ports from `port` on. */
function permitted(vcpu: XenVcpu, port: number, bytes: number, ioplSuffices: boolean): boolean {
  if (ioplSuffices) return true;
  if (port + bytes > vcpu.ioBitmapPorts) return false;
  // The bitmap is the kernel's.
  const user = !vcpu.kernelMode;
  if (user) vcpu.toggleTables();
  const at = vcpu.ioBitmap + (port >> 3);
  const mask = bitmapByte(vcpu, at) | (bitmapByte(vcpu, at + 1) << 8);
  if (user) vcpu.toggleTables();
  return (mask & (((1 << bytes) - 1) << (port & 7))) === 0;
}

/** A byte that cannot be read permits nothing. */
function bitmapByte(vcpu: XenVcpu, at: number): number {
  return vcpu.guest.tryHost(at, false) === 0 ? 0xff : vcpu.guest.read8(at);
}

/** IN and OUT; false: #GP. */
export function emulatePortAccess(
  vcpu: XenVcpu,
  instruction: InstructionBytes,
  opcode: number,
  ioplSuffices: boolean,
): boolean {
  const { state } = vcpu;
  const bytes = (opcode & 1) === 0 ? 1 : instruction.operand16 ? 2 : 4;
  const port = (opcode & 8) !== 0 ? state.regLow(RDX) & 0xffff : instruction.byte();
  if (!permitted(vcpu, port, bytes, ioplSuffices)) return false;
  const out = (opcode & 2) !== 0;
  if (out) return true;
  const rax = state.regLow(RAX);
  if (bytes === 4) state.setReg(RAX, -1, 0);
  else state.setReg(RAX, bytes === 2 ? rax | 0xffff : rax | 0xff, state.regHigh(RAX));
  return true;
}

/**
 * INS and OUTS; false: #GP. Leaves `repeatLeft` set when a repeated one is not finished. Raises `GuestFault` for the
 * memory operand, with RSI, RDI and RCX at the iteration that faulted.
 */
export function emulateStringPortAccess(
  vcpu: XenVcpu,
  instruction: InstructionBytes,
  opcode: number,
  ioplSuffices: boolean,
): boolean {
  const { state, guest } = vcpu;
  const bytes = (opcode & 1) === 0 ? 1 : instruction.operand16 ? 2 : 4;
  const port = state.regLow(RDX) & 0xffff;
  if (!permitted(vcpu, port, bytes, ioplSuffices)) return false;
  const input = opcode < 0x6e;
  const pointer = input ? RDI : RSI;
  const segment = input ? ES : instruction.segment;
  const wide = instruction.long && !instruction.shortAddress;
  const step = (state.rflags & FLAG_DF) !== 0 ? -bytes : bytes;
  const based = !instruction.long || segment >= FS;
  let left = 1;
  if (instruction.repeated) left = wide ? state.reg(RCX) : state.regLow(RCX) >>> 0;
  for (let done = 0; left !== 0; done++) {
    if (done === REPEATS_AT_ONCE) {
      instruction.repeatLeft = true;
      break;
    }
    const offset = wide ? state.reg(pointer) : state.regLow(pointer) >>> 0;
    const linear = offset + (based ? state.segmentBase(segment) : 0);
    for (let i = 0; i < bytes; i++) {
      if (input) guest.write8(linear + i, 0xff);
      else guest.read8(linear + i);
    }
    if (wide) state.setRegNumber(pointer, offset + step);
    else state.setReg(pointer, (offset + step) | 0, 0);
    left--;
    if (instruction.repeated) {
      if (wide) state.setRegNumber(RCX, left);
      else state.setReg(RCX, left | 0, 0);
    }
  }
  return true;
}
