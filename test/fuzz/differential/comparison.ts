/**
 * Runs one program through every engine, cut in several ways, and says where two runs disagree. The measure is the
 * interpreter at one instruction a turn: it shows the state at every instruction boundary.
 */
import type { EngineOptions } from '../../../src/machine/x86/engine.ts';
import { DifferentialMachine } from './machine.ts';
import { type Observation, observe, type Schedule } from './observation.ts';
import { assemble, type Program } from './program.ts';

export const reference: Schedule = { name: 'one by one', most: 1 };
const WHOLE: Schedule = { name: 'whole', most: 1e6 };

export interface Contender {
  readonly name: string;
  readonly machine: DifferentialMachine;
  /** In how many ways its runs are cut. */
  readonly cuts: number;
}

export interface Difference {
  readonly contender: Contender;
  /** How the contender's runs were cut, from a fresh engine on; the last of them differs. */
  readonly history: readonly Schedule[];
  /** Boundary, or number of the exit, at which the runs first differ. */
  readonly where: string;
  readonly expected: string;
  readonly found: string;
}

/**
 * Compiles at once what would be compiled beside the guest, and hands it over at the next turn of the event loop: when a
 * module arrives must not depend on how busy this machine is, or no failure could be had again.
 */
function arriveInStep(): void {
  const instantiate = (of: BufferSource | WebAssembly.Module, imports: WebAssembly.Imports) => {
    if (of instanceof WebAssembly.Module) return Promise.resolve(new WebAssembly.Instance(of, imports));
    const module = new WebAssembly.Module(of);
    return Promise.resolve({ module, instance: new WebAssembly.Instance(module, imports) });
  };
  Object.assign(WebAssembly, { instantiate });
}

/** The engines: the measure first. */
export async function contenders(): Promise<readonly Contender[]> {
  arriveInStep();
  let instant = 0;
  // Time as the compiler sees it flies: nothing waits for more to compile.
  const now = (): number => (instant += 1000);
  const make = async (name: string, cuts: number, options: EngineOptions) => ({
    name,
    cuts,
    machine: await DifferentialMachine.create(options),
  });
  return [
    await make('interpreter', 4, { kind: 'interpreter' }),
    await make('compiler', 2, { kind: 'compiler' }),
    await make('compiler of code run 3 times', 4, { kind: 'compiler', heatLimit: 3 }),
    await make('auto', 4, { kind: 'auto', heatLimit: 2, now }),
  ];
}

/** The ways in which a contender's runs of a program are cut. */
export function schedules(program: Program): readonly Schedule[] {
  const { seed } = program;
  return [
    WHOLE,
    seed % 2 === 0
      ? { name: 'at random, short', most: 24, seed: seed + 1 }
      : { name: 'at random, long', most: 400, seed },
    { name: 'evenly', most: 2 + (seed % 150) },
    { name: 'at random', most: 90, seed: seed + 2 },
  ];
}

/** The first difference between two runs; undefined where they agree. */
function difference(
  expected: Observation,
  found: Observation,
): readonly [string, string, string] | undefined {
  for (const [i, text] of found.exits.entries()) {
    if (text !== expected.exits[i]) return [String(i), expected.exits[i] ?? 'the end', text];
  }
  for (const [key, hash] of found.boundaries) {
    const wanted = expected.boundaries.get(key);
    if (wanted !== hash) return [key, `state ${wanted}`, `state ${hash}`];
  }
  if (found.exits.length !== expected.exits.length || found.instructions !== expected.instructions) {
    return ['end', ending(expected), ending(found)];
  }
  return undefined;
}

function ending({ exits, instructions }: Observation): string {
  return `${exits.length} exits, ${instructions} instructions`;
}

/** Runs a program everywhere; the first difference found, undefined if there is none. */
export async function compare(
  program: Program,
  list: readonly Contender[],
  cuts: readonly Schedule[] = schedules(program),
): Promise<Difference | undefined> {
  const image = assemble(program);
  const expected = await observe(list[0]!.machine, program, image, reference);
  for (const contender of list) {
    contender.machine.forget();
    for (const [i, schedule] of cuts.slice(0, contender.cuts).entries()) {
      const found = await observe(contender.machine, program, image, schedule);
      const at = difference(expected, found);
      if (at === undefined) continue;
      const [where, wanted, got] = at;
      return { contender, history: cuts.slice(0, i + 1), where, expected: wanted, found: got };
    }
  }
  return undefined;
}
