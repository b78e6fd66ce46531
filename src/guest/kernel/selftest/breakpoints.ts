/** Breakpoints of the debug registers: of data, and of an instruction. */
import { native } from '../../machine/memory';
import { breakpoint } from '../../machine/processor';
import { TrapFrame } from '../../machine/trap-frame';
import { onTrap } from '../../paravirt/handlers';
import { getDebugRegister, setDebugRegister, trapEntry } from '../../paravirt/operations';
import { checkEqual } from './output';
import { unexpectedTrap } from './traps';

/** DR7: nothing enabled; and for breakpoint 0, stores of four bytes, any access to them, an instruction. */
const NONE: u64 = 0x400;
const STORES: u64 = 0xd0402;
const ACCESSES: u64 = 0xf0402;
const INSTRUCTION: u64 = 0x402;
/** DR6 with no condition. */
const DR6_CLEAR: u64 = 0xffff0ff0;
const FLAG_RF: u64 = 0x10000;

const watched: usize = memory.data(16, 16);
let met: u64 = 0;
let place: u64 = 0;

/** Notes which breakpoint was met, and lets the instruction pass if it was met before it. */
function note(frame: usize): void {
  const registers = changetype<TrapFrame>(frame);
  met = (met << 4) | (getDebugRegister(6) & 15);
  setDebugRegister(6, DR6_CLEAR);
  place = registers.rip;
  registers.rflags |= FLAG_RF;
}

function ignore(_frame: usize): void {}

function watch(address: u64, dr7: u64): void {
  met = 0;
  setDebugRegister(0, address);
  setDebugRegister(7, dr7);
}

export function testBreakpoints(): void {
  onTrap(1, note);
  const address = native(watched);
  watch(address, STORES);
  store<u32>(watched, 7);
  checkEqual('a breakpoint of stores is met by a store', met, 1);
  met = 0;
  store<u32>(watched, load<u32>(watched) + 1, 4);
  checkEqual('not by a load, nor by a store beside it', met, 0);
  watch(address, ACCESSES);
  const value = load<u32>(watched);
  checkEqual('one of accesses is met by a load', met, 1);
  checkEqual('and the load is done', value, 7);
  watch(address, NONE);
  store<u32>(watched, 8);
  checkEqual('one that is not enabled is not met', met, 0);

  onTrap(3, ignore);
  watch(trapEntry(3), INSTRUCTION);
  breakpoint();
  checkEqual('one of an instruction is met before it, once', met, 1);
  checkEqual('at its address', place, trapEntry(3));
  watch(0, NONE);
  onTrap(1, unexpectedTrap);
}
