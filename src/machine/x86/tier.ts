/**
 * The compiler tier: what is compiled, when, and for how long it is kept.
 *
 * The interpreter counts how often a run begins at each record and asks for the hot ones (`request`). Requests are compiled
 * in batches, one WebAssembly module each; a record whose region is ready gets the handler COMPILED, and from then on both
 * the interpreter and compiled code come to it. Nothing of this shows in what the guest computes: compiled code counts
 * instructions as the interpreter does, and leaves at the same places.
 *
 * A region lives as long as the decoded page that it came from. When there are too many functions everything decoded is
 * dropped, and what is still hot comes back.
 */
import { HEAT_HANDLER, HEAT_SHIFT } from '../layout.ts';
import type { HostAddress, MachineMemory } from '../memory.ts';
import type { CodeCache, CodePage } from './code-cache.ts';
import type { CompiledModule, Compiler, Entry } from './compiler.ts';
import { PSEUDO_COMPILED, PSEUDO_COUNT, REC_HANDLER } from './record.ts';

/** Regions in a module. */
const BATCH = 32;
/** A request waits at most so many turns of the engine for others. */
const PATIENCE = 8;
/** Functions in the table before everything is dropped. */
const FUNCTION_LIMIT = 24_000;

interface Request extends Entry {
  readonly version: number;
}

/** What was compiled so far. */
export interface TierStats {
  modules: number;
  functions: number;
  /** Bytes of WebAssembly. */
  bytes: number;
  /** Guest instructions in them. */
  instructions: number;
  /** Time spent generating and handing over, in milliseconds. */
  milliseconds: number;
}

export class CompilerTier {
  readonly stats: TierStats = { modules: 0, functions: 0, bytes: 0, instructions: 0, milliseconds: 0 };
  private readonly memory: MachineMemory;
  private readonly codeCache: CodeCache;
  private readonly compiler: Compiler;
  private readonly imports: WebAssembly.Imports;
  private readonly table: WebAssembly.Table;
  private readonly synchronous: boolean;
  private readonly now: () => number;
  private queue: Request[] = [];
  private waited = 0;
  /** Places below `top` that are free again. */
  private readonly free: number[] = [];
  /** First free place of the table; entry 0 stays empty. */
  private top = 1;

  constructor(
    memory: MachineMemory,
    codeCache: CodeCache,
    compiler: Compiler,
    imports: WebAssembly.Imports,
    table: WebAssembly.Table,
    options: { readonly synchronous: boolean; readonly now: () => number },
  ) {
    this.memory = memory;
    this.codeCache = codeCache;
    this.compiler = compiler;
    this.imports = imports;
    this.table = table;
    this.synchronous = options.synchronous;
    this.now = options.now;
    codeCache.onForget = (places) => this.release(places);
  }

  /** Asks for the region that begins at an offset of a page. */
  request(page: CodePage, offset: number): void {
    this.queue.push({ page, offset, version: page.version });
    if (this.synchronous) this.compileQueue();
  }

  /** Between two turns of the engine: compiles if there is enough, or if it has waited long enough. */
  poll(): void {
    if (this.queue.length === 0) return;
    if (this.queue.length < BATCH && ++this.waited < PATIENCE) return;
    this.compileQueue();
  }

  private compileQueue(): void {
    this.waited = 0;
    const requests = this.queue.splice(0, BATCH).filter((request) => this.isCurrent(request));
    if (requests.length === 0) return;
    if (this.top - this.free.length > FUNCTION_LIMIT) {
      this.queue = [];
      this.codeCache.flush();
      return;
    }
    const started = this.now();
    const compiled = this.compiler.compile(requests, () => this.takePlace());
    const { stats } = this;
    stats.modules++;
    stats.functions += compiled.regions.length;
    stats.bytes += compiled.bytes.length;
    for (const { instructions } of compiled.regions) stats.instructions += instructions;
    if (this.synchronous) {
      new WebAssembly.Instance(new WebAssembly.Module(compiled.bytes), this.imports);
      this.install(compiled, requests);
    } else {
      void WebAssembly.instantiate(compiled.bytes, this.imports).then(() => {
        this.install(compiled, requests);
      });
    }
    stats.milliseconds += this.now() - started;
  }

  private isCurrent({ page, offset, version }: Request): boolean {
    if (page.version !== version) return false;
    const record = this.codeCache.lookup(page, offset);
    return record !== 0 && this.memory.view.getUint16(record + REC_HANDLER, true) !== PSEUDO_COMPILED;
  }

  /** The functions are in the table: leads the records to them. */
  private install({ regions, places }: CompiledModule, requests: readonly Request[]): void {
    const versions = new Map<CodePage, number>(requests.map(({ page, version }) => [page, version]));
    for (const [i, { page, entry }] of regions.entries()) {
      const place = places[i]!;
      const record = versions.get(page) === page.version ? this.codeCache.lookup(page, entry.offset) : 0;
      if (record !== 0 && this.lead(record, place)) page.functions.push(place);
      else this.release([place]);
    }
  }

  /** A free place of the table. */
  private takePlace(): number {
    const place = this.free.pop() ?? this.top++;
    if (place >= this.table.length) this.table.grow(1024);
    return place;
  }

  /** Gives places back; what stood there may go. */
  private release(places: readonly number[]): void {
    for (const place of places) {
      this.table.set(place, null);
      this.free.push(place);
    }
  }

  private lead(record: HostAddress, number: number): boolean {
    const { view, heat } = this.memory;
    const handler = view.getUint16(record + REC_HANDLER, true);
    if (handler < PSEUDO_COUNT) return false;
    const words = heat + (record >>> HEAT_SHIFT);
    view.setUint32(words, number, true);
    view.setUint16(words + HEAT_HANDLER, handler, true);
    view.setUint16(record + REC_HANDLER, PSEUDO_COMPILED, true);
    return true;
  }
}

/** The handler of a record, whether or not compiled code begins there. */
export function handlerOf({ view, heat }: MachineMemory, record: HostAddress): number {
  const handler = view.getUint16(record + REC_HANDLER, true);
  return handler === PSEUDO_COMPILED
    ? view.getUint16(heat + (record >>> HEAT_SHIFT) + HEAT_HANDLER, true)
    : handler;
}
