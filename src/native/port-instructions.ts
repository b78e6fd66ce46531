/** IN, OUT, INS and OUTS. A repeated one does one iteration each time the processor stops at it. (Intel SDM 2, IN … OUTS.) */
import type { Gva } from '../machine/memory.ts';
import type { InstructionView } from '../machine/x86/instruction-view.ts';
import { DS, ES, FLAG_DF, RAX, RCX, RDI, RDX, RSI, VECTOR_GP } from '../machine/x86/registers.ts';
import { Next } from './execution.ts';
import { CpuFault, isCanonicalHigh } from './fault.ts';
import type { NativeVcpu } from './vcpu.ts';

const TWO_32 = 4294967296;

/** Bytes of an access: the opcode's low bit tells one from more. */
function widthOf({ opcode, size }: InstructionView): number {
  return (opcode & 1) === 0 ? 1 : Math.min(size, 4);
}

/* E4–E7 imm8, EC–EF DX; bit 1 of the opcode: OUT */
export function accessPort(vcpu: NativeVcpu, instruction: InstructionView): Next {
  const { state, domain } = vcpu;
  const width = widthOf(instruction);
  const port = instruction.opcode < 0xe8 ? instruction.immediate8 : state.regLow(RDX) & 0xffff;
  const eax = state.regLow(RAX);
  if ((instruction.opcode & 2) !== 0) {
    domain.board.ports.write(port, width, eax);
  } else {
    const read = domain.board.ports.read(port, width);
    if (width === 4) state.setReg(RAX, read | 0, 0);
    else {
      const mask = width === 1 ? 0xff : 0xffff;
      state.setReg(RAX, (eax & ~mask) | read, state.regHigh(RAX));
    }
  }
  return Next.Instruction;
}

/* 6C, 6D INS; 6E, 6F OUTS */
export function accessStringPort(vcpu: NativeVcpu, instruction: InstructionView): Next {
  const { state, domain, guest } = vcpu;
  const { addressSize, repeat } = instruction;
  if (repeat !== 0 && counterIsZero(vcpu, addressSize)) return Next.Instruction;
  const width = widthOf(instruction);
  const port = state.regLow(RDX) & 0xffff;
  const input = (instruction.opcode & 2) === 0;
  const pointer = input ? RDI : RSI;
  const address = stringAddress(vcpu, pointer, input ? ES : sourceSegment(instruction), addressSize);
  if (input) {
    // The page must be there before the device gives away a byte.
    guest.host(address, true);
    guest.host(address + width - 1, true);
    const read = domain.board.ports.read(port, width);
    guest.writeBytes(
      address,
      Uint8Array.from({ length: width }, (_, i) => Math.floor(read / 2 ** (8 * i))),
    );
  } else {
    let written = 0;
    for (let i = width - 1; i >= 0; i--) written = (written << 8) | guest.read8(address + i);
    domain.board.ports.write(port, width, written);
  }
  const step = (state.rflags & FLAG_DF) !== 0 ? -width : width;
  advance(vcpu, pointer, step, addressSize);
  if (repeat === 0) return Next.Instruction;
  advance(vcpu, RCX, -1, addressSize);
  return counterIsZero(vcpu, addressSize) ? Next.Instruction : Next.Again;
}

function sourceSegment({ segment }: InstructionView): number {
  return segment < 0 ? DS : segment;
}

/** Where rSI or rDI points to. Raises CpuFault for an address that is not canonical. */
function stringAddress({ state }: NativeVcpu, pointer: number, segment: number, addressSize: number): Gva {
  const low = state.regLow(pointer);
  const high = addressSize === 8 ? state.regHigh(pointer) : 0;
  if (!isCanonicalHigh(high)) throw new CpuFault(VECTOR_GP, 0);
  const offset = high * TWO_32 + ((addressSize === 2 ? low & 0xffff : low) >>> 0);
  if (!state.longMode) return (offset + state.segmentBase(segment)) % TWO_32;
  return segment > DS ? offset + state.segmentBase(segment) : offset;
}

function counterIsZero({ state }: NativeVcpu, addressSize: number): boolean {
  const low = state.regLow(RCX);
  if (addressSize === 2) return (low & 0xffff) === 0;
  return low === 0 && (addressSize === 4 || state.regHigh(RCX) === 0);
}

/** Adds to a register, within the address size. */
function advance({ state }: NativeVcpu, register: number, by: number, addressSize: number): void {
  const low = state.regLow(register);
  const high = state.regHigh(register);
  if (addressSize === 2) {
    state.setReg(register, (low & ~0xffff) | ((low + by) & 0xffff), high);
  } else {
    const sum = (low >>> 0) + by;
    state.setReg(register, sum | 0, addressSize === 4 ? 0 : (high + Math.floor(sum / TWO_32)) | 0);
  }
}
