/**
 * Writes to page tables that look like writes to memory.
 *
 * A page table is mapped read-only in its domain, so a kernel that stores into it faults. If the domain has switched on
 * VMASST_TYPE_writable_pagetables, Xen then does what the instruction would have done: it decodes it, computes the new
 * entry, checks it as mmu_update would, stores it, and goes on behind the instruction. A fault that is anything else is
 * the guest's own.
 *
 * Linux writes most of its level-1 entries in this way. (Xen 4.17, arch/x86/pv/ro-page-fault.c.)
 */
import { VMASST_TYPE_writable_pagetables } from '../../abi/xen/numbers/index.ts';
import {
  CPU_FLAG_CARRY,
  CPU_FLAG_META,
  CPU_FLAG_RESULT,
  PF_FETCH,
  PF_PRESENT,
  PF_RESERVED,
  PF_WRITE,
} from '../../machine/layout.ts';
import type { Gva } from '../../machine/memory.ts';
import { PAGE_SIZE } from '../../machine/memory.ts';
import type { GuestMemory } from '../../machine/x86/guest-memory.ts';
import { CS, FLAG_DF, FLAG_RF, FS, GS, RAX, RBX, RCX, RDI, RDX, RSI } from '../../machine/x86/registers.ts';
import type { VcpuState } from '../../machine/x86/state.ts';
import type { DomainMemory } from './domain-memory.ts';
import { modL1Entry } from './mod-entry.ts';
import {
  PAGE_PRESENT,
  PAGE_RW,
  PGT_count_mask,
  PGT_l1_page_table,
  PGT_type_mask,
  PGT_validated,
} from './page-info.ts';
import { entryMfn } from './page-types.ts';
import { StoreResult } from './ptwr-arithmetic.ts';
import { LONGEST_INSTRUCTION, NO_REGISTER, Operation, PtwrInstruction } from './ptwr-instruction.ts';
import { traceAddress } from './trace.ts';
import type { MmuVcpu } from './vcpu.ts';
import { guestL1eWord, NO_ENTRY } from './walk.ts';

const TWO_32 = 4294967296;
const WRITE_TO_READ_ONLY = PF_PRESENT | PF_WRITE;

const instruction = new PtwrInstruction();
const result = new StoreResult();

/** Emulates the store behind a page fault, if it is one into a page table of the domain. True when it was done. */
export function handlePageFault(
  memory: DomainMemory,
  vcpu: MmuVcpu,
  address: Gva,
  errorCode: number,
): boolean {
  if (!vcpu.kernelMode) return false;
  if ((errorCode & (WRITE_TO_READ_ONLY | PF_RESERVED | PF_FETCH)) !== WRITE_TO_READ_ONLY) return false;
  if (!memory.domain.hasAssist(VMASST_TYPE_writable_pagetables)) return false;
  const { table } = memory;
  const word = guestL1eWord(table, vcpu.kernelTable, address);
  if (word === NO_ENTRY) return false;
  const low = table.words[word]!;
  if ((low & (PAGE_PRESENT | PAGE_RW)) !== PAGE_PRESENT) return false;
  const mfn = entryMfn(low, table.words[word + 1]!);
  if (!memory.getPage(mfn)) return false;
  const info = table.typeInfo[mfn]!;
  const isTable =
    (info & (PGT_type_mask | PGT_validated)) === (PGT_l1_page_table | PGT_validated) &&
    (info & PGT_count_mask) !== 0;
  const done = isTable && emulateStore(memory, vcpu, address, table.entryWord(mfn, 0));
  table.putPage(mfn);
  return done;
}

/** `tableWord` is the first word of the table that is mapped at `address`. */
function emulateStore(memory: DomainMemory, vcpu: MmuVcpu, address: Gva, tableWord: number): boolean {
  const { table } = memory;
  const { state, guest } = vcpu;
  const available = fetch(state, guest, table.memory.u8);
  if (!instruction.decode(state, available)) return false;
  const { addressLow, addressHigh, size } = instruction;
  // Only naturally aligned stores into the page that faulted.
  if (addressHigh !== (Math.floor(address / TWO_32) | 0)) return false;
  if (((addressLow ^ (address | 0)) & ~(PAGE_SIZE - 1)) !== 0 || (addressLow & (size - 1)) !== 0)
    return false;

  const word = tableWord + ((addressLow & (PAGE_SIZE - 1)) >>> 3) * 2;
  if (!loadSource(state, guest)) return false;
  const { operation } = instruction;
  // RFLAGS has to be worked out, so only for the two that read it.
  const rflags = operation === Operation.Adc || operation === Operation.Sbb ? state.rflags : 0;
  const shift = (addressLow & 7) * 8;
  result.compute(operation, size, shift, table.words[word]!, table.words[word + 1]!, rflags);
  if (result.stores) {
    const error = modL1Entry(table, word, result.newLow, result.newHigh, false, memory.id);
    if (table.trace.pageTables) {
      traceAddress(table.trace, vcpu, 'store to', address, result.newLow, result.newHigh, error);
    }
    if (error !== 0) return false;
  }
  retire(state);
  return true;
}

/** Reads the bytes at RIP; returns how many there are. */
function fetch(state: VcpuState, guest: GuestMemory, u8: Uint8Array): number {
  const start = state.longMode ? state.rip : state.rip + state.segmentBase(CS);
  const { code } = instruction;
  let count = 0;
  while (count < LONGEST_INSTRUCTION) {
    const host = guest.tryHost(start + count, false);
    if (host === 0) break;
    const room = PAGE_SIZE - (((start + count) | 0) & (PAGE_SIZE - 1));
    for (let i = 0; i < room && count < LONGEST_INSTRUCTION; i++) code[count++] = u8[host + i]!;
  }
  return count;
}

/** Fills the operand that is not the page table's. False if it cannot be read. */
function loadSource(state: VcpuState, guest: GuestMemory): boolean {
  const { operation, size, register } = instruction;
  result.accumulatorLow = state.regLow(RAX);
  result.accumulatorHigh = state.regHigh(RAX);
  if (operation === Operation.Movs) return loadString(state, guest, size);
  if (operation === Operation.Cmpxchg8b) {
    result.accumulatorHigh = state.regLow(RDX);
    result.sourceLow = state.regLow(RBX);
    result.sourceHigh = state.regLow(RCX);
    return true;
  }
  if (operation === Operation.Stos) {
    result.sourceLow = state.regLow(RAX);
    result.sourceHigh = state.regHigh(RAX);
    return true;
  }
  if (register === NO_REGISTER) {
    result.sourceLow = instruction.immediateLow;
    result.sourceHigh = instruction.immediateHigh;
    return true;
  }
  if (isHighByte(register, size)) {
    result.sourceLow = state.regLow(register - 4) >>> 8;
    result.sourceHigh = 0;
    return true;
  }
  result.sourceLow = state.regLow(register);
  result.sourceHigh = state.regHigh(register);
  return true;
}

/** AH, CH, DH, BH. */
function isHighByte(register: number, size: number): boolean {
  return size === 1 && !instruction.rex && register >= 4;
}

function loadString(state: VcpuState, guest: GuestMemory, size: number): boolean {
  const { sourceSegment, wideAddress } = instruction;
  let from = wideAddress ? state.reg(RSI) : state.regLow(RSI) >>> 0;
  if (!state.longMode || sourceSegment === FS || sourceSegment === GS)
    from += state.segmentBase(sourceSegment);
  if (guest.tryHost(from, false) === 0 || guest.tryHost(from + size - 1, false) === 0) return false;
  let low = 0;
  let high = 0;
  for (let i = 0; i < size; i++) {
    if (i < 4) low |= guest.read8(from + i) << (i * 8);
    else high |= guest.read8(from + i) << ((i - 4) * 8);
  }
  result.sourceLow = low;
  result.sourceHigh = high;
  return true;
}

// ------------------------------------------------------------------ what else the instruction changes

function retire(state: VcpuState): void {
  const { operation, size, register, length } = instruction;
  let finished = true;
  switch (operation) {
    case Operation.Xchg:
    case Operation.Xadd:
      setRegister(state, register, size, result.oldLow, result.oldHigh);
      break;
    case Operation.Cmpxchg:
      if (!result.stores) setRegister(state, RAX, size, result.oldLow, result.oldHigh);
      break;
    case Operation.Cmpxchg8b:
      if (!result.stores) {
        state.setReg(RAX, result.oldLow, 0);
        state.setReg(RDX, result.oldHigh, 0);
      }
      break;
    case Operation.Stos:
      finished = advanceString(state);
      break;
    case Operation.Movs:
      step(state, RSI);
      finished = advanceString(state);
      break;
    default:
      break;
  }
  setFlags(state);
  if (!finished) return;
  state.rip = nextRip(state, length);
  state.rflags &= ~FLAG_RF;
}

function nextRip(state: VcpuState, length: number): Gva {
  const next = state.rip + length;
  return state.longMode ? next : next % TWO_32;
}

function setFlags(state: VcpuState): void {
  const { flags } = result;
  if (flags === StoreResult.NO_FLAGS) return;
  if (flags === StoreResult.VECTORS) {
    state.set(CPU_FLAG_RESULT, result.resultLow, result.resultHigh);
    state.set(CPU_FLAG_CARRY, result.carryLow, result.carryHigh);
    state.set(CPU_FLAG_META, result.topBit, state.high(CPU_FLAG_META));
    return;
  }
  // Only some of them change.
  state.rflags = (state.rflags & ~flags) | (result.flagValues & flags);
}

/** Writes the low `size` bytes of a register; four bytes clear the upper half. */
function setRegister(state: VcpuState, register: number, size: number, low: number, high: number): void {
  if (size === 8) state.setReg(register, low, high);
  else if (size === 4) state.setReg(register, low, 0);
  else if (isHighByte(register, size)) {
    const old = state.regLow(register - 4);
    state.setReg(register - 4, (old & ~0xff00) | ((low & 0xff) << 8), state.regHigh(register - 4));
  } else {
    const mask = size === 1 ? 0xff : 0xffff;
    state.setReg(register, (state.regLow(register) & ~mask) | (low & mask), state.regHigh(register));
  }
}

/** One iteration of a string store is over; false if `rep` asks for more. */
function advanceString(state: VcpuState): boolean {
  step(state, RDI);
  if (!instruction.repeated) return true;
  addToRegister(state, RCX, -1);
  return instruction.wideAddress ? (state.regLow(RCX) | state.regHigh(RCX)) === 0 : state.regLow(RCX) === 0;
}

function step(state: VcpuState, register: number): void {
  addToRegister(state, register, (state.rflags & FLAG_DF) !== 0 ? -instruction.size : instruction.size);
}

function addToRegister(state: VcpuState, register: number, amount: number): void {
  const low = state.regLow(register);
  const sum = (low >>> 0) + (amount >>> 0);
  const high = instruction.wideAddress
    ? state.regHigh(register) + (amount >> 31) + (sum > 0xffffffff ? 1 : 0)
    : 0;
  state.setReg(register, sum | 0, high | 0);
}
