/** Control, debug and model-specific registers. */
import { RAX, RCX, RDX } from '../../../guest/tiny/assembler.ts';
import type { Experiments } from './group.ts';
import { CSTAR, FS_BASE, GS_BASE, KERNEL_GS_BASE, LSTAR, SFMASK, TSC_AUX } from './msrs.ts';

export const registers: Experiments = (p) => {
  const faulting = (name: string, prepare: () => void, hex: string): void =>
    p.experiment(name, () => {
      prepare();
      p.mark();
      p.raw(hex);
    });
  p.experiment('control registers at the start', () => {
    p.raw('0f 20 c0');
    p.sayValue('cr0', 8);
    p.raw('0f 20 e0');
    p.sayValue('cr4', 8);
    p.raw('44 0f 20 c0');
    p.sayValue('cr8', 1);
  });
  faulting('CR1', () => {}, '0f 20 c8');
  faulting('CR8 of 16', () => p.movImmediate(RAX, 16), '44 0f 22 c0');
  p.experiment('CR8 keeps the priority', () => {
    p.movImmediate(RAX, 9);
    p.raw('44 0f 22 c0 31 c0 44 0f 20 c0');
    p.sayValue('cr8', 2);
    p.raw('31 c0 44 0f 22 c0');
  });
  p.experiment('CR2 is a register', () => {
    p.movImmediate64(RAX, 0x123456789a);
    p.raw('0f 22 d0 31 c0 0f 20 d0');
    p.sayValue('cr2');
  });
  p.experiment('SMSW and LMSW', () => {
    p.raw('0f 01 e0'); // smsw eax
    p.andImmediate(RAX, 0xffff);
    p.sayValue('msw', 4);
    p.movImmediate(RAX, 0xa);
    p.raw('0f 01 f0 0f 01 e0'); // lmsw: TS and MP, PE stays
    p.andImmediate(RAX, 0xffff);
    p.sayValue('msw', 4);
  });
  faulting('an x87 instruction with CR0.TS', () => {}, 'd9 e8');
  faulting('an SSE instruction without CR4.OSFXSR', () => {}, '0f 57 c0');
  p.experiment('CLTS', () => {
    p.raw('0f 06 db e3 d9 e8');
    p.raw('0f 01 e0');
    p.andImmediate(RAX, 0xffff);
    p.sayValue('msw', 4);
  });
  faulting('an unknown MSR', () => p.movImmediate(RCX, 0x1234), '0f 32');
  faulting(
    'an FS base that is not canonical',
    () => {
      p.movImmediate(RCX, FS_BASE | 0);
      p.movImmediate(RAX, 0);
      p.movImmediate(RDX, 0x8000);
    },
    '0f 30',
  );
  p.experiment('FS and GS bases, SWAPGS', () => {
    p.writeMsr(FS_BASE, 0x1000, 0x12);
    p.writeMsr(GS_BASE, 0x2000, 0x34);
    p.writeMsr(KERNEL_GS_BASE, 0x3000, 0x56);
    p.readMsr(FS_BASE);
    p.sayValue('fs');
    p.readMsr(GS_BASE);
    p.sayValue('gs');
    p.raw('0f 01 f8');
    p.readMsr(GS_BASE);
    p.sayValue('gs');
    p.readMsr(KERNEL_GS_BASE);
    p.sayValue('kernel');
    p.writeMsr(GS_BASE, 0);
    p.writeMsr(KERNEL_GS_BASE, 0);
  });
  p.experiment('PAT', () => {
    p.readMsr(0x277);
    p.sayValue('pat');
    p.movImmediate(RCX, 0x277);
    p.movImmediate(RAX, 0x00070402);
    p.movImmediate(RDX, 0x00070406);
    p.mark();
    p.raw('0f 30');
  });
  p.experiment('debug registers', () => {
    p.movImmediate64(RAX, 0x123456789a);
    p.raw('0f 23 c0 31 c0 0f 21 c0');
    p.sayValue('dr0');
    p.raw('0f 21 f8');
    p.sayValue('dr7');
    p.raw('0f 21 f0');
    p.sayValue('dr6');
    p.raw('0f 21 e0');
    p.sayValue('dr4');
  });
  faulting(
    'DR4 with CR4.DE',
    () => {
      p.raw('0f 20 e0');
      p.orImmediate(RAX, 8);
      p.raw('0f 22 e0');
    },
    '0f 21 e0',
  );
  faulting('DR7 with an upper half', () => p.movImmediate64(RAX, 0x100000400), '0f 23 f8');
  faulting('RDPMC without a counter', () => p.movImmediate(RCX, 0x1000), '0f 33');
  p.experiment('WBINVD and INVD do nothing to be seen', () => p.raw('0f 09 0f 08'));
  p.experiment('CR0.ET stays', () => {
    p.raw('0f 20 c0 34 10 0f 22 c0 0f 20 c0'); // mov rax, cr0; xor al, 10h; mov cr0, rax; mov rax, cr0
    p.sayValue('cr0', 8);
  });
  p.experiment('reserved bits of DR6 and DR7', () => {
    p.raw('31 c0 0f 23 f0 0f 21 f0'); // xor eax, eax; mov dr6, rax; mov rax, dr6
    p.sayValue('dr6');
    p.movImmediate(RAX, 0xd800);
    p.raw('0f 23 f8 0f 21 f8');
    p.sayValue('dr7');
  });
  p.experiment('DR7.GD guards the debug registers', () => {
    p.movImmediate(RAX, 0x2400);
    p.raw('0f 23 f8');
    p.mark();
    p.raw('0f 21 c0');
  });
  p.experiment('and lets the handler at them', () => {
    p.raw('0f 21 f0');
    p.sayValue('dr6');
    p.raw('0f 21 f8');
    p.sayValue('dr7');
  });
  const wrongMsr = (name: string, msr: number, high: number): void =>
    faulting(
      name,
      () => {
        p.movImmediate(RCX, msr | 0);
        p.movImmediate(RAX, 0);
        p.movImmediate(RDX, high);
      },
      '0f 30',
    );
  wrongMsr('a KERNEL_GS base that is not canonical', KERNEL_GS_BASE, 0x8000);
  wrongMsr('LSTAR that is not canonical', LSTAR, 0x8000);
  wrongMsr('CSTAR that is not canonical', CSTAR, 0x8000);
  wrongMsr('SFMASK with an upper half', SFMASK, 1);
  wrongMsr('TSC_AUX with an upper half', TSC_AUX, 1);
};
