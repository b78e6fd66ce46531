/**
 * What a hostile kernel would pass to a hypercall: values of the right kind, nearly. `Attacker` fills structures and
 * argument registers with its own frames and tables, other domains' frames, addresses at every kind of edge, and counts
 * from nothing to absurd.
 */
import * as X from '../../src/abi/xen/numbers/index.ts';
import { type Gva, type Mfn, PAGE_SIZE } from '../../src/machine/memory.ts';
import { R8, R9, R10, RAX, RDI, RDX, RSI } from '../../src/machine/x86/registers.ts';
import { PGT_type_mask } from '../../src/xen/mm/page-info.ts';
import type { Random } from './random.ts';
import { type Arena, KERNEL_PAGES, VIRT_BASE } from './victims.ts';

const TWO_32 = 4294967296;
const TWO_63 = 2 ** 63;
/** Pages where arguments are put. */
const PAGES = 16;
const M2P: Gva = -0x800000000000;
const FLAGS = [0x27, 0x67, 0x63, 0x25, 0x7, 0x5, 0x3, 0x1, 0, 0x87, 0x107, 0xe7, 0x1f, 0x37];
const COUNTS = [0, 1, 1, 1, 2, 3, 5, 64, 511, 512, 4097, 0x7fffffff, 0x80000000, 0x80000001, 0xffffffff];
const DOMIDS = [X.DOMID_SELF, X.DOMID_SELF, X.DOMID_SELF, X.DOMID_IO, X.DOMID_XEN, 0, 1, 2, 3, 0xffff];

/** A 64-bit value in halves. */
export interface Word {
  readonly low: number;
  readonly high: number;
}

function word(value: number): Word {
  return { low: value | 0, high: Math.floor(value / TWO_32) | 0 };
}

/** Makes up arguments, and puts what they point to into the memory of an arena's attacker. */
export class Attacker {
  readonly arena: Arena;
  readonly random: Random;
  /** Frames of the attacker, looked up now and then. */
  own: Mfn[] = [];
  private tables: Mfn[] = [];
  private next = 0;

  constructor(arena: Arena, random: Random) {
    this.arena = arena;
    this.random = random;
  }

  /** Looks which frames are its own, and which of them are tables. */
  look(): void {
    const { table, domain } = this.arena;
    this.own = [];
    this.tables = [];
    for (let mfn = 0; mfn < table.frames; mfn++) {
      if (table.owner[mfn] !== domain.id) continue;
      this.own.push(mfn);
      const level = (table.typeInfo[mfn]! & PGT_type_mask) >>> 29;
      if (level >= 1 && level <= 4) this.tables.push(mfn);
    }
  }

  // ---------------------------------------------------------------- values

  /** A frame: its own, a table of its own, one that somebody else writes or has, or none. */
  mfn(): Mfn {
    const { random, arena } = this;
    const { attacker, bystander } = arena;
    switch (random.below(12)) {
      case 0:
        return random.below(arena.table.frames + 4);
      case 1:
        return random.pick([attacker.domain.sharedInfoMfn, attacker.console.mfn, attacker.xenstore.mfn]);
      case 2:
        return attacker.grants.frames[0] ?? 0;
      case 3:
        return random.pick([bystander.console.mfn, bystander.domain.sharedInfoMfn, 0, 0xffffffff, 2 ** 40]);
      case 4:
      case 5:
      case 6:
        return this.table();
      default:
        return random.pick(this.own);
    }
  }
  /** A page table of its own, as far as it knows. */
  table(): Mfn {
    return this.tables.length === 0 ? 0 : this.random.pick(this.tables);
  }
  /** An address: mostly in the pages of its kernel, else at an edge or where it has no business. */
  gva(): Gva {
    const { random } = this;
    const { plan } = this.arena.attacker;
    const offset = random.pick([0, 0, 8, 24, 2048, 4064, 4088, 4089, 4095, random.below(PAGE_SIZE)]);
    switch (random.below(14)) {
      case 0:
        return M2P + random.below(4) * PAGE_SIZE + offset;
      case 1:
        return plan.pageTables.virtual + random.below(plan.pageTables.pages) * PAGE_SIZE + offset;
      case 2:
        return random.pick([
          0,
          8,
          -1,
          -8,
          -4096,
          0x7ffffffffff8,
          0x800000000000,
          -0x800000000001,
          TWO_63,
          -TWO_63,
        ]);
      case 3:
        return random.pick([plan.startInfo, plan.console, plan.xenstore, plan.stack]).virtual + offset;
      case 4:
        return plan.mappedEnd - offset;
      default:
        return VIRT_BASE + random.below(KERNEL_PAGES) * PAGE_SIZE + offset;
    }
  }
  /** An entry of a page table. */
  entry(): Word {
    const { random } = this;
    const high = random.once(12) ? random.next() | 0 : random.once(4) ? 0x80000000 | 0 : 0;
    return { low: (this.mfn() << 12) | random.pick(FLAGS) | 0, high };
  }
  /** A length, or a lie about one. */
  count(): number {
    return this.random.pick(COUNTS);
  }
  /** A domain: itself, somebody else, or one of the numbers with a meaning. */
  domid(): number {
    return this.random.pick(DOMIDS);
  }
  /** A value of any of these kinds. */
  any(): Word {
    const { random } = this;
    switch (random.below(9)) {
      case 0:
        return word(this.count());
      case 1:
        return word(this.domid());
      case 2:
        return this.entry();
      case 3:
        return word(this.mfn());
      case 4:
        return word(this.mfn() * PAGE_SIZE + random.below(512) * 8 + random.below(4));
      case 5:
        return { low: random.next() | 0, high: random.next() | 0 };
      case 6:
        return word(random.below(40));
      default:
        return word(this.gva());
    }
  }

  // ---------------------------------------------------------------- structures

  /** Puts words somewhere in its memory, where they can be written; returns the address, or a wild one now and then. */
  put(...words: readonly (Word | number)[]): Gva {
    const { random, arena } = this;
    if (random.once(25)) return this.gva();
    this.next = (this.next + 1) % PAGES;
    const edge = random.once(10)
      ? PAGE_SIZE - 8 * random.below(4) - random.pick([0, 0, 4, 1])
      : random.below(64) * 8;
    const at = VIRT_BASE + this.next * PAGE_SIZE + edge;
    const { guest } = arena.vcpu;
    for (const [i, value] of words.entries()) {
      const { low, high } = typeof value === 'number' ? word(value) : value;
      const place = at + i * 8;
      if (guest.tryHost(place, true) !== 0 && guest.tryHost(place + 7, true) !== 0)
        guest.write64(place, low, high);
    }
    return at;
  }
  /** Two 32-bit fields in one word. */
  pair(low: number, high: number): Word {
    return { low: low | 0, high: high | 0 };
  }
  /** Two lengths in one word. */
  pairOfCounts(): Word {
    return this.pair(this.count(), this.count());
  }
  /** A structure of which nothing is known. */
  blob(): Gva {
    return this.put(...Array.from({ length: 10 }, () => this.any()));
  }

  /** A list of requests in one piece. */
  list(length: number, request: () => readonly (Word | number)[]): Gva {
    return this.put(...Array.from({ length }, request).flat());
  }

  // ---------------------------------------------------------------- the processor

  /** Loads a hypercall into the registers of vCPU 0. */
  load(number: number, ...values: readonly (Word | number)[]): void {
    const { state } = this.arena.vcpu;
    const registers = [RDI, RSI, RDX, R10, R8, R9];
    for (const [i, register] of registers.entries()) {
      const value = values[i] ?? this.any();
      const { low, high } = typeof value === 'number' ? word(value) : value;
      state.setReg(register, low, high);
    }
    state.setReg(RAX, number, 0);
  }
}
