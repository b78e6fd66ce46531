/**
 * Runs the guest of the paths under the command, as a person would run any guest, and makes figures of what it
 * writes.
 */
import { spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { EngineName } from '../../src/toolstack/api.ts';
import { COMMAND } from '../peers/ringone.ts';
import { addFigure, type Figure } from '../results.ts';
import { buildPathsGuest, RESULT_BYTES } from './guest.ts';
import { EMPTY, KINDS } from './kinds.ts';

const MEMORY_MIB = 32;
const TIMEOUT_SECONDS = 120;

/** What a run of the guest gave. */
export interface PathFigures {
  /** Nanoseconds each way takes, in the order of `KINDS`, without the loop around it. */
  readonly ns: readonly number[];
  /** What RAX held in the end. */
  readonly answers: readonly number[];
}

/** Reads the guest's output. Raises RangeError if it is not as long as expected. */
export function readPathFigures(bytes: Uint8Array, divisor = 1): PathFigures {
  const expected = RESULT_BYTES * (1 + KINDS.length);
  if (bytes.length !== expected) {
    throw new RangeError(`expected ${expected} bytes of figures, found ${bytes.length}`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const word = (at: number) => Number(view.getBigInt64(at, true));
  const iterations = (count: number) => Math.max(1, Math.floor(count / divisor));
  const loopNs = word(0) / iterations(EMPTY.iterations);
  return {
    ns: KINDS.map(
      (kind, i) => (word(RESULT_BYTES * (i + 1)) / iterations(kind.iterations) - loopNs) / (kind.parts ?? 1),
    ),
    answers: KINDS.map((_, i) => word(RESULT_BYTES * (i + 1) + 8)),
  };
}

/** Measures every path with every engine, in turns. */
export async function measurePaths(
  directory: string,
  engines: readonly EngineName[],
  rounds: number,
  say: (line: string) => void,
): Promise<Figure[]> {
  const image = join(directory, 'paths.elf');
  await writeFile(image, buildPathsGuest());
  const figures: Figure[] = [];
  for (let round = 1; round <= rounds; round++) {
    for (const engine of engines) {
      say(`round ${round} of ${rounds}: paths of the hypervisor, ${engine}`);
      const { ns } = readPathFigures(await run(image, engine));
      for (const [i, { title }] of KINDS.entries())
        addFigure(figures, engine, { what: title, unit: 'ns', value: ns[i]! });
    }
  }
  return figures;
}

/** All that the guest writes to its console. */
function run(image: string, engine: EngineName): Promise<Uint8Array> {
  const options = ['--memory', `${MEMORY_MIB}`, '--engine', engine, '--timeout', `${TIMEOUT_SECONDS}`];
  const child = spawn(process.execPath, [COMMAND, 'run', image, ...options], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const chunks: Buffer[] = [];
  let complaints = '';
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (complaints += text));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status) => {
      if (status === 0) resolve(Buffer.concat(chunks));
      else
        reject(new Error(`the guest of the paths ended with status ${status}: ${complaints.split('\n')[0]}`));
    });
  });
}
