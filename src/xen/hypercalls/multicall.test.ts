import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PAGE_SIZE } from '../../machine/memory.ts';
import { RAX, RCX, RDI, RSI } from '../../machine/x86/registers.ts';
import { exits } from '../testing/fake-processor.ts';
import { hexOf, KERNEL, KERNEL_CODE, USER, XenWorld } from '../testing/world.ts';
import { CONTINUE, type HypercallFamily } from './dispatch.ts';
import { handlers as iretHandlers } from './iret.ts';
import { handlers } from './multicall.ts';

const AT = KERNEL + PAGE_SIZE;
const ENTRY = 64;

/** Writes entries, each an operation and its arguments, with a result that nobody returns. */
function list(world: XenWorld, entries: readonly (readonly number[])[], at = AT): void {
  for (const [i, [op, ...args]] of entries.entries()) {
    const words = [op!, 0x5a5a, ...args];
    for (const [j, value] of words.entries()) {
      world.vcpu.guest.write64(at + i * ENTRY + j * 8, value | 0, Math.floor(value / 4294967296) | 0);
    }
  }
}

function issue(world: XenWorld, count: number, at = AT): void {
  const { state } = world;
  state.setReg(RAX, 13, 0);
  state.setRegNumber(RDI, at);
  state.setRegNumber(RSI, count);
  state.rip = KERNEL_CODE + 2;
  world.step(exits.syscall());
}

function results(world: XenWorld, count: number, at = AT): string[] {
  return Array.from({ length: count }, (_, i) => world.words(at + i * ENTRY + 8, 1)[0]!);
}

test('each entry gets its own result, whatever became of the others', () => {
  const family: HypercallFamily = { 1: (_vcpu, args) => args.number(0) + args.number(4), 2: () => -1 };
  const world = new XenWorld({ families: [handlers, family] });
  list(world, [[1, 40, 0, 0, 0, 2], [2], [63], [1, -5], [2 ** 32 + 2], [64]]);
  issue(world, 6);
  assert.deepEqual(results(world, 6), [42, -1, -38, -5, -38, -38].map(hexOf));
  assert.equal(world.register(RAX), hexOf(0));
});

test('a multicall within a multicall is -EINVAL in its entry, and the outer one goes on', () => {
  const world = new XenWorld({ families: [handlers, { 2: () => 7 }] });
  list(world, [[13, AT, 1], [2]]);
  issue(world, 2);
  assert.deepEqual(results(world, 2), [hexOf(-22), hexOf(7)]);
  assert.equal(world.register(RAX), hexOf(0));
  assert.equal(world.vcpu.inMulticall, false);
});

test('an entry that faults is -EFAULT; a list that faults ends the multicall', () => {
  const world = new XenWorld({ families: [handlers, { 2: (vcpu, args) => vcpu.guest.read32(args.gva(0)) }] });
  list(world, [[2, 0x10]]);
  issue(world, 1);
  assert.deepEqual([results(world, 1)[0], world.register(RAX)], [hexOf(-14), hexOf(0)]);
  const end = KERNEL + 16 * PAGE_SIZE - ENTRY;
  list(world, [[63]], end);
  issue(world, 2, end);
  assert.deepEqual([results(world, 1, end)[0], world.register(RAX)], [hexOf(-38), hexOf(-14)]);
  assert.equal(world.vcpu.inMulticall, false);
});

test('a list may lie across pages', () => {
  const world = new XenWorld({ families: [handlers, { 2: (_vcpu, args) => args.number(4) }] });
  const at = KERNEL + 2 * PAGE_SIZE - 24;
  list(world, [[2, 0, 0, 0, 0, 99]], at);
  issue(world, 1, at);
  assert.equal(results(world, 1, at)[0], hexOf(99));
});

test('a preempted entry keeps its progress in the list, and the multicall is issued again with the rest', () => {
  let calls = 0;
  const family: HypercallFamily = {
    1: (_vcpu, args) => {
      calls++;
      if (args.number(1) === 0) return 5;
      args.set(1, 0);
      return CONTINUE;
    },
  };
  const world = new XenWorld({ families: [handlers, family, { 2: () => 3 }] });
  list(world, [[2], [1, 8, 1], [2]]);
  issue(world, 3);
  assert.equal(world.state.rip, KERNEL_CODE);
  assert.deepEqual([world.state.reg(RDI), world.state.reg(RSI)], [AT + ENTRY, 2]);
  assert.equal(world.words(AT + ENTRY + 24, 1)[0], hexOf(0));
  world.state.rip = KERNEL_CODE + 2;
  world.step(exits.syscall());
  assert.deepEqual(results(world, 3), [hexOf(3), hexOf(5), hexOf(3)]);
  assert.equal(calls, 2);
});

test('a long list is done in portions, at least one entry each', () => {
  const family: HypercallFamily = {
    1: (vcpu) => {
      for (let i = 0; i < 5000; i++) vcpu.preemptionDue();
      return 0;
    },
  };
  const world = new XenWorld({ families: [handlers, family] });
  list(world, [[1], [1]]);
  issue(world, 2);
  assert.deepEqual([world.state.reg(RDI), world.state.reg(RSI)], [AT + ENTRY, 1]);
  assert.equal(world.vcpu.work, 5001 * 20, 'and costs of the turn of the vCPU what it is worth');
});

test('an entry that puts the vCPU to sleep is the last before it wakes', () => {
  const family: HypercallFamily = {
    29: (vcpu) => {
      vcpu.block();
      return 0;
    },
    2: () => 1,
  };
  const world = new XenWorld({ families: [handlers, family] });
  list(world, [[29], [2]]);
  issue(world, 2);
  assert.equal(world.state.rip, KERNEL_CODE);
  assert.deepEqual(results(world, 2), [hexOf(0), hexOf(0x5a5a)]);
});

test('the iret hypercall as an entry ends the multicall in the context it returns to', () => {
  const world = new XenWorld({ families: [handlers, iretHandlers] });
  const stack = KERNEL + 3 * PAGE_SIZE;
  const frame = [0x11, 0x22, 0x33, 0, USER, 0xe033, 0x202, USER + 0x100, 0xe02b];
  for (const [i, value] of frame.entries()) world.vcpu.guest.write64(stack + i * 8, value, 0);
  world.state.setRegNumber(4, stack);
  list(world, [[23], [63]]);
  issue(world, 2);
  assert.deepEqual(
    [world.state.rip, world.register(RAX), world.register(RCX)],
    [USER, hexOf(0x11), hexOf(0x33)],
  );
  assert.equal(world.vcpu.inMulticall, false);
});

test('entries are counted by name', () => {
  const world = new XenWorld({ families: [handlers, { 1: () => 0 }] });
  list(world, [[1], [1]]);
  issue(world, 2);
  assert.deepEqual(world.host.stats.hypercalls(), { mmu_update: 2, multicall: 1 });
});
