/**
 * The real processor as one more engine: builds `native.c` with gcc, hands it programs, and compares what it saw with what
 * the interpreter sees, one instruction at a time.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  CPU,
  CPU_FPU_CONTROL,
  CPU_FPU_EMPTY,
  CPU_FPU_STATUS,
  CPU_FPU_TOP,
  CPU_MXCSR,
  CPU_REGS,
  CPU_X87,
  CPU_XMM,
} from '../../../src/machine/layout.ts';
import { PAGE_SIZE } from '../../../src/machine/memory.ts';
import { Exit } from '../../../src/machine/x86/exits.ts';
import { TWIN } from './layout.ts';
import type { DifferentialMachine } from './machine.ts';
import { mix } from './observation.ts';
import { assemble, type Program } from './program.ts';

const EXIT_LIMIT = 60;
/** RFLAGS bits that are compared: CF PF ZF SF DF OF. */
const COMPARED_FLAGS = 0xcc5;
const TWO_32 = 4294967296;

/** The program that runs programs; undefined where it cannot be had, with the reason. */
export interface Native {
  readonly skip: string | false;
  /** What the processor sees of each program, a list of lines. */
  run(machine: DifferentialMachine, programs: readonly Program[], verbose?: boolean): string[][];
  remove(): void;
}

export function buildNative(): Native {
  const none = (skip: string): Native => ({ skip, run: () => [], remove: () => {} });
  if (process.platform !== 'linux' || process.arch !== 'x64') return none('not Linux on x86-64');
  const folder = mkdtempSync(join(tmpdir(), 'ringone-native-'));
  const program = join(folder, 'native');
  const source = join(dirname(fileURLToPath(import.meta.url)), 'native.c');
  try {
    execFileSync('gcc', ['-O1', '-o', program, source], { stdio: 'pipe' });
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    return none(
      `no gcc that builds native.c: ${error instanceof Error ? error.message.split('\n')[0] : error}`,
    );
  }
  return {
    skip: false,
    run: (machine, programs, verbose = false) => {
      const input = Buffer.concat(programs.map((one) => encode(machine, one, verbose)));
      const output = execFileSync(program, { input, encoding: 'utf8', maxBuffer: 1 << 28 });
      return output
        .split('done\n')
        .slice(0, -1)
        .map((text) => text.trimEnd().split('\n'));
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** A program as `native.c` reads it: see its Header. */
function encode(machine: DifferentialMachine, program: Program, verbose: boolean): Uint8Array {
  const image = assemble(program);
  machine.load(program, image);
  const { memory, engine } = machine;
  const { cpu } = engine;
  const pages = machine.nativePages();
  const landings = [...image.addresses.values()].sort((a, b) => a - b);
  const words = [
    program.mode === 'compatibility' ? 1 : 0,
    program.limit,
    EXIT_LIMIT,
    verbose ? 1 : 0,
    cpu.rip,
    cpu.rflags,
    program.mxcsr,
    program.control,
    landings.length,
    pages.length,
    memory.frames,
  ];
  const header = Buffer.alloc(48 + 128 + 256);
  for (const [i, word] of words.entries()) header.writeUInt32LE(word >>> 0, i * 4);
  header.set(memory.u8.subarray(CPU + CPU_REGS, CPU + CPU_REGS + 128), 48);
  header.set(memory.u8.subarray(CPU + CPU_XMM, CPU + CPU_XMM + 256), 48 + 128);
  const list = Uint32Array.from([...landings, ...pages.flatMap(({ at, mfn, rights }) => [at, mfn, rights])]);
  const frames = memory.u8.slice(memory.framesBase, memory.framesBase + memory.frames * PAGE_SIZE);
  return Buffer.concat([header, Buffer.from(list.buffer), frames]);
}

/** What the interpreter sees of a program, in the words of `native.c`. */
export function see(machine: DifferentialMachine, program: Program, verbose = false): string[] {
  machine.load(program, assemble(program));
  machine.hideSystem();
  const { engine, memory } = machine;
  const { cpu } = engine;
  const lines: string[] = [];
  const registers = program.mode === 'compatibility' ? 8 : 16;
  let steps = 0;
  let hash = 1;
  const show = (what: string): void => {
    const flags = what === 'step' || what === 'end' ? 0 : cpu.rflags & COMPARED_FLAGS;
    lines.push(`${what} steps=${steps} hash=${word(hash)} ${describe(machine, registers, flags)}`);
  };
  for (let exits = 0; exits < EXIT_LIMIT; ) {
    if (steps >= program.limit) break;
    const exit = engine.run(1);
    if (exit === Exit.Budget) {
      steps++;
      hash = mix(mix(hash, cpu.rip | 0), Math.floor(cpu.rip / TWO_32));
      for (let n = 0; n < registers; n++) hash = mix(mix(hash, cpu.regLow(n)), cpu.regHigh(n));
      if (verbose) show('step');
      continue;
    }
    const { exitVector: vector, exitError: error, exitAddress: address } = cpu;
    const fault = exit === Exit.Exception && vector === 14;
    const shown = fault && address >= 0 ? error.toString(16) : 0;
    show(`exit vector=${vector} error=${shown} cr2=${fault ? hex(address) : 0}`);
    exits++;
    if (exits < EXIT_LIMIT) machine.answer(exit);
  }
  show('end');
  for (const { at, mfn } of machine.nativePages()) {
    if (at >= TWIN) continue;
    const first = memory.host(mfn * PAGE_SIZE) >> 2;
    let sum = 1;
    for (let i = first; i < first + PAGE_SIZE / 4; i++) sum = mix(sum, memory.i32[i]!);
    lines.push(`page ${at.toString(16)} ${word(sum)}`);
  }
  return lines;
}

/** The first line in which the processor and the interpreter differ, and the instruction before it; undefined if none. */
export function nativeDifference(
  native: Native,
  machine: DifferentialMachine,
  program: Program,
  theirs: readonly string[] = native.run(machine, [program])[0] ?? [],
): string | undefined {
  const ours = see(machine, program);
  const at = theirs.findIndex((line, i) => line !== ours[i]);
  if (at < 0 && theirs.length === ours.length) return undefined;
  // Control that went astray came to an INT or INT1, which is for the host to answer.
  if (/vector=(1|3[2-9]|[4-9][0-9]|[0-9]{3}) /.test(ours[at] ?? '')) return undefined;
  // What crosses the 4 GiB of a flat segment is #GP on a processor, and wraps around here.
  if (program.mode === 'compatibility' && /cr2=ffffff/.test(ours[at] ?? '')) return undefined;
  const stepsOfTheirs = native.run(machine, [program], true)[0] ?? [];
  const steps = see(machine, program, true);
  const step = steps.findIndex((line, i) => line !== stepsOfTheirs[i]);
  return `before    ${steps[step - 1] ?? 'anything'}\nprocessor ${stepsOfTheirs[step]}\nengine    ${steps[step]}`;
}

const word = (n: number): string => (n >>> 0).toString(16).padStart(8, '0');
/** A signed address as 64 bits. */
function hex(address: number): string {
  return BigInt.asUintN(64, BigInt(address)).toString(16);
}

function describe({ engine, memory }: DifferentialMachine, registers: number, flags: number): string {
  const { cpu } = engine;
  const { view, u32, u8, i32 } = memory;
  let text = `rip=${hex(cpu.rip)} flags=${flags.toString(16)}`;
  for (let n = 0; n < registers; n++) {
    text += ` r${n}=${view.getBigUint64(CPU + CPU_REGS + n * 8, true).toString(16)}`;
  }
  let xmm = 1;
  for (let i = 0; i < registers * 4; i++) xmm = mix(xmm, i32[(CPU + CPU_XMM + i * 4) >> 2]!);
  const top = u32[(CPU + CPU_FPU_TOP) >> 2]! & 7;
  const status = (view.getUint16(CPU + CPU_FPU_STATUS, true) & ~0x3800) | (top << 11);
  const tags = ~u8[CPU + CPU_FPU_EMPTY]! & 0xff;
  const control = view.getUint16(CPU + CPU_FPU_CONTROL, true);
  text += ` xmm=${word(xmm)} mxcsr=${u32[(CPU + CPU_MXCSR) >> 2]!.toString(16)} fcw=${control.toString(16)}`;
  text += ` fsw=${status.toString(16)} ftw=${tags.toString(16)}`;
  let st = 1;
  for (let i = 0; i < 8; i++) {
    const at = CPU + CPU_X87 + ((top + i) & 7) * 16;
    st = mix(
      mix(mix(st, view.getInt32(at, true)), view.getInt32(at + 4, true)),
      view.getUint16(at + 8, true),
    );
  }
  return `${text} st=${word(st)}`;
}
