/** Exceptions that instructions raise in ring 0. */
import { RAX, RBX, RCX, RDX, RSP } from '../../../guest/tiny/assembler.ts';
import type { Experiments } from './group.ts';

export const exceptions: Experiments = (p) => {
  p.experiment('a division by zero', () => {
    p.clear(RCX);
    p.clear(RDX);
    p.mark();
    p.divide(RCX);
  });
  p.experiment('an undefined instruction', () => {
    p.mark();
    p.undefined();
  });
  p.experiment('a breakpoint', () => {
    p.mark();
    p.raw('cc');
  });
  p.experiment('a software interrupt', () => {
    p.mark();
    p.raw('cd 50');
  });
  p.experiment('an address that is not canonical', () => {
    p.movImmediate64(RAX, 0x800000000000);
    p.mark();
    p.raw('48 8b 00');
  });
  p.experiment('a stack that is not canonical', () => {
    p.setGate(12, { ist: 1 });
    p.setGate(13, { ist: 1 });
    p.movImmediate64(RSP, 0x900000000000);
    p.movImmediate(RAX, 0);
    p.raw('50');
  });
  p.experiment('an unmapped page', () => {
    p.movImmediate64(RBX, 0x8000000000);
    p.mark();
    p.raw('48 8b 03');
  });
  p.experiment('a write to an unmapped page', () => {
    p.movImmediate64(RBX, 0x8000000000);
    p.mark();
    p.raw('48 89 03');
  });
  p.experiment('a jump to an unmapped page', () => {
    p.movImmediate64(RBX, 0x8000000000);
    p.lea(RAX, 'start');
    p.store('mark', RAX);
    p.raw('ff e3');
  });
  p.experiment('a single step', () => {
    p.raw('9c'); // pushf
    p.pop(RAX);
    p.orImmediate(RAX, 0x100);
    p.push(RAX);
    p.mark();
    p.raw('9d 90 90'); // popf; nop; nop
  });
  for (const [name, hex] of [
    ['CPUID', '0f a2'],
    ['CLTS', '0f 06'],
    ['IN', 'ec'],
  ] as const) {
    p.experiment(`a single step over ${name}`, () => {
      p.movImmediate(RAX, 0);
      p.movImmediate(RDX, 0x80);
      p.movImmediate(RCX, 0x102);
      p.push(RCX);
      p.mark();
      p.raw(`9d ${hex} 90`);
    });
  }
  p.experiment('DR6 tells of the step', () => {
    p.raw('0f 21 f0'); // mov rax, dr6
    p.sayValue('dr6');
    p.movImmediate64(RAX, 0xffff0ff0);
    p.raw('0f 23 f0');
  });
  p.experiment('INT1', () => {
    p.mark();
    p.raw('f1');
  });
  p.experiment('a prefix too many', () => {
    p.mark();
    p.raw('66 66 66 66 66 66 66 66 66 66 66 66 66 66 66 66 90');
  });
};
