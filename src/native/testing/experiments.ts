/**
 * What the processor of the bare machine does, experiment by experiment; the same program runs on another machine for
 * comparison. Each group is a list of names and bodies.
 */
import { at, Condition, R8, RAX, RBX, RCX, RDI, RDX, RSI, RSP } from '../../guest/tiny/assembler.ts';
import { INTERRUPT_GATE, type Program, Selector, TRAP_GATE } from './program.ts';

export type Experiments = (p: Program) => void;

const EFER = 0xc0000080;
const STAR = 0xc0000081;
const LSTAR = 0xc0000082;
const SFMASK = 0xc0000084;
const FS_BASE = 0xc0000100;
const GS_BASE = 0xc0000101;
const KERNEL_GS_BASE = 0xc0000102;
/** A page that the program does not lie in: 2 MiB on, mapped large. */
const OTHER_PAGE = 0x400000;

/** RDI = address of the entry that maps OTHER_PAGE, in the tables that the program was given. */
function findOtherEntry(p: Program): void {
  p.raw('0f 20 df 48 8b 3f 48 81 e7 00 f0 ff ff'); // rdi = cr3; rdi = [rdi] & -4096
  p.raw('48 8b 3f 48 81 e7 00 f0 ff ff'); // again
  p.addImmediate(RDI, (OTHER_PAGE / 0x200000) * 8);
}

/** Gives the other page flags in place of those it had. */
function setOther(p: Program, flags: number, nx = false): void {
  findOtherEntry(p);
  p.movImmediate64(RAX, OTHER_PAGE | flags);
  if (nx) p.raw('48 0f ba e8 3f'); // bts rax, 63
  p.store(at(RDI), RAX);
  p.movImmediate(RDI, OTHER_PAGE);
  p.raw('0f 01 3f'); // invlpg [rdi]
}
const LARGE = 0x83;
const LARGE_USER = 0x87;

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
};

/** Values that a processor refuses; a machine that takes them does not get far. */
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

/** Masks all but one IRQ of the first controller, with vectors from 0x20. */
function startControllers(p: Program, mask: number): void {
  for (const [port, value] of [
    [0x20, 0x11],
    [0x21, 0x20],
    [0x21, 0x04],
    [0x21, 0x01],
    [0xa0, 0x11],
    [0xa1, 0x28],
    [0xa1, 0x02],
    [0xa1, 0x01],
    [0x21, mask],
    [0xa1, 0xff],
  ] as const) {
    p.out8(port, value);
  }
}

export const devices: Experiments = (p) => {
  p.experiment('the interrupt controllers keep their masks', () => {
    startControllers(p, 0xff);
    p.in8(0x21);
    p.sayValue('first', 2);
    p.in8(0xa1);
    p.sayValue('second', 2);
    p.out8(0x21, 0x5a);
    p.in8(0x21);
    p.sayValue('first', 2);
    p.out8(0x21, 0xff);
  });
  p.experiment('the timer wakes HLT, three times', () => {
    p.setGate(0x20, { label: 'tick' });
    p.clear(RAX);
    p.store('scratch', RAX);
    startControllers(p, 0xfe);
    p.out8(0x43, 0x34); // counter 0, both bytes, mode 2
    p.out8(0x40, 0x9c);
    p.out8(0x40, 0x2e); // 10 ms
    p.label('wait_tick');
    p.raw('fb f4'); // sti; hlt
    p.load(RAX, 'scratch');
    p.compareImmediate(RAX, 3);
    p.jumpIf(Condition.notEqual, 'wait_tick');
    p.raw('fa');
    p.out8(0x21, 0xff);
    p.load(RAX, 'scratch');
    p.sayValue('ticks', 1);
  });
  p.experiment(
    'a timer of one shot, while interrupts are off, waits for STI and one instruction more',
    () => {
      p.clear(RAX);
      p.store('scratch', RAX);
      startControllers(p, 0xfe);
      p.out8(0x43, 0x30); // mode 0
      p.out8(0x40, 0x10);
      p.out8(0x40, 0x00);
      p.label('wait_request');
      p.out8(0x20, 0x0a); // read IRR
      p.in8(0x20);
      p.andImmediate(RAX, 1);
      p.compareImmediate(RAX, 0);
      p.jumpIf(Condition.equal, 'wait_request');
      p.clear(RBX);
      p.lea(RDI, 'scratch');
      p.raw('fb 48 8b 1f 90 48 8b 0f fa'); // sti; mov rbx, [rdi]; nop; mov rcx, [rdi]; cli
      p.push(RCX);
      p.mov(RAX, RBX);
      p.sayValue('behind', 1);
      p.pop(RAX);
      p.sayValue('then', 1);
    },
  );
  p.experiment('POPF opens the window, too', () => {
    p.clear(RAX);
    p.store('scratch', RAX);
    p.out8(0x43, 0x30);
    p.out8(0x40, 0x10);
    p.out8(0x40, 0x00);
    p.label('wait_again');
    p.out8(0x20, 0x0a);
    p.in8(0x20);
    p.andImmediate(RAX, 1);
    p.compareImmediate(RAX, 0);
    p.jumpIf(Condition.equal, 'wait_again');
    p.lea(RDI, 'scratch');
    p.movImmediate(RAX, 0x202);
    p.push(RAX);
    p.raw('9d 48 8b 1f fa'); // popf; mov rbx, [rdi]; cli
    p.mov(RAX, RBX);
    p.sayValue('behind', 1);
  });
  p.experiment('the timer is quiet again', () => p.out8(0x21, 0xff));
  p.experiment('the serial port keeps what is written', () => {
    p.out8(0x3ff, 0xa5);
    p.in8(0x3ff);
    p.sayValue('scr', 2);
    p.out8(0x3fb, 0x83);
    p.out8(0x3f8, 0x01);
    p.out8(0x3f9, 0x02);
    p.in8(0x3f9);
    p.store('scratch', RAX); // what is printed now would go to the divisor
    p.out8(0x3f9, 0x00);
    p.out8(0x3fb, 0x03);
    p.load(RAX, 'scratch');
    p.sayValue('dlm', 2);
    p.in8(0x3fb);
    p.sayValue('lcr', 2);
    p.in8(0x3f9);
    p.sayValue('ier', 2);
    p.in8(0x3fd);
    p.sayValue('lsr', 2);
    p.in8(0x3fa);
    p.sayValue('iir', 2);
  });
  p.experiment('the serial port talks to itself', () => {
    p.out8(0x3fa, 0x07);
    p.out8(0x3fc, 0x1a); // loop, OUT2, RTS
    p.in8(0x3fe);
    p.andImmediate(RAX, 0xf0);
    p.store('scratch', RAX);
    p.out8(0x3f8, 0x41);
    p.label('wait_loop');
    p.in8(0x3fd);
    p.andImmediate(RAX, 1);
    p.compareImmediate(RAX, 0);
    p.jumpIf(Condition.equal, 'wait_loop');
    p.in8(0x3f8);
    p.mov(RBX, RAX);
    p.out8(0x3fc, 0x03);
    p.load(RAX, 'scratch');
    p.push(RBX);
    p.sayValue('msr', 2);
    p.pop(RAX);
    p.sayValue('data', 2);
    p.out8(0x3fa, 0x00);
  });
  p.experiment('an empty transmitter interrupts', () => {
    p.setGate(0x24, { label: 'serial_interrupt' });
    p.clear(RAX);
    p.store('scratch', RAX);
    startControllers(p, 0xef);
    p.out8(0x3fc, 0x0b); // OUT2
    p.out8(0x3f9, 0x02);
    p.raw('fb 90 90 90');
    p.label('wait_serial');
    p.load(RAX, 'scratch');
    p.compareImmediate(RAX, 0);
    p.jumpIf(Condition.equal, 'wait_serial');
    p.raw('fa');
    p.out8(0x3f9, 0x00);
    p.out8(0x21, 0xff);
    p.load(RAX, 'scratch');
    p.sayValue('iir', 2);
  });
  p.experiment('a string for the debug port, byte by byte', () => {
    p.lea(RSI, 'start');
    p.movImmediate(RCX, 3);
    p.movImmediate(RDX, 0x80);
    p.raw('f3 6e'); // rep outsb
    p.mov(RAX, RCX);
    p.sayValue('left', 1);
    p.lea(RCX, 'start');
    p.mov(RAX, RSI);
  });
  p.experiment('INS fills memory', () => {
    p.out8(0x3ff, 0x5a);
    p.lea(RDI, 'scratch');
    p.movImmediate(RCX, 4);
    p.movImmediate(RDX, 0x3ff);
    p.raw('f3 6c'); // rep insb
    p.load32(RAX, 'scratch');
    p.sayValue('data', 8);
  });
  p.experiment('a port where nothing is', () => {
    p.movImmediate(RDX, 0x5000);
    p.raw('ed'); // in eax, dx
    p.sayValue('eax', 8);
  });
  // The handlers.
  const over = p.fresh();
  p.jump(over);
  p.label('tick');
  p.push(RAX);
  p.push(RDX);
  p.load(RAX, 'scratch');
  p.addImmediate(RAX, 1);
  p.store('scratch', RAX);
  p.out8(0x20, 0x20);
  p.pop(RDX);
  p.pop(RAX);
  p.raw('48 cf');
  p.label('serial_interrupt');
  p.push(RAX);
  p.push(RDX);
  p.in8(0x3fa);
  p.store('scratch', RAX);
  p.out8(0x20, 0x20);
  p.pop(RDX);
  p.pop(RAX);
  p.raw('48 cf');
  p.label(over);
};

/** All groups, by name: each is a program of its own. */
export const GROUPS: Readonly<Record<string, Experiments>> = {
  exceptions,
  gates,
  user,
  pages,
  registers,
  forbidden,
  segments,
  'system-calls': systemCalls,
  devices,
};
