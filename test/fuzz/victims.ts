/**
 * A host for hostile guests: the real engine and two domains made by the real builder. One attacks. The other, the
 * bystander, never runs: every byte of its memory is known, so whoever touches it is found out.
 */
import assert from 'node:assert/strict';
import { VirtualClock } from '../../src/hypervisor/clock.ts';
import { Host } from '../../src/hypervisor/host.ts';
import { type Gva, MachineMemory, type Mfn, PAGE_SIZE } from '../../src/machine/memory.ts';
import { Engine } from '../../src/machine/x86/engine.ts';
import { xenHypercalls } from '../../src/toolstack/xen-hypercalls.ts';
import { type BuildableKernel, type BuiltDomain, buildDomain } from '../../src/xen/builder/build.ts';
import type { XenDomain } from '../../src/xen/domain.ts';
import { audit } from '../../src/xen/mm/auditor.ts';
import { type FrameTable, frameTableOf } from '../../src/xen/mm/frame-table.ts';
import type { XenVcpu } from '../../src/xen/vcpu.ts';

/** Where the kernels lie: as Linux, in the top 2 GiB. */
export const VIRT_BASE: Gva = -0x80000000;
/** Pages of the attacker's kernel, all of them free for attacks. */
export const KERNEL_PAGES = 32;
const MEMORY_MIB = 5;
const FRAMES = 6 * 1024;

const hypercalls = xenHypercalls();
let shared: Engine | undefined;

/** One engine serves all tests of a file: it takes a while to make, and keeps no state that matters. */
export async function sharedEngine(): Promise<Engine> {
  shared ??= await Engine.create(new MachineMemory({ frames: FRAMES, codeCacheBytes: 1 << 20 }));
  return shared;
}

/** A kernel of zeros. */
export function emptyKernel(): BuildableKernel {
  const memorySize = KERNEL_PAGES * PAGE_SIZE;
  return {
    name: 'attacker',
    width: 64,
    segments: [{ virtual: VIRT_BASE, bytes: new Uint8Array(memorySize), memorySize }],
    info: {
      entry: VIRT_BASE,
      virtBase: VIRT_BASE,
      virtStart: VIRT_BASE,
      virtEnd: VIRT_BASE + memorySize,
      hypercallPage: undefined,
      initP2m: undefined,
      modStartPfn: false,
    },
  };
}

export class Arena {
  readonly engine: Engine;
  readonly host: Host;
  readonly bystander: BuiltDomain;
  readonly table: FrameTable;
  /** What the attacker has said on the emergency console, in bytes. */
  printed = 0;
  attacker!: BuiltDomain;
  private readonly bystanderFrames: readonly Mfn[];
  private readonly bystanderSum: number;
  private readonly freeBefore: number;

  private constructor(engine: Engine, sliceInstructions: number) {
    this.engine = engine;
    engine.memory.fill(0, 0, FRAMES * PAGE_SIZE);
    engine.codeCache.flush();
    engine.deactivate();
    engine.noteTableChange();
    this.host = new Host({
      memory: engine.memory,
      processor: engine,
      clock: new VirtualClock(),
      sliceInstructions,
      surroundings: { monotonicNs: () => 0, giveWay: () => Promise.resolve(), after: () => () => {} },
    });
    this.table = frameTableOf(this.host);
    this.bystander = this.build('bystander');
    const { id } = this.bystander.domain;
    const frames: Mfn[] = [];
    for (let mfn = 0; mfn < FRAMES; mfn++) if (this.table.owner[mfn] === id) frames.push(mfn);
    this.bystanderFrames = frames;
    this.bystanderSum = this.sumOfBystander();
    // A first attacker, so that what is made once (the M2P, places for vCPU states) is made before frames are counted.
    this.spawn();
    this.attacker.domain.destroy();
    this.freeBefore = this.host.frames.available;
  }

  /** `sliceInstructions`: the turn of a vCPU. */
  static async create(sliceInstructions = 100_000): Promise<Arena> {
    return new Arena(await sharedEngine(), sliceInstructions);
  }

  private build(name: string, vcpus = 1): BuiltDomain {
    return buildDomain(this.host, {
      name,
      kernel: emptyKernel(),
      memoryMib: MEMORY_MIB,
      vcpus,
      hypercalls,
      maxGrantFrames: 4,
    });
  }

  /** A fresh attacker, running, its vCPU 0 in the processor. */
  spawn(vcpus = 2): BuiltDomain {
    this.attacker = this.build('attacker', vcpus);
    const { domain } = this.attacker;
    domain.consoleSink = (bytes) => {
      this.printed += bytes.length;
    };
    domain.unpause();
    this.host.schedule(domain.vcpus[0]!);
    domain.vcpus[0]!.prepare();
    return this.attacker;
  }

  get domain(): XenDomain {
    return this.attacker.domain;
  }
  get vcpu(): XenVcpu {
    return this.attacker.domain.vcpus[0]!;
  }

  /** Nobody else was harmed, and the books are in order. */
  check(when: string): void {
    assert.deepEqual(audit(this.table), [], `the auditor after ${when}`);
    assert.equal(this.sumOfBystander(), this.bystanderSum, `the bystander's memory after ${when}`);
    for (const mfn of this.bystanderFrames) {
      assert.equal(
        this.table.owner[mfn],
        this.bystander.domain.id,
        `the owner of frame ${mfn} after ${when}`,
      );
    }
    assert.equal(this.bystander.domain.state, 'paused', `the bystander after ${when}`);
    assert.equal(this.strayMasks(), 0, `decoded code beyond its place after ${when}`);
  }

  /** Destroys the attacker: everything it had is free again. */
  bury(when: string): void {
    this.attacker.domain.destroy();
    assert.equal(this.host.frames.available, this.freeBefore, `free frames after ${when}`);
    assert.equal(this.host.timers.nextNs, Number.POSITIVE_INFINITY, `timers after ${when}`);
    this.check(`the end of ${when}`);
  }

  private sumOfBystander(): number {
    const { i32, framesBase } = this.engine.memory;
    let sum = 0;
    for (const mfn of this.bystanderFrames) {
      const first = (framesBase + mfn * PAGE_SIZE) >>> 2;
      for (let i = first; i < first + PAGE_SIZE / 4; i++) sum = (Math.imul(sum, 31) + i32[i]!) | 0;
    }
    return sum;
  }

  /** Bytes that are not zero between the engine's tables and the first frame, where nothing belongs. */
  private strayMasks(): number {
    const { memory } = this.engine;
    const from = memory.tablesEnd;
    let stray = 0;
    for (let at = from; at < memory.framesBase; at++) if (memory.u8[at] !== 0) stray++;
    return stray;
  }
}
