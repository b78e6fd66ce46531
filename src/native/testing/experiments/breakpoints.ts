/** Breakpoints of the debug registers. */
import { at, RAX, RBX, RCX, RDI, RSP } from '../../../guest/tiny/assembler.ts';
import type { Experiments } from './group.ts';

/** DR7: breakpoint 0, enabled globally, by kind and length. */
const INSTRUCTION = 0x2;
const WRITE_4 = 0xd0002;
const ACCESS_4 = 0xf0002;
const WRITE_1 = 0x10002;
const FLAG_RF = 0x10000;

export const breakpoints: Experiments = (p) => {
  /** Watches a place with breakpoint 0. */
  const watch = (label: string, dr7: number, offset = 0): void => {
    p.lea(RAX, label);
    p.addImmediate(RAX, offset);
    p.raw('0f 23 c0'); // mov dr0, rax
    p.movImmediate(RAX, dr7);
    p.raw('0f 23 f8'); // mov dr7, rax
    p.lea(RBX, 'scratch');
  };
  /** An experiment that ends in #DB, or does not; the next one tells what DR6 has to say. */
  const watched = (name: string, body: () => void): void => {
    p.experiment(name, body);
    p.experiment(`DR6 behind ${name}`, () => {
      p.clear(RAX);
      p.raw('0f 23 f8'); // mov dr7, rax
      p.raw('0f 21 f0'); // mov rax, dr6
      p.sayValue('dr6');
      p.movImmediate64(RAX, 0xffff0ff0);
      p.raw('0f 23 f0');
    });
  };

  watched('a store', () => {
    watch('scratch', WRITE_4);
    p.mark();
    p.raw('89 03 90'); // mov [rbx], eax
  });
  watched('a store of the byte behind', () => {
    watch('scratch', WRITE_4);
    p.mark();
    p.raw('88 43 04 90'); // mov [rbx+4], al
  });
  watched('a load where stores are watched', () => {
    watch('scratch', WRITE_4);
    p.mark();
    p.raw('8b 03 90'); // mov eax, [rbx]
  });
  watched('a load where all is watched', () => {
    watch('scratch', ACCESS_4);
    p.mark();
    p.raw('8b 03 90');
  });
  watched('a push', () => {
    watch('user_stack_top', WRITE_4, -8);
    p.mark();
    p.lea(RSP, 'user_stack_top');
    p.raw('50 90');
  });
  watched('a store to a page that is not there', () => {
    p.movImmediate64(RAX, 0x8000000000);
    p.raw('0f 23 c0');
    p.mov(RBX, RAX);
    p.movImmediate(RAX, WRITE_4);
    p.raw('0f 23 f8');
    p.mark();
    p.raw('89 03 90');
  });
  watched('the third iteration of a repeated store', () => {
    watch('scratch', WRITE_1, 2);
    p.movImmediate(RCX, 16);
    p.mov(RDI, RBX);
    p.mark();
    p.raw('f3 aa 90'); // rep stosb
  });
  watched('a store in a single step', () => {
    watch('scratch', WRITE_4);
    p.movImmediate(RCX, 0x102);
    p.push(RCX);
    p.mark();
    p.raw('9d 89 03 90'); // popf; mov [rbx], eax
  });
  watched('an instruction', () => {
    watch('watched_nop', INSTRUCTION);
    p.mark();
    p.raw('90 90');
    p.label('watched_nop');
    p.raw('90 90');
  });
  watched('an instruction, watched in its middle', () => {
    watch('watched_move', INSTRUCTION, 1);
    p.mark();
    p.label('watched_move');
    p.raw('b8 00 00 00 00 90'); // mov eax, 0
  });
  watched('an instruction that RF lets pass, and its second round', () => {
    watch('watched_round', INSTRUCTION);
    p.clear(RCX);
    p.store(at(RBX), RCX);
    p.mov(RDI, RSP);
    p.raw('8c d1 51'); // mov ecx, ss; push rcx
    p.push(RDI);
    p.movImmediate(RCX, FLAG_RF | 2);
    p.push(RCX);
    p.raw('8c c9 51'); // mov ecx, cs; push rcx
    p.lea(RCX, 'watched_round');
    p.push(RCX);
    p.mark();
    p.raw('48 cf'); // iretq
    p.label('watched_round');
    p.raw('ff 03'); // inc dword [rbx]
    p.raw('eb fc'); // and again
  });
  p.experiment('how often it went round', () => {
    p.lea(RBX, 'scratch');
    p.load(RAX, at(RBX));
    p.sayValue('rounds');
  });
};
