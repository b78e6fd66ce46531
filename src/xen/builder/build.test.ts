import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FLAT_KERNEL_CS, FLAT_KERNEL_SS } from '../../abi/xen/numbers/arch-x86_64.ts';
import {
  EVTCHNSTAT_unbound,
  GTF_permit_access,
  SIF_MOD_START_PFN,
  SIF_VIRT_P2M_4TOOLS,
} from '../../abi/xen/numbers/index.ts';
import { start_info } from '../../abi/xen/structures/start-info.ts';
import { StructureView } from '../../abi/xen/view.ts';
import type { Gva, Mfn } from '../../machine/memory.ts';
import { PAGE_SIZE } from '../../machine/memory.ts';
import { CS, RSI, RSP, SS } from '../../machine/x86/registers.ts';
import { HypercallTable } from '../hypercalls/dispatch.ts';
import { testHost } from '../hypercalls/test-world.ts';
import { audit } from '../mm/auditor.ts';
import { frameTableOf } from '../mm/frame-table.ts';
import { PGT_l4_page_table, PGT_pinned, PGT_type_mask, PGT_writable_page } from '../mm/page-info.ts';
import { type BuildableKernel, type BuiltDomain, buildDomain, type DomainConfig } from './build.ts';
import { DomainBuildError, TooLittleMemoryError } from './errors.ts';

const VIRT_BASE = -0x80000000;
const ENTRY = VIRT_BASE + 0x1010;
const hypercalls = new HypercallTable([]);

/** A kernel of two segments with a gap, like Linux in what it asks for. */
function kernel(info: Partial<BuildableKernel['info']> = {}, width: 32 | 64 = 64): BuildableKernel {
  const { virtBase = VIRT_BASE } = info;
  return {
    name: 'vmlinux',
    width,
    segments: [
      { virtual: virtBase + 0x1000, bytes: Uint8Array.of(1, 2, 3, 4), memorySize: 0x1000 },
      { virtual: virtBase + 0x2ffe, bytes: Uint8Array.of(5, 6, 7, 8), memorySize: 0x3000 },
    ],
    info: {
      entry: ENTRY,
      virtBase,
      virtStart: virtBase + 0x1000,
      virtEnd: virtBase + 0x5ffe,
      hypercallPage: undefined,
      initP2m: 0x8000000000,
      modStartPfn: true,
      ...info,
    },
  };
}

function build(
  config: Partial<DomainConfig> = {},
  frames = 8192,
): { host: ReturnType<typeof testHost>['host']; built: BuiltDomain } {
  const { host } = testHost(frames);
  const built = buildDomain(host, { name: 'guest', kernel: kernel(), memoryMib: 16, hypercalls, ...config });
  return { host, built };
}

/** The machine address behind a guest address, by the tables that the vCPU starts with. */
function translate({ domain, mm }: BuiltDomain, gva: Gva): { maddr: number; low: number; high: number } {
  const { memory } = mm.table;
  const bits = BigInt(gva) & 0xffffffffffffn;
  let mfn: Mfn = domain.vcpus[0]!.kernelTable;
  let [low, high] = [0, 0];
  for (const shift of [39n, 30n, 21n, 12n]) {
    const at = mfn * PAGE_SIZE + Number((bits >> shift) & 511n) * 8;
    low = memory.read32(at);
    high = memory.read32(at + 4);
    assert.equal(low & 1, 1, `nothing is mapped at ${gva.toString(16)}`);
    mfn = low >>> 12;
  }
  return { maddr: mfn * PAGE_SIZE + Number(bits & 4095n), low, high };
}

function startInfo(built: BuiltDomain): StructureView<keyof typeof start_info.x64.offset> {
  const { memory } = built.mm.table;
  const { maddr } = translate(built, built.plan.startInfo.virtual);
  return new StructureView(start_info.x64, memoryAt(memory), maddr);
}

function memoryAt(memory: BuiltDomain['mm']['table']['memory']) {
  return {
    read8: (at: number) => memory.read8(at),
    read16: (at: number) => memory.read16(at),
    read32: (at: number) => memory.readU32(at),
    write8() {},
    write16() {},
    write32() {},
  };
}

describe('a domain that has been built', () => {
  it('has its kernel at its addresses, with zeros where the file has nothing', () => {
    const { built } = build();
    const { memory } = built.mm.table;
    const byte = (gva: Gva) => memory.read8(translate(built, gva).maddr);
    assert.deepEqual(
      [0, 1, 2, 3, 4].map((i) => byte(VIRT_BASE + 0x1000 + i)),
      [1, 2, 3, 4, 0],
    );
    assert.deepEqual(
      [-1, 0, 1, 2, 3, 4].map((i) => byte(VIRT_BASE + 0x2ffe + i)),
      [0, 5, 6, 7, 8, 0],
    );
  });

  it('has page tables that Xen has checked and that the auditor agrees with', () => {
    const { host, built } = build();
    const table = frameTableOf(host);
    const root = built.domain.vcpus[0]!.kernelTable;
    assert.equal(table.typeInfo[root]! & PGT_type_mask, PGT_l4_page_table);
    assert.notEqual(table.typeInfo[root]! & PGT_pinned, 0);
    assert.deepEqual(audit(table), []);
    const page = translate(built, VIRT_BASE);
    // Present, writable, user, accessed; bit 52 marks a page of the kernel's.
    assert.equal(page.low & 0xfff, 0x27);
    assert.equal((page.high >>> 20) & 1, 1);
    const own = translate(built, built.plan.pageTables.virtual);
    assert.equal(own.low & 2, 0, 'a page table is not writable');
    assert.equal(own.maddr, root * PAGE_SIZE);
  });

  it('tells the auditor who else holds its frames, and holds the rings as ordinary memory', () => {
    const { built } = build();
    const { mm, events, domain, console, xenstore } = built;
    assert.deepEqual(mm.keptWritable, [console.mfn, xenstore.mfn]);
    const [one, two] = [mm.allocatePages(), mm.allocatePages()];
    for (const mfn of [one, two]) assert.equal(mm.getPageAndType(mfn, PGT_writable_page), true);
    assert.equal(audit(mm.table).length > 0, true, 'nobody has said so yet');
    events.eoiMap = { mfn: one, release() {} };
    const [vcpu] = domain.vcpus;
    vcpu!.vcpuInfo = two * PAGE_SIZE;
    vcpu!.vcpuInfoRegistered = true;
    assert.deepEqual(audit(mm.table), []);
  });

  it('has a P2M at INIT_P2M that agrees with the M2P', () => {
    const { built } = build();
    const { table } = built.mm;
    for (const pfn of [0, 1, 511, 512, 4095]) {
      const mfn = table.memory.readU32(translate(built, 0x8000000000 + pfn * 8).maddr);
      assert.equal(table.owner[mfn], built.domain.id);
      assert.equal(table.m2p.low(mfn), pfn);
    }
  });

  it('finds all it needs in start_info', () => {
    const commandLine = 'console=hvc0 root=/dev/xvda';
    const { built } = build({ commandLine, initrd: new Uint8Array(5000).fill(9) });
    const { plan, domain } = built;
    const info = startInfo(built);
    const text = (name: 'magic' | 'cmd_line', length: number) => {
      const bytes = new Uint8Array(length);
      built.mm.table.memory.readBytes(info.address(name), bytes);
      return new TextDecoder().decode(bytes).replace(/\0+$/, '');
    };
    assert.equal(text('magic', 32), 'xen-3.0-x86_64');
    assert.equal(text('cmd_line', 1024), commandLine);
    assert.equal(info.get('nr_pages'), 4096);
    assert.equal(info.get('shared_info'), domain.sharedInfo);
    assert.equal(info.get('flags'), SIF_VIRT_P2M_4TOOLS | SIF_MOD_START_PFN);
    assert.equal(info.get('pt_base'), plan.pageTables.virtual);
    assert.equal(info.get('nr_pt_frames'), plan.pageTables.pages);
    assert.equal(info.get('mfn_list'), 0x8000000000);
    assert.equal(info.get('first_p2m_pfn'), plan.p2m.pfn);
    assert.equal(info.get('nr_p2m_frames'), plan.p2m.pages);
    assert.equal(info.get('mod_start'), plan.initrd!.pfn);
    assert.equal(info.get('mod_len'), 8192);
    assert.equal(info.get('store_mfn'), built.xenstore.mfn);
    assert.equal(info.get('store_evtchn'), built.xenstore.port);
    assert.equal(info.get('console_domU_mfn'), built.console.mfn);
    assert.equal(info.get('console_domU_evtchn'), built.console.port);
    const p2m = (pfn: number) =>
      built.mm.table.memory.readU32(translate(built, 0x8000000000 + pfn * 8).maddr);
    assert.equal(built.mm.table.memory.read8(p2m(plan.initrd!.pfn + 1) * PAGE_SIZE), 9);
  });

  it('has its initrd and its P2M in the mapping if the kernel knows no better', () => {
    const initrd = new Uint8Array(5000).fill(7);
    const { built } = build({ kernel: kernel({ initP2m: undefined, modStartPfn: false }), initrd });
    const info = startInfo(built);
    assert.equal(info.get('flags'), SIF_VIRT_P2M_4TOOLS);
    assert.equal(info.get('mod_len'), 5000);
    assert.equal(built.mm.table.memory.read8(translate(built, info.get('mod_start') + 4999).maddr), 7);
    assert.equal(info.get('mfn_list'), built.plan.p2m.virtual);
    assert.equal(info.get('first_p2m_pfn'), 0);
    const first = built.mm.table.memory.readU32(translate(built, info.get('mfn_list')).maddr);
    assert.equal(first * PAGE_SIZE, translate(built, VIRT_BASE).maddr);
    assert.deepEqual(audit(built.mm.table), []);
  });

  it('stands at its entry with RSI at start_info, upcalls masked, and is paused', () => {
    const { built } = build();
    const { domain, plan } = built;
    const vcpu = domain.vcpus[0]!;
    assert.equal(domain.state, 'paused');
    assert.equal(vcpu.online, true);
    assert.equal(vcpu.state.rip, ENTRY);
    assert.equal(vcpu.state.reg(RSI), plan.startInfo.virtual);
    assert.equal(vcpu.state.reg(RSP), plan.stack.virtual + PAGE_SIZE);
    assert.deepEqual([vcpu.kernelSp, vcpu.kernelSs], [plan.stack.virtual + PAGE_SIZE, FLAT_KERNEL_SS]);
    assert.equal(vcpu.state.rflags, 0x202);
    assert.deepEqual([vcpu.state.selector(CS), vcpu.state.selector(SS)], [FLAT_KERNEL_CS, FLAT_KERNEL_SS]);
    const { memory } = built.mm.table;
    assert.equal(vcpu.vcpuInfo, domain.sharedInfo);
    assert.deepEqual([memory.read8(vcpu.vcpuInfo), memory.read8(vcpu.vcpuInfo + 1)], [0, 1]);
    domain.unpause();
    assert.equal(vcpu.runnable, true);
  });

  it('has only its first vCPU on line', () => {
    const { built } = build({ vcpus: 40 });
    const { vcpus, sharedInfo } = built.domain;
    assert.deepEqual(
      vcpus.map((vcpu) => vcpu.online),
      [true, ...new Array(39).fill(false)],
    );
    assert.equal(vcpus[31]!.vcpuInfo, sharedInfo + 31 * 64);
    assert.equal(vcpus[32]!.vcpuInfo, 0, 'shared_info has room for 32');
  });

  it('has ports and preset grants for xenstore and console', () => {
    const { built } = build();
    const { events, grants, xenstore, console } = built;
    assert.deepEqual([xenstore.port, console.port], [1, 2]);
    assert.equal(events.status(1)!.status, EVTCHNSTAT_unbound);
    events.bindHost(console.port, () => {});
    const { memory } = built.mm.table;
    const entry = (ref: number) => {
      const at = grants.frames[0]! * PAGE_SIZE + ref * 8;
      return [memory.read16(at), memory.read16(at + 2), memory.readU32(at + 4)];
    };
    assert.deepEqual(entry(0), [GTF_permit_access, 0, console.mfn]);
    assert.deepEqual(entry(1), [GTF_permit_access, 0, xenstore.mfn]);
    assert.equal(memory.read32(console.mfn * PAGE_SIZE), 0);
  });

  it('has a hypercall page where the kernel reserved one', () => {
    const { built } = build({ kernel: kernel({ hypercallPage: VIRT_BASE + 0x4000 }) });
    const { maddr } = translate(built, VIRT_BASE + 0x4000 + 17 * 32);
    const bytes = new Uint8Array(14);
    built.mm.table.memory.readBytes(maddr, bytes);
    assert.equal(Buffer.from(bytes).toString('hex'), '514153b8110000000f05415b59c3'.slice(0, 28));
  });

  it('knows its UUID and the time', () => {
    const uuid = Uint8Array.from({ length: 16 }, (_, i) => i);
    const { built } = build({ uuid, wallClock: { seconds: 1000, nanoseconds: 5 } });
    assert.deepEqual(built.domain.handle, uuid);
    assert.equal(built.domain.wallClockSeconds, 1000);
    assert.equal(built.domain.wallClockNanoseconds, 5);
  });

  it('gives every frame back when it is destroyed', () => {
    const { host } = testHost(8192);
    frameTableOf(host);
    const make = () => buildDomain(host, { name: 'guest', kernel: kernel(), memoryMib: 16, hypercalls });
    make().domain.destroy();
    const free = host.frames.available;
    const { domain, mm } = make();
    // A registered vcpu_info holds its frame; that must not keep it.
    const vcpu = domain.vcpus[0]!;
    const page = mm.allocatePages();
    assert.equal(mm.getPageAndType(page, PGT_writable_page), true);
    vcpu.vcpuInfo = page * PAGE_SIZE;
    vcpu.vcpuInfoRegistered = true;
    assert.deepEqual(audit(mm.table), [], 'the auditor knows who holds it');
    domain.destroy();
    assert.equal(host.frames.available, free);
    assert.deepEqual(audit(frameTableOf(host)), []);
  });

  it('is the same whenever it is built', () => {
    const print = () => {
      const { host } = build().built.domain;
      return Buffer.from(host.memory.u8.subarray(host.memory.framesBase)).toString('base64');
    };
    assert.equal(print(), print());
  });
});

describe('a domain that cannot be built', () => {
  const fails = (config: Partial<DomainConfig>, message: RegExp, frames?: number) => {
    assert.throws(
      () => build(config, frames),
      (error: Error) => {
        assert.equal(error instanceof DomainBuildError, true);
        assert.match(error.message, message);
        assert.equal(error.message.includes('\n'), false);
        return true;
      },
    );
  };

  it('says what its kernel needs', () => {
    fails({ memoryMib: 4 }, /^too little memory: the domain has 4 MiB, but vmlinux needs at least 5 MiB$/);
    const huge = kernel({ virtEnd: VIRT_BASE + 0x7f000000 });
    fails({ kernel: huge }, /needs at least \d{4} MiB$/);
    build({ memoryMib: 5 });
  });

  it('says what the host has', () => {
    fails({ memoryMib: 64 }, /^too little memory: the domain wants 64 MiB, but the host has \d+ MiB free$/);
  });

  it('leaves nothing behind', () => {
    const { host } = testHost(8192);
    frameTableOf(host);
    const free = host.frames.available;
    const bad = kernel({ hypercallPage: VIRT_BASE });
    assert.throws(
      () => buildDomain(host, { name: 'guest', kernel: bad, memoryMib: 16, hypercalls }),
      /its hypercall page lies outside the kernel/,
    );
    assert.equal(host.domains.size, 0);
    // One frame stays: it holds vCPU states, and will again.
    assert.equal(free - host.frames.available <= 1, true);
    assert.deepEqual(audit(frameTableOf(host)), []);
  });

  it('is of a kind that is not there yet, or of no sense', () => {
    fails({ kernel: kernel({}, 32) }, /^vmlinux: 32-bit PV guests are not supported yet$/);
    fails({ commandLine: 'x'.repeat(1024) }, /has 1024 bytes, but at most 1023 fit/);
    fails({ commandLine: 'a\0b' }, /NUL/);
    fails({ memoryMib: 1.5 }, /whole number of MiB, found 1\.5/);
    fails(
      { kernel: kernel({ virtStart: VIRT_BASE + 1 }) },
      /^vmlinux: expected the kernel to begin at a page/,
    );
    assert.throws(() => build({ memoryMib: 2 }), TooLittleMemoryError);
  });
});
