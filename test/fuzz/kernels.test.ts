/**
 * Kernels that lie about themselves: ELF headers and Xen notes with addresses at every edge, segments that overlap or
 * wrap, sizes beyond reason. Each is refused with one line, or makes a domain that is as sound as any; nothing is left
 * of those that were refused.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as X from '../../src/abi/xen/numbers/index.ts';
import { buildTinyGuest } from '../../src/guest/tiny/guest.ts';
import type { Host } from '../../src/hypervisor/host.ts';
import { PAGE_SIZE } from '../../src/machine/memory.ts';
import { ImageError } from '../../src/toolstack/images/error.ts';
import { loadKernelImage } from '../../src/toolstack/images/index.ts';
import { type ElfNote, elfImage } from '../../src/toolstack/images/testing/elf-image.ts';
import { buildDomain } from '../../src/xen/builder/build.ts';
import { DomainBuildError } from '../../src/xen/builder/index.ts';
import { HypercallTable } from '../../src/xen/hypercalls/dispatch.ts';
import { testHost } from '../../src/xen/hypercalls/test-world.ts';
import { audit } from '../../src/xen/mm/auditor.ts';
import { frameTableOf } from '../../src/xen/mm/frame-table.ts';
import { LENGTH, Random, SEED } from './random.ts';

const KERNELS = 1500 * LENGTH;
const MUTANTS = 1500 * LENGTH;
const MEMORY_MIB = 8;
const hypercalls = new HypercallTable([]);

/** Loads kernels and builds domains of them, one after the other on one host whose processor executes nothing. */
class Builder {
  readonly host: Host = testHost(4096).host;
  readonly table = frameTableOf(this.host);
  private free = -1;
  built = 0;

  /** Loads and builds; anything but a typed refusal in one line that a terminal can be shown fails the test. */
  async attempt(bytes: Uint8Array, what: string): Promise<void> {
    const { memory } = this.host;
    try {
      const kernel = await loadKernelImage(bytes, 'kernel');
      const { domain } = buildDomain(this.host, { name: 'guest', kernel, memoryMib: MEMORY_MIB, hypercalls });
      assert.deepEqual(audit(this.table), [], what);
      domain.destroy();
      this.built++;
    } catch (error) {
      const typed = error instanceof ImageError || error instanceof DomainBuildError;
      if (!typed) throw new Error(`${what} raised ${error instanceof Error ? error.stack : error}`);
      assert.doesNotMatch(error.message, /\p{Cc}/u, what);
      // Refused before anything is built, not by the checks of what was built.
      assert.doesNotMatch(error.message, /expected the planned tables to be valid/, what);
    }
    // What is made once is made by the first domain that comes so far.
    if (this.free < 0 && this.built > 0) this.free = this.host.frames.available;
    if (this.free >= 0) assert.equal(this.host.frames.available, this.free, `free frames after ${what}`);
    assert.ok(
      memory.u8.subarray(0, PAGE_SIZE).every((byte) => byte === 0),
      `the first page after ${what}`,
    );
  }
}

const EDGES = [
  0,
  1,
  4095,
  PAGE_SIZE,
  0x100000,
  0x1000001,
  2 ** 31,
  2 ** 32,
  0x7fffffffe000,
  0x7ffffffff000,
  0x800000000000,
  -0x800000000000,
  -0x7ff000000000,
  -0x780000000000,
  -0x80000000,
  -0x7f000000,
  -0x400000,
  -0x2000,
  -PAGE_SIZE,
  -1,
  2 ** 52,
  2 ** 60,
  2 ** 63 - 1024,
  -(2 ** 63),
];

function address(random: Random): number {
  return random.pick(EDGES) + (random.once(3) ? random.pick([1, -1, PAGE_SIZE, -PAGE_SIZE, 0x3ff000, 7]) : 0);
}

test('kernels with hostile notes are refused, or make sound domains', async () => {
  const random = new Random(SEED + 5);
  const builder = new Builder();
  await builder.attempt(buildTinyGuest(), 'the tiny guest');
  assert.equal(builder.built, 1);
  for (let i = 0; i < KERNELS; i++) {
    const base = random.once(2) ? -0x80000000 : address(random);
    const near = () => (random.once(3) ? address(random) : base + random.below(64) * 0x800);
    const notes: ElfNote[] = [
      { type: X.XEN_ELFNOTE_XEN_VERSION, desc: 'xen-3.0' },
      { type: X.XEN_ELFNOTE_LOADER, desc: 'generic' },
      { type: X.XEN_ELFNOTE_VIRT_BASE, desc: base },
    ];
    const physical = random.once(2) ? 0x1000 * random.below(4) : address(random);
    if (random.once(2))
      notes.push({ type: X.XEN_ELFNOTE_PADDR_OFFSET, desc: random.once(2) ? physical : address(random) });
    if (random.once(2))
      notes.push({ type: X.XEN_ELFNOTE_INIT_P2M, desc: random.once(2) ? near() : address(random) });
    if (random.once(2)) notes.push({ type: X.XEN_ELFNOTE_HYPERCALL_PAGE, desc: near() });
    if (random.once(2)) notes.push({ type: X.XEN_ELFNOTE_MOD_START_PFN, desc: random.below(2) });
    if (random.once(4)) notes.push({ type: X.XEN_ELFNOTE_BSD_SYMTAB, desc: 'yes' });
    notes.push({ type: X.XEN_ELFNOTE_ENTRY, desc: random.once(2) ? base + (physical % 0x100000) : near() });
    const image = elfImage({
      width: random.once(20) ? 32 : 64,
      physical,
      memorySize: random.once(4) ? Math.abs(address(random)) : 4 + random.below(0x200000),
      notes,
      symbols: [{ name: 'main', address: base }],
    });
    const text = notes.map(
      ({ type, desc }) => `${type}=${typeof desc === 'number' ? desc.toString(16) : desc}`,
    );
    await builder.attempt(image, `kernel ${i} at ${physical.toString(16)}: ${text.join(' ')}`);
  }
  assert.ok(builder.built > KERNELS / 30, `${builder.built} domains of ${KERNELS} were built`);
});

test('an image with bytes changed at random is refused, or makes a sound domain', async () => {
  const random = new Random(SEED + 6);
  const builder = new Builder();
  const original = buildTinyGuest();
  await builder.attempt(original, 'the tiny guest');
  for (let i = 0; i < MUTANTS; i++) {
    const image = original.slice();
    const view = new DataView(image.buffer);
    for (let changes = 1 + random.below(4); changes > 0; changes--) {
      // Headers and notes stand in the first half kilobyte.
      const at = random.below(random.once(5) ? image.length - 8 : 400);
      if (random.once(2)) image[at] = random.next() >>> 24;
      else {
        const value = random.once(2) ? address(random) : random.next();
        view.setInt32(at, value | 0, true);
        view.setInt32(at + 4, Math.floor(value / 2 ** 32) | 0, true);
      }
    }
    const length = random.once(10) ? random.below(image.length) : image.length;
    await builder.attempt(image.subarray(0, length), `mutant ${i}`);
  }
  assert.ok(builder.built > 10, `${builder.built} domains of ${MUTANTS} were built`);
});
