/**
 * Runs one machine as a process of its own and notes when its markers arrive, and how much memory it held
 * meanwhile.
 */
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { MarkerReader } from './script.ts';

/** What is measured of one row in one run. */
export interface Sample {
  readonly seconds: number;
  /** Most memory resident during the row, in bytes; undefined where the system does not tell. */
  readonly residentBytes?: number | undefined;
  /** Instructions that the guest retired, where the machine counts them. */
  readonly instructions?: number | undefined;
  /** What the row printed. */
  readonly answer: string;
}

/** Samples by the name of their row. */
export type Run = ReadonlyMap<string, Sample>;

export interface MachineProcess {
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** The row that the first marker ends, counted from the start of the process; none if it has no such row. */
  readonly bootRow?: string;
  /**
   * Whether it writes its count of instructions to descriptor 3, one line for each line of the console that is a
   * marker.
   */
  readonly counts?: boolean;
  /** Whether it ends when its guest powers off; otherwise it is killed when the script is done. */
  readonly endsItself?: boolean;
}

/** The machine ended, failed or went silent before its script was done. The message is one line. */
export class MachineError extends Error {
  override readonly name = 'MachineError';
}

/** Runs the machine until its script is done, then ends it. Raises MachineError. */
export function timeMachine(machine: MachineProcess, timeoutSeconds: number): Promise<Run> {
  return new Promise((resolve, reject) => {
    const start = performance.now();
    const child = spawn(machine.command, machine.args, {
      stdio: ['ignore', 'pipe', 'pipe', machine.counts === true ? 'pipe' : 'ignore'],
      env: { ...process.env, ...machine.env },
    });
    const measured: Measured[] = [];
    let counts = '';
    const reader = new MarkerReader();
    let said = '';
    let isDone = false;
    let problem: string | undefined;
    const timer = setTimeout(() => {
      problem = `did not finish within ${timeoutSeconds} s`;
      child.kill('SIGKILL');
    }, timeoutSeconds * 1000);

    const onText = (text: string) => {
      const now = performance.now();
      said = (said + text).slice(-2000);
      for (const marker of reader.read(text)) {
        const row = 'row' in marker ? marker.row : machine.bootRow;
        const answer = marker.kind === 'end' ? marker.answer : '';
        measured.push({
          kind: marker.kind,
          row,
          answer,
          atMs: now - start,
          peakBytes: peakMemory(child.pid!),
        });
        isDone ||= marker.kind === 'done';
      }
      if (isDone && machine.endsItself !== true) child.kill('SIGKILL');
    };
    child.stdout!.setEncoding('utf8').on('data', onText);
    child.stderr!.setEncoding('utf8').on('data', (text: string) => (said = (said + text).slice(-2000)));
    (child.stdio[3] as Readable | null)?.setEncoding('utf8').on('data', (text: string) => {
      counts += text;
    });
    child.on('error', (error) => (problem = error.message));
    child.on('close', (status) => {
      clearTimeout(timer);
      if (isDone) resolve(samples(measured, counts.split('\n').filter(Boolean).map(Number)));
      else reject(new MachineError(problem ?? `ended with status ${status}: ${lastLine(said)}`));
    });
  });
}

interface Measured {
  readonly kind: 'init' | 'begin' | 'end' | 'done';
  readonly row: string | undefined;
  readonly answer: string;
  readonly atMs: number;
  readonly peakBytes: number | undefined;
}

function samples(measured: readonly Measured[], counts: readonly number[]): Run {
  const run = new Map<string, Sample>();
  measured.forEach(({ kind, row, answer, atMs, peakBytes: residentBytes }, i) => {
    if (row === undefined || (kind !== 'init' && kind !== 'end')) return;
    const seconds = (atMs - (kind === 'init' ? 0 : measured[i - 1]!.atMs)) / 1000;
    const instructions = counts.length > i ? counts[i]! - (kind === 'init' ? 0 : counts[i - 1]!) : undefined;
    run.set(row, { seconds, residentBytes, instructions, answer });
  });
  return run;
}

/** The most memory that a process has held since the last such call (Linux, proc(5): VmHWM and clear_refs). */
function peakMemory(pid: number): number | undefined {
  try {
    const kib = /^VmHWM:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1];
    writeFileSync(`/proc/${pid}/clear_refs`, '5');
    return kib === undefined ? undefined : Number(kib) * 1024;
  } catch {
    return undefined;
  }
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1)?.trim() ?? '';
}
