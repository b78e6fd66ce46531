import assert from 'node:assert/strict';
import { test } from 'node:test';
import { x86_64 as wide } from '../../abi/xen/numbers/index.ts';
import { CPU_DR } from '../../machine/layout.ts';
import { XenWorld } from '../testing/world.ts';
import { HypercallArguments } from './arguments.ts';
import { handlers } from './registers.ts';

function call(world: XenWorld, number: number, ...values: number[]): number {
  const args = new HypercallArguments();
  for (const [i, value] of values.entries()) args.set(i, value);
  return world.domain.hypercalls.call(world.vcpu, number, args);
}

const SET = 8;
const GET = 9;

test('fpu_taskswitch sets and clears CR0.TS in the processor', () => {
  const world = new XenWorld({ families: [handlers] });
  assert.equal(call(world, 5, 1), 0);
  assert.equal(world.state.cr0 & 8, 8);
  assert.equal(call(world, 5, 0), 0);
  assert.equal(world.state.cr0 & 8, 0);
});

test('breakpoint addresses are anything but the hypervisor’s or non-canonical', () => {
  const world = new XenWorld({ families: [handlers] });
  assert.equal(call(world, SET, 3, -0x1000), 0);
  assert.equal(call(world, GET, 3), -0x1000);
  assert.equal(call(world, SET, 0, wide.HYPERVISOR_VIRT_START), -1);
  assert.equal(call(world, SET, 0, wide.HYPERVISOR_VIRT_END), 0);
  assert.equal(call(world, SET, 0, 2 ** 47), -1);
});

test('DR6 and DR7 keep their reserved bits, and must be 32-bit values', () => {
  const world = new XenWorld({ families: [handlers] });
  assert.equal(call(world, SET, 6, 0xffff_ffff), 0);
  assert.equal(call(world, GET, 6), 0xffffefff);
  assert.equal(call(world, SET, 7, 0xd801), 0);
  assert.equal(call(world, GET, 7), 0x401);
  assert.equal(call(world, SET, 7, 2 ** 32), -22);
  assert.equal(call(world, SET, 6, -1), -22);
});

test('general detect is refused, and I/O breakpoints unless CR4.DE', () => {
  const world = new XenWorld({ families: [handlers] });
  assert.equal(call(world, SET, 7, 0x2000), -1);
  assert.equal(call(world, SET, 7, 0x20001), -1);
  world.vcpu.cr4 |= 8;
  assert.equal(call(world, SET, 7, 0x20001), 0);
  // The processor does not watch it, the guest sees it.
  assert.equal(world.state.low(CPU_DR + 56) & 1, 0);
  assert.equal(call(world, GET, 7), 0x20401);
});

test('I/O breakpoints are kept apart one by one, with both of their enabling bits', () => {
  const world = new XenWorld({ families: [handlers] });
  // One that is not enabled watches nothing, so CR4.DE is not asked for.
  assert.equal(call(world, SET, 7, 0x20000), 0);
  assert.equal(call(world, GET, 7), 0x20400);
  world.vcpu.cr4 |= 8;
  // The first and the third watch ports, the second an address.
  const value = 0x0212_043f;
  assert.equal(call(world, SET, 7, value), 0);
  assert.equal(world.state.low(CPU_DR + 56), value & ~0x33);
  assert.equal(call(world, GET, 7), value);
  assert.equal(call(world, SET, 7, 0), 0);
  assert.equal(call(world, GET, 7), 0x400);
});

test('DR4 and DR5 are DR6 and DR7 without CR4.DE, and nothing with it; there is no DR8', () => {
  const world = new XenWorld({ families: [handlers] });
  assert.equal(call(world, GET, 4), 0xffff0ff0);
  assert.equal(call(world, GET, 5), 0x400);
  world.vcpu.cr4 |= 8;
  assert.equal(call(world, GET, 4), -19);
  assert.equal(call(world, SET, 5, 0), -19);
  assert.equal(call(world, GET, 8), -19);
  assert.equal(call(world, SET, 8, 0), -19);
});
