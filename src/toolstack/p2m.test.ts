/**
 * Reading and drawing a guest's P2M: the example of the commit that introduced identity frames (1 GiB present, no RAM from
 * 1029 MiB to 2001 MiB), laid out in a machine's memory as a guest tells it by frame lists.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { arch_shared_info, shared_info } from '../abi/xen/structures/index.ts';
import { MachineMemory, PAGE_SIZE } from '../machine/memory.ts';
import type { XenDomain } from '../xen/domain.ts';
import { DATA, entry, GUEST_BASE, RW, TestMachine } from '../xen/mm/testing/machine.ts';
import { tableOf } from './images/symbols.ts';
import { drawP2m, readP2m } from './p2m.ts';

const PER_PAGE = 512;
const IDENTITY = 0x40000000;
/** Frames of the machine, by what they hold. */
const SHARED_INFO = 1;
const TOP_LIST = 2;
const MID_LISTS = [3, 4] as const;
const MISSING_LIST = 5;
const MISSING = 6;
const SHARED_IDENTITY = 7;
const FIRST_END = 8;
const LAST_END = 9;
/** The builder's leaves: one frame for all 512, for a test need not tell them apart. */
const BUILDERS = 10;
/** The page with the guest's variable, and its number in the guest: both lie in the first leaf of the P2M. */
const VARIABLE = 11;

function example(): XenDomain {
  const memory = new MachineMemory({ frames: 64 });
  const set = (mfn: number, index: number, low: number, high = 0) =>
    memory.write64(mfn * PAGE_SIZE + index * 8, low, high);
  const fill = (mfn: number, low: number, high = 0) => {
    for (let i = 0; i < PER_PAGE; i++) set(mfn, i, low, high);
  };
  const at = SHARED_INFO * PAGE_SIZE + shared_info.x64.offset.arch;
  const { max_pfn, pfn_to_mfn_frame_list_list } = arch_shared_info.x64.offset;
  memory.write64(at + max_pfn, 262144, 0);
  memory.write64(at + pfn_to_mfn_frame_list_list, TOP_LIST, 0);
  fill(TOP_LIST, MISSING_LIST);
  set(TOP_LIST, 0, MID_LISTS[0]);
  set(TOP_LIST, 1, MID_LISTS[1]);
  fill(MISSING_LIST, MISSING);
  fill(MID_LISTS[0], BUILDERS);
  fill(MID_LISTS[1], MISSING);
  for (let i = 3; i < 488; i++) set(MID_LISTS[1], i, SHARED_IDENTITY);
  set(MID_LISTS[1], 2, FIRST_END);
  set(MID_LISTS[1], 488, LAST_END);
  for (const page of [MISSING, SHARED_IDENTITY, FIRST_END, LAST_END]) fill(page, -1, -1);
  for (let i = 256; i < 512; i++) set(FIRST_END, i, 0x40400 + i, IDENTITY);
  for (let i = 0; i < 256; i++) set(LAST_END, i, 0x7d000 + i, IDENTITY);
  fill(BUILDERS, 20);
  // Where the guest keeps its pointer: its page 256 is the frame VARIABLE, its page 257 the shared leaf.
  set(BUILDERS, 256, VARIABLE);
  set(BUILDERS, 257, SHARED_IDENTITY);
  memory.write64(VARIABLE * PAGE_SIZE + 8, 0x80101000 | 0, -1);
  return { host: { memory }, sharedInfo: SHARED_INFO * PAGE_SIZE } as unknown as XenDomain;
}

const symbols = tableOf([{ name: 'xen/p2m-tree/p2mIdentity', address: -0x80000000 + 0x100008 }]);

test("the commit's example is drawn in the commit's manner", () => {
  const tree = readP2m(example(), symbols)!;
  assert.deepEqual(drawP2m(tree), [
    '262144 frames, 512 to a leaf, told by frame lists',
    '',
    '     p2m              mid                 leaf',
    '  /-------\\',
    '  |       |     /-----------\\',
    '  |     0 |---->|    0..511 |---> 512 mfn                      pfn 0x0..0x3ffff',
    '  |       |     \\-----------/',
    '  |       |     /-----------\\',
    '  |     1 |---->|      0..1 |---> p2m_missing                  pfn 0x40000..0x403ff',
    '  |       |     |         2 |---> 256 ~0, 256 IDENTITY         pfn 0x40400..0x405ff',
    '  |       |     |    3..487 |---> p2m_identity                 pfn 0x40600..0x7cfff',
    '  |       |     |       488 |---> 256 IDENTITY, 256 ~0         pfn 0x7d000..0x7d1ff',
    '  |       |     |  489..511 |---> p2m_missing                  pfn 0x7d200..0x7ffff',
    '  |       |     \\-----------/',
    '  | 2-511 |----> p2m_mid_missing',
    '  \\-------/',
  ]);
});

test('without its symbol a shared identity leaf looks as empty as it is', () => {
  const text = drawP2m(readP2m(example())!).join('\n');
  assert.match(text, /3\.\.487 \|---> 512 ~0 /);
});

test('leaves that are no frames, or are chequered, stay on one line', () => {
  const domain = example();
  const { memory } = domain.host;
  for (let i = 100; i < 200; i++) memory.write64(MID_LISTS[1] * PAGE_SIZE + i * 8, 64 + i, 0);
  for (let i = 0; i < 512; i += 2) memory.write64(FIRST_END * PAGE_SIZE + i * 8, 5, 0);
  const text = drawP2m(readP2m(domain, symbols)!).join('\n');
  assert.match(text, /100\.\.199 \|---> no frame of this machine/);
  assert.match(text, /2 \|---> 1 mfn, 1 ~0, 1 mfn, 1 ~0, … /);
});

test('what leads nowhere is no tree', () => {
  const domain = example();
  const { memory } = domain.host;
  const at = domain.sharedInfo + shared_info.x64.offset.arch;
  const { max_pfn, pfn_to_mfn_frame_list_list, p2m_cr3 } = arch_shared_info.x64.offset;
  for (const [field, low, high] of [
    [pfn_to_mfn_frame_list_list, 0, 0],
    [pfn_to_mfn_frame_list_list, -1, -1],
    [pfn_to_mfn_frame_list_list, 64, 0],
    [max_pfn, 0, 0],
    [max_pfn, -1, -1],
    [p2m_cr3, 0, 0x1000],
  ] as const) {
    const [oldLow, oldHigh] = [memory.read32(at + field), memory.read32(at + field + 4)];
    memory.write64(at + field, low, high);
    assert.equal(readP2m(domain), undefined, `${field}: ${low}`);
    memory.write64(at + field, oldLow, oldHigh);
  }
  memory.write64(TOP_LIST * PAGE_SIZE + 24, 9999, 0);
  assert.equal(readP2m(domain), undefined);
});

/**
 * A guest that tells of its P2M by a linear list: pages 10 to 19 of its address space. 10 and 11 are leaves of its own, 13 and
 * 14 share one that is missing, 15 and 16 one of identity; nothing is mapped at 12 and from 17 on.
 */
function linearExample(frames = 10 * PER_PAGE) {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const fill = (slot: number, low: number, high: number) => {
    for (let i = 0; i < PER_PAGE; i++) machine.write(guest.frames[slot]!, i, { low, high });
  };
  fill(10, 20, 0);
  fill(11, -1, -1);
  fill(13, -1, -1);
  fill(15, 0x40000, IDENTITY);
  fill(17, 0x1234, 0x80000000 | 0);
  machine.write(guest.frames[10]!, 511, { low: 0x1234, high: 0x80000000 | 0 });
  const at = (slot: number) => GUEST_BASE + slot * PAGE_SIZE;
  for (const [slot, shared] of [
    [14, 13],
    [16, 15],
  ] as const) {
    assert.equal(guest.map(at(slot), entry(guest.frames[shared]!, DATA & ~RW)), 0);
  }
  for (const slot of [12, 17, 18, 19]) assert.equal(guest.map(at(slot), { low: 0, high: 0 }), 0);
  const sharedInfo = guest.unmapped() * PAGE_SIZE;
  const { max_pfn, p2m_cr3, p2m_vaddr } = arch_shared_info.x64.offset;
  const arch = sharedInfo + shared_info.x64.offset.arch;
  const { memory } = machine;
  memory.write64(arch + max_pfn, frames, 0);
  memory.write64(arch + p2m_vaddr, at(10), 0);
  const tell = (root: number) => memory.write64(arch + p2m_cr3, root * PAGE_SIZE, 0);
  tell(guest.l4);
  const domain = { host: { memory }, mm: guest.domain.mm, sharedInfo } as unknown as XenDomain;
  return { domain, guest, tell };
}

test('a linear list is drawn with its shared leaves, and with holes where nothing is mapped', () => {
  const { domain } = linearExample();
  assert.deepEqual(drawP2m(readP2m(domain)!), [
    '5120 frames, 512 to a leaf, told by a linear list',
    '',
    '     p2m              mid                 leaf',
    '  /-------\\',
    '  |       |     /-----------\\',
    '  |     0 |---->|         0 |---> 511 mfn, 1 FOREIGN           pfn 0x0..0x1ff',
    '  |       |     |         1 |---> 512 ~0                       pfn 0x200..0x3ff',
    '  |       |     |         2 |---> not mapped                   pfn 0x400..0x5ff',
    '  |       |     |      3..4 |---> p2m_missing                  pfn 0x600..0x9ff',
    '  |       |     |      5..6 |---> p2m_identity                 pfn 0xa00..0xdff',
    '  |       |     \\-----------/',
    '  \\-------/',
  ]);
});

test('a linear list may begin with a hole', () => {
  const { domain, guest } = linearExample();
  assert.equal(guest.map(GUEST_BASE + 10 * PAGE_SIZE, { low: 0, high: 0 }), 0);
  assert.match(drawP2m(readP2m(domain)!).join('\n'), /\| {9}0 \|---> not mapped .*\n.*1 \|---> 512 ~0/);
});

test('a linear list is looked for in a table of the highest level, and in no other frame', () => {
  const { domain, guest, tell } = linearExample();
  for (const root of [guest.l3, guest.frames[10]!, 9999]) {
    tell(root);
    assert.equal(readP2m(domain), undefined, `${root}`);
  }
});
