/**
 * Privileged instructions that Xen executes for a PV guest's kernel.
 *
 * The guest runs in ring 3, so each of them is #GP(0). Xen looks at the instruction and, if it is one of a short list,
 * does what it would have done, as far as a guest may:
 *
 *     FA FB                CLI, STI        nothing, if the guest's IOPL suffices: the event mask is a hypercall matter
 *     E4–E7, EC–EF, 6C–6F  IN, OUT, INS, OUTS
 *     0F 06                CLTS            CR0.TS
 *     0F 09                WBINVD          nothing
 *     0F 20, 0F 22         MOV from and to CR0, CR2, CR3, CR4
 *     0F 21, 0F 23         MOV from and to DR0 … DR7
 *     0F 30, 0F 32         WRMSR, RDMSR
 *     0F 31, 0F 01 F9      RDTSC, RDTSCP   (CR4.TSD)
 *     0F A2                CPUID
 *     0F 01 D1             XSETBV          #UD: this CPU has no XSAVE
 *
 * All else is handed back to the guest as the #GP that it was: HLT, LMSW, INVLPG, RDPMC, LGDT and the like, and all of
 * these in user mode. (Xen 4.17, arch/x86/pv/emul-priv-op.c.)
 */

import { XEN_ENODEV } from '../../abi/xen/numbers/errno.ts';
import { VMASST_TYPE_architectural_iopl } from '../../abi/xen/numbers/index.ts';
import { CPU_CR2, CPU_TSC_AUX } from '../../machine/layout.ts';
import { PAGE_SIZE } from '../../machine/memory.ts';
import { GuestFault } from '../../machine/x86/guest-memory.ts';
import { RAX, RCX, RDX, VECTOR_GP, VECTOR_UD } from '../../machine/x86/registers.ts';
import { injectFault, injectPageFault } from '../bounce.ts';
import {
  CR0_TS,
  debugRegisterHigh,
  debugRegisterIndex,
  debugRegisterLow,
  writeCr4,
  writeDebugRegister,
} from '../control.ts';
import { msrValue, readMsr, readTsc, writeMsr } from '../msr.ts';
import type { XenVcpu } from '../vcpu.ts';
import { answerCpuid } from './cpuid.ts';
import { InstructionBytes } from './instruction.ts';
import { emulatePortAccess, emulateStringPortAccess } from './ports.ts';
import { retireInstruction } from './retire.ts';

/** What became of an instruction. */
const Outcome = {
  /** Emulated: RIP moves on. */
  Done: 0,
  /** Not ours: the guest gets its #GP. */
  Refused: 1,
  /** The guest gets #GP(0), whatever it was. */
  Protection: 2,
  /** The guest gets #UD. */
  Undefined: 3,
  /** Another exception has been delivered. */
  Injected: 4,
  /** RIP stays: the instruction goes on when the guest runs again. */
  Again: 5,
} as const;
type Outcome = (typeof Outcome)[keyof typeof Outcome];

const instruction = new InstructionBytes();

/** True if the #GP was dealt with; false if it is the guest's. */
export function emulatePrivileged(vcpu: XenVcpu): boolean {
  let outcome: Outcome;
  try {
    instruction.start(vcpu);
    outcome = execute(vcpu);
  } catch (error) {
    if (!(error instanceof GuestFault)) throw error;
    injectPageFault(vcpu, error.address, error.write ? 2 : 0);
    return true;
  }
  switch (outcome) {
    case Outcome.Done:
      retireInstruction(vcpu, instruction.next);
      return true;
    case Outcome.Protection:
      injectFault(vcpu, VECTOR_GP, 0);
      return true;
    case Outcome.Undefined:
      injectFault(vcpu, VECTOR_UD, 0);
      return true;
    case Outcome.Refused:
      return false;
    default:
      return true;
  }
}

/** IOPL as the guest's kernel or user is measured against it. (`iopl_ok`) */
function ioplSuffices(vcpu: XenVcpu): boolean {
  const kernel = vcpu.domain.hasAssist(VMASST_TYPE_architectural_iopl) ? 0 : 1;
  return (vcpu.kernelMode ? kernel : 3) <= vcpu.iopl;
}

function execute(vcpu: XenVcpu): Outcome {
  const opcode = instruction.opcode();
  if (instruction.locked) return Outcome.Undefined;
  switch (opcode) {
    case 0xfa:
    case 0xfb:
      return ioplSuffices(vcpu) ? Outcome.Done : Outcome.Refused;
    case 0x6c:
    case 0x6d:
    case 0x6e:
    case 0x6f:
      if (!emulateStringPortAccess(vcpu, instruction, opcode, ioplSuffices(vcpu))) return Outcome.Refused;
      return instruction.repeatLeft ? Outcome.Again : Outcome.Done;
    case 0xe4:
    case 0xe5:
    case 0xe6:
    case 0xe7:
    case 0xec:
    case 0xed:
    case 0xee:
    case 0xef:
      return emulatePortAccess(vcpu, instruction, opcode, ioplSuffices(vcpu))
        ? Outcome.Done
        : Outcome.Refused;
    default:
      break;
  }
  // Everything else needs ring 0, that is, the guest's kernel, except the four that only look.
  const looks = opcode === 0x0f31 || opcode === 0x0fa2 || opcode === 0x0f01;
  if (!vcpu.kernelMode && !looks) return isPrivileged(opcode) ? Outcome.Protection : Outcome.Refused;
  switch (opcode) {
    case 0x0f06:
      vcpu.taskSwitched = false;
      return Outcome.Done;
    case 0x0f09:
      return Outcome.Done;
    case 0x0f20:
      return readControl(vcpu);
    case 0x0f21:
      return readDebug(vcpu);
    case 0x0f22:
      return writeControl(vcpu);
    case 0x0f23:
      return writeDebug(vcpu);
    case 0x0f30:
      return writeMsrFromRegisters(vcpu);
    case 0x0f31:
      giveTsc(vcpu);
      return Outcome.Done;
    case 0x0f32:
      return readMsrToRegisters(vcpu);
    case 0x0fa2:
      answerCpuid(vcpu);
      return Outcome.Done;
    case 0x0f01:
      return executeGroup7(vcpu);
    default:
      return Outcome.Refused;
  }
}

function isPrivileged(opcode: number): boolean {
  return (
    opcode === 0x0f06 ||
    opcode === 0x0f09 ||
    (opcode >= 0x0f20 && opcode <= 0x0f23) ||
    opcode === 0x0f30 ||
    opcode === 0x0f32
  );
}

function executeGroup7(vcpu: XenVcpu): Outcome {
  switch (instruction.byte()) {
    case 0xd1:
      return Outcome.Undefined;
    case 0xf9:
      giveTsc(vcpu);
      vcpu.state.setReg(RCX, vcpu.state.low(CPU_TSC_AUX), 0);
      return Outcome.Done;
    default:
      return Outcome.Refused;
  }
}

function giveTsc(vcpu: XenVcpu): void {
  const tsc = readTsc(vcpu);
  vcpu.state.setReg(RAX, tsc | 0, 0);
  vcpu.state.setReg(RDX, Math.floor(tsc / 4294967296) | 0, 0);
}

/** A general register receives a control or debug register: 64 bits in 64-bit mode, 32 otherwise. */
function setGeneral(vcpu: XenVcpu, register: number, low: number, high: number): void {
  vcpu.state.setReg(register, low, instruction.long ? high : 0);
}

function readControl(vcpu: XenVcpu): Outcome {
  const { state } = vcpu;
  instruction.registers();
  const { reg, rm } = instruction;
  switch (reg) {
    case 0:
      setGeneral(vcpu, rm, state.cr0 | 0, 0);
      return Outcome.Done;
    case 2:
      setGeneral(vcpu, rm, state.low(CPU_CR2), state.high(CPU_CR2));
      return Outcome.Done;
    case 3: {
      const cr3 = vcpu.kernelTable * PAGE_SIZE;
      setGeneral(vcpu, rm, cr3 | 0, Math.floor(cr3 / 4294967296));
      return Outcome.Done;
    }
    case 4:
      setGeneral(vcpu, rm, vcpu.cr4, 0);
      return Outcome.Done;
    default:
      return Outcome.Refused;
  }
}

function writeControl(vcpu: XenVcpu): Outcome {
  const { state, domain } = vcpu;
  instruction.registers();
  const low = state.regLow(instruction.rm);
  const high = instruction.long ? state.regHigh(instruction.rm) : 0;
  switch (instruction.reg) {
    case 0:
      // Only TS is the guest's to change.
      if (high !== 0 || ((low ^ state.cr0) & ~CR0_TS) !== 0) return Outcome.Refused;
      vcpu.taskSwitched = (low & CR0_TS) !== 0;
      return Outcome.Done;
    case 2:
      vcpu.setCr2(low, high);
      return Outcome.Done;
    case 3: {
      const mfn = Math.floor(((high & 0xfffff) * 4294967296 + (low >>> 0)) / PAGE_SIZE);
      return domain.mm.newKernelTable(vcpu.id, mfn) === 0 ? Outcome.Done : Outcome.Refused;
    }
    case 4:
      writeCr4(vcpu, low);
      return Outcome.Done;
    default:
      return Outcome.Refused;
  }
}

function readDebug(vcpu: XenVcpu): Outcome {
  instruction.registers();
  const index = debugRegisterIndex(vcpu, instruction.reg);
  if (index < 0) return Outcome.Undefined;
  setGeneral(vcpu, instruction.rm, debugRegisterLow(vcpu, index), debugRegisterHigh(vcpu, index));
  return Outcome.Done;
}

function writeDebug(vcpu: XenVcpu): Outcome {
  const { state } = vcpu;
  instruction.registers();
  const high = instruction.long ? state.regHigh(instruction.rm) : 0;
  const error = writeDebugRegister(vcpu, instruction.reg, state.regLow(instruction.rm), high);
  if (error === 0) return Outcome.Done;
  return error === -XEN_ENODEV ? Outcome.Undefined : Outcome.Protection;
}

function readMsrToRegisters(vcpu: XenVcpu): Outcome {
  const { state } = vcpu;
  if (!readMsr(vcpu, state.regLow(RCX) >>> 0)) return Outcome.Refused;
  state.setReg(RAX, msrValue.low, 0);
  state.setReg(RDX, msrValue.high, 0);
  return Outcome.Done;
}

function writeMsrFromRegisters(vcpu: XenVcpu): Outcome {
  const { state } = vcpu;
  const done = writeMsr(vcpu, state.regLow(RCX) >>> 0, state.regLow(RAX), state.regLow(RDX));
  return done ? Outcome.Done : Outcome.Refused;
}
