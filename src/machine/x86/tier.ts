/**
 * The compiler tier: what is compiled, when, and for how long it is kept.
 *
 * The interpreter counts how often a run begins at each record and asks for the hot ones (`request`). Requests are compiled
 * in batches, one WebAssembly module each; a record whose region is ready gets the handler COMPILED, and from then on both
 * the interpreter and compiled code come to it. Now and then all modules are put together to one (`consolidate`), because
 * guest code runs from function to function and that is quick within a module. The one gets a table of its own: a table
 * keeps alive whatever module has ever imported it, so the small ones can only go with theirs. None of this shows in what
 * the guest computes: compiled code counts instructions as the interpreter does, and leaves at the same places.
 *
 * A region lives as long as the decoded page that it came from. When there are too many functions everything decoded is
 * dropped, and what is still hot comes back.
 */
import { CODE_FUNCTIONS, HEAT_HANDLER, HEAT_MISSES, HEAT_SHIFT } from '../layout.ts';
import { type HostAddress, type MachineMemory, PAGE_SIZE } from '../memory.ts';
import type { CodeCache, CodePage } from './code-cache.ts';
import type { CompiledRegion, Compiler } from './compiler.ts';
import { PSEUDO_COMPILED, PSEUDO_COUNT, REC_HANDLER, REC_HEAT } from './record.ts';

/** Regions that are compiled at once. */
const BATCH = 128;
/** A request waits about so many milliseconds for others. */
const PATIENCE_MS = 60;
/** Unless code has been met again so often. */
const URGENT = 8_000;
/** The time is looked at once in so many turns of the engine. */
const TURNS = 32;
/**
 * All modules become one when there are so many new ones with so many new functions, also in relation to those that are in
 * the large one; or when there are very many.
 */
const NEW_MODULES = 12;
const NEW_FUNCTIONS = 96;
const NEW_SHARE = 0.4;
const MANY_MODULES = 64;
const VERY_MANY_MODULES = 1024;
/** Linear pages that are kept in mind, to know where calls lead. */
const PAGES_KNOWN = 16_384;
/** Functions in the table before everything is dropped; their numbers have 16 bits. */
const FUNCTION_LIMIT = 24_000;

interface Request {
  readonly page: CodePage;
  readonly offset: number;
  /** Number of the linear page that it was asked for at. */
  readonly linear: number;
  readonly version: number;
  readonly long: boolean;
  /** Of the record, when it was asked for: REC_HEAT. */
  readonly count: number;
}

/** A compiled region at its place in the table. */
interface Resident {
  readonly region: CompiledRegion;
  /** Number of the linear page that it was asked for at. */
  readonly linear: number;
  /** Of its page: when it was compiled. */
  readonly version: number;
  readonly place: number;
}

/** A compiled function, as it stands in the table. */
export interface CompiledFunction {
  readonly region: CompiledRegion;
  /** Its place in the table. */
  readonly place: number;
  /** How often it was left because the TLB did not know an address. */
  readonly misses: number;
  /** Functions in its module; 0 where that is not kept. */
  readonly together: number;
}

/** What leads in and out of compiled code, for one table of compiled functions. */
export interface TierLink {
  readonly table: WebAssembly.Table;
  /** What modules of compiled functions import. */
  readonly imports: WebAssembly.Imports;
  /** The dispatcher's `run`. */
  readonly run: (record: number, budget: number) => number;
}

/** What was done so far, all counts from the start on. */
export interface TierStats {
  /** Modules handed to the JavaScript engine, merged ones included. */
  modules: number;
  /** Regions asked for: by heat, or for their long form. */
  requested: number;
  /** Regions compiled, each to one function. */
  functions: number;
  /** Their code, in bytes of WebAssembly. */
  bytes: number;
  /** Guest instructions in them. */
  instructions: number;
  /** Functions put into a larger module, counted each time. */
  merged: number;
  /** Functions dropped for want of room, and because guest code changed. */
  evicted: number;
  invalidated: number;
  /** Time in which nothing else went on: generating, and handing over; the JavaScript engine compiles beside the guest. */
  milliseconds: number;
}

export class CompilerTier {
  readonly stats: TierStats = {
    modules: 0,
    requested: 0,
    functions: 0,
    bytes: 0,
    instructions: 0,
    merged: 0,
    evicted: 0,
    invalidated: 0,
    milliseconds: 0,
  };
  private readonly memory: MachineMemory;
  private readonly codeCache: CodeCache;
  private readonly compiler: Compiler;
  private readonly link: (table: WebAssembly.Table) => TierLink;
  /** What is linked now. */
  private linked: TierLink;
  /** Called with what leads into compiled code from now on. */
  onLink: (run: TierLink['run']) => void = () => {};
  private readonly synchronous: boolean;
  private readonly now: () => number;
  private queue: Request[] = [];
  /** Entries of the pages' tables whose regions are in the queue or on their way. */
  private readonly pending = new Set<HostAddress>();
  /** When the first request of the queue came. */
  private waitingSince = 0;
  private turns = 0;
  /** The functions of the large module, and of those that came after it. */
  private whole: Resident[] = [];
  private modules: Resident[][] = [];
  private consolidating = false;
  /** What begins at each record, and which record a place's function begins at. */
  private readonly byRecord = new Map<HostAddress, Resident>();
  private readonly recordOf: HostAddress[] = [];
  /** First place of the table that was never used, and those below it that are free again; entry 0 stays empty. */
  private top = 1;
  private readonly free: number[] = [];
  /** The page that code was last asked for in, by linear page: says where calls to other pages usually lead. */
  private readonly pageAt = new Map<number, CodePage>();
  /**
   * Places of functions that are gone. Others of their modules call them directly where they find the place's number, so
   * nothing else may get it before these modules are gone too.
   */
  private readonly retired: number[] = [];
  /** Modules on the way to the table, and places that must not be used again before they have arrived. */
  private arriving = 0;
  private readonly held: number[] = [];

  constructor(
    memory: MachineMemory,
    codeCache: CodeCache,
    compiler: Compiler,
    link: (table: WebAssembly.Table) => TierLink,
    first: TierLink,
    options: { readonly synchronous: boolean; readonly now: () => number },
  ) {
    this.memory = memory;
    this.codeCache = codeCache;
    this.compiler = compiler;
    this.link = link;
    this.linked = first;
    this.synchronous = options.synchronous;
    this.now = options.now;
    codeCache.onForget = (places, stale) => {
      this.stats[stale ? 'invalidated' : 'evicted'] += places.length;
      for (const place of places) this.forget(place);
      if (stale) this.retired.push(...places);
      else this.release([...places, ...this.retired.splice(0)]);
    };
  }

  /** Asks for the region that begins at an offset of a page, which is executed at linear page number `linear`. */
  request(page: CodePage, offset: number, linear: number): void {
    if (this.pageAt.size >= PAGES_KNOWN) this.pageAt.clear();
    this.pageAt.set(linear, page);
    this.enqueue(page, offset, linear, false);
  }

  /** Functions that may be entered now. */
  get resident(): number {
    return this.byRecord.size;
  }

  private forget(place: number): void {
    const record = this.recordOf[place]!;
    if (this.byRecord.get(record)?.place === place) this.byRecord.delete(record);
  }

  /** Asks for the long form of the compiled function that begins at a record. */
  requestLongForm(record: HostAddress): void {
    const resident = this.byRecord.get(record);
    if (resident === undefined || resident.region.page.version !== resident.version) return;
    const { page, offset } = resident.region;
    this.enqueue(page, offset, resident.linear, true);
  }

  private enqueue(page: CodePage, offset: number, linear: number, long: boolean): void {
    const slot = page.table + offset * 4;
    if (this.pending.has(slot)) return;
    this.pending.add(slot);
    if (this.queue.length === 0) this.waitingSince = this.now();
    const record = this.codeCache.lookup(page, offset);
    const count = this.memory.view.getUint16(record + REC_HEAT, true);
    this.queue.push({ page, offset, linear, version: page.version, long, count });
    this.stats.requested++;
    if (this.synchronous) this.compileQueue();
  }

  /** Between two turns of the engine: compiles if there is enough, or if it has waited long enough. */
  poll(): void {
    if (this.queue.length === 0 || this.consolidating) return;
    if (this.queue.length < BATCH && !this.isUrgent()) {
      if (++this.turns % TURNS !== 0 || this.now() - this.waitingSince < PATIENCE_MS) return;
    }
    this.compileQueue();
  }

  /** True if a request has meanwhile been met so often again that it had better not wait for others. */
  private isUrgent(): boolean {
    const { view } = this.memory;
    for (const { page, offset, version, count } of this.queue) {
      const record = page.version === version ? this.codeCache.lookup(page, offset) : 0;
      if (record === 0) continue;
      const now = view.getUint16(record + REC_HEAT, true);
      if (((now - count) & 0xffff) >= URGENT) return true;
    }
    return false;
  }

  private compileQueue(): void {
    if (this.top - this.free.length > FUNCTION_LIMIT) {
      this.queue = [];
      this.pending.clear();
      this.codeCache.flush();
      return;
    }
    const started = this.now();
    const { stats } = this;
    const module: Resident[] = [];
    for (const request of this.queue.splice(0, BATCH)) {
      const { page, offset, linear, version, long } = request;
      const region = this.isCurrent(request) ? this.compiler.compile(page, offset, long) : undefined;
      if (region === undefined) {
        this.pending.delete(page.table + offset * 4);
        continue;
      }
      module.push({ region, linear, version, place: this.takePlace() });
      stats.functions++;
      stats.instructions += region.instructions;
      stats.bytes += region.body.length;
    }
    if (module.length > 0) this.handOver(module, () => this.install(module));
    stats.milliseconds += this.now() - started;
  }

  private isCurrent({ page, offset, version, long }: Request): boolean {
    if (page.version !== version) return false;
    const record = this.codeCache.lookup(page, offset);
    const compiled =
      record !== 0 && this.memory.view.getUint16(record + REC_HANDLER, true) === PSEUDO_COMPILED;
    return record !== 0 && compiled === long;
  }

  // -------------------------------------------------------------- modules

  /** Gives a module to the JavaScript engine; `arrived` runs when its functions are in the table. */
  private handOver(module: readonly Resident[], arrived: () => void): void {
    this.instantiate(module, this.linked, () => {
      arrived();
      if (this.arriving > 0) return;
      this.release(this.held.splice(0));
      if (this.isScattered()) this.consolidate();
    });
  }

  /** Makes one module of functions, linked to a table; `arrived` runs when they are in it. */
  private instantiate(residents: readonly Resident[], { imports }: TierLink, arrived: () => void): void {
    const bytes = this.compiler.assemble(
      residents.map(({ region }) => region),
      residents.map(({ place }) => place),
      calleesAmong(residents, this.pageAt),
    );
    this.stats.modules++;
    this.arriving++;
    const done = (): void => {
      this.arriving--;
      arrived();
    };
    if (this.synchronous) {
      new WebAssembly.Instance(new WebAssembly.Module(bytes), imports);
      done();
    } else void WebAssembly.instantiate(bytes, imports).then(done);
  }

  /** The functions of a new module are in the table: leads the records to them. */
  private install(module: readonly Resident[]): void {
    const lasting = module.filter((resident) => {
      const { region, version, place } = resident;
      const { page, offset } = region;
      this.pending.delete(page.table + offset * 4);
      const record = page.version === version ? this.codeCache.lookup(page, offset) : 0;
      if (record !== 0 && this.lead(record, page.table + CODE_FUNCTIONS + offset * 2, place)) {
        this.supersede(page, this.byRecord.get(record));
        page.functions.push(place);
        this.byRecord.set(record, resident);
        this.recordOf[place] = record;
        return true;
      }
      this.stats.invalidated++;
      this.retired.push(place);
      return false;
    });
    this.modules.push(lasting);
  }

  /** A function has got a long form: nobody comes to the short one any more. */
  private supersede(page: CodePage, short: Resident | undefined): void {
    if (short === undefined) return;
    page.functions.splice(page.functions.indexOf(short.place), 1);
    this.retired.push(short.place);
  }

  /** True if there are enough new modules to put all together. */
  private isScattered(): boolean {
    const { modules, whole } = this;
    // Compiled one by one, functions are together only to have what is stale go.
    if (this.synchronous) return modules.length >= VERY_MANY_MODULES;
    if (modules.length < NEW_MODULES) return false;
    const count = modules.reduce((sum, module) => sum + module.length, 0);
    return modules.length >= MANY_MODULES || count >= Math.max(NEW_FUNCTIONS, NEW_SHARE * whole.length);
  }

  /** Puts all modules together to one, with a table of its own. Nothing else is compiled until it has come. */
  private consolidate(): void {
    const started = this.now();
    const { stats } = this;
    const residents = [...this.whole, ...this.modules.flat()].filter(
      (resident) => this.byRecord.get(this.recordOf[resident.place]!) === resident,
    );
    const { length } = this.linked.table;
    const linked = this.link(new WebAssembly.Table({ initial: length, element: 'anyfunc' }));
    stats.merged += residents.length;
    this.consolidating = true;
    const retired = this.retired.splice(0);
    this.instantiate(residents, linked, () => {
      this.consolidating = false;
      this.linked = linked;
      this.whole = residents;
      this.modules = [];
      this.onLink(linked.run);
      this.release([...this.held.splice(0), ...retired]);
    });
    stats.milliseconds += this.now() - started;
  }

  /** The compiled functions that begin in a page, for those who want to look at them. */
  functionsOf(page: CodePage): CompiledFunction[] {
    const found: CompiledFunction[] = [];
    for (const [record, { region, version, place }] of this.byRecord) {
      if (region.page !== page || version !== page.version) continue;
      const misses = this.memory.view.getUint32(
        this.memory.heat + (record >>> HEAT_SHIFT) + HEAT_MISSES,
        true,
      );
      found.push({ region, place, misses, together: this.together(place) });
    }
    return found.sort((a, b) => a.region.offset - b.region.offset);
  }

  /** Functions in the module of the one at a place. */
  private together(place: number): number {
    const module = [this.whole, ...this.modules].find((residents) =>
      residents.some((resident) => resident.place === place),
    );
    return module?.length ?? 0;
  }

  private lead(record: HostAddress, slot: HostAddress, number: number): boolean {
    const { view, heat } = this.memory;
    const handler = handlerOf(this.memory, record);
    if (handler < PSEUDO_COUNT) return false;
    const words = heat + (record >>> HEAT_SHIFT);
    view.setUint32(words, number, true);
    view.setUint16(words + HEAT_HANDLER, handler, true);
    view.setUint16(record + REC_HANDLER, PSEUDO_COMPILED, true);
    view.setUint16(slot, number, true);
    return true;
  }

  // -------------------------------------------------------------- places in the table

  private takePlace(): number {
    const place = this.free.pop() ?? this.top++;
    const { table } = this.linked;
    if (place >= table.length) table.grow(1024);
    return place;
  }

  /** Gives places back; what stood there may go. A module that is on its way may still write to them: they wait for it. */
  private release(places: readonly number[]): void {
    if (this.arriving > 0) {
      this.held.push(...places);
      return;
    }
    for (const place of places) {
      this.linked.table.set(place, null);
      this.free.push(place);
    }
  }
}

/** For `Compiler.assemble`: which of the functions begins at an offset from another's page, as linear pages lie now. */
function calleesAmong(
  residents: readonly Resident[],
  pageAt: ReadonlyMap<number, CodePage>,
): (caller: number, offset: number) => number | undefined {
  const numbers = new Map<HostAddress, number>();
  for (const [number, { region }] of residents.entries()) {
    numbers.set(region.page.table + region.offset, number);
  }
  return (caller, offset) => {
    const { region, linear } = residents[caller]!;
    const pages = Math.floor(offset / PAGE_SIZE);
    const page = pages === 0 ? region.page : pageAt.get(linear + pages);
    return page && numbers.get(page.table + offset - pages * PAGE_SIZE);
  };
}

/** The handler of a record, whether or not compiled code begins there. */
export function handlerOf({ view, heat }: MachineMemory, record: HostAddress): number {
  const handler = view.getUint16(record + REC_HANDLER, true);
  return handler === PSEUDO_COMPILED
    ? view.getUint16(heat + (record >>> HEAT_SHIFT) + HEAT_HANDLER, true)
    : handler;
}
