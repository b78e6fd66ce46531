/** Descriptor tables, segment registers, IRETQ. */
import { RAX, RBP, RBX, RCX, RDI, RSP } from '../../../guest/tiny/assembler.ts';
import { Selector } from '../program.ts';
import type { Experiments } from './group.ts';

export const segments: Experiments = (p) => {
  const faulting = (name: string, prepare: () => void, hex: string): void =>
    p.experiment(name, () => {
      prepare();
      p.mark();
      p.raw(hex);
    });
  const selector = (value: number) => () => p.movImmediate(RAX, value);
  p.experiment('SGDT, SIDT, SLDT, STR', () => {
    p.lea(RDI, 'scratch');
    p.raw('0f 01 07'); // sgdt [rdi]
    p.raw('0f b7 07');
    p.sayValue('gdt', 4);
    p.lea(RDI, 'scratch');
    p.raw('48 8b 47 02'); // its base
    p.lea(RCX, 'gdt');
    p.subtract(RAX, RCX);
    p.sayValue('off');
    p.lea(RDI, 'scratch');
    p.raw('0f 01 0f 0f b7 07');
    p.sayValue('idt', 4);
    p.raw('31 c0 0f 00 c0');
    p.sayValue('ldt', 4);
    p.raw('31 c0 0f 00 c8');
    p.sayValue('tr', 4);
  });
  faulting('LTR of a busy task', selector(Selector.task), '0f 00 d8');
  faulting('LTR of a null selector', selector(0), '0f 00 d8');
  faulting('LTR of a code segment', selector(Selector.code), '0f 00 d8');
  faulting('LTR beyond the GDT', selector(0x100), '0f 00 d8');
  p.experiment('LTR of a task that is not present', () => {
    p.lea(RDI, 'gdt');
    p.raw('c6 47 75 09'); // mov byte [rdi+75h], 9
    p.movImmediate(RAX, Selector.busyTask);
    p.mark();
    p.raw('0f 00 d8');
  });
  p.experiment('LTR of a task with something where nothing may be', () => {
    p.lea(RDI, 'gdt');
    p.raw('c6 47 75 89 c7 47 7c 00 01 00 00'); // available; mov dword [rdi+7ch], 100h
    p.movImmediate(RAX, Selector.busyTask);
    p.mark();
    p.raw('0f 00 d8');
  });
  faulting('LLDT of a task', selector(Selector.task), '0f 00 d0');
  faulting('LLDT from the LDT', selector(Selector.local | 4), '0f 00 d0');
  p.experiment('LLDT, and a selector of the LDT', () => {
    p.movImmediate(RAX, Selector.local);
    p.raw('0f 00 d0 31 c0 0f 00 c0');
    p.sayValue('ldt', 4);
    p.movImmediate(RAX, 0x0c);
    p.raw('8e c0 8c c0'); // es
    p.sayValue('es', 4);
    p.movImmediate(RAX, 0x14);
    p.mark();
    p.raw('8e c0');
  });
  p.experiment('LLDT of a null selector: the LDT is gone', () => {
    p.movImmediate(RAX, 0);
    p.raw('0f 00 d0');
    p.movImmediate(RAX, 0x0c);
    p.mark();
    p.raw('8e c0');
  });
  faulting('SS with data of ring 3', selector(Selector.userData), '8e d0');
  faulting('SS with code', selector(Selector.code), '8e d0');
  p.experiment('SS with null in ring 0', () => p.raw('31 c0 8e d0'));
  faulting('DS with code that is not present', selector(Selector.absent), '8e d8');
  p.experiment('the accessed bit', () => {
    p.lea(RDI, 'gdt');
    p.raw('0f b6 47 2d'); // userData
    p.sayValue('before', 2);
    p.movImmediate(RAX, Selector.userData & ~3);
    p.raw('8e c0');
    p.lea(RDI, 'gdt');
    p.raw('c6 47 2d f2'); // not accessed
    p.movImmediate(RAX, Selector.userData);
    p.raw('8e c0');
    p.lea(RDI, 'gdt');
    p.raw('0f b6 47 2d');
    p.sayValue('after', 2);
  });
  p.experiment('LGDT from a page that is not there', () => {
    p.movImmediate64(RDI, 0x8000000000);
    p.mark();
    p.raw('0f 01 17');
  });
  faulting(
    'LGDT from a stack that is not canonical',
    () => p.movImmediate64(RBP, 0x800000000000),
    '0f 01 55 00', // lgdt [rbp]
  );
  const iretq = (name: string, cs: number, ss: number, flags = 0x2): void =>
    p.experiment(name, () => {
      const here = p.fresh();
      p.mov(RBX, RSP);
      for (const value of [ss, 0, flags, cs]) {
        p.movImmediate(RAX, value);
        if (value === 0) p.mov(RAX, RBX);
        p.push(RAX);
      }
      p.lea(RAX, here);
      p.push(RAX);
      p.mark();
      p.raw('48 cf');
      p.label(here);
      p.raw('9c');
      p.pop(RAX);
      p.sayValue('fl', 8);
    });
  iretq('IRETQ to ring 0', Selector.code, Selector.data);
  iretq('IRETQ to ring 0 with IOPL, NT and AC', Selector.code, Selector.data, 0x47002);
  p.experiment('NT is gone', () => p.raw('6a 02 9d'));
  iretq('IRETQ to a data segment', Selector.data, Selector.data);
  iretq('IRETQ beyond the GDT', 0x200, Selector.data);
  iretq('IRETQ to ring 3 with a stack of ring 0', Selector.user, Selector.data);
  iretq('IRETQ to code that is not present', Selector.absent, Selector.data);
  p.experiment('IRETQ with NT', () => {
    p.raw('9c');
    p.pop(RAX);
    p.orImmediate(RAX, 0x4000);
    p.push(RAX);
    p.raw('9d');
    p.mark();
    p.raw('48 cf');
  });
  p.experiment('VERR, VERW, LAR, LSL', () => {
    p.movImmediate(RAX, Selector.userData);
    p.raw('0f 00 e0 0f 94 c3 0f 00 e8 0f 94 c7'); // verr; sete bl; verw; sete bh
    p.raw('0f b7 c3');
    p.sayValue('rw', 4);
    p.movImmediate(RAX, Selector.task);
    p.raw('0f 02 c0');
    p.sayValue('lar', 8);
    p.movImmediate(RAX, Selector.task);
    p.raw('0f 03 c0');
    p.sayValue('lsl', 8);
  });
};
