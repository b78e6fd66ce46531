/**
 * The conversions of page.h over a domain of 1024 pages: its P2M, an M2P with other domains' frames and holes in it, page
 * tables, and a machine that writes hypercalls down.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadGuest } from '../testing/index.ts';

const PAGE = 4096;
const PAGES = 1024;
const LIST = 0x100000;
const ROOT = 0x200000;
const FIRST_MFN = 0x4000;
const LAST_MFN = 0x5fff;
/** Another domain's frame, which is that domain's page 700. */
const FOREIGN_MFN = 0x4444;
const FEATURE_AUTO_TRANSLATED = 2;
const NX = 1n << 63n;

const mfnOf = (pfn: number) => 0x5000 - pfn;

async function domain(wordBits: 32 | 64) {
  const calls: bigint[][] = [];
  const bytes = wordBits / 8;
  const { exports, machine } = await loadGuest('src/guest/xen/testing/page.ts', {
    wordBits,
    hypercall: (number, operands) => {
      calls.push([BigInt(number), ...operands]);
      if (number !== 12) return 0;
      // memory_op(XENMEM_machphys_mapping): where the table is, and the highest frame that it has.
      [m2p, 0n, BigInt(LAST_MFN)].forEach((value, i) => {
        machine.write(operands[1]! + BigInt(i * bytes), bytes, value);
      });
      return 0;
    },
  });
  const word = (value: number | bigint): bigint | number =>
    wordBits === 64 ? BigInt.asIntN(64, BigInt(value)) : Number(BigInt.asIntN(32, BigInt(value)));
  const number = (value: unknown): number => Number(BigInt.asUintN(wordBits, BigInt(value as bigint)));
  const INVALID = number(-1n);
  const m2p = wordBits === 64 ? 0xffff_8000_0000_0000n : 0xf580_0000n;

  // The M2P, with a hole in the last of its pages.
  machine.map(m2p + BigInt(FIRST_MFN * bytes), (LAST_MFN - FIRST_MFN - PAGE / bytes) * bytes);
  for (let mfn = FIRST_MFN; mfn < LAST_MFN - 2 * (PAGE / bytes); mfn++) {
    const pfn = 0x5000 - mfn;
    const owned = pfn >= 0 && pfn < PAGES;
    machine.write(m2p + BigInt(mfn * bytes), bytes, owned ? BigInt(pfn) : (1n << BigInt(wordBits)) - 1n);
  }
  machine.write(m2p + BigInt(FOREIGN_MFN * bytes), bytes, 700n);

  exports.reserveBrk!(30 * PAGE);
  exports.openBrk!(0x300000);
  for (let pfn = 0; pfn < PAGES; pfn++) machine.write(BigInt(LIST + pfn * bytes), bytes, BigInt(mfnOf(pfn)));
  exports.buildPhysToMachine!(LIST, word(PAGES));
  exports.setMaxPfn!(word(PAGES));
  exports.setupMachineToPhys!();
  calls.length = 0;
  const convert = (name: string, value: number): number => number(exports[name]!(word(value)));
  return { exports, machine, calls, word, number, convert, INVALID, wordBits };
}

type Domain = Awaited<ReturnType<typeof domain>>;

/** Tables that map the first 2 MiB; the page at 0x5000 is not mapped. Returns where the entry for address 0 stands. */
function makeTables({ machine, exports, wordBits }: Domain): number {
  const levels = wordBits === 64 ? 4 : 3;
  for (let level = 0; level < levels - 1; level++) {
    const next = ROOT + (level + 1) * PAGE;
    machine.write(BigInt(ROOT + level * PAGE), 8, (BigInt(mfnOf(next / PAGE)) << 12n) | 0x67n);
  }
  const last = ROOT + (levels - 1) * PAGE;
  for (let pfn = 0; pfn < 512; pfn++) {
    machine.write(BigInt(last + pfn * 8), 8, pfn === 5 ? 0n : (BigInt(mfnOf(pfn)) << 12n) | NX | 0x63n);
  }
  exports.setRootTable!(ROOT);
  return last;
}

for (const wordBits of [64, 32] as const) {
  test(`our own frames go both ways (${wordBits} bits)`, async () => {
    const { exports, convert, number } = await domain(wordBits);
    for (const pfn of [0, 1, 511, 1023]) {
      assert.equal(convert('pfnToMfn', pfn), mfnOf(pfn));
      assert.equal(convert('mfnToPfn', mfnOf(pfn)), pfn);
      assert.equal(convert('mfnToLocalPfn', mfnOf(pfn)), pfn);
      const pointer = pfn * PAGE + 0x123;
      const maddr = BigInt(mfnOf(pfn)) * 4096n + 0x123n;
      assert.equal(exports.virtToMachine!(pointer), maddr);
      assert.equal(exports.physToMachine!(BigInt(pointer)), maddr);
      assert.equal(exports.machineToPhysical!(maddr), BigInt(pointer));
      assert.equal(number(exports.virtToMfn!(pointer)), mfnOf(pfn));
    }
    assert.equal(exports.mfnToVirt!(exports.virtToMfn!(0x7000)!), 0x7000);
  });

  test(`a frame that is not ours is no local frame, whatever the M2P says (${wordBits} bits)`, async () => {
    const { exports, convert, word, INVALID } = await domain(wordBits);
    // The other domain has it as its page 700; our page 700 is another frame.
    assert.equal(convert('mfnToPfn', FOREIGN_MFN), 700);
    assert.equal(convert('mfnToLocalPfn', FOREIGN_MFN), PAGES);
    // Mapped on purpose behind our own page 700, with the mark: pfn to mfn works, and the way back still does not.
    const foreign = exports.foreignFrame!(word(FOREIGN_MFN))!;
    assert.equal(exports.setPhysToMachine!(word(700), foreign), 1);
    assert.equal(convert('pfnToMfn', 700), FOREIGN_MFN);
    assert.equal(convert('mfnToLocalPfn', FOREIGN_MFN), PAGES);
    assert.equal(exports.physToMachineValid!(word(700)), 1);
    // Nobody's.
    assert.equal(convert('mfnToPfn', FIRST_MFN), INVALID);
    assert.equal(convert('mfnToLocalPfn', FIRST_MFN), PAGES);
    assert.equal(convert('pfnToMfn', 5000), INVALID);
    assert.equal(exports.physToMachineValid!(word(5000)), 0);
  });

  test(`a look-up in a hole of the M2P, or behind its end, survives (${wordBits} bits)`, async () => {
    const { convert, INVALID } = await domain(wordBits);
    for (const mfn of [LAST_MFN, LAST_MFN + 1, FIRST_MFN - 1, 0xfee00]) {
      assert.equal(convert('mfnToPfn', mfn), INVALID);
      assert.equal(convert('mfnToLocalPfn', mfn), PAGES);
    }
    assert.equal(convert('mfnToPfn', mfnOf(3)), 3);
  });

  test(`a device's frame is its own, but never one of memory (${wordBits} bits)`, async () => {
    const { exports, convert, word, number } = await domain(wordBits);
    assert.equal(number(exports.setPhysRangeIdentity!(word(0xfee00), word(0xfef00))), 0x100);
    assert.equal(convert('mfnToPfn', 0xfee01), 0xfee01);
    assert.equal(convert('pfnToMfn', 0xfee01), 0xfee01);
    assert.equal(convert('mfnToLocalPfn', 0xfee01), PAGES);
    // Its entry says so, and so comes back as it went.
    const entry = exports.makePte!(0xfee01063n) as bigint;
    assert.equal(entry, 0xfee01463n);
    assert.equal(exports.pteVal!(entry), entry);
    assert.equal(number(exports.ptePfn!(entry)), 0xfee01);
  });

  test(`entries of tables hold machine frames, and the kernel its own (${wordBits} bits)`, async () => {
    const { exports, number, word } = await domain(wordBits);
    const mine = 9n * 4096n + 0x67n;
    const theirs = BigInt(mfnOf(9)) * 4096n + 0x67n;
    assert.equal(exports.makePte!(mine), theirs);
    assert.equal(exports.pteVal!(theirs), mine);
    assert.equal(number(exports.pteMfn!(theirs)), mfnOf(9));
    assert.equal(number(exports.ptePfn!(theirs)), 9);
    assert.equal(exports.mfnPte!(word(mfnOf(9)), 0x67n), theirs);
    // What is not present is the kernel's business alone; a frame that has no machine frame is not to be mapped.
    assert.equal(exports.makePte!(0x9999066n), 0x9999066n);
    assert.equal(exports.makePte!(5000n * 4096n + 0x67n), 0x66n);
    // Another domain's frame keeps its machine frame.
    assert.equal(exports.pteVal!(BigInt(FOREIGN_MFN) * 4096n + 3n), BigInt(FOREIGN_MFN) * 4096n + 3n);
    // NX only once it is allowed.
    assert.equal(exports.makePte!(BigInt.asIntN(64, mine | NX)), theirs);
    exports.allowNoExecute!(1);
    assert.equal(exports.makePte!(BigInt.asIntN(64, mine | NX)), BigInt.asIntN(64, theirs | NX));
    // Without PAE: 32 bits, the frame in the upper 20.
    assert.equal(number(exports.pteMfnNarrow!(0x4ff7067)), 0x4ff7);
    assert.equal(exports.mfnPteNarrow!(word(0x4ff7), 0x67), 0x4ff7067);
  });

  test(`the machine address of any mapping is found through the tables (${wordBits} bits)`, async () => {
    const guest = await domain(wordBits);
    const { exports } = guest;
    const last = makeTables(guest);
    assert.equal(exports.lookupAddress!(0x7123n), last + 7 * 8);
    assert.equal(exports.lookupAddress!(0x40000000n), 0);
    assert.equal(exports.arbitraryVirtToMachine!(0x7123n), BigInt(mfnOf(7)) * 4096n + 0x123n);
    assert.throws(() => exports.arbitraryVirtToMachine!(0x5000n), WebAssembly.RuntimeError);
    assert.throws(() => exports.arbitraryVirtToMachine!(0x40000000n), WebAssembly.RuntimeError);
  });

  test(`a page's mapping is made read-only and writable again by one hypercall each (${wordBits} bits)`, async () => {
    const guest = await domain(wordBits);
    const { exports, calls, machine } = guest;
    const last = makeTables(guest);
    const halves = (entry: bigint) => (wordBits === 64 ? [entry] : [entry & 0xffffffffn, entry >> 32n]);
    const entry = (BigInt(mfnOf(7)) << 12n) | NX | 0x63n;
    exports.makeLowmemPageReadonly!(0x7000);
    assert.deepEqual(calls.splice(0), [[14n, 0x7000n, ...halves(entry & ~2n), 0n]]);
    machine.write(BigInt(last + 7 * 8), 8, entry & ~2n);
    exports.makeLowmemPageReadwrite!(0x7000);
    assert.deepEqual(calls, [[14n, 0x7000n, ...halves(entry), 0n]]);
  });

  test(`where Xen translates, all frames are equal and nothing is asked (${wordBits} bits)`, async () => {
    const { exports, calls, convert, word, number } = await domain(wordBits);
    exports.setFeatures!(0, 1 << FEATURE_AUTO_TRANSLATED);
    for (const name of ['pfnToMfn', 'mfnToPfn', 'mfnToLocalPfn']) assert.equal(convert(name, 5000), 5000);
    assert.equal(exports.physToMachineValid!(word(5000)), 1);
    assert.equal(exports.setPhysToMachine!(word(5000), word(5000)), 1);
    assert.throws(() => exports.setPhysToMachine!(word(5000), word(5001)), WebAssembly.RuntimeError);
    assert.equal(number(exports.setPhysRangeIdentity!(word(5000), word(6000))), 1000);
    assert.equal(calls.length, 0);
  });
}
