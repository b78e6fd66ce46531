import assert from 'node:assert/strict';
import { test } from 'node:test';
import { x86_64 as wide } from '../../abi/xen/numbers/index.ts';
import { CPU_DR, CPU_TSC_AUX, CPU_TSC_OFFSET } from '../../machine/layout.ts';
import { PAGE_SIZE } from '../../machine/memory.ts';
import { FS, GS, R15, RAX, RBX, RCX, RDI, RDX, RSI } from '../../machine/x86/registers.ts';
import { exits } from '../testing/fake-processor.ts';
import {
  handlerOf,
  hex64,
  hexOf,
  KERNEL,
  KERNEL_CODE,
  KERNEL_STACK,
  USER,
  XenWorld,
} from '../testing/world.ts';

/** A world whose kernel has just executed the instruction `bytes`, which the processor refused with #GP(0). */
function protection(bytes: readonly number[], arrange: (world: XenWorld) => void = () => {}): XenWorld {
  const world = new XenWorld();
  world.setHandlers();
  world.poke(KERNEL_CODE, ...bytes);
  arrange(world);
  world.step(exits.exception(13, 0));
  return world;
}

/** The instruction was emulated: RIP is behind it. */
function assertDone(world: XenWorld, length: number): void {
  assert.equal(hexOf(world.state.rip), hexOf(KERNEL_CODE + length));
}

/** The guest got its exception, at the instruction. */
function assertRaised(world: XenWorld, vector: number): void {
  assert.equal(hexOf(world.state.rip), hexOf(handlerOf(vector)));
  const withCode = vector === 13 || vector === 14;
  assert.equal(world.words(world.state.reg(4), 4)[withCode ? 3 : 2], hexOf(KERNEL_CODE));
}

test('CLI and STI are no-ops where IOPL suffices, and leave the event mask alone', () => {
  for (const opcode of [0xfa, 0xfb]) {
    const world = protection([opcode], ({ vcpu }) => {
      vcpu.iopl = 1;
      vcpu.upcallMask = 1;
    });
    assertDone(world, 1);
    assert.equal(world.vcpu.upcallMask, 1);
  }
});

test('CLI and STI are #GP where IOPL does not suffice', () => {
  assertRaised(protection([0xfa]), 13);
  const user = new XenWorld();
  user.setHandlers();
  user.vcpu.iopl = 1;
  user.startUser();
  user.poke(USER, 0xfb);
  user.step(exits.exception(13, 0));
  assert.equal(user.state.rip, handlerOf(13));
});

test('CLTS, and MOV to CR0, change TS and nothing else', () => {
  const clts = protection([0x0f, 0x06], ({ vcpu }) => {
    vcpu.taskSwitched = true;
  });
  assertDone(clts, 2);
  assert.equal(clts.vcpu.taskSwitched, false);
  // mov %rbx, %cr0
  const set = protection([0x0f, 0x22, 0xc3], ({ state }) => state.setReg(RBX, state.cr0 | 8, 0));
  assertDone(set, 3);
  assert.equal(set.vcpu.taskSwitched, true);
  const other = protection([0x0f, 0x22, 0xc3], ({ state }) => state.setReg(RBX, state.cr0 ^ 0x10000, 0));
  assertRaised(other, 13);
});

test('MOV from CR0, CR2, CR3 and CR4 shows the guest’s view', () => {
  // mov %cr0, %rax with TS set
  const cr0 = protection([0x0f, 0x20, 0xc0], ({ vcpu }) => {
    vcpu.taskSwitched = true;
  });
  assert.equal(cr0.register(RAX), '000000008005003b');
  const cr2 = protection([0x0f, 0x20, 0xd0], ({ vcpu }) => vcpu.setCr2(0x1234, -1));
  assert.equal(cr2.register(RAX), 'ffffffff00001234');
  const cr3 = protection([0x0f, 0x20, 0xd8]);
  assert.equal(cr3.register(RAX), hexOf(cr3.kernelRoot * PAGE_SIZE));
  // mov %cr4, %r15: PAE MCE OSFXSR OSXMMEXCPT
  const cr4 = protection([0x41, 0x0f, 0x20, 0xe7]);
  assertDone(cr4, 4);
  assert.equal(cr4.register(R15), '0000000000000660');
});

test('MOV to CR2 is seen in vcpu_info too', () => {
  const world = protection([0x0f, 0x22, 0xd0], ({ state }) => state.setReg(RAX, 0x5678, -1));
  assert.equal(world.memory.read32(world.vcpu.vcpuInfo + 16), 0x5678);
  assert.equal(world.memory.read32(world.vcpu.vcpuInfo + 20), -1);
});

test('MOV to CR3 loads a root of the guest’s, and is #GP for any other frame', () => {
  const own = protection([0x0f, 0x22, 0xd8], (world) =>
    world.state.setReg(RAX, world.userRoot * PAGE_SIZE, 0),
  );
  // From here on the kernel's own code is not mapped; what matters is that the root was taken.
  assert.equal(own.vcpu.kernelTable, own.userRoot);
  assert.equal(own.state.cr3, own.userRoot * PAGE_SIZE);
  assertRaised(
    protection([0x0f, 0x22, 0xd8], ({ state }) => state.setReg(RAX, 255 * PAGE_SIZE, 0)),
    13,
  );
});

test('MOV to CR4 keeps TSD and DE and ignores the rest', () => {
  const world = protection([0x0f, 0x22, 0xe0], ({ state }) => state.setReg(RAX, 0x0c | 0x40000 | 0x80, 0));
  assertDone(world, 3);
  assert.equal(world.vcpu.cr4, 0x66c);
  assert.equal(world.state.cr4 & 0x40080, 0);
  assert.equal(world.state.cr4 & 4, 4, 'and the processor heeds TSD');
});

test('CR8 does not exist', () => {
  assertRaised(protection([0x44, 0x0f, 0x20, 0xc0]), 13);
});

test('debug registers are read and written; DR4 is DR6 until CR4.DE', () => {
  // mov %rax, %dr1
  const set = protection([0x0f, 0x23, 0xc8], ({ state }) => state.setReg(RAX, 0x1000, 0));
  assert.equal(set.state.low(CPU_DR + 8), 0x1000);
  // A breakpoint in the hypervisor is refused.
  assertRaised(
    protection([0x0f, 0x23, 0xc8], ({ state }) => state.setRegNumber(RAX, wide.HYPERVISOR_VIRT_START)),
    13,
  );
  const dr4 = protection([0x0f, 0x21, 0xe0]);
  assert.equal(dr4.register(RAX), '00000000ffff0ff0');
  assertRaised(
    protection([0x0f, 0x21, 0xe0], ({ vcpu }) => {
      vcpu.cr4 |= 8;
    }),
    6,
  );
});

test('RDTSC and RDTSCP work under CR4.TSD, in user mode too', () => {
  const world = new XenWorld();
  world.setHandlers();
  world.startUser();
  world.poke(USER, 0x0f, 0x01, 0xf9);
  world.clock.advance(0x1_2345_6789);
  world.state.set(CPU_TSC_AUX, 7, 0);
  world.step(exits.exception(13, 0));
  assert.equal(world.state.rip, USER + 3);
  assert.deepEqual(
    [world.register(RAX), world.register(RDX), world.register(RCX)],
    [hexOf(0x23456789), hexOf(1), hexOf(7)],
  );
});

test('WBINVD does nothing', () => {
  assertDone(protection([0x0f, 0x09]), 2);
});

test('HLT, INVLPG, LMSW, RDPMC and LGDT stay #GP; XSETBV is #UD', () => {
  for (const bytes of [[0xf4], [0x0f, 0x01, 0x38], [0x0f, 0x01, 0xf0], [0x0f, 0x33], [0x0f, 0x01, 0x10]]) {
    assertRaised(protection(bytes), 13);
  }
  assertRaised(protection([0x0f, 0x01, 0xd1]), 6);
});

test('nothing privileged works in user mode', () => {
  for (const bytes of [
    [0x0f, 0x06],
    [0x0f, 0x20, 0xc0],
    [0x0f, 0x32],
    [0x0f, 0x30],
    [0x0f, 0x09],
  ]) {
    const world = new XenWorld();
    world.setHandlers();
    world.startUser();
    world.poke(USER, ...bytes);
    world.step(exits.exception(13, 0));
    assert.equal(world.state.rip, handlerOf(13));
  }
});

test('a #GP with an error code is the guest’s whatever the instruction', () => {
  const world = new XenWorld();
  world.setHandlers();
  world.poke(KERNEL_CODE, 0x0f, 0x06);
  world.step(exits.exception(13, 0x28));
  assertRaised(world, 13);
});

test('IN reads ones and OUT is lost where IOPL suffices; else they are #GP', () => {
  const read = protection([0xec], ({ vcpu, state }) => {
    vcpu.iopl = 1;
    state.setReg(RAX, 0x1200, 5);
  });
  assertDone(read, 1);
  assert.equal(read.register(RAX), hex64(0x12ff, 5));
  const wideRead = protection([0xe5, 0x60], ({ vcpu, state }) => {
    vcpu.iopl = 1;
    state.setReg(RAX, 0, 5);
  });
  assertDone(wideRead, 2);
  assert.equal(wideRead.register(RAX), '00000000ffffffff');
  assertDone(
    protection([0x66, 0xef], ({ vcpu }) => {
      vcpu.iopl = 3;
    }),
    2,
  );
  assertRaised(protection([0xe4, 0x60]), 13);
});

test('the I/O bitmap opens single ports', () => {
  const open = (port: number, bytes: readonly number[]) =>
    protection(bytes, ({ vcpu, state }) => {
      vcpu.ioBitmap = KERNEL + 3 * PAGE_SIZE;
      vcpu.ioBitmapPorts = 0x100;
      vcpu.guest.writeBytes(vcpu.ioBitmap, new Uint8Array(33).fill(0xff));
      vcpu.guest.write8(vcpu.ioBitmap + 8, 0b11111110);
      state.setReg(RDX, port, 0);
    });
  assertDone(open(0x40, [0xec]), 1);
  assertRaised(open(0x41, [0xec]), 13);
  // Two ports wanted, one open.
  assertRaised(open(0x40, [0x66, 0xed]), 13);
  assertRaised(open(0x200, [0xec]), 13);
});

test('ports of one access may have their bits in two bytes of the bitmap, of which all must be there', () => {
  const word = (first: number, second: number, ports = 0x100) =>
    protection([0x66, 0xed], ({ vcpu, state }) => {
      vcpu.ioBitmap = KERNEL + 3 * PAGE_SIZE;
      vcpu.ioBitmapPorts = ports;
      vcpu.guest.write8(vcpu.ioBitmap + 8, first);
      vcpu.guest.write8(vcpu.ioBitmap + 9, second);
      state.setReg(RDX, 0x47, 0);
    });
  assertDone(word(0x7f, 0xfe), 2);
  assertRaised(word(0x7f, 0xff), 13);
  assertRaised(word(0xff, 0xfe), 13);
  assertDone(word(0, 0, 0x49), 2);
  assertRaised(word(0, 0, 0x48), 13);
});

test('REP INSB stores ones through RDI', () => {
  const at = KERNEL + 4 * PAGE_SIZE;
  const world = protection([0xf3, 0x6c], ({ vcpu, state }) => {
    vcpu.iopl = 1;
    state.setReg(RCX, 5, 0);
    state.setRegNumber(RDI, at);
  });
  assertDone(world, 2);
  assert.equal(world.words(at, 1)[0], '000000ffffffffff');
  assert.deepEqual([world.state.regLow(RCX), world.state.reg(RDI)], [0, at + 5]);
});

test('INS stores through ES whatever the prefix, by 32 bits of RDI with an address prefix', () => {
  const at = KERNEL + 4 * PAGE_SIZE;
  const world = protection([0x64, 0x6c], ({ vcpu, state }) => {
    vcpu.iopl = 1;
    state.setSegmentBase(FS, 16, 0);
    state.setRegNumber(RDI, at);
  });
  assertDone(world, 2);
  assert.equal(world.words(at, 1)[0], hex64(0xff, 0));
  const short = protection([0x67, 0x6d], ({ vcpu, state }) => {
    vcpu.iopl = 1;
    state.setReg(RDI, USER, 5);
  });
  assertDone(short, 2);
  assert.equal(short.words(USER, 1)[0], hex64(-1, 0));
  assert.equal(short.register(RDI), hexOf(USER + 4));
});

test('a long REP INSB is done in portions, the instruction standing where it is', () => {
  const at = KERNEL + 4 * PAGE_SIZE;
  const world = protection([0xf3, 0x6c], ({ vcpu, state }) => {
    vcpu.iopl = 1;
    state.setReg(RCX, 3000, 0);
    state.setRegNumber(RDI, at);
  });
  assertDone(world, 0);
  assert.deepEqual([world.state.regLow(RCX), world.state.reg(RDI)], [3000 - 1024, at + 1024]);
});

test('INSB that meets an unmapped page is a page fault by a write', () => {
  const world = protection([0x6c], ({ vcpu, state }) => {
    vcpu.iopl = 1;
    state.setRegNumber(RDI, KERNEL + 16 * PAGE_SIZE);
  });
  assertRaised(world, 14);
  assert.equal(world.words(KERNEL_STACK - 64, 3)[2], hexOf(2));
});

test('an instruction has 15 bytes at most', () => {
  const prefixes = (count: number) => new Array<number>(count).fill(0x66);
  assertDone(protection([...prefixes(13), 0x0f, 0x06]), 15);
  assertRaised(protection([...prefixes(14), 0x0f, 0x06]), 13);
});

test('REP OUTSB that meets an unmapped page faults at that byte', () => {
  const world = protection([0xf3, 0x6e], ({ vcpu, state }) => {
    vcpu.iopl = 1;
    state.setReg(RCX, 5, 0);
    state.setRegNumber(RSI, KERNEL + 16 * PAGE_SIZE - 2);
  });
  assertRaised(world, 14);
  assert.deepEqual(
    [world.state.regLow(6), world.state.cr2],
    [(KERNEL + 16 * PAGE_SIZE) | 0, KERNEL + 16 * PAGE_SIZE],
  );
  assert.equal(world.words(KERNEL_STACK - 64, 1)[0], hexOf(3));
});

test('a single-stepped instruction raises #DB behind it, with BS in DR6', () => {
  const world = protection([0x0f, 0x06], ({ vcpu }) => vcpu.setFlags(0x302));
  assert.equal(world.state.rip, handlerOf(1));
  assert.equal(world.words(KERNEL_STACK - 56, 3)[2], hexOf(KERNEL_CODE + 2));
  assert.notEqual(world.state.low(CPU_DR + 48) & 0x4000, 0);
});

test('an instruction that runs into an unmapped page is a page fault there', () => {
  const world = new XenWorld();
  world.setHandlers();
  const edge = KERNEL + 16 * PAGE_SIZE - 1;
  world.poke(edge, 0x0f);
  world.state.rip = edge;
  world.step(exits.exception(13, 0));
  assert.equal(world.state.rip, handlerOf(14));
  assert.equal(world.state.cr2, edge + 1);
});

// ------------------------------------------------------------------ MSRs

const WRMSR = [0x0f, 0x30];
const RDMSR = [0x0f, 0x32];

function rdmsr(msr: number, arrange: (world: XenWorld) => void = () => {}): XenWorld {
  return protection(RDMSR, (world) => {
    world.state.setReg(RCX, msr | 0, 0);
    arrange(world);
  });
}
function wrmsr(
  msr: number,
  low: number,
  high: number,
  arrange: (world: XenWorld) => void = () => {},
): XenWorld {
  return protection(WRMSR, (world) => {
    world.state.setReg(RCX, msr | 0, 0);
    world.state.setReg(RAX, low, 0);
    world.state.setReg(RDX, high, 0);
    arrange(world);
  });
}
function assertRead(world: XenWorld, low: number, high = 0): void {
  assertDone(world, 2);
  assert.deepEqual([world.register(RAX), world.register(RDX)], [hex64(low, 0), hex64(high, 0)]);
}

test('WRMSR of the segment bases works before any trap table exists, and only with canonical addresses', () => {
  const world = new XenWorld();
  world.poke(KERNEL_CODE, ...WRMSR);
  world.state.setReg(RCX, 0xc0000101 | 0, 0);
  world.state.setReg(RAX, 0x82000000 | 0, 0);
  world.state.setReg(RDX, -1, 0);
  world.step(exits.exception(13, 0));
  assert.equal(world.state.segmentBase(GS), -0x7e000000);
  assert.equal(wrmsr(0xc0000100, 0x1000, 0x7fff).state.segmentBase(FS), 0x7fff00001000);
  assert.equal(wrmsr(0xc0000102, 0x1000, 1).vcpu.gsBaseInactiveHigh, 1);
  assertRaised(wrmsr(0xc0000100, 0, 0x8000), 13);
});

test('RDMSR shows bases, EFER, PAT, the APIC base and machine-check capabilities as Xen does', () => {
  assertRead(
    rdmsr(0xc0000101, ({ state }) => state.setSegmentBase(GS, 5, 6)),
    5,
    6,
  );
  assertRead(
    rdmsr(0xc0000102, ({ vcpu }) => {
      vcpu.gsBaseInactiveLow = 9;
    }),
    9,
  );
  assertRead(rdmsr(0xc0000080), 0xd01);
  assertRead(rdmsr(0x277), 0x00070406, 0x501);
  assertRead(rdmsr(0x1b), 0xfee00900 | 0);
  assertRead(rdmsr(0x179), 0x01000c02);
  assertRead(rdmsr(0x404), -1, -1);
  // There are two banks.
  assertRead(rdmsr(0x408), 0);
  assertRead(rdmsr(0x405), 0);
  assertRead(rdmsr(0x1a0), 0x00801801);
  assertRead(rdmsr(0x345), 0);
});

test('RDTSC is the host’s clock and the offset of the vCPU', () => {
  const world = protection([0x0f, 0x31], ({ state, clock }) => {
    clock.advance(5);
    state.set(CPU_TSC_OFFSET, 7, 2);
  });
  assert.deepEqual([world.register(RAX), world.register(RDX)], [hexOf(12), hexOf(2)]);
});

test('WRMSR ignores what Xen ignores, and refuses bits that are not there', () => {
  for (const msr of [0xe7, 0xe8, 0x199, 0x19a, 0x1a0, 0x1b0, 0x17a, 0x280, 0xc001001f]) {
    assertDone(wrmsr(msr, 5, 6), 2);
  }
  for (const msr of [0x8b, 0x140]) {
    assertDone(wrmsr(msr, 0, 0), 2);
    assertRaised(wrmsr(msr, 1, 0), 13);
    assertRaised(wrmsr(msr, 0, 1), 13);
  }
  assert.equal(wrmsr(0xc0000103, 9, 0).state.low(CPU_TSC_AUX), 9);
  assertRaised(wrmsr(0xc0000103, 9, 1), 13);
});

test('a machine-check bank can be cleared and its control written in vain; banks that are not there take anything', () => {
  assertDone(wrmsr(0x404, 5, 6), 2);
  assertDone(wrmsr(0x405, 0, 0), 2);
  assertRaised(wrmsr(0x405, 1, 0), 13);
  assertRaised(wrmsr(0x407, 0, 1), 13);
  assertDone(wrmsr(0x409, 1, 0), 2);
  assertDone(wrmsr(0x47f, 0, 1), 2);
});

test('EFER can be written back, not changed', () => {
  assertDone(wrmsr(0xc0000080, 0xd01, 0), 2);
  assertRaised(wrmsr(0xc0000080, 0xd00, 0), 13);
});

test('an unknown MSR reads 0 while there is no #GP handler, and is #GP once there is', () => {
  const unknown = 0x1234;
  assertRead(
    rdmsr(unknown, ({ vcpu }) => vcpu.traps.set(13, 0, 0, 0)),
    0,
  );
  assertRaised(rdmsr(unknown), 13);
  assertRaised(wrmsr(unknown, 0, 0), 13);
  // Xen's own range is never faked.
  const own = new XenWorld();
  own.poke(KERNEL_CODE, ...RDMSR);
  own.state.setReg(RCX, 0x40000001, 0);
  own.step(exits.exception(13, 0));
  assert.equal(own.domain.live, false);
});

test('the hypercall page is written through its MSR into a frame of the guest', () => {
  const world = wrmsr(0x40000000, 0, 0, (self) => self.state.setReg(RAX, self.userRoot * PAGE_SIZE, 0));
  assertDone(world, 2);
  assert.equal(world.mm.references.get(world.userRoot), 0, 'and the frame is let go again');
  const page = new Uint8Array(64);
  world.memory.readBytes(world.userRoot * PAGE_SIZE, page);
  assert.deepEqual(
    [...page.subarray(0, 14)],
    [0x51, 0x41, 0x53, 0xb8, 0, 0, 0, 0, 0x0f, 0x05, 0x41, 0x5b, 0x59, 0xc3],
  );
  assertRaised(wrmsr(0x40000000, 255 * PAGE_SIZE, 0), 13);
  assertRaised(
    wrmsr(0x40000000, 0, 0, (self) => self.state.setReg(RAX, self.userRoot * PAGE_SIZE + 1, 0)),
    13,
  );
});
