import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as abi from '../../abi/xen/numbers/index.ts';
import {
  gnttab_copy,
  gnttab_get_status_frames,
  gnttab_query_size,
  gnttab_setup_table,
} from '../../abi/xen/structures/grant_table.ts';
import { PAGE_SIZE } from '../../machine/memory.ts';
import type { XenDomain } from '../domain.ts';
import { GrantTable } from '../grants/table.ts';
import { audit } from '../mm/auditor.ts';
import { DomainMemory } from '../mm/domain-memory.ts';
import { frameTableOf } from '../mm/frame-table.ts';
import { getPageType, putPageType } from '../mm/page-types.ts';
import { HypercallArguments } from './arguments.ts';
import { CONTINUE } from './dispatch.ts';
import { handlers } from './grant-table.ts';
import { TestWorld, WINDOW } from './test-world.ts';

const OP = abi.__HYPERVISOR_grant_table_op;
const LIST = WINDOW + 2 * PAGE_SIZE;

/** Two domains with memory of their own; the first one owns the window and issues the hypercalls. */
class GrantWorld extends TestWorld {
  readonly mm: DomainMemory;
  readonly grants: GrantTable;
  readonly other: XenDomain;
  readonly otherMm: DomainMemory;
  readonly otherGrants: GrantTable;

  constructor() {
    super([handlers]);
    const table = frameTableOf(this.host);
    this.mm = new DomainMemory(table, this.domain);
    this.domain.mm = this.mm;
    this.domain.totPages = this.frames.length;
    this.grants = new GrantTable(this.mm, 4);
    this.domain.grants = this.grants;
    this.other = this.addDomain([handlers]);
    this.otherMm = new DomainMemory(table, this.other);
    this.other.mm = this.otherMm;
    this.otherGrants = new GrantTable(this.otherMm);
    this.other.grants = this.otherGrants;
  }

  issue(command: number, words: readonly number[], count = 1): number {
    return this.call(OP, [command, this.words(...words), count]);
  }
  status(offset: number): number {
    return (this.vcpu.guest.read16(WINDOW + offset) << 16) >> 16;
  }
  flags(grants: GrantTable, ref: number): number {
    return this.memory.read16(grants.frames[0]! * PAGE_SIZE + ref * 8);
  }
  setFlags(grants: GrantTable, ref: number, flags: number): void {
    this.memory.write16(grants.frames[0]! * PAGE_SIZE + ref * 8, flags);
  }

  /** Copies `length` bytes; each end is a domain, a reference or frame, and an offset. */
  copy(
    source: readonly [domain: number, name: number, offset: number],
    dest: readonly [domain: number, name: number, offset: number],
    length: number,
    flags: number,
  ): number {
    const words = [source[1], 0, source[0] | (source[2] << 16), 0, dest[1], 0, dest[0] | (dest[2] << 16), 0];
    assert.equal(this.issue(abi.GNTTABOP_copy, [...words, length | (flags << 16), 99]), 0);
    return this.status(gnttab_copy.x64.offset.status);
  }
}

describe('setting a grant table up', () => {
  const setup = (world: GrantWorld, domain: number, frames: number) => {
    world.issue(abi.GNTTABOP_setup_table, [domain, frames, 99, 0, LIST, 0]);
    return world.status(gnttab_setup_table.x64.offset.status);
  };

  it('grows the table and tells its frames', () => {
    const world = new GrantWorld();
    assert.equal(setup(world, abi.DOMID_SELF, 3), abi.GNTST_okay);
    const listed = [0, 1, 2].map((i) => world.vcpu.guest.readNumber64(LIST + i * 8));
    assert.deepEqual(listed, world.grants.frames);
    world.vcpu.guest.write64(LIST + 16, 77, 0);
    assert.equal(setup(world, world.domain.id, 2), abi.GNTST_okay, 'asking for fewer shrinks nothing');
    assert.equal(world.vcpu.guest.readNumber64(LIST + 16), 77, 'and tells as many as were asked for');
    assert.equal(world.grants.frames.length, 3);
    for (const mfn of world.grants.frames) {
      assert.ok(world.mm.getPageAndType(mfn, 7 << 29), 'the guest may map it writable');
      world.mm.putPageAndType(mfn);
    }
  });

  it("is limited, and each domain's own affair", () => {
    const world = new GrantWorld();
    assert.equal(setup(world, abi.DOMID_SELF, 5), abi.GNTST_general_error);
    assert.equal(world.grants.frames.length, 1);
    assert.equal(setup(world, abi.DOMID_SELF, 4), abi.GNTST_okay);
    assert.equal(setup(world, world.other.id, 1), abi.GNTST_permission_denied);
    assert.equal(setup(world, 0, 1), abi.GNTST_permission_denied);
    assert.equal(setup(world, 99, 1), abi.GNTST_bad_domain);
    world.issue(abi.GNTTABOP_setup_table, [abi.DOMID_SELF, 1, 99, 0, 0x10, 0]);
    assert.equal(world.status(8), abi.GNTST_bad_virt_addr);
    assert.equal(
      world.issue(abi.GNTTABOP_setup_table, [abi.DOMID_SELF, 1, 99, 0, LIST, 0], 2),
      -abi.XEN_EINVAL,
    );
  });

  it('can be asked about', () => {
    const world = new GrantWorld();
    assert.equal(world.issue(abi.GNTTABOP_query_size, [abi.DOMID_SELF, 0, 0, 99]), 0);
    const { nr_frames, max_nr_frames, status } = gnttab_query_size.x64.offset;
    const { guest } = world.vcpu;
    assert.deepEqual([guest.readU32(WINDOW + nr_frames), guest.readU32(WINDOW + max_nr_frames)], [1, 4]);
    assert.equal(world.status(status), abi.GNTST_okay);
  });

  it('knows version 1 alone', () => {
    const world = new GrantWorld();
    assert.equal(world.issue(abi.GNTTABOP_set_version, [1]), 0);
    assert.equal(world.issue(abi.GNTTABOP_set_version, [2]), -abi.XEN_ENOSYS);
    assert.equal(world.vcpu.guest.readU32(WINDOW), 1);
    assert.equal(world.issue(abi.GNTTABOP_set_version, [3]), -abi.XEN_EINVAL);
    assert.equal(world.issue(abi.GNTTABOP_get_version, [abi.DOMID_SELF, 0]), 0);
    assert.equal(world.vcpu.guest.readU32(WINDOW + 4), 1);
    assert.equal(world.issue(abi.GNTTABOP_get_version, [99, 0]), -abi.XEN_ESRCH);
    assert.equal(world.issue(abi.GNTTABOP_get_version, [world.other.id, 0]), -abi.XEN_EPERM);
  });

  it('has no status frames to tell of', () => {
    const world = new GrantWorld();
    const status = (domain: number, frames: number) => {
      assert.equal(world.issue(abi.GNTTABOP_get_status_frames, [frames, domain | (99 << 16), LIST, 0]), 0);
      return world.status(gnttab_get_status_frames.x64.offset.status);
    };
    assert.equal(status(abi.DOMID_SELF, 0), abi.GNTST_okay);
    assert.equal(status(abi.DOMID_SELF, 1), abi.GNTST_general_error);
    assert.equal(status(99, 1), abi.GNTST_bad_domain);
  });

  it('gives its frames back with the domain', () => {
    const world = new GrantWorld();
    const free = world.host.frames.available;
    world.grants.grow(4);
    world.grants.release();
    assert.equal(world.host.frames.available, free + 1);
  });
});

describe('GNTTABOP_copy', () => {
  const lend = (world: GrantWorld, ref = 8) => {
    const mfn = world.otherMm.allocatePages();
    world.otherGrants.permit(ref, world.domain.id, mfn);
    return mfn;
  };

  it('copies from and to a page that is lent', () => {
    const world = new GrantWorld();
    const mfn = lend(world);
    const own = world.frames[3]!;
    world.memory.writeBytes(mfn * PAGE_SIZE + 100, Uint8Array.of(1, 2, 3));
    const lent = [world.other.id, 8, 100] as const;
    assert.equal(world.copy(lent, [abi.DOMID_SELF, own, 5], 3, abi.GNTCOPY_source_gref), abi.GNTST_okay);
    assert.deepEqual(
      [4, 5, 6, 7, 8].map((i) => world.memory.read8(own * PAGE_SIZE + i)),
      [0, 1, 2, 3, 0],
    );
    assert.equal(world.copy([abi.DOMID_SELF, own, 6], lent, 2, abi.GNTCOPY_dest_gref), abi.GNTST_okay);
    assert.equal(world.memory.read8(mfn * PAGE_SIZE + 100), 2);
    assert.equal(world.flags(world.otherGrants, 8), abi.GTF_permit_access, 'no use is left behind');
    assert.deepEqual(audit(frameTableOf(world.host)), []);
  });

  it('needs an offer to the caller that allows what it does', () => {
    const world = new GrantWorld();
    lend(world);
    const own = [abi.DOMID_SELF, world.frames[3]!, 0] as const;
    const from = (domain: number, ref: number) =>
      world.copy([domain, ref, 0], own, 1, abi.GNTCOPY_source_gref);
    assert.equal(from(world.other.id, 9), abi.GNTST_general_error);
    assert.equal(from(world.other.id, 100000), abi.GNTST_bad_gntref);
    assert.equal(from(99, 8), abi.GNTST_bad_domain);
    world.setFlags(world.otherGrants, 8, abi.GTF_permit_access | abi.GTF_readonly);
    assert.equal(from(world.other.id, 8), abi.GNTST_okay);
    assert.equal(world.copy(own, [world.other.id, 8, 0], 1, abi.GNTCOPY_dest_gref), abi.GNTST_general_error);
    world.otherGrants.permit(8, 77, world.otherMm.allocatePages());
    assert.equal(from(world.other.id, 8), abi.GNTST_general_error);
    world.otherGrants.permit(8, world.domain.id, world.frames[0]!);
    assert.equal(from(world.other.id, 8), abi.GNTST_bad_page, 'nobody can lend what is not his');
    assert.equal(world.flags(world.otherGrants, 8), abi.GTF_permit_access);
  });

  it("names frames directly only if they are the caller's own", () => {
    const world = new GrantWorld();
    const mfn = lend(world);
    const own = [abi.DOMID_SELF, world.frames[3]!, 0] as const;
    assert.equal(world.copy([world.other.id, mfn, 0], own, 1, 0), abi.GNTST_permission_denied);
    assert.equal(world.copy([abi.DOMID_SELF, mfn, 0], own, 1, 0), abi.GNTST_bad_page);
    assert.equal(world.copy(own, [abi.DOMID_SELF, mfn, 0], 1, 0), abi.GNTST_bad_page);
    assert.equal(world.copy(own, [world.other.id, mfn, 0], 1, 0), abi.GNTST_permission_denied);
  });

  it('asks who may name a frame before it looks for the domain, and first of the source', () => {
    const world = new GrantWorld();
    const mfn = lend(world);
    const own = [abi.DOMID_SELF, world.frames[3]!, 0] as const;
    const nobody = [99, 8, 0] as const;
    assert.equal(world.copy(nobody, own, 1, 0), abi.GNTST_permission_denied);
    assert.equal(world.copy(own, nobody, 1, 0), abi.GNTST_permission_denied);
    const foreign = [world.other.id, mfn, 0] as const;
    assert.equal(world.copy(nobody, foreign, 1, abi.GNTCOPY_source_gref), abi.GNTST_bad_domain);
    assert.equal(world.copy(foreign, nobody, 1, abi.GNTCOPY_dest_gref), abi.GNTST_permission_denied);
  });

  it('never writes a page that is a page table or holds descriptors', () => {
    const world = new GrantWorld();
    const own = [abi.DOMID_SELF, world.frames[3]!, 0] as const;
    const table = frameTableOf(world.host);
    getPageType(table, world.frames[4]!, 5 << 29);
    assert.equal(world.copy(own, [abi.DOMID_SELF, world.frames[4]!, 0], 1, 0), abi.GNTST_general_error);
    putPageType(table, world.frames[4]!);
    assert.deepEqual(audit(table), []);
  });

  it('stays within the page', () => {
    const world = new GrantWorld();
    const own = (offset: number) => [abi.DOMID_SELF, world.frames[3]!, offset] as const;
    assert.equal(world.copy(own(4000), own(0), 97, 0), abi.GNTST_bad_copy_arg);
    assert.equal(world.copy(own(0), own(4096), 1, 0), abi.GNTST_bad_copy_arg);
    assert.equal(world.copy(own(4000), own(0), 96, 0), abi.GNTST_okay);
    assert.equal(world.copy(own(4096), own(0), 0, 0), abi.GNTST_okay);
  });
});

describe('the rest of grant_table_op', () => {
  it('swaps entries that are not in use', () => {
    const world = new GrantWorld();
    world.grants.permit(10, 3, 4);
    assert.equal(world.issue(abi.GNTTABOP_swap_grant_ref, [10, 11, 99]), 0);
    assert.equal(world.status(8), abi.GNTST_okay);
    assert.deepEqual(
      [world.flags(world.grants, 10), world.flags(world.grants, 11)],
      [0, abi.GTF_permit_access],
    );
    world.issue(abi.GNTTABOP_swap_grant_ref, [10, 512, 99]);
    assert.equal(world.status(8), abi.GNTST_bad_gntref);
    world.grants.permit(12, world.other.id, world.frames[1]!);
    assert.equal(world.grants.acquire(12, world.other.id, true, false), abi.GNTST_okay);
    for (const [a, b] of [
      [12, 11],
      [11, 12],
    ] as const) {
      world.issue(abi.GNTTABOP_swap_grant_ref, [a, b, 99]);
      assert.equal(world.status(8), abi.GNTST_eagain);
    }
    world.issue(abi.GNTTABOP_swap_grant_ref, [12, 12, 99]);
    assert.equal(world.status(8), abi.GNTST_okay, 'with itself even then');
  });

  it('marks an entry while it is in use, and lets only its user share it', () => {
    const world = new GrantWorld();
    const { grants } = world;
    grants.permit(12, 5, world.frames[1]!);
    const busy = abi.GTF_permit_access | abi.GTF_reading;
    assert.equal(grants.acquire(12, 5, true, false), abi.GNTST_okay);
    assert.equal(world.flags(grants, 12), busy);
    assert.equal(grants.acquire(12, 5, false, false), abi.GNTST_okay);
    assert.equal(world.flags(grants, 12), busy | abi.GTF_writing);
    assert.equal(grants.acquire(12, 6, true, false), abi.GNTST_general_error);
    grants.releaseUse(12, false);
    assert.equal(world.flags(grants, 12), busy);
    grants.releaseUse(12, true);
    assert.equal(world.flags(grants, 12), abi.GTF_permit_access);
  });

  it('lends for a first write as for a read, and nothing for writing that is for reading only', () => {
    const world = new GrantWorld();
    const { grants } = world;
    const written = abi.GTF_permit_access | abi.GTF_reading | abi.GTF_writing;
    grants.permit(12, 5, world.frames[1]!);
    assert.equal(grants.acquire(12, 5, false, false), abi.GNTST_okay);
    assert.equal(world.flags(grants, 12), written);
    grants.releaseUse(12, false);
    assert.equal(world.flags(grants, 12), abi.GTF_permit_access);
    world.setFlags(grants, 12, abi.GTF_permit_access | abi.GTF_readonly);
    assert.equal(grants.acquire(12, 5, true, false), abi.GNTST_okay);
    assert.equal(grants.acquire(12, 5, false, false), abi.GNTST_general_error);
    grants.releaseUse(12, true);
    // A part of a page can be copied, not mapped.
    world.setFlags(grants, 12, abi.GTF_permit_access | abi.GTF_sub_page);
    assert.equal(grants.acquire(12, 5, true, true), abi.GNTST_general_error);
    assert.equal(grants.acquire(12, 5, true, false), abi.GNTST_okay);
    assert.equal(grants.acquire(grants.size, 5, true, false), abi.GNTST_bad_gntref);
  });

  it('lends an entry 255 times at once, and takes all of them back with the domain', () => {
    const world = new GrantWorld();
    const { grants } = world;
    const mfn = world.frames[1]!;
    grants.permit(12, 5, mfn);
    const { countInfo } = frameTableOf(world.host);
    const before = countInfo[mfn]!;
    for (let i = 0; i < 255; i++) assert.equal(grants.acquire(12, 5, i % 2 === 0, false), abi.GNTST_okay);
    assert.equal(grants.acquire(12, 5, true, false), abi.GNTST_general_error);
    assert.equal(countInfo[mfn], before + 255);
    grants.release();
    assert.equal(countInfo[mfn], before);
  });

  it('stops a long list halfway, and goes on where it stopped', () => {
    const world = new GrantWorld();
    world.words(10, 11, 99, 10, 600, 99, 20, 21, 99);
    world.vcpu.beginHypercall(abi.__HYPERVISOR_grant_table_op);
    for (let i = 0; i < 4095; i++) world.vcpu.preemptionDue();
    const args = new HypercallArguments();
    for (const [i, value] of [abi.GNTTABOP_swap_grant_ref, WINDOW, 3].entries()) args.set(i, value);
    const issue = () => world.domain.hypercalls.call(world.vcpu, abi.__HYPERVISOR_grant_table_op, args);
    assert.equal(issue(), CONTINUE);
    assert.deepEqual([args.gva(1), args.u32(2)], [WINDOW + 24, 1]);
    assert.deepEqual(
      [8, 20, 32].map((at) => world.status(at)),
      [abi.GNTST_okay, abi.GNTST_bad_gntref, 99],
    );
    world.vcpu.beginHypercall(abi.__HYPERVISOR_grant_table_op);
    assert.equal(issue(), 0);
    assert.equal(world.status(32), abi.GNTST_okay);
  });

  it("accepts cache flushes of one's own frames", () => {
    const world = new GrantWorld();
    const flush = (mfn: number, range: number, op: number) =>
      world.issue(abi.GNTTABOP_cache_flush, [
        (mfn * PAGE_SIZE) | 0,
        Math.floor((mfn * PAGE_SIZE) / 2 ** 32),
        range,
        op,
      ]);
    const all = 4096 << 16;
    assert.equal(flush(world.frames[1]!, all, abi.GNTTAB_CACHE_CLEAN), 0);
    assert.equal(flush(world.frames[1]!, all | 1, abi.GNTTAB_CACHE_CLEAN), -abi.XEN_EINVAL);
    assert.equal(flush(world.frames[1]!, all, 8), -abi.XEN_EINVAL);
    assert.equal(flush(world.frames[1]!, 4096, abi.GNTTAB_CACHE_CLEAN), -abi.XEN_EINVAL);
    assert.equal(
      flush(world.memory.frames, 0, abi.GNTTAB_CACHE_CLEAN),
      0,
      'nothing of a frame that is not there',
    );
    assert.equal(flush(world.memory.frames, all, abi.GNTTAB_CACHE_INVAL), -abi.XEN_EINVAL);
    assert.equal(flush(world.otherMm.allocatePages(), all, abi.GNTTAB_CACHE_INVAL), -abi.XEN_EPERM);
  });

  it('refuses absurd counts, unknown commands and unreadable arguments', () => {
    const world = new GrantWorld();
    assert.equal(world.call(OP, [abi.GNTTABOP_copy, WINDOW, 0x80000000]), -abi.XEN_EINVAL);
    assert.equal(world.call(OP, [99, WINDOW, 1]), -abi.XEN_ENOSYS);
    assert.equal(world.call(OP, [abi.GNTTABOP_transfer, WINDOW, 1]), -abi.XEN_ENOSYS);
    for (const command of [2, 5, 6, 8, 9, 10, 11, 12]) {
      assert.equal(world.call(OP, [command, 0x10, 1]), -abi.XEN_EFAULT, `command ${command}`);
    }
  });
});
