import assert from 'node:assert/strict';
import { test } from 'node:test';
import { x86_64 as wide } from '../../abi/xen/numbers/index.ts';
import { PAGE_SIZE } from '../../machine/memory.ts';
import { FS, GS } from '../../machine/x86/registers.ts';
import { PGT_l1_page_table, PGT_seg_desc_page, PGT_writable_page } from '../mm/page-info.ts';
import { KERNEL, XenWorld } from '../testing/world.ts';
import { HypercallArguments } from './arguments.ts';
import { handlers } from './segments.ts';

const AT = KERNEL + PAGE_SIZE;

function call(world: XenWorld, number: number, ...values: (number | readonly [number, number])[]): number {
  const args = new HypercallArguments();
  for (const [i, value] of values.entries()) {
    if (typeof value === 'number') args.set(i, value);
    else args.setHalves(i, value[0], value[1]);
  }
  return world.domain.hypercalls.call(world.vcpu, number, args);
}

function gdtWorld(): XenWorld {
  return new XenWorld({ families: [handlers] });
}

function setGdt(world: XenWorld, entries: number, ...frames: number[]): number {
  for (const [i, mfn] of frames.entries()) world.vcpu.guest.write64(AT + i * 8, mfn, 0);
  return call(world, 2, AT, entries);
}

test('set_gdt takes references on the new frames and gives back the old ones', () => {
  const world = gdtWorld();
  const [a, b, c] = [world.frame(), world.frame(), world.frame()];
  assert.equal(setGdt(world, 513, a, b), 0);
  assert.deepEqual(world.vcpu.gdtFrames.slice(0, 3), [a, b, 0]);
  assert.equal(setGdt(world, 512, c), 0);
  assert.deepEqual(
    [a, b, c].map((mfn) => world.mm.references.get(mfn)),
    [0, 0, 1],
  );
  assert.deepEqual(world.vcpu.gdtFrames.slice(0, 2), [c, 0]);
});

test('set_gdt with a frame that is not the domain’s changes nothing', () => {
  const world = gdtWorld();
  const [a, b] = [world.frame(), world.frame()];
  assert.equal(setGdt(world, 512, a), 0);
  assert.equal(setGdt(world, 1024, b, 255), -22);
  assert.equal(world.mm.references.get(b), 0);
  assert.deepEqual(world.vcpu.gdtFrames.slice(0, 2), [a, 0]);
});

test('set_gdt leaves Xen’s own entries alone', () => {
  const world = gdtWorld();
  assert.equal(call(world, 2, AT, 0x1c01), -22);
  const flat = world.vcpu.tables.readDescriptor(wide.FLAT_KERNEL_CS)!;
  assert.deepEqual([flat.low, flat.high], [0xffff, 0x00affb00]);
  assert.deepEqual(
    { ...world.vcpu.tables.readDescriptor(wide.FLAT_KERNEL_SS) },
    { low: 0xffff, high: 0x00cff300 },
  );
  assert.deepEqual(
    { ...world.vcpu.tables.readDescriptor(wide.FLAT_USER_CS32) },
    { low: 0xffff, high: 0x00cffb00 },
  );
  assert.deepEqual({ ...world.vcpu.tables.readDescriptor(0xe01b) }, { low: 0, high: 0 });
});

test('a frame list that cannot be read is -EFAULT', () => {
  assert.equal(call(gdtWorld(), 2, 0x10, 512), -14);
});

test('update_descriptor writes what a guest may have, adjusted as Xen does', () => {
  const world = gdtWorld();
  const mfn = world.frame();
  assert.equal(setGdt(world, 512, mfn), 0);
  // A data segment of ring 0 becomes one of ring 3.
  assert.equal(call(world, 10, mfn * PAGE_SIZE + 0x18, [0xffff, 0x00cf9200]), 0);
  assert.deepEqual({ ...world.vcpu.tables.readDescriptor(0x1b) }, { low: 0xffff, high: 0x00cff200 });
});

test('update_descriptor refuses system descriptors, unaligned addresses and frames of others', () => {
  const world = gdtWorld();
  const mfn = world.frame();
  const flat = [0xffff, 0x00cff200] as const;
  // A TSS, an LDT and an interrupt gate.
  for (const high of [0x8900, 0x8200, 0x8e00]) {
    assert.equal(call(world, 10, mfn * PAGE_SIZE, [0x67, high]), -22);
  }
  assert.equal(call(world, 10, mfn * PAGE_SIZE + 4, flat), -22);
  assert.equal(call(world, 10, 255 * PAGE_SIZE, flat), -22);
  assert.equal(call(world, 10, 1e9, flat), -22);
  assert.equal(call(world, 10, -8, flat), -22);
});

test('update_descriptor leaves a page of descriptors one, and takes any other as ordinary memory', () => {
  for (const [present, wanted] of [
    [PGT_seg_desc_page, PGT_seg_desc_page],
    [0, PGT_writable_page],
    [PGT_l1_page_table, PGT_writable_page],
  ]) {
    const world = gdtWorld();
    const asked: number[] = [];
    world.mm.pageType = () => present!;
    world.mm.getPageAndType = (_mfn: number, type?: number) => {
      asked.push(type!);
      return false;
    };
    assert.equal(call(world, 10, world.frame() * PAGE_SIZE, [0xffff, 0x00cff200]), -22);
    assert.deepEqual(asked, [wanted]);
  }
});

test('update_descriptor lets its frame go again; set_gdt takes as many entries as there are before Xen’s', () => {
  const world = gdtWorld();
  const mfn = world.frame();
  assert.equal(call(world, 10, mfn * PAGE_SIZE, [0xffff, 0x00cff200]), 0);
  assert.equal(world.mm.references.get(mfn), 0);
  const frames = Array.from({ length: 14 }, () => world.frame());
  assert.equal(setGdt(world, 0x1c00, ...frames), 0);
});

test('set_segment_base sets FS, the kernel’s GS and the user’s GS, canonical ones only', () => {
  const world = gdtWorld();
  const { state, vcpu } = world;
  assert.equal(call(world, 25, 0, 0x1000), 0);
  assert.equal(call(world, 25, 2, -0x2000), 0);
  assert.equal(call(world, 25, 1, 0x3000), 0);
  assert.deepEqual(
    [state.segmentBase(FS), state.segmentBase(GS), vcpu.gsBaseInactiveLow],
    [0x1000, -0x2000, 0x3000],
  );
  assert.equal(call(world, 25, 0, 2 ** 47), -22);
  assert.equal(call(world, 25, 4, 0), -22);
});

test('loading the user’s GS selector sets the base that is not active, and never fails', () => {
  const world = gdtWorld();
  const { state, vcpu } = world;
  const mfn = world.frame();
  assert.equal(setGdt(world, 512, mfn), 0);
  // Base 0x12345678, ring 3, data.
  assert.equal(call(world, 10, mfn * PAGE_SIZE + 0x28, [0x5678ffff | 0, 0x12cff234]), 0);
  state.setSegmentBase(GS, 0x7000, 0);
  assert.equal(call(world, 25, 3, 0x28), 0);
  assert.deepEqual(
    [state.selector(GS), state.segmentBase(GS), vcpu.gsBaseInactiveLow],
    [0x2b, 0x7000, 0x12345678],
  );
  assert.equal(call(world, 25, 3, 0x38), 0);
  assert.deepEqual([state.selector(GS), state.segmentBase(GS), vcpu.gsBaseInactiveLow], [0, 0x7000, 0]);
  assert.equal(call(world, 25, 3, [0x28, 0x10000]), 0, 'of the selector’s register 16 bits count');
  assert.equal(state.selector(GS), 0x2b);
});

test('a data segment is loaded if it can be read from ring 3, with its limit in pages if it says so', () => {
  const cases: readonly (readonly [high: number, loads: boolean])[] = [
    [0x00cff200, true],
    // Code: readable, execute-only, conforming of ring 0.
    [0x00cffa00, true],
    [0x00cff800, false],
    [0x00cf9e00, true],
    // Ring 2, a gate, not present.
    [0x00cfd200, false],
    [0x0000e200, false],
    [0x00cf7200, false],
  ];
  for (const [high, loads] of cases) {
    const world = gdtWorld();
    const mfn = world.frame();
    assert.equal(setGdt(world, 512, mfn), 0);
    world.memory.write64(mfn * PAGE_SIZE + 0x28, 0xffff, high);
    world.state.setSegment(GS, 0x1b, 0xf3, 5, 5);
    assert.equal(call(world, 25, 3, 0x28), 0);
    assert.equal(world.state.selector(GS), loads ? 0x2b : 0, high.toString(16));
  }
  const world = gdtWorld();
  const mfn = world.frame();
  assert.equal(setGdt(world, 512, mfn), 0);
  world.memory.write64(mfn * PAGE_SIZE + 0x28, 0x1234, 0x0045f200);
  world.memory.write64(mfn * PAGE_SIZE + 0x30, 0x1234, 0x00c5f200);
  call(world, 25, 3, 0x28);
  assert.equal(world.state.limit(GS), 0x51234);
  call(world, 25, 3, 0x30);
  assert.equal(world.state.limit(GS), 0x51234fff);
  // A null selector is loaded as it is, and no longer has a base.
  call(world, 25, 3, 3);
  assert.deepEqual([world.state.selector(GS), world.vcpu.gsBaseInactiveLow], [3, 0]);
});

test('with each change of a table CS and SS are to be loaded again', () => {
  const world = gdtWorld();
  const mfn = world.frame();
  const again = (change: () => unknown) => {
    world.vcpu.noteLoaded();
    change();
    return [world.vcpu.loadedCs, world.vcpu.loadedSs];
  };
  assert.deepEqual(
    again(() => setGdt(world, 512, mfn)),
    [-1, -1],
  );
  assert.deepEqual(
    again(() => call(world, 10, mfn * PAGE_SIZE + 8, [0xffff, 0x00cff200])),
    [-1, -1],
  );
  assert.deepEqual(
    again(() => world.vcpu.setLdt(KERNEL, 3)),
    [-1, -1],
  );
});

test('LDT selectors are looked up in the frames that mm vouches for', () => {
  const world = gdtWorld();
  const mfn = world.frame();
  world.mm.ldtFrames = [mfn];
  world.memory.write64(mfn * PAGE_SIZE + 0x10, 0xffff, 0x00cff200);
  world.vcpu.setLdt(KERNEL, 3);
  assert.deepEqual({ ...world.vcpu.tables.readDescriptor(0x17) }, { low: 0xffff, high: 0x00cff200 });
  assert.equal(world.vcpu.tables.readDescriptor(0x1f), undefined);
  world.vcpu.setLdt(0, 0);
  assert.equal(world.vcpu.tables.readDescriptor(0x17), undefined);
});
