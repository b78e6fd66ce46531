/** Page tables: rights, large pages, what the TLB must be told. */
import { at, RAX, RBX, RDI, RDX } from '../../../guest/tiny/assembler.ts';
import type { Experiments } from './group.ts';
import { EFER } from './msrs.ts';
import { findOtherEntry, LARGE, LARGE_USER, OTHER_PAGE, setOther } from './other-page.ts';

export const pages: Experiments = (p) => {
  p.experiment('a read-only page, CR0.WP clear', () => {
    setOther(p, 0x81);
    p.movImmediate(RBX, OTHER_PAGE);
    p.mark();
    p.raw('48 89 03');
  });
  p.experiment('a read-only page, CR0.WP set', () => {
    p.raw('0f 20 c0'); // cr0
    p.orImmediate(RAX, 0x10000);
    p.raw('0f 22 c0');
    p.movImmediate(RBX, OTHER_PAGE);
    p.mark();
    p.raw('48 89 03');
  });
  p.experiment('WP cleared again', () => {
    p.raw('0f 20 c0');
    p.andImmediate(RAX, ~0x10000);
    p.raw('0f 22 c0');
    p.movImmediate(RBX, OTHER_PAGE);
    p.raw('48 89 03');
  });
  p.experiment('NX without EFER.NXE is a reserved bit', () => {
    setOther(p, LARGE, true);
    p.movImmediate(RBX, OTHER_PAGE);
    p.mark();
    p.raw('48 8b 03');
  });
  p.experiment('NX with EFER.NXE: a read', () => {
    p.readMsr(EFER);
    p.orImmediate(RAX, 0x800);
    p.clear(RDX);
    p.raw('0f 30');
    p.movImmediate(RBX, OTHER_PAGE);
    p.raw('48 8b 03');
  });
  p.experiment('NX with EFER.NXE: a jump', () => {
    p.movImmediate(RBX, OTHER_PAGE);
    p.store('mark', RBX);
    p.raw('ff e3');
  });
  p.experiment('INVLPG shows another page', () => {
    setOther(p, LARGE);
    p.movImmediate(RBX, OTHER_PAGE);
    p.movImmediate(RAX, 0x1234);
    p.raw('48 89 03');
    findOtherEntry(p);
    p.movImmediate(RAX, (OTHER_PAGE + 0x200000) | LARGE);
    p.store(at(RDI), RAX);
    p.raw('0f 01 3b'); // invlpg [rbx]
    p.load(RAX, at(RBX));
    p.sayValue('other', 4);
    setOther(p, LARGE);
    p.movImmediate(RBX, OTHER_PAGE);
    p.load(RAX, at(RBX));
    p.sayValue('first', 4);
  });
  p.experiment('accessed and dirty bits', () => {
    setOther(p, LARGE);
    const show = (name: string) => {
      findOtherEntry(p);
      p.load(RAX, at(RDI));
      p.sayValue(name, 3);
    };
    show('fresh');
    p.movImmediate(RBX, OTHER_PAGE);
    p.load(RAX, at(RBX));
    show('read');
    p.movImmediate(RBX, OTHER_PAGE);
    p.store(at(RBX), RBX);
    show('written');
  });
  p.experiment('a large page of 1 GiB', () => {
    p.raw('0f 20 df 48 8b 3f 48 81 e7 00 f0 ff ff'); // rdi = the second level
    p.movImmediate64(RAX, 0x40000083);
    p.store(at(RDI, 40), RAX);
    p.movImmediate64(RBX, 5 * 0x40000000);
    p.mark();
    p.raw('48 8b 03');
  });
  p.experiment('a user page read by the supervisor', () => {
    setOther(p, LARGE_USER);
    p.movImmediate(RBX, OTHER_PAGE);
    p.raw('48 8b 03');
    setOther(p, LARGE);
  });
};
