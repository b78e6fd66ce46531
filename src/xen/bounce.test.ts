import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VMASST_TYPE_architectural_iopl, x86_64 as wide } from '../abi/xen/numbers/index.ts';
import { vcpu_info } from '../abi/xen/structures/index.ts';
import { PAGE_SIZE } from '../machine/memory.ts';
import { CS, GS, R11, RAX, RCX, RSP, SS } from '../machine/x86/registers.ts';
import { exits } from './testing/fake-processor.ts';
import {
  ENTRY_STACK,
  handlerOf,
  hexOf,
  KERNEL,
  KERNEL_CODE,
  KERNEL_STACK,
  USER,
  USER_PAGES,
  XenWorld,
} from './testing/world.ts';

const FLAGS = { TF: 0x100, IF: 0x200, NT: 0x4000, RF: 0x10000, AC: 0x40000 };

function kernelWorld(): XenWorld {
  const world = new XenWorld();
  world.setHandlers();
  return world;
}

test('an exception without error code in the kernel pushes seven words below its aligned stack', () => {
  const world = kernelWorld();
  const { state, vcpu } = world;
  state.setRegNumber(RSP, KERNEL_STACK - 4);
  state.setReg(RCX, 0x11111111, 0x22222222);
  state.setReg(R11, 0x33333333, 0x44444444);
  vcpu.upcallMask = 0;
  world.step(exits.exception(0));
  const bottom = KERNEL_STACK - 16 - 7 * 8;
  assert.equal(state.reg(RSP), bottom);
  assert.deepEqual(world.words(bottom, 7), [
    '2222222211111111',
    '4444444433333333',
    hexOf(KERNEL_CODE),
    // RPL 0 says that the kernel was interrupted; the saved mask is clear.
    '000000000000e030',
    '0000000000010202',
    hexOf(KERNEL_STACK - 4),
    '000000000000e02b',
  ]);
  assert.equal(state.rip, handlerOf(0));
  assert.equal(state.selector(CS), wide.FLAT_KERNEL_CS);
  assert.equal(state.selector(SS), wide.FLAT_KERNEL_SS);
});

test('an exception with an error code pushes it between R11 and RIP, and the stack is aligned before', () => {
  const world = kernelWorld();
  world.step(exits.exception(11, 0x1234));
  const bottom = KERNEL_STACK - 8 * 8;
  assert.equal(world.state.reg(RSP), bottom);
  assert.deepEqual(world.words(bottom, 4).slice(2), ['0000000000001234', hexOf(KERNEL_CODE)]);
});

test('eight exceptions have an error code, #AC among them; the others push none', () => {
  for (let vector = 0; vector < 20; vector++) {
    // A double fault ends the domain, and 2 is the NMI.
    if (vector === 2 || vector === 8) continue;
    const world = kernelWorld();
    world.state.setReg(R11, 0x77, 0);
    world.step(vector === 14 ? exits.pageFault(KERNEL, 1) : exits.exception(vector, 1));
    const withCode = [10, 11, 12, 13, 14, 17].includes(vector);
    const bottom = KERNEL_STACK - (withCode ? 64 : 56);
    assert.equal(hexOf(world.state.reg(RSP)), hexOf(bottom), `vector ${vector}`);
    assert.deepEqual(
      world.words(bottom, 3).slice(1),
      [hexOf(0x77), withCode ? hexOf(1) : hexOf(KERNEL_CODE)],
      `vector ${vector}`,
    );
  }
});

test('the frame shows the event mask in bits 32 to 39 of CS and, inverted, as IF', () => {
  const world = kernelWorld();
  world.vcpu.upcallMask = 1;
  world.step(exits.exception(0));
  const bottom = KERNEL_STACK - 7 * 8;
  assert.equal(world.words(bottom, 5)[3], '000000010000e030');
  assert.equal(world.words(bottom, 5)[4], '0000000000010002');
});

test('a handler registered with the mask flag is entered with events masked, the old mask saved', () => {
  const world = new XenWorld();
  world.setHandlers(4);
  world.vcpu.upcallMask = 0;
  world.step(exits.exception(0));
  assert.equal(world.vcpu.upcallMask, 1);
  assert.equal(world.words(KERNEL_STACK - 7 * 8, 4)[3], '000000000000e030');
  // Of a mask that is more than a bit nothing is lost.
  const other = new XenWorld();
  other.setHandlers(4);
  other.vcpu.upcallMask = 0x80;
  other.step(exits.exception(0));
  assert.equal(other.vcpu.upcallMask, 0x81);
  assert.equal(other.words(KERNEL_STACK - 7 * 8, 4)[3], '000000800000e030');
});

test('a handler registered without the mask flag leaves the mask alone', () => {
  const world = kernelWorld();
  world.vcpu.upcallMask = 0;
  world.step(exits.exception(0));
  assert.equal(world.vcpu.upcallMask, 0);
});

test('TF, NT, RF and AC are saved and then cleared; IF stays set in the processor', () => {
  const world = kernelWorld();
  const { TF, IF, NT, RF, AC } = FLAGS;
  world.vcpu.setFlags(TF | IF | NT | RF | AC | 0x41 | 2);
  world.vcpu.upcallMask = 0;
  world.step(exits.exception(0));
  assert.equal(world.words(KERNEL_STACK - 7 * 8, 5)[4], hexOf(TF | IF | NT | RF | AC | 0x41 | 2));
  assert.equal(world.state.rflags, IF | 0x41 | 2);
});

test('from user mode the frame goes to the registered stack, behind the kernel tables and GS base', () => {
  const world = kernelWorld();
  const { state, vcpu } = world;
  vcpu.gsBaseInactiveLow = 0x7000;
  state.setSegmentBase(GS, 0x1000, -1);
  world.startUser();
  assert.equal(state.segmentBase(GS), 0x7000);
  world.step(exits.exception(0));
  assert.equal(vcpu.kernelMode, true);
  assert.equal(state.cr3, world.kernelRoot * PAGE_SIZE);
  assert.equal(state.segmentBase(GS), -4294967296 + 0x1000);
  const bottom = ENTRY_STACK - 7 * 8;
  assert.equal(state.reg(RSP), bottom);
  const words = world.words(bottom, 7);
  assert.equal(words[2], hexOf(USER));
  assert.equal(words[3], '000000010000e033');
  assert.equal(words[5], hexOf(USER + USER_PAGES * PAGE_SIZE - 0x100));
});

test('a page fault shows its address in CR2 and in vcpu_info, and its user bit by the guest’s mode', () => {
  const world = kernelWorld();
  const address = KERNEL + 0x123456;
  world.step(exits.pageFault(address, 6));
  assert.equal(world.words(KERNEL_STACK - 8 * 8, 3)[2], '0000000000000002');
  assert.equal(world.state.cr2, address);
  const at = world.vcpu.vcpuInfo + vcpu_info.x64.offset.arch_cr2;
  assert.equal(world.memory.read32(at + 4) * 4294967296 + world.memory.readU32(at), address);
  assert.equal(world.state.rip, handlerOf(14));

  const user = kernelWorld();
  user.startUser();
  user.step(exits.pageFault(0x1000, 2));
  assert.equal(user.words(ENTRY_STACK - 8 * 8, 3)[2], '0000000000000006');
});

test('IOPL is in the frame only with the architectural_iopl assist', () => {
  const world = kernelWorld();
  world.vcpu.iopl = 1;
  world.step(exits.exception(0));
  assert.equal(world.words(KERNEL_STACK - 7 * 8, 5)[4], '0000000000010002');
  const other = kernelWorld();
  other.vcpu.iopl = 1;
  other.domain.vmAssist |= 1 << VMASST_TYPE_architectural_iopl;
  other.step(exits.exception(0));
  assert.equal(other.words(KERNEL_STACK - 7 * 8, 5)[4], '0000000000011002');
});

test('a frame may lie in two pages', () => {
  const world = kernelWorld();
  const top = KERNEL + 5 * PAGE_SIZE + 0x20;
  world.state.setRegNumber(RSP, top);
  const written: number[] = [];
  // Looking a page up writes to its tables, word by word.
  world.memory.noteWrite = (_at, bytes) => void (bytes > 4 && written.push(bytes));
  world.step(exits.exception(13, 0x55));
  assert.deepEqual(written, [32, 32], 'who holds code of either page is told');
  const bottom = top - 64;
  assert.equal(world.state.reg(RSP), bottom);
  const words = world.words(bottom, 8);
  assert.equal(words[2], '0000000000000055');
  assert.equal(words[3], hexOf(KERNEL_CODE));
  assert.equal(words[6], hexOf(top));
  assert.equal(words[7], '000000000000e02b');
});

test('the kernel is entered as SYSRET does: RCX is its address and R11 its flags', () => {
  const world = kernelWorld();
  world.step(exits.exception(0));
  assert.equal(world.register(RCX), hexOf(handlerOf(0)));
  assert.equal(world.register(R11), hexOf(world.state.rflags));
});

test('a pending event is delivered only while its mask is clear, and masks further ones', () => {
  const world = kernelWorld();
  const { vcpu, memory, state } = world;
  vcpu.callbacks.event.address = KERNEL_CODE + 0x400;
  memory.u8[vcpu.vcpuInfoHost] = 1;
  vcpu.prepare();
  assert.equal(state.rip, KERNEL_CODE);
  vcpu.upcallMask = 0;
  vcpu.prepare();
  assert.equal(state.rip, KERNEL_CODE + 0x400);
  assert.equal(vcpu.upcallMask, 1);
  assert.equal(world.words(KERNEL_STACK - 7 * 8, 4)[3], '000000000000e030');
  const stack = state.reg(RSP);
  vcpu.prepare();
  assert.equal(state.reg(RSP), stack);
});

test('an event on top of an exception saves what the guest would have had in RCX', () => {
  const world = kernelWorld();
  const { vcpu, memory, state } = world;
  vcpu.callbacks.event.address = KERNEL_CODE + 0x400;
  memory.u8[vcpu.vcpuInfoHost] = 1;
  vcpu.upcallMask = 0;
  state.setReg(RCX, 0x77, 0);
  world.step(exits.exception(0));
  assert.equal(state.rip, KERNEL_CODE + 0x400);
  const words = world.words(state.reg(RSP), 7);
  assert.equal(words[0], '0000000000000077');
  assert.equal(words[2], hexOf(handlerOf(0)));
});

test('an exception without a handler crashes the domain with a report', async () => {
  const world = new XenWorld();
  world.state.setReg(RAX, 0xabcd, 0);
  world.poke(KERNEL_CODE, 0x0f, 0x0b);
  world.step(exits.exception(6));
  const report = await world.crash();
  assert.match(report.reason, /unhandled #UD at RIP 0xffffffff81000000/);
  assert.equal(report.registers[RAX]!.low, 0xabcd);
  assert.equal(report.rip, KERNEL_CODE);
  assert.equal(report.kernelMode, true);
  assert.deepEqual([...report.code.subarray(0, 2)], [0x0f, 0x0b]);
  assert.equal(report.codeStart, KERNEL_CODE);
  assert.equal(report.stack.length, 40);
});

test('a stack that cannot be written crashes the domain', async () => {
  const world = kernelWorld();
  world.state.setRegNumber(RSP, 0x10000);
  world.step(exits.exception(0));
  assert.match((await world.crash()).reason, /stack 0x000000000000ffc8 is not writable/);
});

test('a stack in the hypervisor’s range, or that a frame would reach into it from, crashes the domain', async () => {
  for (const top of [wide.HYPERVISOR_VIRT_START + 0x1000, wide.HYPERVISOR_VIRT_END + 48]) {
    const world = kernelWorld();
    world.map(world.kernelRoot, wide.HYPERVISOR_VIRT_END, world.frame());
    world.state.setRegNumber(RSP, top);
    world.step(exits.exception(0));
    assert.match((await world.crash()).reason, /hypervisor's part/);
  }
  const above = kernelWorld();
  above.map(above.kernelRoot, wide.HYPERVISOR_VIRT_END, above.frame());
  above.state.setRegNumber(RSP, wide.HYPERVISOR_VIRT_END + 64);
  above.step(exits.exception(0));
  assert.equal(above.state.rip, handlerOf(0));
});
