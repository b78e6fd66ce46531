/**
 * The P2M tree: the example of the document that describes it, entry by entry, and a million random operations against a
 * plain array, in both word sizes.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadGuest, type TestMachineOptions } from '../testing/index.ts';

type Word = bigint | number;
type WordBytes = 4 | 8;

/** The exports under test; a Word crosses as a bigint or a number, by word size. */
interface P2m {
  readonly memory: WebAssembly.Memory;
  reserveBrk(bytes: number): void;
  openBrk(from: number): number;
  closeBrk(): number;
  brkUsed(): number;
  brkReserved(): number;
  p2mBrkPages(frames: Word, end: Word, ranges: number): number;
  buildPhysToMachine(list: number, frames: Word): void;
  getPhysToMachine(pfn: Word): Word;
  setPhysToMachine(pfn: Word, entry: Word): number;
  trySetPhysToMachine(pfn: Word, entry: Word): number;
  setPhysRangeIdentity(start: Word, end: Word): Word;
  setIdentityFromMemoryMap(map: number, count: number, usedFrom: Word, usedEnd: Word): Word;
  buildFrameLists(): Word;
  usePages(from: number, to: number): void;
  pagesTaken(): number;
  race(after: number, pfn: Word, entry: Word): void;
  readonly p2mTop: WebAssembly.Global;
  readonly p2mMissing: WebAssembly.Global;
  readonly p2mIdentity: WebAssembly.Global;
  readonly p2mMidMissing: WebAssembly.Global;
  readonly p2mTopMfn: WebAssembly.Global;
}

const PAGE = 4096;
const MIB_FRAMES = 256;
const BASE = 1 << 20;
const MEMORY_BYTES = 64 << 20;

/** A machine frame for the builder's list: anything but the frame's own number. */
function mfnOf(pfn: number): number {
  return 0x90000 - pfn;
}

class Tree {
  readonly exports: P2m;
  readonly wordBytes: WordBytes;
  readonly perPage: number;
  readonly invalid: bigint;
  readonly identity: bigint;
  readonly foreign: bigint;

  private constructor(exports: P2m, wordBytes: WordBytes) {
    this.exports = exports;
    this.wordBytes = wordBytes;
    this.perPage = PAGE / wordBytes;
    const bits = BigInt(wordBytes * 8);
    this.invalid = (1n << bits) - 1n;
    this.foreign = 1n << (bits - 1n);
    this.identity = 1n << (bits - 2n);
  }

  /** A tree around a builder's list of `frames` frames, with room for `ranges` identity ranges below `end`. */
  static async around(
    wordBytes: WordBytes,
    frames: number,
    end: number,
    ranges: number,
    hypercall?: TestMachineOptions['hypercall'],
  ): Promise<Tree> {
    const { exports: all } = await loadGuest('src/guest/xen/testing/p2m.ts', {
      wordBits: wordBytes === 8 ? 64 : 32,
      memoryBytes: MEMORY_BYTES,
      hypercall,
    });
    const tree = new Tree(all as unknown as P2m, wordBytes);
    const { exports } = tree;
    const listPages = Math.ceil((frames * wordBytes) / PAGE);
    exports.reserveBrk(exports.p2mBrkPages(tree.word(frames), tree.word(end), ranges) * PAGE);
    const brkEnd = exports.openBrk(BASE + listPages * PAGE);
    for (let pfn = 0; pfn < frames; pfn++) tree.write(BASE + pfn * wordBytes, BigInt(mfnOf(pfn)));
    // What lies behind the list belongs to others, and must not be taken for frames.
    exports.buildPhysToMachine(BASE, tree.word(frames));
    exports.usePages(brkEnd, MEMORY_BYTES);
    return tree;
  }

  word(value: number | bigint): Word {
    return this.wordBytes === 8 ? BigInt.asIntN(64, BigInt(value)) : Number(BigInt.asIntN(32, BigInt(value)));
  }

  value(word: Word): bigint {
    return BigInt.asUintN(this.wordBytes * 8, BigInt(word));
  }

  get(pfn: number): bigint {
    return this.value(this.exports.getPhysToMachine(this.word(pfn)));
  }

  set(pfn: number, entry: bigint): boolean {
    return this.exports.setPhysToMachine(this.word(pfn), this.word(entry)) !== 0;
  }

  setRange(start: number, end: number): number {
    return Number(this.exports.setPhysRangeIdentity(this.word(start), this.word(end)));
  }

  read(at: number): bigint {
    const view = new DataView(this.exports.memory.buffer);
    return this.wordBytes === 8 ? view.getBigUint64(at, true) : BigInt(view.getUint32(at, true));
  }

  write(at: number, value: bigint): void {
    const view = new DataView(this.exports.memory.buffer);
    if (this.wordBytes === 8) view.setBigUint64(at, value, true);
    else view.setUint32(at, Number(value), true);
  }

  /** Entries of the page at `page`. */
  page(page: number): bigint[] {
    return Array.from({ length: this.perPage }, (_, i) => this.read(page + i * this.wordBytes));
  }

  get top(): number {
    return this.exports.p2mTop.value as number;
  }
  get missing(): bigint {
    return BigInt(this.exports.p2mMissing.value as number);
  }
  get sharedIdentity(): bigint {
    return BigInt(this.exports.p2mIdentity.value as number);
  }
  get midMissing(): bigint {
    return BigInt(this.exports.p2mMidMissing.value as number);
  }
}

/** The example: 1 GiB present, 3 GiB at most, no RAM from 1029 MiB to 2001 MiB. */
const PRESENT = 1024 * MIB_FRAMES;
const START = 1029 * MIB_FRAMES;
const END = 2001 * MIB_FRAMES;
const MOST = 3 * 1024 * MIB_FRAMES;

for (const wordBytes of [8, 4] as const) {
  const width = `${wordBytes * 8} bits`;

  test(`the document's example gives the document's tree, entry by entry (${width})`, async () => {
    const tree = await Tree.around(wordBytes, PRESENT, MOST, 1);
    const { perPage } = tree;
    const before = tree.exports.brkUsed();
    assert.equal(tree.setRange(START, END), END - START);
    // 64 bits: a mid page for the second GiB and two leaves. 32 bits: the first mid page has 4 GiB, and is there already.
    assert.equal(tree.exports.brkUsed() - before, (wordBytes === 8 ? 3 : 2) * PAGE);

    const top = tree.page(tree.top);
    const mids = wordBytes === 8 ? 2 : 1;
    assert.ok(top.slice(0, mids).every((mid) => mid !== tree.midMissing));
    assert.deepEqual(new Set(top.slice(mids)), new Set([tree.midMissing]));
    assert.deepEqual(new Set(tree.page(Number(tree.midMissing))), new Set([tree.missing]));

    // The leaves, counted over all mids: the builder's pages, nothing, the first own leaf, shared ones, the last, nothing.
    const leaves = top.slice(0, mids).flatMap((mid) => tree.page(Number(mid)));
    const first = Math.floor(START / perPage);
    const last = Math.floor(END / perPage);
    assert.deepEqual([first % perPage, last % perPage], wordBytes === 8 ? [2, 488] : [257, 500]);
    for (const [i, leaf] of leaves.entries()) {
      if (i < PRESENT / perPage) assert.equal(leaf, BigInt(BASE + i * PAGE));
      else if (i > first && i < last) assert.equal(leaf, tree.sharedIdentity);
      else if (i !== first && i !== last) assert.equal(leaf, tree.missing);
    }
    // The end is exclusive: p2m[1][488] is identity up to 255, where the prose of the commit says 256.
    for (const [leaf, from] of [
      [first, first * perPage],
      [last, last * perPage],
    ] as const) {
      const entries = tree.page(Number(leaves[leaf]!));
      for (const [i, entry] of entries.entries()) {
        const inside = from + i >= START && from + i < END;
        assert.equal(entry, inside ? BigInt(from + i) | tree.identity : tree.invalid);
      }
    }
    assert.equal(tree.get(last * perPage + 255), BigInt(last * perPage + 255) | tree.identity);
    assert.equal(tree.get(last * perPage + 256), tree.invalid);

    // The shared pages hold nothing but ~0, for the toolstack's eyes.
    assert.deepEqual(new Set(tree.page(Number(tree.missing))), new Set([tree.invalid]));
    assert.deepEqual(new Set(tree.page(Number(tree.sharedIdentity))), new Set([tree.invalid]));

    for (let pfn = 0; pfn < MOST; pfn++) {
      const wanted =
        pfn < PRESENT
          ? BigInt(mfnOf(pfn))
          : pfn >= START && pfn < END
            ? BigInt(pfn) | tree.identity
            : tree.invalid;
      if (tree.get(pfn) !== wanted) assert.equal(tree.get(pfn), wanted, `pfn ${pfn}`);
    }
  });

  test(`a million random operations leave what they leave in a plain array (${width})`, async () => {
    const present = 70_001;
    const frames = 3 << 20;
    const tree = await Tree.around(wordBytes, present, frames, 40);
    const plain = new BigUint64Array(frames).fill(tree.invalid);
    for (let pfn = 0; pfn < present; pfn++) plain[pfn] = BigInt(mfnOf(pfn));
    let state = 12345;
    const random = (below: number) => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
    // Few leaves, so that they are hit again and again; now and then any.
    const leaves = Array.from({ length: 60 }, () => random(frames / tree.perPage) * tree.perPage);
    const anyPfn = () =>
      random(20) === 0 ? random(frames) : leaves[random(leaves.length)]! + random(tree.perPage);
    let ranges = 0;
    for (let i = 0; i < 1_000_000; i++) {
      const kind = random(1000);
      const pfn = anyPfn();
      if (kind < 550) {
        if (tree.get(pfn) !== plain[pfn]) assert.equal(tree.get(pfn), plain[pfn], `pfn ${pfn}, step ${i}`);
      } else if (kind === 999 && ranges < 40) {
        ranges++;
        const end = Math.min(frames - 1, pfn + random(random(4) === 0 ? 600_000 : 3000));
        assert.equal(tree.setRange(pfn, end), end - pfn);
        for (let at = pfn; at < end; at++) plain[at] = BigInt(at) | tree.identity;
      } else {
        const entry = [
          tree.invalid,
          BigInt(random(1 << 28)),
          BigInt(random(1 << 28)) | tree.foreign,
          BigInt(pfn) | tree.identity,
        ][kind % 4]!;
        assert.ok(tree.set(pfn, entry));
        plain[pfn] = entry;
      }
    }
    assert.equal(ranges, 40);
    for (let pfn = 0; pfn < frames; pfn++) {
      if (tree.get(pfn) !== plain[pfn]) assert.equal(tree.get(pfn), plain[pfn], `pfn ${pfn}`);
    }
    assert.deepEqual(new Set(tree.page(Number(tree.missing))), new Set([tree.invalid]));
    assert.deepEqual(new Set(tree.page(Number(tree.sharedIdentity))), new Set([tree.invalid]));
  });

  test(`a memory map with holes makes everything but RAM identity, and gives back what lay there (${width})`, async () => {
    const given: bigint[] = [];
    const tree = await Tree.around(wordBytes, 1000, 6 << 18, 6, (number, [command, at]) => {
      // Of memory_op, XENMEM_decrease_reservation: a list of frames and its length.
      assert.deepEqual([number, command], [12, 1n]);
      const [list, count] = [tree.read(Number(at)), tree.read(Number(at) + wordBytes)];
      for (let i = 0n; i < count; i++) given.push(tree.read(Number(list) + Number(i) * wordBytes));
      return count;
    });
    const RAM = 1;
    const map: (readonly [from: number, bytes: number, type: number])[] = [
      [0, 0x9fc00, RAM],
      [0x9fc00, 0x400, 2],
      // A gap: the old hole of adapters, 0xa0000 to 0xf0000, and the BIOS behind it.
      [0xf0000, 0x10000, 2],
      [0x100000, 0x3fef0000, RAM],
      [0x3fff0000, 0x10000, 3],
      [0x100000000, 0x40000800, RAM],
      [0x140001000, 0x1000, 2],
    ];
    const at = BASE + 0x40000;
    const view = new DataView(tree.exports.memory.buffer);
    for (const [i, [from, bytes, type]] of map.entries()) {
      view.setBigUint64(at + i * 20, BigInt(from), true);
      view.setBigUint64(at + i * 20 + 8, BigInt(bytes), true);
      view.setUint32(at + i * 20 + 16, type, true);
    }
    const isIdentity = (pfn: number) => tree.get(pfn) === (BigInt(pfn) | tree.identity);
    assert.equal(
      Number(tree.exports.setIdentityFromMemoryMap(at, map.length, tree.word(0x100), tree.word(0x200))),
      0x100 - 0x9f + (0x100000 - 0x3fff0) + 2,
    );
    // 0x9f is RAM in part, 0x140000 too: both are no memory.
    const expected = [
      [0x9e, false],
      [0x9f, true],
      [0xff, true],
      [0x100, false],
      [0x3ffef, false],
      [0x3fff0, true],
      [0xfffff, true],
      [0x100000, false],
      [0x13ffff, false],
      [0x140000, true],
      [0x140001, true],
      [0x140002, false],
    ] as const;
    assert.deepEqual(
      expected.map(([pfn]) => [pfn, isIdentity(pfn)]),
      expected,
    );

    // The frames that the builder had put there, each once; nobody could reach them any more.
    assert.deepEqual(
      given,
      Array.from({ length: 0x100 - 0x9f }, (_, i) => BigInt(mfnOf(0x9f + i))),
    );
    // The kernel itself must not lie in a hole.
    assert.throws(
      () => tree.exports.setIdentityFromMemoryMap(at, map.length, tree.word(0xf0), tree.word(0x101)),
      WebAssembly.RuntimeError,
    );
  });

  test(`frames in a hole go back in lists, and what is used may stand at both its ends (${width})`, async () => {
    const lists: bigint[][] = [];
    const tree = await Tree.around(wordBytes, 1000, 1000, 1, (_number, [, at]) => {
      const [list, count] = [tree.read(Number(at)), tree.read(Number(at) + wordBytes)];
      lists.push(Array.from({ length: Number(count) }, (_, i) => tree.read(Number(list) + i * wordBytes)));
      return count;
    });
    const at = BASE + 0x40000;
    const view = new DataView(tree.exports.memory.buffer);
    for (const [i, [from, bytes]] of [
      [0, 0x100000],
      [0x300000, 0xe8000],
    ].entries()) {
      view.setBigUint64(at + i * 20, BigInt(from!), true);
      view.setBigUint64(at + i * 20 + 8, BigInt(bytes!), true);
      view.setUint32(at + i * 20 + 16, 1, true);
    }
    const set = (from: number, to: number) =>
      Number(tree.exports.setIdentityFromMemoryMap(at, 2, tree.word(from), tree.word(to)));
    assert.equal(set(0x80, 0x100), 0x200);
    assert.deepEqual(
      lists.map((list) => list.length),
      [128, 128, 128, 128],
    );
    assert.deepEqual(
      lists.flat(),
      Array.from({ length: 0x200 }, (_, i) => BigInt(mfnOf(0x100 + i))),
    );
    // What has gone back does not go again.
    assert.equal(set(0x300, 0x301), 0x200);
    assert.equal(lists.length, 4);
  });

  test(`the frame lists lead from one frame to every leaf (${width})`, async () => {
    // Its list must describe the pages that the lists lie in: this memory is the domain's first 8 MiB.
    const tree = await Tree.around(wordBytes, 4096, MOST, 2);
    assert.equal(tree.setRange(START, END), END - START);
    const pageOf = new Map(Array.from({ length: 4096 }, (_, pfn) => [BigInt(mfnOf(pfn)), pfn * PAGE]));
    const check = () => {
      const lists = tree.page(pageOf.get(tree.value(tree.exports.buildFrameLists()))!);
      for (const [i, mid] of tree.page(tree.top).entries()) {
        const leaves = tree.page(Number(mid)).map((leaf) => BigInt(mfnOf(Number(leaf) / PAGE)));
        assert.deepEqual(tree.page(pageOf.get(lists[i]!)!), leaves);
      }
    };
    check();
    const topMfn = tree.exports.p2mTopMfn.value as number;
    const first = tree.page(topMfn);
    // A leaf, and a mid page with a leaf, that come later are entered as they come.
    assert.ok(tree.set(START + 5000, 77n));
    assert.ok(tree.set(5 << 20, 78n));
    const later = tree.page(topMfn);
    const changed = later.flatMap((mfn, i) => (mfn === first[i] ? [] : [i]));
    assert.deepEqual(changed, wordBytes === 8 ? [20] : [5]);
    const listed = (pfn: number) => {
      const index = Math.floor(pfn / tree.perPage);
      const list = tree.page(pageOf.get(later[Math.floor(index / tree.perPage)]!)!);
      return tree.read(pageOf.get(list[index % tree.perPage]!)! + (pfn % tree.perPage) * wordBytes);
    };
    assert.deepEqual(
      [listed(START + 5000), listed(5 << 20), listed((5 << 20) + 1)],
      [77n, 78n, tree.invalid],
    );
    check();
  });

  test(`who comes second gives its page back, and finds what the first one made (${width})`, async () => {
    const FAR = 5 << 20;
    // A leaf for a missing one and for the shared identity one, a middle page, its leaf; with frame lists: the list, too.
    for (const lists of [false, true]) {
      for (const [pfn, after, pages] of [
        [START - 2000, 0, 1],
        [START + 5000, 0, 1],
        ...Array.from({ length: lists ? 3 : 2 }, (_, i) => [FAR, i, lists ? 3 : 2] as const),
      ] as const) {
        const tree = await Tree.around(wordBytes, 4096, MOST, 2);
        assert.equal(tree.setRange(START, END), END - START);
        if (lists) tree.exports.buildFrameLists();
        tree.exports.race(after, tree.word(pfn + 1), tree.word(78));
        assert.ok(tree.set(pfn, 77n));
        const what = `pfn ${pfn}, while page ${after} is taken`;
        assert.deepEqual([tree.get(pfn), tree.get(pfn + 1)], [77n, 78n], what);
        const other = pfn + 2 >= START && pfn < END ? BigInt(pfn + 2) | tree.identity : tree.invalid;
        assert.equal(tree.get(pfn + 2), other, what);
        assert.equal(tree.exports.pagesTaken(), pages, what);
        if (!lists) continue;
        const pageOf = (mfn: bigint) => (0x90000 - Number(mfn)) * PAGE;
        const index = Math.floor(pfn / tree.perPage);
        const list = tree.page(
          pageOf(tree.page(tree.exports.p2mTopMfn.value as number)[Math.floor(index / tree.perPage)]!),
        );
        const leaf = tree.page(pageOf(list[index % tree.perPage]!));
        assert.deepEqual(
          [leaf[pfn % tree.perPage], leaf[(pfn + 1) % tree.perPage]],
          [77n, 78n],
          `${what}: listed`,
        );
      }
    }
  });

  test(`what cannot be is refused without a trace (${width})`, async () => {
    const tree = await Tree.around(wordBytes, 100, MOST, 1);
    const max = tree.perPage ** 3;
    assert.equal(tree.get(max), tree.invalid);
    assert.equal(tree.set(max, 5n), false);
    assert.equal(tree.set(max, tree.invalid), true);
    assert.equal(tree.setRange(0, max), 0);
    assert.equal(tree.setRange(5, 4), 0);
    assert.equal(tree.exports.trySetPhysToMachine(tree.word(5000), tree.word(1)), 0);
    assert.equal(tree.exports.trySetPhysToMachine(tree.word(5000), tree.word(tree.invalid)), 1);
    assert.equal(tree.get(99), BigInt(mfnOf(99)));
    assert.equal(tree.get(100), tree.invalid);
  });

  test(`an entry that says what a shared leaf says takes no page, another one takes one (${width})`, async () => {
    const tree = await Tree.around(wordBytes, 4096, MOST, 1);
    assert.equal(tree.setRange(START, END), END - START);
    const pfn = START + 5000;
    assert.ok(tree.set(pfn, BigInt(pfn) | tree.identity));
    assert.ok(tree.set(END + 5000, tree.invalid));
    assert.equal(tree.exports.pagesTaken(), 0);
    assert.ok(tree.set(pfn, tree.invalid));
    assert.equal(tree.exports.pagesTaken(), 1);
    assert.deepEqual([tree.get(pfn), tree.get(pfn + 1)], [tree.invalid, BigInt(pfn + 1) | tree.identity]);
  });

  test(`the early pages that are promised are enough, to the last one (${width})`, async () => {
    const perMid = wordBytes === 8 ? 512 ** 2 : 1024 ** 2;
    const tree = await Tree.around(wordBytes, 100, 3 * perMid, 1);
    assert.equal(tree.setRange(1.5 * perMid + 5, 2.5 * perMid + 5), perMid);
    tree.exports.buildFrameLists();
    assert.equal(tree.exports.brkUsed(), tree.exports.brkReserved());
  });

  test(`more early pages than were promised stop the kernel (${width})`, async () => {
    const tree = await Tree.around(wordBytes, 100, 200, 0);
    const { exports } = tree;
    assert.ok(exports.brkUsed() <= exports.brkReserved());
    assert.throws(() => {
      for (let i = 0; i < 100; i++) tree.setRange(i * 10_000 + 5, i * 10_000 + 6);
    }, WebAssembly.RuntimeError);
    assert.ok(exports.brkUsed() <= exports.brkReserved());
    const end = exports.closeBrk();
    assert.equal(end % PAGE, 0);
  });
}
