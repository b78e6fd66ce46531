/** Gates, good and bad; stacks of their own; exceptions that come of exceptions. */
import { at, RAX, RBX, RDI, RSP } from '../../../guest/tiny/assembler.ts';
import { INTERRUPT_GATE, Selector, TRAP_GATE } from '../program.ts';
import type { Experiments } from './group.ts';

export const gates: Experiments = (p) => {
  p.experiment('a gate of no type', () => {
    p.setGate(0x51, { type: 0x80 });
    p.mark();
    p.raw('cd 51');
  });
  p.experiment('a gate that is not present', () => {
    p.setGate(0x51, { type: 0x0e });
    p.mark();
    p.raw('cd 51');
  });
  p.experiment('a gate with a null selector', () => {
    p.setGate(0x51, { selector: 0 });
    p.mark();
    p.raw('cd 51');
  });
  p.experiment('a gate with a data selector', () => {
    p.setGate(0x51, { selector: Selector.data });
    p.mark();
    p.raw('cd 51');
  });
  p.experiment('a gate with a selector beyond the GDT', () => {
    p.setGate(0x51, { selector: 0x400 });
    p.mark();
    p.raw('cd 51');
  });
  p.experiment('a gate to code that is not present', () => {
    p.setGate(0x51, { selector: Selector.absent });
    p.mark();
    p.raw('cd 51');
  });
  p.experiment('a gate to 32-bit code', () => {
    p.setGate(0x51, { selector: Selector.code32 });
    p.mark();
    p.raw('cd 51');
  });
  p.experiment('a gate to code of ring 3', () => {
    p.setGate(0x51, { selector: Selector.user });
    p.mark();
    p.raw('cd 51');
  });
  p.experiment('a vector beyond the IDT', () => {
    p.lea(RDI, 'idt_register');
    p.raw('66 c7 07 ff 02'); // limit: 0x30 gates
    p.raw('0f 01 1f');
    p.mark();
    p.raw('cd 50');
  });
  p.experiment('the IDT is whole again', () => {
    p.lea(RDI, 'idt_register');
    p.raw('66 c7 07 ff 0f 0f 01 1f');
  });
  p.experiment('a trap gate leaves IF, an interrupt gate clears it', () => {
    p.setGate(0x52, { label: 'show_flags', type: TRAP_GATE });
    p.setGate(0x53, { label: 'show_flags', type: INTERRUPT_GATE });
    p.raw('fb cd 52 cd 53 fa');
  });
  p.experiment('a gate with a stack of its own', () => {
    p.setGate(0x54, { ist: 1 });
    p.mark();
    p.raw('cd 54');
  });
  p.experiment('a stack of its own that is not canonical', () => {
    p.lea(RDI, 'tss');
    p.movImmediate64(RAX, 0x800000000000);
    p.store(at(RDI, 44), RAX);
    p.setGate(0x55, { ist: 2 });
    p.mark();
    p.raw('cd 55');
  });
  p.experiment('a stack of its own that is not mapped', () => {
    p.lea(RDI, 'tss');
    p.movImmediate64(RAX, 0x8000000800);
    p.store(at(RDI, 44), RAX);
    p.mark();
    p.raw('cd 55');
  });
  p.experiment('a fault whose gate is missing: a double fault', () => {
    p.setGate(8, { ist: 1 });
    p.setGate(14, { type: 0x0e });
    p.movImmediate64(RBX, 0x8000000000);
    p.mark();
    p.raw('48 8b 03');
  });
  p.experiment('an undefined instruction whose gate is missing: not a double fault', () => {
    p.setGate(14);
    p.setGate(6, { type: 0x0e });
    p.mark();
    p.undefined();
  });
  p.experiment('a fault on a stack that is not there: a double fault', () => {
    p.setGate(6);
    p.setGate(14);
    p.movImmediate64(RSP, 0x8000000800);
    p.movImmediate64(RBX, 0x8000000000);
    p.mark0();
    p.raw('48 8b 03');
  });
  // The handler of the trap gates: pops nothing, prints IF, goes back.
  const over = p.fresh();
  p.jump(over);
  p.label('show_flags');
  p.raw('9c'); // pushf
  p.pop(RAX);
  p.andImmediate(RAX, 0x200);
  p.sayValue('if', 3);
  p.raw('48 cf');
  p.label(over);
};
