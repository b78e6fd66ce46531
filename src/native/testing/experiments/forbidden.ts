/** Values that a processor refuses; a machine that takes them does not get far. */
import { at, RAX, RDI, RDX } from '../../../guest/tiny/assembler.ts';
import type { Experiments } from './group.ts';
import { EFER } from './msrs.ts';

export const forbidden: Experiments = (p) => {
  const faulting = (name: string, prepare: () => void, hex: string): void =>
    p.experiment(name, () => {
      prepare();
      p.mark();
      p.raw(hex);
    });
  const cr0 = (change: () => void) => () => {
    p.raw('0f 20 c0');
    change();
  };
  faulting(
    'CR0 without paging',
    cr0(() => p.raw('0f ba f0 1f')),
    '0f 22 c0',
  );
  faulting(
    'CR0 with NW and without CD',
    cr0(() => p.orImmediate(RAX, 0x20000000)),
    '0f 22 c0',
  );
  faulting(
    'CR0 with an upper half',
    cr0(() => p.raw('48 0f ba e8 20')),
    '0f 22 c0',
  );
  faulting('CR4 with a reserved bit', () => p.movImmediate(RAX, 0x1000020), '0f 22 e0');
  faulting('CR4 without PAE', () => p.movImmediate(RAX, 0), '0f 22 e0');
  faulting(
    'EFER with a reserved bit',
    () => {
      p.readMsr(EFER);
      p.orImmediate(RAX, 0x2);
      p.clear(RDX);
    },
    '0f 30',
  );
  faulting(
    'EFER without LME',
    () => {
      p.readMsr(EFER);
      p.andImmediate(RAX, ~0x100);
      p.clear(RDX);
    },
    '0f 30',
  );
  p.experiment('LGDT with a base that is not canonical', () => {
    p.lea(RDI, 'scratch');
    p.movImmediate64(RAX, 0x800000000000);
    p.store(at(RDI, 2), RAX);
    p.mark();
    p.raw('0f 01 17');
  });
};
