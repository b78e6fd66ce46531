/** Traps: an IDT in the processor's form, given to whatever delivers them; and accesses that may fault. */
import { native, probeLoad64, probeStore64 } from '../../machine/memory';
import { breakpoint, undefinedInstruction } from '../../machine/processor';
import { TrapFrame } from '../../machine/trap-frame';
import { onOtherTraps, onTrap } from '../../paravirt/handlers';
import { kernelCs } from '../../paravirt/info';
import { crash, loadIdt, readCr2, saveFlags, trapEntry, writeIdtEntry } from '../../paravirt/operations';
import { takePage } from './memory';
import { check, checkEqual, endLine, say, sayHex, sayNumber } from './output';

const GATE_PRESENT: u64 = 0x800000000000;
const GATE_INTERRUPT: u64 = 14;
const GATE_TRAP: u64 = 15;
const UNMAPPED: u64 = 0xffffffffc0001000;

let trapped: u64 = 0;
let errorCode: u64 = 0;
let flagsInHandler: u64 = 0;
const found: usize = memory.data(8, 8);

function note(frame: usize): void {
  const registers = changetype<TrapFrame>(frame);
  trapped = registers.vector;
  errorCode = registers.error;
  flagsInHandler = saveFlags();
}

/** A trap that no test expects: says so, and ends with a crash. */
export function unexpectedTrap(frame: usize): void {
  const registers = changetype<TrapFrame>(frame);
  say('not ok: trap ');
  sayNumber(registers.vector);
  say(', error ');
  sayHex(registers.error);
  say(', rip ');
  sayHex(registers.rip);
  say(', cr2 ');
  sayHex(readCr2());
  endLine();
  crash();
}

function stepOver(frame: usize): void {
  note(frame);
  // UD2 has two bytes.
  changetype<TrapFrame>(frame).rip += 2;
}

function gateLow(vector: u32, type: u64): u64 {
  const entry = trapEntry(vector);
  return (
    (entry & 0xffff) | ((<u64>kernelCs) << 16) | (type << 40) | GATE_PRESENT | ((entry & 0xffff0000) << 32)
  );
}

export function testTraps(): void {
  const idt = takePage();
  for (let vector: u32 = 0; vector < 32; vector++) {
    store<u64>(idt + vector * 16, gateLow(vector, vector === 3 ? GATE_INTERRUPT : GATE_TRAP));
    store<u64>(idt + vector * 16, trapEntry(vector) >> 32, 8);
  }
  loadIdt(idt, 256);
  onOtherTraps(unexpectedTrap);
  onTrap(3, note);
  onTrap(6, stepOver);
  trapped = 0;
  breakpoint();
  checkEqual('load_idt: INT3 arrives', trapped, 3);
  checkEqual('an interrupt gate masks events', flagsInHandler, 0);
  undefinedInstruction();
  checkEqual('#UD arrives, and its handler steps over it', trapped, 6);
  onTrap(6, unexpectedTrap);
  trapped = 0;
  writeIdtEntry(idt, 3, gateLow(4, GATE_TRAP), trapEntry(4) >> 32);
  onTrap(4, note);
  breakpoint();
  checkEqual('write_idt_entry: INT3 arrives elsewhere', trapped, 4);
  writeIdtEntry(idt, 3, gateLow(3, GATE_INTERRUPT), trapEntry(3) >> 32);

  checkEqual('a read of an unmapped address survives', probeLoad64(UNMAPPED, found), 1);
  checkEqual('read_cr2 knows the address', readCr2(), UNMAPPED);
  checkEqual('so does a write', probeStore64(UNMAPPED + 8, 1), 1);
  checkEqual('read_cr2 again', readCr2(), UNMAPPED + 8);
  store<u64>(found, 77);
  checkEqual('and an address that is mapped can be read', probeLoad64(native(found), found + 0), 0);
  check('no handler was asked', errorCode === 0);
}
