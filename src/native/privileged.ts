/**
 * Privileged instructions in ring 0, one function each. The processor has decoded them and stopped (`Exit.System`); what it
 * refuses outside ring 0 never comes here, except port accesses that the TSS permits.
 *
 * A function does all or nothing: it raises CpuFault, or GuestFault for its memory operand, before it changes anything.
 */
import { CPU_CPL, CPU_SEGMENTS, SEGMENT_SIZE } from '../machine/layout.ts';
import type { Gva } from '../machine/memory.ts';
import { GuestFault } from '../machine/x86/guest-memory.ts';
import type { InstructionView } from '../machine/x86/instruction-view.ts';
import {
  FLAG_IF,
  GS,
  RAX,
  RCX,
  RDX,
  VECTOR_GP,
  VECTOR_PF,
  VECTOR_SS,
  VECTOR_UD,
} from '../machine/x86/registers.ts';
import { CR0_TS, loadMachineStatus, readControl, readDebug, writeControl, writeDebug } from './control.ts';
import { deliver, Source } from './deliver.ts';
import { type Execute, Next } from './execution.ts';
import { CpuFault, isCanonicalHigh } from './fault.ts';
import { readMsr, writeMsr } from './msr.ts';
import { accessPort, accessStringPort } from './port-instructions.ts';
import { systemReturn } from './system-call.ts';
import type { NativeVcpu } from './vcpu.ts';

const MOV_FROM_CONTROL = 0x20;
const MOV_FROM_DEBUG = 0x21;
const MOV_TO_CONTROL = 0x22;
const TSS_IO_MAP = 0x66;
const SEGMENT_BASE = 16;

/** A value as halves: operands and results. */
const value = { low: 0, high: 0 };

/** Executes the instruction at RIP, or delivers what it raises. */
export function executePrivileged(vcpu: NativeVcpu): void {
  const instruction = vcpu.domain.host.processor.instructionAtExit();
  const execute = instruction === undefined ? undefined : INSTRUCTIONS[instruction.mnemonic];
  if (instruction === undefined || execute === undefined) {
    vcpu.crash(
      `the processor left an instruction (${instruction?.mnemonic}) that the bare machine does not know`,
    );
    return;
  }
  try {
    const stepping = vcpu.isStepping;
    const next = execute(vcpu, instruction);
    if (next === Next.Instruction) vcpu.skip(instruction.length);
    vcpu.countRetired();
    if (stepping && vcpu.domain.live) vcpu.step();
  } catch (error) {
    fail(vcpu, error);
  }
}

function fail(vcpu: NativeVcpu, error: unknown): void {
  const { state } = vcpu;
  if (error instanceof CpuFault) {
    deliver(vcpu, error.vector, error.error, Source.Fault);
  } else if (error instanceof GuestFault) {
    if (state.exitVector === VECTOR_PF) vcpu.setCr2(state.exitAddress);
    deliver(vcpu, state.exitVector, state.exitError, Source.Fault);
  } else {
    throw error;
  }
}

/**
 * After #GP(0): whether it came of a port access that IOPL forbids and the I/O map of the TSS permits. (Intel SDM 1, 18.5.2.)
 */
export function isPermittedPortAccess(vcpu: NativeVcpu): boolean {
  const { state, tables, guest, domain } = vcpu;
  if (state.low(CPU_CPL) === 0 || !isCanonicalHigh(vcpu.ripHigh())) return false;
  const instruction = domain.host.processor.instructionAtExit();
  if (instruction === undefined || !/^(IN|OUT|INS|OUTS)$/.test(instruction.mnemonic)) return false;
  if (state.cpl <= ((state.rflags >> 12) & 3)) return false;
  if (tables.taskLimit < TSS_IO_MAP + 1) return false;
  const port =
    instruction.opcode >= 0xe4 && instruction.opcode <= 0xe7
      ? instruction.immediate8
      : state.regLow(RDX) & 0xffff;
  const size = (instruction.opcode & 1) === 0 ? 1 : Math.min(instruction.size, 4);
  const cpl = vcpu.enterSupervisor();
  try {
    const map = guest.read16(tables.taskBase + TSS_IO_MAP) + (port >> 3);
    if (map + 1 > tables.taskLimit) return false;
    const bits = guest.read16(tables.taskBase + map) >> (port & 7);
    return (bits & ((1 << size) - 1)) === 0;
  } catch (error) {
    if (error instanceof GuestFault) return false;
    throw error;
  } finally {
    vcpu.leaveSupervisor(cpl);
  }
}

/** The linear address of the memory operand. Raises CpuFault if it is not canonical. */
function operandAddress(instruction: InstructionView): Gva {
  const address = instruction.address();
  if (address === undefined) throw new CpuFault(instruction.addressesStack ? VECTOR_SS : VECTOR_GP, 0);
  return address;
}

/** A 16-bit operand, in a register or in memory. */
function operand16(vcpu: NativeVcpu, instruction: InstructionView): number {
  if (instruction.inMemory) return vcpu.guest.read16(operandAddress(instruction));
  return vcpu.state.regLow(instruction.register) & 0xffff;
}

/** LGDT, LIDT: a limit, and a base of 64 bits. */
function loadTableRegister(
  vcpu: NativeVcpu,
  instruction: InstructionView,
  load: (base: Gva, limit: number) => void,
): Next {
  const at = operandAddress(instruction);
  const limit = vcpu.guest.read16(at);
  const low = vcpu.guest.readU32(at + 2);
  const high = vcpu.state.longMode ? vcpu.guest.read32(at + 6) : 0;
  if (!isCanonicalHigh(high)) throw new CpuFault(VECTOR_GP, 0);
  load(high * 4294967296 + low, limit);
  return Next.Instruction;
}

/** MOV between a general register and a control or debug register: 64 bits in 64-bit mode, 32 otherwise. */
function moveSpecial(vcpu: NativeVcpu, instruction: InstructionView): Next {
  const { state } = vcpu;
  const { opcode, register, specialRegister } = instruction;
  const reads = opcode === MOV_FROM_CONTROL || opcode === MOV_FROM_DEBUG;
  const control = opcode === MOV_FROM_CONTROL || opcode === MOV_TO_CONTROL;
  if (reads) {
    if (control) readControl(vcpu, specialRegister, value);
    else readDebug(vcpu, specialRegister, value);
    state.setReg(register, value.low, state.longMode ? value.high : 0);
    return Next.Instruction;
  }
  const low = state.regLow(register);
  const high = state.longMode ? state.regHigh(register) : 0;
  if (control) writeControl(vcpu, specialRegister, low, high);
  else writeDebug(vcpu, specialRegister, low, high);
  return Next.Instruction;
}

/** HLT sleeps until an interrupt comes, and RIP is behind it then. */
function halt(vcpu: NativeVcpu): Next {
  if ((vcpu.state.rflags & FLAG_IF) === 0) {
    vcpu.crash('halted with interrupts disabled: nothing can wake it');
  } else {
    vcpu.sleep();
  }
  return Next.Instruction;
}

function swapGs({ state, msrs }: NativeVcpu): Next {
  const at = CPU_SEGMENTS + GS * SEGMENT_SIZE + SEGMENT_BASE;
  const low = state.low(at);
  const high = state.high(at);
  state.setSegmentBase(GS, msrs.kernelGsBase.low, msrs.kernelGsBase.high);
  msrs.kernelGsBase.low = low;
  msrs.kernelGsBase.high = high;
  return Next.Instruction;
}

const nothing: Execute = () => Next.Instruction;
const undefinedInstruction: Execute = () => {
  throw new CpuFault(VECTOR_UD, 0);
};

const INSTRUCTIONS: Readonly<Record<string, Execute>> = {
  HLT: halt,
  CLTS: ({ state }) => {
    state.cr0 = state.cr0 & ~CR0_TS;
    return Next.Instruction;
  },
  LMSW: (vcpu, instruction) => {
    loadMachineStatus(vcpu, operand16(vcpu, instruction));
    return Next.Instruction;
  },
  MOV: moveSpecial,
  INVD: nothing,
  WBINVD: nothing,
  INVLPG: ({ domain }, instruction) => {
    const address = instruction.address();
    // An address that is not canonical is no page's: nothing to forget.
    if (address !== undefined) domain.host.processor.invalidateRegion(address);
    return Next.Instruction;
  },
  LGDT: (vcpu, instruction) =>
    loadTableRegister(vcpu, instruction, (base, limit) => {
      vcpu.tables.gdtBase = base;
      vcpu.tables.gdtLimit = limit;
    }),
  LIDT: (vcpu, instruction) =>
    loadTableRegister(vcpu, instruction, (base, limit) => {
      vcpu.tables.idtBase = base;
      vcpu.tables.idtLimit = limit;
    }),
  LLDT: (vcpu, instruction) => {
    vcpu.tables.loadLocal(operand16(vcpu, instruction));
    return Next.Instruction;
  },
  LTR: (vcpu, instruction) => {
    vcpu.tables.loadTask(operand16(vcpu, instruction));
    return Next.Instruction;
  },
  RDMSR: (vcpu) => {
    readMsr(vcpu, vcpu.state.regLow(RCX) >>> 0, value);
    vcpu.state.setReg(RAX, value.low, 0);
    vcpu.state.setReg(RDX, value.high, 0);
    return Next.Instruction;
  },
  WRMSR: (vcpu) => {
    const { state } = vcpu;
    writeMsr(vcpu, state.regLow(RCX) >>> 0, state.regLow(RAX), state.regLow(RDX));
    return Next.Instruction;
  },
  // There are no performance counters, so no index is good.
  RDPMC: () => {
    throw new CpuFault(VECTOR_GP, 0);
  },
  SWAPGS: swapGs,
  SYSRET: (vcpu, { size }) => {
    systemReturn(vcpu, size);
    return Next.Elsewhere;
  },
  SYSEXIT: undefinedInstruction,
  IN: accessPort,
  OUT: accessPort,
  INS: accessStringPort,
  OUTS: accessStringPort,
};
