/** The examples of docs/journey, by name: each is a run of real code, and gives the lines that its chapter shows. */
import { buildKernel } from '../../src/guest/testing/build.ts';
import { loadKernelImage } from '../../src/toolstack/images/index.ts';
import { PAGING_X86_64 } from '../../src/xen/builder/mappings.ts';
import { planDomain } from '../../src/xen/builder/plan.ts';
import { exampleTree } from './p2m-example.ts';
import { codeInFile, MEMORY_MIB, type Tour, tour } from './tour.ts';

const SHORT = 'xen/event-mask/xenDisableInterrupts';
const PATCHED = 'kernel/pages/dropPage';
/** As far as `dropPage` calls two operations. */
const PATCHED_BYTES = 0x25;
const COMMANDS = ['ps', 'free', 'pgtable ffffffff80100000', 'p2m', 'evtchn', 'run family', 'run fault'];

/** A traced line without the vCPU, and without a time, which every instruction before it moves. */
function tidy(line: string): string {
  return line.replace(/^d1v0 /, '').replace(/(timeout_abs_ns) \d+/, '$1 …');
}

/** What the console has to do with a trace: a byte typed or printed is an event, and each wakes somebody. */
const CONSOLE = /^port 2|EVTCHNOP_send|^xen_version\(XENVER_version|^upcall|^iret/;

function between(lines: readonly string[], first: RegExp, last: RegExp): string[] {
  const from = lines.findIndex((line) => first.test(line));
  const to = lines.findIndex((line, i) => i > from && last.test(line));
  if (from < 0 || to < 0) throw new Error(`expected lines from ${first} to ${last} in a trace, found none`);
  return lines.slice(from, to + 1);
}

/** Everything that the chapters show, by name. */
export async function runExamples(): Promise<Map<string, readonly string[]>> {
  const xen = await tour({ commands: COMMANDS, functions: [SHORT, PATCHED] });
  const trace = (command: string) => xen.answers.get(command)!.trace.map(tidy);
  const text = (command: string) => xen.answers.get(command)!.text;
  const start = xen.start.trace.map(tidy);
  const family = trace('run family');
  const inTable = (line: string) => Number.parseInt(line.slice(0, 2), 16) < PATCHED_BYTES;
  return new Map<string, readonly string[]>([
    ['image', await imageLines()],
    ['short-function', await codeInFile(SHORT)],
    ['plan', await planLines()],
    ['greeting', xen.start.text],
    ['first-hypercalls', between(start, /get_features/, /CALLBACKOP_register/)],
    ['site-in-the-file', (await codeInFile(PATCHED)).filter(inTable)],
    ['site-in-memory', xen.disassembled.get(PATCHED)!.filter(inTable)],
    ['pgtable', text('pgtable ffffffff80100000')],
    ['p2m-command', text('p2m')],
    ['p2m-drawing', xen.p2m],
    ['p2m-example', await exampleTree()],
    ['fork-batch', forkLines(family)],
    ['evtchn', text('evtchn')],
    ['key', trace('ps').slice(0, 5)],
    ['idle', start.slice(-2)],
    ['new-space', between(family, /^update_va_mapping 0x/, /^multicall/)],
    ['demand', between(family, /^trap 14 .*address 0x401000 /, /^iret/)],
    ['family', text('run family')],
    ['switch', switchLines(family)],
    ['family-traps', trapLines(family)],
    ['fault', text('run fault')],
    ['fault-trace', trace('run fault').filter((line) => line.startsWith('trap'))],
    ['exits', exitLines(xen)],
    ['engines', await engineLines()],
    ['bare-machine', await bareMachineLines()],
  ]);
}

async function imageLines(): Promise<string[]> {
  const { info, symbols } = await loadKernelImage(await buildKernel('1'), 'kernel');
  const entry = symbols.nearest(info.entry)!;
  const hex = (address: number) => `0x${(BigInt(address) & 0xffffffffffffffffn).toString(16)}`;
  return [
    `GUEST_OS     ${info.guestOs}`,
    `XEN_VERSION  ${info.xenVersion}`,
    `LOADER       ${info.loader}`,
    `VIRT_BASE    ${hex(info.virtBase)}`,
    `ENTRY        ${entry.name}`,
    `PAE          ${info.pae}`,
  ];
}

async function planLines(): Promise<string[]> {
  const { info } = await loadKernelImage(await buildKernel('1'), 'kernel');
  const plan = planDomain({
    shape: PAGING_X86_64,
    wordBytes: 8,
    pages: MEMORY_MIB * 256,
    virtBase: info.virtBase,
    kernelStart: info.virtStart,
    kernelEnd: info.virtEnd,
    modStartPfn: info.modStartPfn,
    initrdBytes: 0,
  });
  const { kernel, p2m, startInfo, xenstore, console, pageTables, stack } = plan;
  const named = { kernel, p2m, startInfo, xenstore, console, pageTables, stack };
  return Object.entries(named).map(
    ([name, { pfn, pages }]) => `${name.padEnd(10)}  frame ${pfn.toString(16)}, ${pages}`,
  );
}

/** A fork takes rights away in batches: each list of updates shortened to its first, and its call. */
function forkLines(family: readonly string[]): string[] {
  const lines = family.filter((line) => !CONSOLE.test(line));
  const end = lines.findIndex((line) => /^mmu_update\(.*, 64,/.test(line));
  let first = end;
  while (lines[first - 1]!.startsWith('mmu_update l1')) first--;
  const to = lines.findIndex((line, i) => i > end && line.startsWith('multicall'));
  return [lines[first]!, `… and ${end - first - 1} more like it`, ...lines.slice(end, to + 1)];
}

/** The multicall of a switch from the kernel's space to a program's. */
function switchLines(family: readonly string[]): string[] {
  const base = family.findIndex((line) => line.startsWith('mmuext_op new_baseptr'));
  const to = family.findIndex((line, i) => i > base && line.startsWith('multicall'));
  return family.slice(base - 1, to + 1);
}

function trapLines(family: readonly string[]): string[] {
  const traps = family.filter((line) => line.startsWith('trap 14'));
  const count = (error: string) => traps.filter((line) => line.includes(`error ${error} `)).length;
  return [
    `${count('0x14')}  an instruction was to be fetched, and there was no page`,
    `${count('0x4')}  a byte was to be read, and there was no page`,
    `${count('0x7')}  a byte was to be written, and the page was read-only`,
    `${traps.length}  in all`,
  ].map((line) => line.padStart(line.length + 3 - line.indexOf(' ')));
}

function exitLines({ statistics }: Tour): string[] {
  const most = Object.entries(statistics.hypercalls)
    .sort(([, a], [, b]) => b - a)
    .slice(0, 6);
  return [
    `instructions ${statistics.instructions}`,
    `SYSCALL      ${statistics.exits.syscall}`,
    `exceptions   ${statistics.exits.exception}`,
    `hypercalls   ${most.map(([name, count]) => `${name} ${count}`).join(', ')}`,
  ];
}

async function engineLines(): Promise<string[]> {
  const lines: string[] = [];
  for (const engine of ['interpreter', 'compiler'] as const) {
    const { statistics, reason } = await tour({ engine, commands: ['run primes 3000'] });
    lines.push(`${engine.padEnd(11)}  ${statistics.instructions} instructions, ${reason}`);
  }
  return lines;
}

async function bareMachineLines(): Promise<readonly string[]> {
  const { start, answers, statistics } = await tour({ abi: 'native', commands: ['p2m', 'run family'] });
  const hypercalls = Object.values(statistics.hypercalls).reduce((sum, count) => sum + count, 0);
  return [
    ...start.text,
    '> p2m',
    ...answers.get('p2m')!.text,
    '> run family',
    ...answers.get('run family')!.text,
    `(hypercalls: ${hypercalls})`,
  ];
}
