import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildTinyGuest } from '../../src/guest/tiny/guest.ts';
import { VirtualClock } from '../../src/hypervisor/clock.ts';
import { Host } from '../../src/hypervisor/host.ts';
import { MachineMemory, PAGE_SIZE } from '../../src/machine/memory.ts';
import { Engine } from '../../src/machine/x86/engine.ts';
import { loadKernelImage } from '../../src/toolstack/images/index.ts';
import { xenHypercalls } from '../../src/toolstack/xen-hypercalls.ts';
import { type BuiltDomain, buildDomain } from '../../src/xen/builder/index.ts';
import { HypercallArguments } from '../../src/xen/hypercalls/arguments.ts';
import { audit, frameTableOf } from '../../src/xen/mm/index.ts';

/** A long run is had by setting this to some hundred thousands. */
const CALLS = Number(process.env.RINGONE_FUZZ_HYPERCALLS ?? 6000);
const AUDIT_EVERY = 500;
/** Calls after which the attacker looks again which frames are its own. */
const LOOK_EVERY = 100;
const MEMORY_MIB = 8;

/** xorshift32: the same calls in every run. */
function random(seed: number): () => number {
  let state = seed | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

test('random hypercalls harm nobody but the guest that makes them', async () => {
  const next = random(0xbadca11);
  const memory = new MachineMemory({ frames: 4 * MEMORY_MIB * 256, codeCacheBytes: 1 << 20 });
  const processor = await Engine.create(memory);
  const host = new Host({
    memory,
    processor,
    clock: new VirtualClock(),
    surroundings: { monotonicNs: () => 0, giveWay: () => Promise.resolve(), after: () => () => {} },
  });
  const kernel = await loadKernelImage(buildTinyGuest(), 'tiny');
  const hypercalls = xenHypercalls();
  const build = (name: string): BuiltDomain => {
    const built = buildDomain(host, { name, kernel, memoryMib: MEMORY_MIB, hypercalls });
    built.domain.unpause();
    return built;
  };
  const victim = build('victim');
  const table = frameTableOf(host);
  const owned = (id: number): number[] =>
    Array.from({ length: memory.frames }, (_, mfn) => mfn).filter((mfn) => table.owner[mfn] === id);
  const theirs = owned(victim.domain.id);
  const digest = (): string => theirs.map((mfn) => sum(memory, mfn)).join();
  const before = digest();

  let attacker = build('attacker');
  const pick = (values: readonly number[]): number => values[next() % values.length]!;
  let own = owned(attacker.domain.id);
  const worked = new Set<number>();
  const argument = (): number => {
    const { virtBase } = kernel.info;
    switch (next() % 10) {
      case 0:
        return next() % 16;
      case 1:
        return next();
      case 2:
        return -(next() % 4096) - 1;
      case 3:
        return pick(own);
      case 4:
        return pick(own) * PAGE_SIZE + (next() & 7);
      case 5:
        return pick(theirs) * PAGE_SIZE + (next() & 0x67);
      case 6:
        return pick([0x7ff0, 0x7ff1, 0x7ff2, 0, 1, 2, 0x7fffffff, 0xffffffff]);
      case 7:
        return -0x800000000000 + (next() % 0x100000);
      default:
        // Most arguments are addresses of structures: memory of its own, filled with more of the same.
        return virtBase + (next() % 64) * PAGE_SIZE + (next() % PAGE_SIZE);
    }
  };
  for (let call = 0; call < CALLS; call++) {
    if (!attacker.domain.live) {
      attacker.domain.destroy();
      assert.deepEqual(audit(table), [], `after the attacker's end at call ${call}`);
      attacker = build('attacker');
      own = owned(attacker.domain.id);
    } else if (call % LOOK_EVERY === 0) {
      own = owned(attacker.domain.id);
    }
    const vcpu = attacker.domain.vcpus[0]!;
    host.schedule(vcpu);
    const at = kernel.info.virtBase + (next() % 64) * PAGE_SIZE + (next() % 500) * 8;
    for (let word = 0; word < 6; word++) {
      const value = argument();
      const to = vcpu.guest.tryHost(at + word * 8, true);
      if (to === 0) break;
      vcpu.guest.write64(at + word * 8, value | 0, Math.floor(value / 2 ** 32) | 0);
    }
    const args = new HypercallArguments();
    for (let n = 0; n < 6; n++) args.set(n, n < 2 && next() % 3 === 0 ? at : argument());
    if (next() % 2 === 0) args.set(0, next() % 40);
    const number = next() % 64;
    const result = hypercalls.call(vcpu, number, args);
    if (result >= 0) worked.add(number);
    assert.equal(Number.isFinite(result), true, `call ${call}: ${result}`);
    if (call % AUDIT_EVERY === 0) assert.deepEqual(audit(table), [], `at call ${call}`);
  }
  assert.equal(worked.size > 15, true, `only ${worked.size} kinds of hypercalls ever did what was asked`);
  assert.deepEqual(audit(table), []);
  assert.equal(digest() === before, true, "the victim's memory is as it was");
  attacker.domain.destroy();
  victim.domain.destroy();
  assert.deepEqual(audit(table), []);
});

/** A word that changes when a frame's bytes do. */
function sum(memory: MachineMemory, mfn: number): number {
  let hash = 17;
  for (let offset = 0; offset < PAGE_SIZE; offset += 4) {
    hash = (Math.imul(hash, 31) + memory.read32(mfn * PAGE_SIZE + offset)) | 0;
  }
  return hash;
}
