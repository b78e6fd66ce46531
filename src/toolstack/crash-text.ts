/**
 * The report about a crashed guest as text, laid out as Xen lays out its own: reason, registers, stack, code, and the
 * last hypercalls. Names stand beside addresses where the kernel's image has them.
 */
import type { CrashReport, Word64 } from '../hypervisor/crash-report.ts';
import type { Gva } from '../machine/memory.ts';
import { digits, hex, hex64, hexWord } from './hex.ts';
import type { SymbolTable } from './images/index.ts';
import { printable } from './quoted.ts';
import { argumentsText, resultText } from './trace-text.ts';

/** One decoded instruction. */
export interface DisassembledInstruction {
  readonly address: Gva;
  /** Bytes. */
  readonly length: number;
  readonly text: string;
  /** The bytes are no instruction. */
  readonly invalid: boolean;
}

/** Decodes 64-bit code whose first byte is at `address`, to the end of the bytes. */
export type Disassembler = (code: Uint8Array, address: Gva) => DisassembledInstruction[];

const REGISTER_ROWS = [
  ['rax', 0, 'rbx', 3, 'rcx', 1],
  ['rdx', 2, 'rsi', 6, 'rdi', 7],
  ['rbp', 5, 'rsp', 4, 'r8', 8],
  ['r9', 9, 'r10', 10, 'r11', 11],
  ['r12', 12, 'r13', 13, 'r14', 14],
] as const;
const R15 = 15;
const RSP = 4;
const SEGMENTS = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'] as const;
const STACK_WORDS_IN_ROW = 4;
const INSTRUCTIONS_BEFORE = 4;
const INSTRUCTIONS_AFTER = 6;
const LONGEST_INSTRUCTION = 15;
const TWO_32 = 4294967296;

/** The lines of the report. Without a disassembler the code is shown as bytes. */
export function crashText(report: CrashReport, symbols?: SymbolTable, disassemble?: Disassembler): string[] {
  return [
    `d${report.domainId} (${report.domainName}) crashed: ${report.reason}`,
    `  vCPU ${report.vcpuId}, ${report.kernelMode ? 'kernel' : 'user'} mode, after ${report.retired} instructions`,
    `  rip ${hex64(report.rip)}${symbolText(symbols, report.rip)}`,
    ...registerLines(report),
    ...stackLines(report, symbols),
    ...codeLines(report, symbols, disassemble),
    ...hypercallLines(report),
  ];
}

function registerLines({ registers, rflags, segments, gsBaseInactive, ...report }: CrashReport): string[] {
  const cell = (name: string, word: Word64) => `${name.padStart(3)} ${hexWord(word.low, word.high)}`;
  const rows = REGISTER_ROWS.map(
    ([a, ai, b, bi, c, ci]) =>
      `  ${cell(a, registers[ai]!)}   ${cell(b, registers[bi]!)}   ${cell(c, registers[ci]!)}`,
  );
  const selectors = segments.map(({ selector }, i) => `${SEGMENTS[i]} ${digits(selector, 4)}`);
  return [
    ...rows,
    `  ${cell('r15', registers[R15]!)}   rflags ${digits(rflags, 8)}`,
    `  cr0 ${digits(report.cr0, 8)}   cr2 ${hex64(report.cr2)}   cr3 ${hex64(report.cr3)}   cr4 ${digits(report.cr4, 8)}`,
    `  ${selectors.join('   ')}`,
    `  fs base ${hex64(segments[4]!.base)}   gs base ${hex64(segments[5]!.base)}   inactive ${hex64(gsBaseInactive)}`,
  ];
}

/** The words from RSP upwards, then those of them that are places in the kernel: the likely callers. */
function stackLines({ stack, registers }: CrashReport, symbols: SymbolTable | undefined): string[] {
  const rsp = toNumber(registers[RSP]!);
  if (stack.length === 0) return [`stack at ${hex64(rsp)}: not mapped`];
  const lines = [`stack at ${hex64(rsp)}:`];
  for (let i = 0; i < stack.length; i += STACK_WORDS_IN_ROW) {
    const row = stack.slice(i, i + STACK_WORDS_IN_ROW).map(({ low, high }) => hexWord(low, high));
    lines.push(`  ${row.join(' ')}`);
  }
  const places = stack.map(toNumber).flatMap((address) => {
    const name = address < 0 ? symbolText(symbols, address) : '';
    return name === '' ? [] : [`  ${hex64(address)}${name}`];
  });
  if (places.length > 0) lines.push('of these, places in the kernel:', ...places);
  return lines;
}

function codeLines(
  report: CrashReport,
  symbols: SymbolTable | undefined,
  disassemble: Disassembler | undefined,
): string[] {
  const { code, codeStart, rip } = report;
  const before = rip - codeStart;
  if (code.length <= before) return [`code at ${hex64(rip)}: not mapped`];
  if (disassemble === undefined) {
    const bytes = [...code].map((byte, i) => (i === before ? `<${digits(byte, 2)}>` : digits(byte, 2)));
    return ['code:', `  ${bytes.join(' ')}`];
  }
  const leading = instructionsBefore(code.subarray(0, before), codeStart, disassemble);
  const following = disassemble(code.subarray(before), rip).slice(0, INSTRUCTIONS_AFTER);
  const line = ({ address, length, text }: DisassembledInstruction) => {
    const bytes = [...code.subarray(address - codeStart, address - codeStart + length)];
    const shown = bytes.map((byte) => digits(byte, 2)).join(' ');
    const name = address === rip ? symbolText(symbols, rip) : '';
    return `${address === rip ? '=>' : '  '} ${hex64(address)}  ${shown.padEnd(30)}  ${text}${name}`;
  };
  return ['code:', ...[...leading, ...following].map(line)];
}

/**
 * Instructions have no mark where they begin, so code before RIP is decoded from each possible start: the first one
 * from which the instructions end exactly at RIP is most likely right.
 */
function instructionsBefore(
  code: Uint8Array,
  start: Gva,
  disassemble: Disassembler,
): DisassembledInstruction[] {
  for (let skip = 0; skip < Math.min(code.length, LONGEST_INSTRUCTION); skip++) {
    const instructions = disassemble(code.subarray(skip), start + skip);
    if (instructions.every(({ invalid }) => !invalid)) return instructions.slice(-INSTRUCTIONS_BEFORE);
  }
  return [];
}

function hypercallLines({ hypercalls }: CrashReport): string[] {
  if (hypercalls.length === 0) return [];
  const lines = hypercalls.map(
    ({ name, arguments: args, result }) => `  ${name}(${argumentsText(name, args)})${resultText(result)}`,
  );
  return ['last hypercalls:', ...lines];
}

/** ` <name+0x12>`, or nothing. */
function symbolText(symbols: SymbolTable | undefined, address: Gva): string {
  const place = symbols?.nearest(address);
  return place === undefined ? '' : ` <${printable(place.name)}+${hex(place.offset)}>`;
}

function toNumber({ low, high }: Word64): Gva {
  return (high | 0) * TWO_32 + (low >>> 0);
}
