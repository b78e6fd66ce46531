/**
 * One visit to the project's own kernel, from its first instruction to its last, with everything noted that a chapter of
 * docs/journey may want to show. Under the virtual clock it is the same visit each time.
 */
import { loadDisassembler } from '../../src/cli/disassemble.ts';
import { buildKernel } from '../../src/guest/testing/build.ts';
import {
  type AbiName,
  type Domain,
  type EngineName,
  Host,
  type HostStatistics,
  TRACE_KINDS,
} from '../../src/index.ts';
import { type MachineMemory, PAGE_SIZE } from '../../src/machine/memory.ts';
import { loadKernelImage, type SymbolTable } from '../../src/toolstack/images/index.ts';

/** From a command, or from the start, to the next prompt: what the kernel printed, and what was traced. */
interface Answer {
  readonly text: readonly string[];
  readonly trace: readonly string[];
}

export interface Tour {
  /** What the kernel said before its first prompt, and what was traced until then. */
  readonly start: Answer;
  /** By command. */
  readonly answers: ReadonlyMap<string, Answer>;
  readonly reason: string;
  readonly statistics: HostStatistics;
  /** The drawing of the P2M when the shell was ready. */
  readonly p2m: readonly string[];
  /** A function of the kernel as it stands in memory once the shell is ready, line by line. */
  readonly disassembled: ReadonlyMap<string, readonly string[]>;
}

export interface TourOptions {
  readonly abi?: AbiName;
  readonly engine?: EngineName;
  readonly commands: readonly string[];
  /** Functions to be disassembled. */
  readonly functions?: readonly string[];
}

export const MEMORY_MIB = 32;
const CODE_BYTES = 64;
const KERNEL_BASE = -0x80000000;
/** The machine frame of a first domain's frame 0; the builder gives it one run. The shell's `p2m` says the same. */
const FIRST_FRAME = 0x200;

/** Boots, types each command at a prompt, and ends the guest behind the last one. */
export async function tour({ abi, engine, commands, functions = [] }: TourOptions): Promise<Tour> {
  const kernel = await buildKernel('1');
  let traced: string[] = [];
  const trace = { kinds: TRACE_KINDS, onLine: (line: string) => void traced.push(line) };
  const host = await Host.create({
    memoryMib: MEMORY_MIB + 64,
    clock: 'virtual',
    trace,
    engine: engine ?? 'auto',
  });
  const domain = await host.createDomain({ kernel, memoryMib: MEMORY_MIB, abi: abi ?? 'xen' });
  const keys = domain.console.writable.getWriter();
  const running = host.run();
  const said: { command: string | undefined; answer: Answer }[] = [];
  let p2m: readonly string[] = [];
  const disassembled = new Map<string, readonly string[]>();
  let text = '';
  let command: string | undefined;
  const note = () => {
    const lines = text.replaceAll('\r\n', '\n').split('\n');
    if (command !== undefined) lines.shift();
    said.push({
      command,
      answer: { text: lines.slice(0, -1), trace: traced.map((line) => withNames(domain.symbols, line)) },
    });
    [text, traced] = ['', []];
  };
  const waiting = [...commands, 'halt'];
  for await (const bytes of domain.console.readable) {
    text += Buffer.from(bytes).toString('latin1');
    if (!/(^|\n)> $/.test(text)) continue;
    if (said.length === 0) {
      p2m = domain.p2m();
      for (const name of functions) disassembled.set(name, await codeInMemory(host, domain, name));
    }
    note();
    command = waiting.shift();
    if (command !== undefined) await keys.write(new TextEncoder().encode(`${command}\r`));
  }
  const { reason } = await domain.exited;
  await running;
  note();
  const [start, ...rest] = said;
  const answers = new Map(rest.map(({ command, answer }) => [command ?? '', answer]));
  return { start: start!.answer, answers, reason, statistics: host.statistics(), p2m, disassembled };
}

/** Puts names where a line has the addresses of functions and variables of the kernel. */
function withNames(symbols: SymbolTable, line: string): string {
  return line.replaceAll(/0xffffffff[89a-f][0-9a-f]{7}/g, (digits) => {
    const found = symbols.nearest(Number(BigInt.asIntN(64, BigInt(digits))));
    return found?.offset === 0 ? found.name : digits;
  });
}

/** The code of a function as it stands in memory. */
function codeInMemory(host: Host, domain: Domain, name: string): Promise<string[]> {
  const { memory } = (host as unknown as { hypervisor: { memory: MachineMemory } }).hypervisor;
  const at = FIRST_FRAME * PAGE_SIZE + addressOf(domain.symbols, name) - KERNEL_BASE;
  const bytes = Uint8Array.from(
    { length: CODE_BYTES },
    (_, i) => memory.read32((at + i) & ~3) >>> (((at + i) & 3) * 8),
  );
  return listing(bytes, domain.symbols, name);
}

/** The code of a function as it stands in the kernel's file. */
export async function codeInFile(name: string): Promise<string[]> {
  const { segments, symbols } = await loadKernelImage(await buildKernel('1'), 'kernel');
  const address = addressOf(symbols, name);
  const segment = segments.find(
    ({ virtual, bytes }) => address >= virtual && address < virtual + bytes.length,
  );
  if (segment === undefined) throw new Error(`expected ${name} in a segment of the kernel, found none`);
  const from = address - segment.virtual;
  return listing(segment.bytes.subarray(from, from + CODE_BYTES), symbols, name);
}

function addressOf(symbols: SymbolTable, name: string): number {
  const address = symbols.addressOf(name);
  if (address === undefined) throw new Error(`expected a function ${name} in the kernel, found none`);
  return address;
}

/** A function's instructions to its first return or to the end of the bytes: offset, bytes, text. */
async function listing(code: Uint8Array, symbols: SymbolTable, name: string): Promise<string[]> {
  const start = addressOf(symbols, name);
  const decode = await loadDisassembler();
  const lines: string[] = [];
  for (const { address, length, text, invalid } of decode(code, start)) {
    if (invalid) break;
    const at = address - start;
    const bytes = [...code.subarray(at, at + length)].map((byte) => byte.toString(16).padStart(2, '0'));
    lines.push(`${at.toString(16).padStart(2)}  ${bytes.join(' ').padEnd(23)}  ${withNames(symbols, text)}`);
    if (text === 'ret') break;
  }
  return lines;
}
