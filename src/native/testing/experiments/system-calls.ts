/** SYSCALL and SYSRET. */
import { at, R8, RAX, RBX, RCX, RDX, RSP } from '../../../guest/tiny/assembler.ts';
import { Selector } from '../program.ts';
import type { Experiments } from './group.ts';
import { EFER, LSTAR, SFMASK, STAR } from './msrs.ts';

export const systemCalls: Experiments = (p) => {
  p.experiment('SYSCALL without EFER.SCE', () => {
    p.mark();
    p.syscall();
  });
  p.experiment('SYSRET without EFER.SCE', () => {
    p.mark();
    p.raw('48 0f 07');
  });
  p.experiment('SYSCALL and SYSRET', () => {
    p.setGate(0x60, { type: 0xee });
    p.readMsr(EFER);
    p.orImmediate(RAX, 1);
    p.clear(RDX);
    p.raw('0f 30');
    p.writeMsr(STAR, 0, (0x20 << 16) | Selector.code);
    p.lea(RAX, 'system_call');
    p.movImmediate(RCX, LSTAR | 0);
    p.clear(RDX);
    p.raw('0f 30');
    p.writeMsr(SFMASK, 0x40600); // AC IF DF
    const here = p.fresh();
    p.lea(RAX, here);
    p.store('mark', RAX);
    p.enterUser(here, 0x602);
    p.label(here);
    p.syscall();
    p.raw('cd 60');
    // In ring 0, on the user's stack.
    p.label('system_call');
    p.mov(RBX, RCX);
    p.mov(R8 + 2, 11);
    p.raw('9c');
    p.pop(RAX);
    p.push(11);
    p.push(RBX);
    p.sayValue('fl', 8);
    p.raw('8c c8');
    p.sayValue('cs', 4);
    p.raw('8c d0');
    p.sayValue('ss', 4);
    p.load(RAX, at(RSP, 8));
    p.sayValue('r11', 8);
    p.load(RAX, at(RSP));
    p.load(RCX, 'mark');
    p.subtract(RAX, RCX);
    p.sayValue('rcx', 4);
    p.newline();
    p.pop(RCX);
    p.pop(11);
    p.raw('48 0f 07'); // sysretq
  });
  p.experiment('SYSRET to an address that is not canonical', () => {
    p.movImmediate64(RCX, 0x800000000000);
    p.movImmediate(11, 0x202);
    p.mark();
    p.raw('48 0f 07');
  });
  p.experiment('SYSRET to compatibility mode', () => {
    const here = p.fresh();
    p.lea(RCX, here);
    p.store('mark', RCX);
    p.movImmediate(11, 0x202);
    p.raw('0f 07');
    p.label(here);
    p.raw('31 c0 40 cd 60'); // xor eax, eax; inc eax; int 0x60
  });
};
