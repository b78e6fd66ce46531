import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VMASST_TYPE_architectural_iopl, x86_64 as wide } from '../../abi/xen/numbers/index.ts';
import { PAGE_SIZE } from '../../machine/memory.ts';
import { CS, GS, R11, RAX, RCX, RSP, SS } from '../../machine/x86/registers.ts';
import { exits } from '../testing/fake-processor.ts';
import {
  ENTRY_STACK,
  handlerOf,
  hexOf,
  KERNEL,
  KERNEL_CODE,
  KERNEL_PAGES,
  KERNEL_STACK,
  USER,
  XenWorld,
} from '../testing/world.ts';
import { handlers } from './iret.ts';

interface Frame {
  readonly rax?: number;
  readonly r11?: number;
  readonly rcx?: number;
  readonly flags?: number;
  readonly rip?: number;
  readonly cs?: number;
  readonly rflags?: number;
  readonly rsp?: number;
  readonly ss?: number;
}

const AT = KERNEL + 2 * PAGE_SIZE;

/** Issues the iret hypercall with a frame at `at`. */
function iret(world: XenWorld, frame: Frame, at = AT): void {
  const { state, vcpu } = world;
  const words = [
    frame.rax ?? 0x11,
    frame.r11 ?? 0x22,
    frame.rcx ?? 0x33,
    frame.flags ?? 0,
    frame.rip ?? USER,
    frame.cs ?? wide.FLAT_USER_CS,
    frame.rflags ?? 0x202,
    frame.rsp ?? USER + 0x800,
    frame.ss ?? wide.FLAT_USER_SS,
  ];
  for (const [i, value] of words.entries()) {
    vcpu.guest.write64(at + i * 8, value | 0, Math.floor(value / 4294967296) | 0);
  }
  state.setRegNumber(RSP, at);
  state.setReg(RAX, 23, 0);
  state.rip = KERNEL_CODE + 2;
  world.step(exits.syscall());
}

function iretWorld(): XenWorld {
  const world = new XenWorld({ families: [handlers] });
  world.setHandlers();
  return world;
}

test('a code selector with RPL 3 returns to user mode: its tables, its GS base, all registers of the frame', () => {
  const world = iretWorld();
  const { state, vcpu } = world;
  vcpu.gsBaseInactiveLow = 0x5000;
  state.setSegmentBase(GS, 0x6000, 0);
  iret(world, { rflags: 0x246 });
  assert.equal(vcpu.kernelMode, false);
  assert.equal(state.cr3, world.userRoot * PAGE_SIZE);
  assert.equal(state.segmentBase(GS), 0x5000);
  assert.equal(vcpu.gsBaseInactiveLow, 0x6000);
  assert.deepEqual(
    [state.rip, state.reg(RSP), state.selector(CS), state.selector(SS), state.rflags],
    [USER, USER + 0x800, wide.FLAT_USER_CS, wide.FLAT_USER_SS, 0x246],
  );
  assert.deepEqual(
    [world.register(RAX), world.register(R11), world.register(RCX)],
    [hexOf(0x11), hexOf(0x22), hexOf(0x33)],
  );
});

test('a code selector with RPL 0 stays in the kernel', () => {
  const world = iretWorld();
  iret(world, { cs: 0xe030, ss: 0xe02b, rip: KERNEL_CODE + 0x100, rsp: KERNEL_STACK - 8 });
  assert.equal(world.vcpu.kernelMode, true);
  assert.deepEqual([world.state.rip, world.state.selector(CS)], [KERNEL_CODE + 0x100, 0xe033]);
});

test('IF in the frame becomes the event mask, inverted, while the processor keeps IF set', () => {
  for (const [rflags, mask] of [
    [0x202, 0],
    [0x002, 1],
  ] as const) {
    const world = iretWorld();
    world.vcpu.upcallMask = 1 - mask;
    iret(world, { rflags });
    assert.equal(world.vcpu.upcallMask, mask);
    assert.equal(world.state.rflags, 0x202);
  }
});

test('an event that the return unmasks is delivered before the target runs', () => {
  const world = iretWorld();
  world.vcpu.callbacks.event.address = KERNEL_CODE + 0x400;
  world.memory.u8[world.vcpu.vcpuInfoHost] = 1;
  iret(world, { rflags: 0x202 });
  assert.equal(world.state.rip, KERNEL_CODE + 0x400);
  assert.equal(world.vcpu.kernelMode, true);
  assert.deepEqual(world.words(ENTRY_STACK - 56, 4), [
    hexOf(0x33),
    hexOf(0x22),
    hexOf(USER),
    '000000000000e033',
  ]);
});

test('with VGCF_in_syscall the return is by SYSRET: RCX is RIP, R11 the flags, the selectors flat', () => {
  const world = iretWorld();
  iret(world, { flags: wide.VGCF_in_syscall, cs: 0x33, ss: 0x2b, rflags: 0x246 });
  const { state } = world;
  assert.deepEqual([world.register(RCX), world.register(R11)], [hexOf(USER), hexOf(0x246)]);
  assert.deepEqual([state.selector(CS), state.selector(SS)], [wide.FLAT_USER_CS64, wide.FLAT_USER_SS]);
  const compat = iretWorld();
  iret(compat, { flags: wide.VGCF_in_syscall, cs: wide.FLAT_USER_CS32 });
  assert.equal(compat.state.selector(CS), wide.FLAT_USER_CS32);
  assert.equal(compat.state.longMode, false);
});

test('IOPL and VM of the frame never reach the processor; IOPL is kept only with its assist', () => {
  const world = iretWorld();
  iret(world, { rflags: 0x23202 });
  assert.equal(world.state.rflags, 0x202);
  assert.equal(world.vcpu.iopl, 0);
  const other = iretWorld();
  other.domain.vmAssist |= 1 << VMASST_TYPE_architectural_iopl;
  iret(other, { rflags: 0x3202 });
  assert.equal(other.vcpu.iopl, 3);
});

test('a selector that cannot be loaded is #GP with that selector, at the instruction returned to', () => {
  for (const frame of [{ cs: 0x13 }, { cs: 0xe00b }, { cs: 0xe02b }, { ss: 0xe033 }, { ss: 0x17 }]) {
    const world = iretWorld();
    iret(world, frame);
    const words = world.words(ENTRY_STACK - 64, 5);
    assert.equal(world.state.rip, handlerOf(13), JSON.stringify(frame));
    assert.deepEqual([words[2], words[3]], [hexOf((frame.cs ?? frame.ss!) & 0xfffc), hexOf(USER)]);
  }
  const null_ = iretWorld();
  iret(null_, { ss: 0 });
  assert.deepEqual(null_.words(ENTRY_STACK - 64, 3)[2], hexOf(0));
});

test('CS and SS are what IRET to ring 3 takes: code and writable data, of ring 3, present', () => {
  const CODE = 0x00affb00;
  const STACK = 0x00cff300;
  const cases: readonly (readonly [code: number, stack: number, vector?: number, selector?: number])[] = [
    [CODE, STACK],
    // Conforming code may be of any ring.
    [0x00af9f00, STACK],
    // A call gate, ring 2, both 64-bit and 32-bit, not present.
    [0x0000ec00, STACK, 13, 8],
    [0x00afdb00, STACK, 13, 8],
    [0x00effb00, STACK, 13, 8],
    [0x00af7b00, STACK, 11, 8],
    // Code, data that cannot be written, ring 2, a gate, not present.
    [CODE, 0x00cffb00, 13, 16],
    [CODE, 0x00cff100, 13, 16],
    [CODE, 0x00cfd300, 13, 16],
    [CODE, 0x0000e200, 13, 16],
    [CODE, 0x00cf7300, 12, 16],
  ];
  for (const [code, stack, vector, selector] of cases) {
    const world = iretWorld();
    const mfn = world.frame();
    world.vcpu.tables.setGdt([mfn], 512);
    world.memory.write64(mfn * PAGE_SIZE + 8, 0xffff, code);
    world.memory.write64(mfn * PAGE_SIZE + 16, 0xffff, stack);
    iret(world, { cs: 8 | 3, ss: 16 | 3 });
    const what = `${code.toString(16)} ${stack.toString(16)}`;
    if (vector === undefined) {
      assert.deepEqual(
        [world.state.rip, world.state.selector(CS), world.state.selector(SS)],
        [USER, 11, 19],
        what,
      );
      continue;
    }
    assert.equal(world.state.rip, handlerOf(vector), what);
    assert.equal(world.words(ENTRY_STACK - 64, 3)[2], hexOf(selector!), what);
  }
});

test('a null selector names no descriptor, even where the first of the table is one', () => {
  for (const frame of [{ cs: 3 }, { ss: 0 }]) {
    const world = iretWorld();
    const mfn = world.frame();
    world.vcpu.tables.setGdt([mfn], 512);
    world.memory.write64(mfn * PAGE_SIZE, 0xffff, 'cs' in frame ? 0x00affb00 : 0x00cff300);
    iret(world, frame);
    assert.equal(world.state.rip, handlerOf(13));
    assert.equal(world.words(ENTRY_STACK - 64, 3)[2], hexOf(0));
  }
});

test('a code selector of ring 1 or 2 is the kernel’s, and raised to ring 3 like that of ring 0', () => {
  for (const rpl of [0, 1, 2]) {
    const world = iretWorld();
    iret(world, { cs: 0xe030 | rpl, ss: 0xe028 | rpl, rip: KERNEL_CODE + 0x100, rsp: KERNEL_STACK - 8 });
    assert.equal(world.vcpu.kernelMode, true);
    assert.deepEqual([world.state.selector(CS), world.state.selector(SS)], [0xe033, 0xe02b]);
  }
});

test('a return address that is not canonical is #GP(0)', () => {
  for (const flags of [0, wide.VGCF_in_syscall]) {
    const world = iretWorld();
    iret(world, { rip: 2 ** 47, flags });
    assert.equal(world.state.rip, handlerOf(13));
    const words = world.words(ENTRY_STACK - 64, 4);
    assert.deepEqual([words[2], words[3]], [hexOf(0), '0000800000000000']);
    assert.equal(words[0], flags === 0 ? hexOf(0x33) : words[3], 'SYSRET would have taken it from RCX');
  }
});

test('a frame may lie in two pages', () => {
  const world = iretWorld();
  iret(world, {}, KERNEL + 3 * PAGE_SIZE - 16);
  assert.equal(world.state.rip, USER);
});

test('returning to user mode without user page tables ends the domain', async () => {
  const world = iretWorld();
  world.vcpu.userTable = 0;
  iret(world, {});
  assert.match((await world.crash()).reason, /without having set page tables/);
});

test('a frame that cannot be read ends the domain, be it the first or the last of it', async () => {
  const cases = [
    [0x1000, '0x0000000000001000'],
    [KERNEL - 16, '0xffffffff80fffff0'],
    [KERNEL + KERNEL_PAGES * PAGE_SIZE - 16, '0xffffffff8100fff0'],
  ] as const;
  for (const [at, text] of cases) {
    const world = iretWorld();
    world.state.setRegNumber(RSP, at);
    world.state.setReg(RAX, 23, 0);
    world.step(exits.syscall());
    assert.match((await world.crash()).reason, new RegExp(`iret hypercall at ${text} is not readable`));
  }
});

test('an NMI for which there is no handler is lost', () => {
  const world = iretWorld();
  world.vcpu.traps.set(2, 0, 0, 0);
  world.vcpu.nmiPending = true;
  world.vcpu.prepare();
  assert.equal(world.domain.live, true);
  assert.deepEqual([world.vcpu.nmiPending, world.state.rip], [false, KERNEL_CODE]);
});

test('NMIs are held back until the handler’s iret', () => {
  const world = iretWorld();
  const { vcpu, state } = world;
  vcpu.nmiPending = true;
  vcpu.prepare();
  assert.equal(state.rip, handlerOf(2));
  vcpu.nmiPending = true;
  vcpu.prepare();
  assert.equal(state.rip, handlerOf(2));
  iret(world, {});
  assert.equal(state.rip, handlerOf(2));
  assert.equal(world.words(ENTRY_STACK - 56, 3)[2], hexOf(USER));
});
