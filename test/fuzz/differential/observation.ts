/**
 * What can be seen of a run: each exit with its details and the state at it, the state wherever a budget ended, and the
 * state at the end. Two runs of a program must agree in all of it, whatever executed them and however they were cut.
 */
import {
  CPU,
  CPU_CPL,
  CPU_CR0,
  CPU_EFER,
  CPU_FPU_CONTROL,
  CPU_INTERRUPT_SHADOW,
  CPU_LONG,
  CPU_MXCSR,
  CPU_REGS,
  CPU_SEGMENTS,
  CPU_X87,
} from '../../../src/machine/layout.ts';
import { PAGE_SIZE } from '../../../src/machine/memory.ts';
import { EXIT_NAMES, Exit } from '../../../src/machine/x86/exits.ts';
import { Random } from '../random.ts';
import type { DifferentialMachine } from './machine.ts';
import type { Image, Program } from './program.ts';

/** Exits after which a run is over. */
const EXIT_LIMIT = 120;
/** Memory is looked at at one exit and one boundary in so many, and at the end. */
const EXITS_SKIPPED = 4;
const BOUNDARIES_SKIPPED = 32;

/** How a run is cut into turns: all at once, every so many instructions, or at random. */
export interface Schedule {
  readonly name: string;
  readonly most: number;
  readonly seed?: number;
}

export interface Observation {
  /** Texts of the exits, in order, and what the state was at each. */
  readonly exits: readonly string[];
  /** Hash of the state where a budget ended, by exits so far and instructions retired. */
  readonly boundaries: ReadonlyMap<string, number>;
  readonly instructions: number;
  /** The state at a boundary that was asked for, in words. */
  readonly shown: string;
}

/** Parts of the processor's state that are not the engine's own business, as offsets and lengths in bytes. */
const STATE: readonly (readonly [number, number])[] = [
  [CPU_REGS, 128],
  [CPU_SEGMENTS, 6 * 24],
  [CPU_CR0, CPU_EFER + 8 - CPU_CR0],
  [CPU_CPL, 4],
  [CPU_LONG, 4],
  [CPU_INTERRUPT_SHADOW, 8],
  [CPU_FPU_CONTROL, CPU_MXCSR + 4 - CPU_FPU_CONTROL],
  [CPU_X87, 128 + 256],
];

/** Mixes a word into a hash. */
export function mix(hash: number, word: number): number {
  const h = Math.imul(hash ^ word, 0x9e3779b1);
  return (h << 13) | (h >>> 19);
}

function hashState({ engine, memory }: DifferentialMachine, withMemory: boolean): number {
  const { cpu } = engine;
  const { i32 } = memory;
  let hash = mix(mix(mix(1, cpu.rflags), cpu.rip | 0), Math.floor(cpu.rip / 4294967296));
  for (const [offset, length] of STATE) {
    const end = (CPU + offset + length) >> 2;
    for (let at = (CPU + offset) >> 2; at < end; at++) hash = mix(hash, i32[at]!);
  }
  if (!withMemory) return hash;
  const end = (memory.framesBase + memory.frames * PAGE_SIZE) >> 2;
  for (let at = memory.framesBase >> 2; at < end; at++) hash = mix(hash, i32[at]!);
  return hash;
}

/** The state in words, for a person: what is compared, memory as one hash for each frame that holds anything. */
export function describeState({ engine, memory }: DifferentialMachine): string {
  const { cpu } = engine;
  const hex = (n: number): string => (n >>> 0).toString(16).padStart(8, '0');
  const names = 'rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15'.split(' ');
  const words = names.map((name, n) => `${name}=${hex(cpu.regHigh(n))}${hex(cpu.regLow(n))}`);
  words.push(`rip=${cpu.rip.toString(16)}`, `rflags=${hex(cpu.rflags)}`, `retired=${cpu.retired}`);
  for (const [offset, length] of STATE.slice(1)) {
    for (let at = offset; at < offset + length; at += 4) {
      const word = memory.u32[(CPU + at) >> 2]!;
      if (word !== 0) words.push(`cpu+${at.toString(16)}=${hex(word)}`);
    }
  }
  for (let mfn = 0; mfn < memory.frames; mfn++) {
    const first = memory.host(mfn * PAGE_SIZE) >> 2;
    let hash = 1;
    for (let at = first; at < first + PAGE_SIZE / 4; at++) hash = mix(hash, memory.i32[at]!);
    words.push(`frame${mfn}=${hex(hash)}`);
  }
  return words.join(' ');
}

/** What an exit tells a hypervisor. */
function describeExit({ engine }: DifferentialMachine, exit: Exit): string {
  const { cpu } = engine;
  let text = `${EXIT_NAMES[exit]} at ${cpu.rip.toString(16)} after ${cpu.retired}`;
  if (exit === Exit.Interrupt || exit === Exit.Exception) text += ` vector ${cpu.exitVector}`;
  if (exit === Exit.Interrupt || exit === Exit.Vmcall) text += ` length ${cpu.exitLength}`;
  if (exit === Exit.Exception) text += ` error ${cpu.exitError.toString(16)}`;
  if (exit === Exit.Exception && cpu.exitVector === 14) text += ` cr2 ${cpu.exitAddress.toString(16)}`;
  if (exit === Exit.System || (exit === Exit.Exception && cpu.exitVector === 13)) {
    const instruction = engine.instructionAtExit();
    text += ` ${instruction?.mnemonic} of ${instruction?.length}`;
  }
  return text;
}

/** Runs a program from its beginning. `show`: the boundary, or number of the exit, whose state is wanted in words. */
export async function observe(
  machine: DifferentialMachine,
  program: Program,
  image: Image,
  schedule: Schedule,
  show = '',
): Promise<Observation> {
  machine.load(program, image);
  const { engine } = machine;
  const { cpu } = engine;
  const random = new Random(schedule.seed ?? 1);
  const exits: string[] = [];
  const boundaries = new Map<string, number>();
  const start = cpu.retired;
  let shown = '';
  let event = 0;
  let turns = 0;
  for (;;) {
    const done = cpu.retired - start;
    while (event < program.events.length && program.events[event]!.at <= done) {
      machine.act(program.events[event++]!.action);
    }
    if (done >= program.limit || exits.length >= EXIT_LIMIT) break;
    const upTo = Math.min(program.limit, program.events[event]?.at ?? program.limit);
    const budget = schedule.seed === undefined ? schedule.most : 1 + random.below(schedule.most);
    const exit = engine.run(Math.min(budget, upTo - done));
    if (machine.asynchronous && ++turns % 8 === 0) await settle();
    const retired = cpu.retired - start;
    if (exit === Exit.Budget) {
      const key = `${exits.length} ${retired}`;
      const hash = hashState(machine, retired % BOUNDARIES_SKIPPED === 0 || retired === program.limit);
      if (key === show) shown = describeState(machine);
      boundaries.set(key, hash);
      continue;
    }
    const text = describeExit(machine, exit);
    if (String(exits.length) === show) shown = describeState(machine);
    exits.push(`${text} · ${hashState(machine, exits.length % EXITS_SKIPPED === 0) >>> 0}`);
    if (!machine.answer(exit)) break;
  }
  boundaries.set('end', hashState(machine, true));
  if (show === 'end') shown = describeState(machine);
  return { exits, boundaries, instructions: cpu.retired - start, shown };
}

/** Lets modules that are being compiled arrive. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
