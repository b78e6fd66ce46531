/**
 * Two hostile guests do thousands of random things to their page tables, in a world so small that the things collide:
 * few frames, few slots, entries that name tables, pages, each other and what belongs to Xen. After each step the
 * auditor must find nothing, and no translation that the processor may still use leads where it must not.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as X from '../../abi/xen/numbers/index.ts';
import { GuestMemory } from '../../machine/x86/guest-memory.ts';
import { CS, RAX, RDI } from '../../machine/x86/registers.ts';
import { ATTR_L } from '../../machine/x86/state.ts';
import { audit } from './auditor.ts';
import { memoryOp } from './memory-op.ts';
import { mmuUpdate } from './mmu-update.ts';
import { mmuextOp } from './mmuext-op.ts';
import {
  isTableType,
  PGC_xen_heap,
  PGT_count_mask,
  PGT_seg_desc_page,
  PGT_type_mask,
  tableLevel,
} from './page-info.ts';
import {
  ARGUMENTS,
  ArgumentPage,
  DATA,
  GUEST_BASE,
  NX,
  P,
  RW,
  TABLE,
  type TestGuest,
  TestMachine,
  USER,
} from './testing/machine.ts';
import { updateVaMapping } from './update-va-mapping.ts';
import { guestL1eWord, NO_ENTRY } from './walk.ts';

/** Marsaglia's xorshift: the same numbers everywhere. */
class Random {
  private x: number;
  constructor(seed: number) {
    this.x = seed | 0 || 1;
  }
  next(): number {
    this.x ^= this.x << 13;
    this.x ^= this.x >>> 17;
    this.x ^= this.x << 5;
    return this.x >>> 0;
  }
  below(limit: number): number {
    return this.next() % limit;
  }
  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }
}

const SLOTS = [0, 0, 1, 1, 2, 3, 255, 256, 271, 272, 511];
const TABLE_FLAGS = [TABLE, TABLE, TABLE, P | USER, P | USER, P, TABLE | 0x80, TABLE | 0x100, 0];
const DATA_FLAGS = [DATA, DATA, DATA & ~RW, P, P | USER, DATA | USER, DATA | 0x10, DATA | 0x100, 0, RW];
const FAULT = 7;

class Fuzz {
  readonly machine = TestMachine.create(256);
  readonly random: Random;
  readonly guests: TestGuest[] = [];
  private readonly argumentPages: ArgumentPage[];
  private nextDomain = 1;
  /** How often each kind of step succeeded: a fuzzer that is always refused tests nothing. */
  readonly successes = new Map<string, number>();

  constructor(seed: number) {
    this.random = new Random(seed);
    this.argumentPages = [new ArgumentPage(this.machine), new ArgumentPage(this.machine)];
    for (const i of [0, 1]) this.renew(i);
    this.guests[0]!.vcpu.state.setSegment(CS, 0xe033, ATTR_L, 0xffffffff, 0);
  }

  /** A fresh domain in the place of one that has come to its end. */
  renew(index: number): void {
    this.guests[index]?.domain.mm.release();
    const guest = this.machine.guest(this.nextDomain++, 20);
    guest.vcpu.guest = new GuestMemory(this.machine.memory, this.argumentPages[index]!);
    // Half of its pages are mapped nowhere, so they can become tables.
    for (let slot = 4; slot < 12; slot++)
      assert.equal(guest.map(GUEST_BASE + slot * 4096, { low: 0, high: 0 }), 0);
    this.guests[index] = guest;
  }

  private frame(guest: TestGuest): number {
    const { random, machine } = this;
    switch (random.below(12)) {
      case 0:
        return random.pick(random.pick(this.guests).frames);
      case 1:
        return random.below(machine.table.frames + 2);
      default:
        return random.pick(guest.frames);
    }
  }
  /** A frame that is, or may become, a table of a level. */
  private tableFrame(guest: TestGuest, level: number): number {
    const { typeInfo } = this.machine.table;
    const fits = guest.frames.filter(
      (mfn) => (typeInfo[mfn]! & PGT_count_mask) === 0 || tableLevel(typeInfo[mfn]!) === level,
    );
    return fits.length > 0 ? this.random.pick(fits) : this.frame(guest);
  }

  /** An entry; `level` is that of the table it is meant for, 0 if it is not known. */
  private value(guest: TestGuest, level = 0): { low: number; high: number } {
    const { random } = this;
    if (level > 1 && level <= 4 && random.below(2) === 0) {
      return { low: (this.tableFrame(guest, level - 1) << 12) | TABLE, high: 0 };
    }
    const flags = random.pick(random.below(2) === 0 ? TABLE_FLAGS : DATA_FLAGS);
    const high = random.below(40) === 0 ? 1 : random.below(4) === 0 ? NX : 0;
    return { low: (this.frame(guest) << 12) | flags | 0, high };
  }
  /** An address: mostly one that the guest's tables lead somewhere, level by level. */
  private gva(guest: TestGuest): number {
    const { random, machine } = this;
    let gva = 0;
    let table = guest.vcpu.kernelTable;
    for (let level = 4; level >= 1; level--) {
      const present: number[] = [];
      for (let slot = 0; slot < 512 && table !== 0; slot++) {
        if ((machine.read(table, slot).low & P) !== 0) present.push(slot);
      }
      const slot = present.length > 0 && random.below(8) !== 0 ? random.pick(present) : random.pick(SLOTS);
      table = table === 0 ? 0 : machine.read(table, slot).low >>> 12;
      gva = gva * 512 + slot;
    }
    gva *= 4096;
    return gva >= 2 ** 47 ? gva - 2 ** 48 : gva;
  }

  /** An address where, if a few tries find one, a table of level 1 is mapped. */
  private tableGva(guest: TestGuest): number {
    const { table } = this.machine;
    for (let tries = 0; tries < 8; tries++) {
      const gva = this.gva(guest);
      const word = guestL1eWord(table, guest.vcpu.kernelTable, gva);
      if (word === NO_ENTRY || (table.words[word]! & P) === 0) continue;
      if (tableLevel(table.typeInfo[table.words[word]! >>> 12] ?? 0) === 1) return gva;
    }
    return this.gva(guest);
  }

  private count(kind: string, result: number | boolean): void {
    if (result === 0 || result === true) this.successes.set(kind, (this.successes.get(kind) ?? 0) + 1);
  }

  step(): void {
    const { random } = this;
    const guest = random.pick(this.guests);
    const { vcpu, domain } = guest;
    const { mm } = domain;
    guest.run();
    const arguments_ = vcpu.guest;
    const put = (offset: number, low: number, high = 0) => arguments_.write64(ARGUMENTS + offset, low, high);
    const kind = random.below(16);
    if (kind < 6) {
      const value = this.value(guest);
      put(0, (this.frame(guest) << 12) | (random.pick(SLOTS) * 8) | random.pick([0, 0, 0, 0, 2, 1]) | 0);
      put(8, value.low, value.high);
      this.count('mmu_update', vcpu.call(mmuUpdate, ARGUMENTS, 1, 0, X.DOMID_SELF));
    } else if (kind < 8) {
      const flags = random.pick([0, X.UVMF_INVLPG, X.UVMF_TLB_FLUSH]);
      this.count('update_va_mapping', vcpu.call(updateVaMapping, this.gva(guest), this.value(guest), flags));
    } else if (kind < 12) {
      const command = random.pick([0, 1, 2, 3, 4, 4, 4, 4, 5, 15, 16, 17, 6, 7]);
      let mfn = random.below(3) === 0 ? this.frame(guest) : this.tableFrame(guest, (command & 3) + 1);
      if (command === 5 || command === 15) mfn = random.below(4) === 0 ? 0 : this.tableFrame(guest, 4);
      put(0, command);
      put(8, command === 7 ? this.gva(guest) | 0 : mfn);
      put(16, this.frame(guest));
      this.count(`mmuext ${command}`, vcpu.call(mmuextOp, ARGUMENTS, 1, 0, X.DOMID_SELF));
    } else if (kind === 12) {
      vcpu.state.rip = ARGUMENTS;
      put(0, 0x078948); // mov [rdi], rax
      const gva = this.tableGva(guest) + random.pick(SLOTS) * 8;
      const value = this.value(guest);
      vcpu.state.setRegNumber(RDI, gva);
      vcpu.state.setReg(RAX, value.low, value.high);
      this.count('ptwr', mm.handlePageFault(0, gva, FAULT));
    } else if (kind === 13) {
      const mfn = this.frame(guest);
      const index = random.below(4);
      const old = vcpu.gdtFrames[index]!;
      if (old !== 0) mm.putPageAndType(old);
      const taken = mm.getPageAndType(mfn, PGT_seg_desc_page);
      vcpu.gdtFrames[index] = taken ? mfn : 0;
      this.count('gdt', taken);
    } else if (kind === 14) this.balloon(guest);
    else this.fillFrame(guest);
    // The guest looks around, so that the processor has something cached.
    for (let i = 0; i < 4; i++) {
      const gva = this.gva(guest);
      this.machine.processor.translate(gva | 0, Math.floor(gva / 2 ** 32), random.below(2) === 0);
    }
  }

  private balloon(guest: TestGuest): void {
    const { random } = this;
    const { vcpu } = guest;
    const put = (offset: number, low: number) => vcpu.guest.write64(ARGUMENTS + offset, low, 0);
    const index = random.below(guest.frames.length);
    put(0, ARGUMENTS + 64);
    put(8, 1);
    put(16, 0);
    put(24, X.DOMID_SELF);
    put(64, guest.frames[index]!);
    const gone = vcpu.call(memoryOp, X.XENMEM_decrease_reservation, ARGUMENTS);
    put(64, 1000 + index);
    const back = vcpu.call(memoryOp, X.XENMEM_populate_physmap, ARGUMENTS);
    if (back === 1) guest.frames[index] = vcpu.guest.readNumber64(ARGUMENTS + 64);
    this.count('balloon', gone === 1 && back === 1);
  }

  /** The guest writes a page it has for itself, as it could if it were mapped writable. */
  private fillFrame(guest: TestGuest): void {
    const { random, machine } = this;
    const mfn = random.pick(guest.frames);
    if ((machine.table.typeInfo[mfn]! & PGT_count_mask) !== 0 || machine.table.owner[mfn] !== guest.domain.id)
      return;
    machine.memory.zeroFrame(mfn);
    for (let i = 0; i < 3; i++) machine.write(mfn, random.pick(SLOTS), this.value(guest));
    this.count('fill', true);
  }

  /** Fails if a translation that may still be used breaks the rules. */
  checkTranslations(): void {
    const { table, memory, processor } = this.machine;
    for (const { host, write, root } of processor.usable()) {
      const mfn = (host - memory.framesBase) >>> 12;
      const domid = table.owner[root / 4096]!;
      const owner = table.owner[mfn]!;
      const shared = (table.countInfo[mfn]! & PGC_xen_heap) !== 0;
      // A root that is none any more cannot be loaded before it is checked again, which empties what it left.
      if (owner !== domid && !shared) assert.fail(`domain ${domid} may still reach ${table.describe(mfn)}`);
      if (!write) continue;
      const info = table.typeInfo[mfn]!;
      const guarded = isTableType(info) || (info & PGT_type_mask) === PGT_seg_desc_page;
      if (guarded && (info & PGT_count_mask) !== 0) {
        assert.fail(`domain ${domid} may still write ${table.describe(mfn)}`);
      }
    }
  }
}

for (const seed of [1, 20260, 777777]) {
  test(`no sequence of page-table operations breaks a rule (seed ${seed})`, () => {
    const fuzz = new Fuzz(seed);
    for (let i = 0; i < 4000; i++) {
      if (i % 150 === 149) fuzz.renew(fuzz.random.below(2));
      fuzz.step();
      assert.deepEqual(audit(fuzz.machine.table), [], `after step ${i}`);
      fuzz.checkTranslations();
    }
    for (const kind of [
      'mmu_update',
      'update_va_mapping',
      'mmuext 0',
      'mmuext 3',
      'mmuext 4',
      'mmuext 5',
      'ptwr',
      'gdt',
      'balloon',
    ]) {
      assert.ok((fuzz.successes.get(kind) ?? 0) > 0, `${kind} was always refused`);
    }
    const { table, heap } = fuzz.machine;
    for (const guest of fuzz.guests) guest.domain.mm.release();
    assert.deepEqual(audit(table), []);
    assert.equal(table.domains.size, 0);
    // Frame 0 is never given out; the M2P, its three tables and the two argument pages stay.
    assert.equal(heap.available, table.frames - 1 - table.m2p.frameCount - 3 - 2);
  });
}
