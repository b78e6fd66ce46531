/**
 * Runs what the translator made, and what it made it from: a program as WebAssembly in Node, as ELF on this machine's
 * own processor, and a kernel in this project's engine. All give what was printed.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type DomainExit, Host } from '../../index.ts';

/** False where programs can be run, else why not, as `node:test` takes it. */
export const skipNative: string | false =
  process.platform === 'linux' && process.arch === 'x64'
    ? false
    : `programs are for Linux on x86-64, this is ${process.platform} on ${process.arch}`;

const LINUX_WRITE = 1;
const LINUX_EXIT = 60;
const LINUX_EXIT_GROUP = 231;
const PATIENCE_MS = 20_000;

class Exit extends Error {}

/** Runs a program's module in Node: write to standard output and exit are all that it may ask for. */
export async function runInNode(module: Uint8Array): Promise<string> {
  let printed = '';
  let memory: WebAssembly.Memory | undefined;
  const systemCall = (number: number, ...operands: bigint[]): bigint => {
    if (number === LINUX_EXIT || number === LINUX_EXIT_GROUP) throw new Exit();
    if (number !== LINUX_WRITE) throw new Error(`expected write or exit, found system call ${number}`);
    const [, address, bytes] = operands;
    printed += Buffer.from(memory!.buffer, Number(address), Number(bytes)).toString('latin1');
    return bytes!;
  };
  const machine = Object.fromEntries(
    [0, 1, 2, 3, 4, 5, 6].map((count) => [`systemCall${count}`, systemCall]),
  );
  const { instance } = await WebAssembly.instantiate(module as Uint8Array<ArrayBuffer>, { machine });
  memory = instance.exports.memory as WebAssembly.Memory;
  try {
    (instance.exports.main as (stack: bigint) => void)(0n);
  } catch (error) {
    if (!(error instanceof Exit)) throw error;
  }
  return printed;
}

/** Runs a static ELF program on this machine. */
export async function runOnProcessor(elf: Uint8Array): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'ringone-program-'));
  try {
    const file = join(folder, 'program');
    await writeFile(file, elf, { mode: 0o755 });
    const { stdout } = await promisify(execFile)(file, [], { encoding: 'latin1', timeout: PATIENCE_MS });
    return stdout;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

export interface KernelRun {
  /** What it wrote to the emergency console. */
  readonly printed: string;
  /** Why it ended. */
  readonly reason: string;
  /** Where it stood, if it crashed. */
  readonly report: DomainExit['report'];
}

/** Boots a Xen kernel in this project's engine. */
export async function runInEngine(kernel: Uint8Array, memoryMib = 32): Promise<KernelRun> {
  const host = await Host.create({ memoryMib: 2 * memoryMib, clock: 'virtual' });
  const domain = await host.createDomain({ kernel, memoryMib, commandLine: '' });
  const words = collect(domain.emergencyConsole);
  const running = host.run();
  const { reason, report } = await domain.exited;
  await running;
  return { printed: await words, reason, report };
}

async function collect(stream: ReadableStream<Uint8Array>): Promise<string> {
  let all = '';
  for await (const bytes of stream) all += Buffer.from(bytes).toString('latin1');
  return all;
}
