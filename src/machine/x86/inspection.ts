/**
 * What the engine holds for an address of a guest: the decoded instructions around it with their counters, and the compiled
 * functions that contain it. Data only; `toolstack/inspection-text.ts` makes a report of it. Looking leaves no trace.
 */
import type { Signatures } from '../../wasm/disassemble.ts';
import type { Gva, HostAddress, MachineMemory, Maddr, Mfn } from '../memory.ts';
import { PAGE_SIZE } from '../memory.ts';
import type { CodeCache, CodePage } from './code-cache.ts';
import { QuietMemory } from './quiet-memory.ts';
import {
  PSEUDO_COMPILED,
  PSEUDO_COUNT,
  REC_HANDLER,
  REC_HEAT,
  REC_LENGTH,
  REC_LINK,
  REC_OFFSET,
  REC_RUN,
  RECORD_SIZE,
} from './record.ts';
import type { VcpuState } from './state.ts';
import { type CompiledFunction, type CompilerTier, handlerOf } from './tier.ts';
import type { VariantTable } from './variants.ts';

/** A decoded instruction: what the interpreter executes. */
export interface InspectedInstruction {
  /** In its page. */
  readonly offset: number;
  readonly bytes: Uint8Array;
  /** The definition's mnemonic, and the number of its handler. */
  readonly mnemonic: string;
  readonly handler: number;
  /** Instructions from here to the end of the run. */
  readonly run: number;
  /** How often the interpreter began a run here; 16 bits, wraps around. */
  readonly heat: number;
  /** Compiled code begins here. */
  readonly entry: boolean;
  /** The interpreter knows the record of the branch's target. */
  readonly linked: boolean;
}

export interface Inspection {
  readonly address: Gva;
  readonly mfn: Mfn;
  /** 64-bit code, as opposed to that of compatibility mode. */
  readonly long: boolean;
  /** Blocks that the page has been decoded to, and instructions in them. */
  readonly blocks: number;
  readonly instructions: number;
  /** The instruction at an offset of the page, where one was decoded. */
  at(offset: number): InspectedInstruction | undefined;
  /** The decoded block that holds the address; empty if there is none. */
  readonly block: readonly InspectedInstruction[];
  /** All compiled functions that begin in the page, and those that hold the address. */
  readonly functions: number;
  readonly compiled: readonly CompiledFunction[];
}

/** Why there is nothing to see. */
export type Nothing = 'unmapped' | 'never executed';

export class Inspector {
  private readonly memory: MachineMemory;
  private readonly codeCache: CodeCache;
  private readonly variants: VariantTable;
  private readonly tier: CompilerTier | undefined;
  /** What the compiled code calls; undefined where nothing is compiled. */
  readonly calls: Signatures | undefined;

  constructor(
    memory: MachineMemory,
    codeCache: CodeCache,
    variants: VariantTable,
    tier: CompilerTier | undefined,
    calls: Signatures | undefined,
  ) {
    this.memory = memory;
    this.codeCache = codeCache;
    this.variants = variants;
    this.tier = tier;
    this.calls = calls;
  }

  /** What is held for an address in the address space of a vCPU whose top table is at `root`. */
  inspect(state: VcpuState, root: Maddr, address: Gva): Inspection | Nothing {
    const host = new QuietMemory(state, root).host(address);
    if (host === 0) return 'unmapped';
    const mfn = Math.floor((host - this.memory.framesBase) / PAGE_SIZE);
    const offset = host - this.memory.framesBase - mfn * PAGE_SIZE;
    const pages = this.codeCache.known(mfn);
    const page = pages.find((candidate) => candidate.long) ?? pages[0];
    if (page === undefined) return 'never executed';
    const functions = this.tier?.functionsOf(page) ?? [];
    return {
      address,
      mfn,
      long: page.long,
      blocks: page.blocks.length / 2,
      instructions: countInstructions(page),
      at: (place) => this.instructionIn(page, this.codeCache.lookup(page, place)),
      block: this.blockAt(page, offset),
      functions: functions.length,
      compiled: functions.filter(
        ({ region }) =>
          region.offset === offset || region.notes?.some((note) => note.offset === offset) === true,
      ),
    };
  }

  private blockAt(page: CodePage, offset: number): InspectedInstruction[] {
    for (let i = 0; i < page.blocks.length; i += 2) {
      const instructions: InspectedInstruction[] = [];
      for (let record = page.blocks[i]!; record < page.blocks[i + 1]!; record += RECORD_SIZE) {
        const instruction = this.instructionIn(page, record);
        if (instruction !== undefined) instructions.push(instruction);
      }
      if (instructions.some((instruction) => instruction.offset === offset)) return instructions;
    }
    return [];
  }

  private instructionIn(page: CodePage, record: HostAddress): InspectedInstruction | undefined {
    if (record === 0) return undefined;
    const { memory } = this;
    const { u8, view } = memory;
    const handler = handlerOf(memory, record);
    if (handler < PSEUDO_COUNT) return undefined;
    const offset = view.getUint16(record + REC_OFFSET, true);
    const at = memory.framesBase + page.mfn * PAGE_SIZE + offset;
    const definition = this.variants.variantOf(handler)?.definition;
    return {
      offset,
      // What lies in the next page is not shown: it need not be the next frame.
      bytes: u8.slice(at, at + Math.min(u8[record + REC_LENGTH]!, PAGE_SIZE - offset)),
      mnemonic: definition?.mnemonic ?? '?',
      handler,
      run: u8[record + REC_RUN]!,
      heat: view.getUint16(record + REC_HEAT, true),
      entry: view.getUint16(record + REC_HANDLER, true) === PSEUDO_COMPILED,
      linked: definition?.options.branch === true && view.getUint32(record + REC_LINK, true) !== 0,
    };
  }
}

function countInstructions({ blocks }: CodePage): number {
  let records = 0;
  for (let i = 0; i < blocks.length; i += 2) records += (blocks[i + 1]! - blocks[i]!) / RECORD_SIZE;
  // Each block ends in a record that stands for no instruction.
  return records - blocks.length / 2;
}
