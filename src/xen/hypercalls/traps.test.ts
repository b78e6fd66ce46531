import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PAGE_SIZE } from '../../machine/memory.ts';
import { KERNEL, KERNEL_CODE, XenWorld } from '../testing/world.ts';
import { HypercallArguments } from './arguments.ts';
import { CONTINUE } from './dispatch.ts';
import { handlers } from './traps.ts';

const AT = KERNEL + PAGE_SIZE;

function call(world: XenWorld, number: number, ...values: number[]): number {
  const args = new HypercallArguments();
  for (const [i, value] of values.entries()) args.set(i, value);
  const result = world.domain.hypercalls.call(world.vcpu, number, args);
  world.vcpu.args.set(0, args.number(0));
  return result;
}

function write64(world: XenWorld, at: number, value: number): void {
  world.vcpu.guest.write64(at, value | 0, Math.floor(value / 4294967296) | 0);
}

/** Writes a trap_info and returns the address behind it. */
function trapInfo(
  world: XenWorld,
  at: number,
  vector: number,
  flags: number,
  cs: number,
  address: number,
): number {
  world.poke(at, vector, flags, cs & 0xff, cs >> 8, 0, 0, 0, 0);
  write64(world, at + 8, address);
  return at + 16;
}

function trapWorld(): XenWorld {
  return new XenWorld({ families: [handlers] });
}

test('set_trap_table takes entries up to one with address 0, and raises selectors to RPL 3', () => {
  const world = trapWorld();
  let at = trapInfo(world, AT, 3, 3, 0xe030, KERNEL_CODE + 0x30);
  at = trapInfo(world, at, 14, 4, 0x10, KERNEL_CODE + 0xe0);
  at = trapInfo(world, at, 9, 0, 0, 0);
  trapInfo(world, at, 5, 0, 0x10, KERNEL_CODE);
  assert.equal(call(world, 0, AT), 0);
  const { traps } = world.vcpu;
  assert.deepEqual(
    [traps.address[3], traps.selector[3], traps.dpl(3), traps.masksEvents(3)],
    [KERNEL_CODE + 0x30, 0xe033, 3, false],
  );
  assert.deepEqual([traps.selector[14], traps.dpl(14), traps.masksEvents(14)], [0x13, 0, true]);
  assert.equal(traps.address[5], 0);
});

test('set_trap_table with a null pointer empties the table', () => {
  const world = trapWorld();
  world.setHandlers();
  assert.equal(call(world, 0, 0), 0);
  assert.ok(world.vcpu.traps.address.every((address) => address === 0));
});

test('set_trap_table refuses an address that is not canonical, keeping what came before it', () => {
  const world = trapWorld();
  trapInfo(world, trapInfo(world, AT, 1, 0, 0, KERNEL_CODE), 2, 0, 0, 2 ** 47);
  assert.equal(call(world, 0, AT), -22);
  assert.equal(world.vcpu.traps.address[1], KERNEL_CODE);
});

test('a trap table that leads out of mapped memory is -EFAULT', () => {
  const world = trapWorld();
  trapInfo(world, KERNEL + 16 * PAGE_SIZE - 16, 1, 0, 0, KERNEL_CODE);
  assert.equal(call(world, 0, KERNEL + 16 * PAGE_SIZE - 16), -14);
});

test('a trap table without end is taken in portions', () => {
  const world = trapWorld();
  // Five pages of entries and no end: more than one portion.
  let at = AT;
  while (at < KERNEL + 15 * PAGE_SIZE) at = trapInfo(world, at, 7, 0, 0, KERNEL_CODE);
  world.vcpu.beginHypercall(0);
  for (let i = 0; i < 4000; i++) world.vcpu.preemptionDue();
  assert.equal(call(world, 0, AT), CONTINUE);
  // 4096 units of work, and the entry at which they are exceeded is done.
  assert.equal(world.vcpu.args.number(0), AT + 97 * 16);
});

test('set_callbacks takes three addresses on 64-bit, and passes over bad ones', () => {
  const world = trapWorld();
  const { callbacks } = world.vcpu;
  callbacks.failsafe.address = 7;
  callbacks.syscall.masksEvents = true;
  assert.equal(call(world, 4, KERNEL_CODE, 2 ** 50, KERNEL_CODE + 2), 0);
  assert.deepEqual(
    [
      callbacks.event.address,
      callbacks.failsafe.address,
      callbacks.syscall.address,
      callbacks.syscall.masksEvents,
    ],
    [KERNEL_CODE, 7, KERNEL_CODE + 2, false],
  );
});

test('callback_op registers each type with its flag', () => {
  const world = trapWorld();
  const { callbacks, traps } = world.vcpu;
  const register = (type: number, flags: number, address: number) => {
    world.poke(AT, type, 0, flags, 0, 0, 0, 0, 0);
    write64(world, AT + 8, address);
    return call(world, 30, 0, AT);
  };
  assert.deepEqual(
    [0, 1, 2, 5, 7, 4].map((type) => register(type, 1, KERNEL_CODE + type)),
    [0, 0, 0, 0, 0, 0],
  );
  assert.deepEqual(
    [callbacks.event, callbacks.failsafe, callbacks.syscall, callbacks.sysenter, callbacks.syscall32].map(
      ({ address, masksEvents }) => [address - KERNEL_CODE, masksEvents],
    ),
    [
      [0, false],
      [1, true],
      [2, true],
      [5, true],
      [7, true],
    ],
  );
  assert.deepEqual([traps.address[2], traps.masksEvents(2)], [KERNEL_CODE + 4, true]);
  assert.equal(register(3, 0, KERNEL_CODE), -38);
  assert.equal(register(0, 0, 2 ** 47), -22);
  assert.equal(call(world, 30, 5, AT), -38);
  assert.equal(call(world, 30, 0, 0x10), -14);
});

test('of the callbacks only that for NMIs can be unregistered', () => {
  const world = trapWorld();
  world.setHandlers();
  const unregister = (type: number) => {
    world.poke(AT, type, 0, 0, 0);
    return call(world, 30, 1, AT);
  };
  assert.deepEqual([0, 1, 2, 5, 7].map(unregister), [-22, -22, -22, -22, -22]);
  assert.equal(unregister(4), 0);
  assert.equal(world.vcpu.traps.address[2], 0);
  assert.equal(unregister(9), -38);
});

test('stack_switch notes the stack for entries from user mode', () => {
  const world = trapWorld();
  assert.equal(call(world, 3, 0xe028, KERNEL + 0x3000), 0);
  assert.deepEqual([world.vcpu.kernelSs, world.vcpu.kernelSp], [0xe02b, KERNEL + 0x3000]);
});
