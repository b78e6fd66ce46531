import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MachineMemory, PAGE_SIZE } from '../../machine/memory.ts';
import { DomainBuildError, TooLittleMemoryError } from './errors.ts';
import { PAGING_X86_64, planMapping, translatedBits } from './mappings.ts';
import { frameAt, writePageTables } from './page-tables.ts';
import { leastMebibytes, type PlanRequest, planDomain } from './plan.ts';

const MIB = 1 << 20;
const LINUX: PlanRequest = {
  shape: PAGING_X86_64,
  wordBytes: 8,
  pages: 65536,
  virtBase: -0x80000000,
  kernelStart: -0x80000000 + 16 * MIB,
  kernelEnd: -0x80000000 + 60 * MIB,
  initP2m: 0x8000000000,
  modStartPfn: true,
  initrdBytes: 3 * MIB + 1,
};
const OLD: PlanRequest = {
  ...LINUX,
  virtBase: 0x40000000,
  kernelStart: 0x40100000,
  kernelEnd: 0x40180001,
  initP2m: undefined,
  modStartPfn: false,
  initrdBytes: 4097,
};

describe('planning a domain with INIT_P2M and MOD_START_PFN', () => {
  const plan = planDomain(LINUX);

  it('puts kernel, start_info, xenstore, console, page tables and stack in this order', () => {
    assert.deepEqual(plan.kernel, { pfn: 4096, pages: 11264, virtual: LINUX.kernelStart });
    assert.equal(plan.startInfo.pfn, 4096 + 11264);
    assert.equal(plan.xenstore.pfn, plan.startInfo.pfn + 1);
    assert.equal(plan.console.pfn, plan.startInfo.pfn + 2);
    assert.equal(plan.pageTables.pfn, plan.startInfo.pfn + 3);
    assert.equal(plan.stack.pfn, plan.pageTables.pfn + plan.pageTables.pages);
  });

  it('ends the mapping at 4 MiB with at least 512 KiB of slack behind the stack', () => {
    assert.equal(plan.mappedEnd % (4 * MIB) === 0, true);
    const stackEnd = plan.stack.virtual + PAGE_SIZE;
    assert.equal(plan.mappedEnd - stackEnd >= 512 * 1024, true);
    // 60 MiB of kernel, 3 pages, 35 tables, the stack and 512 KiB: the end is 64 MiB, 32 level-1 tables.
    assert.equal(plan.mappedEnd, LINUX.virtBase + 64 * MIB);
    assert.equal(plan.pageTables.pages, 32 + 3);
  });

  it('grows by 4 MiB where tables, stack and slack would not fit otherwise', () => {
    const end = LINUX.virtBase + 64 * MIB;
    // Three pages, 35 tables, the stack: 156 KiB. With the slack, 668 KiB.
    assert.equal(planDomain({ ...LINUX, kernelEnd: end - 668 * 1024 }).mappedEnd, end);
    const grown = planDomain({ ...LINUX, kernelEnd: end - 664 * 1024 });
    assert.equal(grown.mappedEnd, end + 4 * MIB);
    assert.equal(grown.pageTables.pages, 34 + 3);
    assert.equal(grown.stack.pages, 1);
  });

  it('leaves the initrd and the P2M beyond the mapping, the P2M with its own tables', () => {
    const mappedPages = (64 * MIB) / PAGE_SIZE;
    assert.deepEqual(plan.initrd, { pfn: mappedPages, pages: 769, virtual: plan.mappedEnd });
    assert.equal(plan.initrdUnmapped, true);
    assert.equal(plan.p2mAtNote, true);
    assert.equal(plan.p2mVirtual, 0x8000000000);
    assert.equal(plan.p2m.pfn, mappedPages + 769);
    // 128 pages of list; one table each of levels 3, 2 and 1: slot 1 of the root is nobody else's.
    assert.equal(plan.p2m.pages, 128 + 3);
    assert.equal(plan.usedPages, plan.p2m.pfn + plan.p2m.pages);
  });
});

describe('planning a domain without these notes', () => {
  const plan = planDomain(OLD);

  it('puts initrd and P2M into the mapping, before start_info', () => {
    assert.equal(plan.initrd!.pfn, plan.kernel.pfn + plan.kernel.pages);
    assert.equal(plan.initrd!.pages, 2);
    assert.equal(plan.initrdUnmapped, false);
    assert.equal(plan.p2m.pfn, plan.initrd!.pfn + 2);
    assert.equal(plan.p2m.pages, 128);
    assert.equal(plan.p2mVirtual, plan.p2m.virtual);
    assert.equal(plan.startInfo.pfn, plan.p2m.pfn + 128);
    assert.equal(plan.mappings.length, 1);
  });

  it('ignores an INIT_P2M that is not below the kernel or not on a page boundary', () => {
    for (const initP2m of [-0x1000, 0x50000000, 0x10000800]) {
      assert.ok(!planDomain({ ...OLD, initP2m }).p2mAtNote, initP2m.toString(16));
    }
    assert.equal(planDomain({ ...OLD, initP2m: 0x10000000 }).p2mAtNote, true);
  });
});

describe('a domain that is too small', () => {
  it('is refused, and the least size that will do is known', () => {
    assert.throws(() => planDomain({ ...LINUX, pages: 16384 }), TooLittleMemoryError);
    const least = leastMebibytes(LINUX)!;
    assert.doesNotThrow(() => planDomain({ ...LINUX, pages: least * 256 }));
    assert.throws(() => planDomain({ ...LINUX, pages: (least - 1) * 256 }), TooLittleMemoryError);
    assert.equal(leastMebibytes({ ...LINUX, kernelEnd: LINUX.kernelStart + 2 ** 30 }, 512), undefined);
  });

  it('differs from one whose kernel begins in the middle of a page', () => {
    assert.throws(() => planDomain({ ...LINUX, kernelStart: LINUX.kernelStart + 1 }), DomainBuildError);
    assert.throws(() => planDomain({ ...LINUX, kernelStart: LINUX.virtBase - PAGE_SIZE }), DomainBuildError);
  });

  it('differs from one whose P2M would overlap the kernel', () => {
    const wish = { ...OLD, initP2m: 0x40000000 - 64 * PAGE_SIZE };
    assert.throws(() => planDomain(wish), /overlap/);
  });
});

describe('addresses that are not for a guest to map', () => {
  const refuses = (request: Partial<PlanRequest>) =>
    assert.throws(() => planDomain({ ...LINUX, initP2m: undefined, ...request }), /that a guest may map/);
  const kernelAt = (virtBase: number) => ({
    virtBase,
    kernelStart: virtBase + 0x1000,
    kernelEnd: virtBase + 0x3000,
  });

  it('are refused for the kernel: from one half to the other, none of the two, the hypervisor', () => {
    for (const virtBase of [-MIB / 2, 2 ** 47 - MIB / 2, 2 ** 47, -(2 ** 47) - 4096, -(2 ** 47)]) {
      refuses(kernelAt(virtBase));
    }
    refuses(kernelAt(-(2 ** 47) + 2 ** 43 - MIB / 2));
    planDomain({ ...LINUX, initP2m: undefined, ...kernelAt(-(2 ** 47) + 2 ** 43) });
  });

  it('are refused for the list of frames', () => {
    for (const initP2m of [2 ** 47 - 4096, -(2 ** 47), -(2 ** 47) + 2 ** 43 - 4096]) refuses({ initP2m });
  });
});

describe('a second mapping', () => {
  const first = () => planMapping(PAGING_X86_64, [], 0, 4 * MIB - 1, 0, 100, 65536);
  const tables = (from: number, to: number) =>
    planMapping(PAGING_X86_64, [first()], from, to, 2000, 3000, 65536).levels.map((level) => level.tables);

  it('brings only tables that the first one does not have, on either side of it', () => {
    assert.deepEqual(
      first().levels.map((level) => level.tables),
      [2, 1, 1, 1],
    );
    // From 1020 MiB to 1032 MiB: the second GiB needs a level-2 table, the first one has its own.
    assert.deepEqual(tables(1020 * MIB, 1032 * MIB - 1), [6, 1, 0, 0]);
    assert.deepEqual(tables(512 * 1024 * MIB, 512 * 1024 * MIB + 4095), [1, 1, 1, 0]);
    assert.deepEqual(tables(4 * MIB, 4 * MIB + 4095), [1, 0, 0, 0]);
    assert.throws(() => tables(2 * MIB, 8 * MIB), DomainBuildError);
  });
});

describe('the page tables', () => {
  it('never have an entry for a frame that the domain does not have', () => {
    assert.equal(frameAt(Uint32Array.of(7, 9), 1), 9);
    for (const pfn of [2, -1, 0.5, Number.NaN]) {
      assert.throws(() => frameAt(Uint32Array.of(7, 9), pfn), DomainBuildError);
    }
  });

  /** Walks the tables and returns the frame number (of the domain) and the flags, or undefined. */
  function walk(
    memory: MachineMemory,
    root: number,
    gva: number,
  ): { mfn: number; flags: number } | undefined {
    let mfn = root;
    let flags = 0;
    for (let level = 4; level >= 1; level--) {
      const slot = Math.floor(translatedBits(PAGING_X86_64, gva) / (PAGE_SIZE * 512 ** (level - 1))) % 512;
      const low = memory.read32(mfn * PAGE_SIZE + slot * 8);
      if ((low & 1) === 0) return undefined;
      flags = low & 0xfff;
      if (level > 1) assert.equal(flags, 0x67, 'present, writable, user, accessed, dirty');
      mfn = low >>> 12;
    }
    return { mfn, flags };
  }

  for (const [name, request] of [
    ['with INIT_P2M', { ...LINUX, pages: 32768 }],
    ['without', { ...OLD, pages: 32768 }],
    [
      'with the P2M in the address range of the same root entry',
      { ...OLD, initP2m: 0x10000000, pages: 32768 },
    ],
    [
      'with the P2M beside the kernel in one level-2 table',
      { ...OLD, initP2m: 0x40000000 - 64 * MIB, pages: 32768 },
    ],
  ] as const) {
    it(`map every planned frame once, tables read-only, and nothing else: ${name}`, () => {
      const plan = planDomain(request);
      const memory = new MachineMemory({ frames: request.pages + 8, codeCacheBytes: 65536 });
      // Frames in reverse, so that a frame number taken for a machine frame would show.
      const p2m = new Uint32Array(request.pages).map((_, pfn) => request.pages - pfn);
      writePageTables(memory, PAGING_X86_64, plan.mappings, p2m);
      const root = p2m[plan.pageTables.pfn]!;
      const isTable = (pfn: number) =>
        plan.mappings.some(({ levels, tables }) => pfn >= levels[3]!.pfn && pfn < levels[3]!.pfn + tables);
      const check = (gva: number, pfn: number) => {
        const found = walk(memory, root, gva);
        assert.deepEqual(found, { mfn: p2m[pfn], flags: isTable(pfn) ? 0x21 : 0x23 }, gva.toString(16));
      };
      const pages = (plan.mappedEnd - request.virtBase) / PAGE_SIZE;
      for (let pfn = 0; pfn < pages; pfn++) check(request.virtBase + pfn * PAGE_SIZE, pfn);
      assert.equal(walk(memory, root, plan.mappedEnd), undefined);
      assert.equal(walk(memory, root, request.virtBase - PAGE_SIZE), undefined);
      if (!plan.p2mAtNote) return;
      const listPages = (request.pages * 8) / PAGE_SIZE;
      for (let i = 0; i < listPages; i++) check(plan.p2mVirtual + i * PAGE_SIZE, plan.p2m.pfn + i);
      assert.equal(walk(memory, root, plan.p2mVirtual + listPages * PAGE_SIZE), undefined);
    });
  }
});
