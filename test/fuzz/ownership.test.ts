/**
 * Pages that the guest owns and somebody else writes: shared_info and grant tables (Xen), the rings of console and
 * xenstore (the toolstack). Whatever the guest does with them, they stay its own ordinary memory.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as X from '../../src/abi/xen/numbers/index.ts';
import { type Gva, type Mfn, PAGE_SIZE } from '../../src/machine/memory.ts';
import { HypercallArguments } from '../../src/xen/hypercalls/arguments.ts';
import { CONTINUE } from '../../src/xen/hypercalls/dispatch.ts';
import { Arena, VIRT_BASE } from './victims.ts';

/** Where the attacker keeps the structures that it passes. */
const SCRATCH = VIRT_BASE + 8 * PAGE_SIZE;
const LIST = VIRT_BASE + 9 * PAGE_SIZE;

function call({ domain, vcpu }: Arena, number: number, ...values: number[]): number {
  const args = new HypercallArguments();
  for (const [i, value] of values.entries()) args.set(i, value);
  for (;;) {
    const result = domain.hypercalls.call(vcpu, number, args);
    if (result !== CONTINUE) return result;
  }
}

/** Gives a frame back as a balloon driver does; how many of one frame were taken. */
function giveBack(arena: Arena, mfn: Mfn): number {
  const { guest } = arena.vcpu;
  guest.write64(LIST, mfn, 0);
  guest.write64(SCRATCH, LIST | 0, -1);
  guest.write64(SCRATCH + 8, 1, 0);
  guest.write64(SCRATCH + 16, 0, 0);
  guest.write64(SCRATCH + 24, X.DOMID_SELF, 0);
  return call(arena, X.__HYPERVISOR_memory_op, X.XENMEM_decrease_reservation, SCRATCH);
}

function unmap(arena: Arena, gva: Gva): void {
  assert.equal(call(arena, X.__HYPERVISOR_update_va_mapping, gva, 0, X.UVMF_INVLPG), 0);
}

function pin(arena: Arena, mfn: Mfn): number {
  const { guest } = arena.vcpu;
  guest.write64(SCRATCH, X.MMUEXT_PIN_L1_TABLE, 0);
  guest.write64(SCRATCH + 8, mfn, 0);
  guest.write64(SCRATCH + 16, 0, 0);
  return call(arena, X.__HYPERVISOR_mmuext_op, SCRATCH, 1, 0, X.DOMID_SELF);
}

describe('a page that others write on behalf of a guest', () => {
  it('stays where it is when the guest gives shared_info or its grant table back', async () => {
    const arena = await Arena.create();
    const { domain, grants } = arena.spawn();
    for (const mfn of [domain.sharedInfoMfn, grants.frames[0]!]) {
      giveBack(arena, mfn);
      assert.equal(arena.table.owner[mfn], domain.id);
      assert.equal(arena.host.frames.isFree(mfn), false);
    }
    arena.check('giving shared pages back');
    arena.bury('giving shared pages back');
  });

  it('stays where it is when the guest gives a ring back', async () => {
    const arena = await Arena.create();
    const { domain, console, xenstore, plan } = arena.spawn();
    unmap(arena, plan.console.virtual);
    unmap(arena, plan.xenstore.virtual);
    for (const { mfn } of [console, xenstore]) {
      giveBack(arena, mfn);
      assert.equal(arena.table.owner[mfn], domain.id);
      assert.equal(arena.host.frames.isFree(mfn), false);
    }
    arena.check('giving rings back');
    arena.bury('giving rings back');
  });

  it('never becomes a page table', async () => {
    const arena = await Arena.create();
    const { domain, console, xenstore, plan, grants } = arena.spawn();
    unmap(arena, plan.console.virtual);
    unmap(arena, plan.xenstore.virtual);
    for (const mfn of [console.mfn, xenstore.mfn, domain.sharedInfoMfn, grants.frames[0]!]) {
      assert.equal(pin(arena, mfn), -X.XEN_EINVAL);
    }
    arena.check('pinning shared pages');
    arena.bury('pinning shared pages');
  });
});
