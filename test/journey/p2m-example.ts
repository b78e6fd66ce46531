/**
 * The example of the commit that brought identity mapping to Linux's P2M: 1 GiB of memory present, 3 GiB at most, and no RAM
 * from 1029 MiB to 2001 MiB. The guest's own code builds the tree; here it is read back and described.
 */
import { loadGuest } from '../../src/guest/testing/index.ts';

const PAGE = 4096;
const PER_PAGE = 512;
const MIB_FRAMES = 256;
const BASE = 1 << 20;
const MEMORY_BYTES = 64 << 20;
const PRESENT = 1024 * MIB_FRAMES;
const MOST = 3 * 1024 * MIB_FRAMES;
const START = 1029 * MIB_FRAMES;
const END = 2001 * MIB_FRAMES;

interface P2m {
  reserveBrk(bytes: number): void;
  openBrk(from: number): number;
  p2mBrkPages(frames: bigint, end: bigint, ranges: number): number;
  buildPhysToMachine(list: number, frames: bigint): void;
  setPhysRangeIdentity(start: bigint, end: bigint): bigint;
  readonly memory: WebAssembly.Memory;
  readonly p2mTop: WebAssembly.Global;
  readonly p2mMissing: WebAssembly.Global;
  readonly p2mIdentity: WebAssembly.Global;
  readonly p2mMidMissing: WebAssembly.Global;
}

/** The tree, leaves of one kind together. */
export async function exampleTree(): Promise<string[]> {
  const { exports } = await loadGuest('src/guest/xen/testing/p2m.ts', {
    wordBits: 64,
    memoryBytes: MEMORY_BYTES,
  });
  const p2m = exports as unknown as P2m;
  p2m.reserveBrk(p2m.p2mBrkPages(BigInt(PRESENT), BigInt(MOST), 1) * PAGE);
  p2m.openBrk(BASE + PRESENT * 8);
  p2m.buildPhysToMachine(BASE, BigInt(PRESENT));
  const set = p2m.setPhysRangeIdentity(BigInt(START), BigInt(END));

  const word = (page: number, index: number) =>
    Number(new DataView(p2m.memory.buffer).getBigUint64(page + index * 8, true) & 0xffffffffn);
  const kind = (leaf: number) => {
    if (leaf === p2m.p2mMissing.value) return 'p2m_missing';
    if (leaf === p2m.p2mIdentity.value) return 'p2m_identity';
    return leaf < BASE + PRESENT * 8 ? "the builder's list" : 'a page of its own';
  };
  const lines = [`frames made identical: ${set}`];
  for (let top = 0; top < 3; top++) {
    const mid = word(p2m.p2mTop.value, top);
    if (mid === p2m.p2mMidMissing.value) {
      lines.push(`p2m[${top}]            p2m_mid_missing`);
      continue;
    }
    for (let from = 0, to = 0; from < PER_PAGE; from = to) {
      const name = kind(word(mid, from));
      while (to < PER_PAGE && kind(word(mid, to)) === name) to++;
      const place = to === from + 1 ? `${from}` : `${from}..${to - 1}`;
      lines.push(`${`p2m[${top}][${place}]`.padEnd(18)}${name}`);
    }
  }
  return lines;
}
