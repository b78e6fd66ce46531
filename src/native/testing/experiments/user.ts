/** Ring 3: what it may not do, and the way back into ring 0. */
import { at, RAX, RDI } from '../../../guest/tiny/assembler.ts';
import { Selector } from '../program.ts';
import type { Experiments } from './group.ts';
import { LARGE, OTHER_PAGE, setOther } from './other-page.ts';

export const user: Experiments = (p) => {
  p.experiment('a software interrupt that ring 3 may use', () => {
    p.setGate(0x60, { type: 0xee });
    const here = p.fresh();
    p.lea(RAX, here);
    p.store('mark', RAX);
    p.enterUser(here);
    p.label(here);
    p.raw('cd 60');
  });
  const inUser = (name: string, hex: string, flags = 0x202, prepare: () => void = () => {}): void =>
    p.experiment(name, () => {
      prepare();
      const here = p.fresh();
      p.lea(RAX, here);
      p.store('mark', RAX);
      p.enterUser(here, flags);
      p.label(here);
      p.raw(hex);
      p.undefined();
    });
  inUser('a software interrupt that it may not', 'cd 61');
  inUser('a breakpoint that it may not', 'cc');
  // mov eax, ds; test eax, eax; jz +2; ud2; int 0x60
  inUser('data segments of ring 0 are null in ring 3', '8c d8 85 c0 74 02 0f 0b cd 60');
  inUser('HLT in ring 3', 'f4');
  inUser('CLI in ring 3', 'fa');
  inUser('CLI in ring 3 with IOPL 3', 'fa', 0x3202);
  inUser('STI in ring 3 with IOPL 3', 'fb', 0x3002);
  inUser('POPF cannot set IOPL, nor IF', '6a 00 9d', 0x202);
  inUser('POPF clears IF with IOPL 3', '6a 00 9d', 0x3202);
  inUser('MOV from CR0 in ring 3', '0f 20 c0');
  inUser('RDMSR in ring 3', '0f 32');
  inUser('LGDT in ring 3', '0f 01 14 24');
  inUser('INVLPG in ring 3', '0f 01 3c 24');
  inUser('SWAPGS in ring 3', '0f 01 f8');
  inUser('SYSRET in ring 3', '48 0f 07');
  inUser('an undefined instruction in ring 3', '90 90');
  inUser('OUT in ring 3', '66 ba 80 00 ee');
  inUser('OUT in ring 3 with IOPL 3', '66 ba 80 00 ee', 0x3202);
  inUser('OUT in ring 3 by the I/O map', '66 ba 80 00 ee', 0x202, () => {
    p.lea(RDI, 'tss');
    p.raw('66 c7 47 66 68 00'); // the map begins behind the TSS, and all of it is zero
  });
  inUser('a port that the I/O map forbids', '66 ba 7b 00 ec', 0x202, () => {
    p.lea(RDI, 'tss');
    p.raw('c6 47 77 08'); // the bit of port 0x7b
  });
  inUser('two ports of which it forbids the second', '66 ba 7a 00 66 ed');
  inUser('a port whose bits end one byte before the limit', '66 ba f0 00 ec');
  inUser('a port whose bits end at the limit: two bytes are looked at', '66 ba f8 00 ec');
  inUser('a port beyond the I/O map', '66 ba ff 03 ec', 0x202, () => {
    p.lea(RDI, 'tss');
    p.raw('66 c7 47 66 88 00');
  });
  inUser('a read of a supervisor page', `48 8b 04 25 00 00 40 00`);
  inUser('a write to a supervisor page', `48 89 04 25 00 00 40 00`);
  p.experiment('a jump to a supervisor page', () => {
    const here = p.fresh();
    p.movImmediate(RAX, OTHER_PAGE);
    p.store('mark', RAX);
    p.enterUser(here);
    p.label(here);
    p.raw('b8 00 00 40 00 ff e0'); // mov eax, OTHER_PAGE; jmp rax
  });
  inUser('a write to a read-only page of the user', `48 89 04 25 00 00 40 00`, 0x202, () =>
    setOther(p, 0x85),
  );
  inUser('a read of it', `48 8b 04 25 00 00 40 00`, 0x202);
  p.experiment('a page of the supervisor again', () => setOther(p, LARGE));
  inUser('a stack for ring 0 that is not mapped: a double fault', '0f 0b', 0x202, () => {
    p.setGate(8, { ist: 1 });
    p.lea(RDI, 'tss');
    p.movImmediate64(RAX, 0x8000000800);
    p.store(at(RDI, 4), RAX);
  });
  inUser('a stack for ring 0 that is not canonical: a double fault by way of #SS', 'f4', 0x202, () => {
    p.setGate(12, { ist: 1 });
    p.lea(RDI, 'tss');
    p.movImmediate64(RAX, 0x800000000000);
    p.store(at(RDI, 4), RAX);
  });
  p.experiment('the stack for ring 0 is good again', () => {
    p.lea(RDI, 'tss');
    p.lea(RAX, 'trap_stack_top');
    p.store(at(RDI, 4), RAX);
  });
  p.experiment('compatibility mode, and back through a gate', () => {
    const here = p.fresh();
    p.lea(RAX, here);
    p.store('mark', RAX);
    p.enterUser(here, 0x202, Selector.user32);
    p.label(here);
    p.raw('31 c0 40 cd 60'); // xor eax, eax; inc eax; int 0x60
  });
};
