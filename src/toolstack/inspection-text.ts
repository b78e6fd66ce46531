/**
 * What the engine holds for a guest's address, as text: the guest's code on the left, with the counters of the interpreter, and on
 * the right the WebAssembly that it was compiled to, each instruction beside its own.
 *
 * Locals that hold a register are named after it, by where they are loaded from or written back to; a remark behind `;;` names
 * the place in the vCPU's state that a line touches. After the last instruction stand the tails, where the function
 * leaves: one for each set of registers to be written back.
 */
import * as layout from '../machine/layout.ts';
import type { Gva } from '../machine/memory.ts';
import type { CodeNote } from '../machine/x86/compiler.ts';
import type { InspectedInstruction, Inspection } from '../machine/x86/inspection.ts';
import { REGISTER_NAMES } from '../machine/x86/registers.ts';
import type { CompiledFunction } from '../machine/x86/tier.ts';
import {
  disassemble as disassembleWasm,
  isMemoryAccess,
  type Node,
  type Signatures,
  type Statement,
  text,
} from '../wasm/disassemble.ts';
import type { Disassembler } from './crash-text.ts';
import { digits, hex, hex64 } from './hex.ts';
import type { SymbolTable } from './images/index.ts';
import { printable } from './quoted.ts';

export interface InspectionContext {
  readonly symbols: SymbolTable;
  /** What compiled code calls; undefined where there is none. */
  readonly calls: Signatures | undefined;
  /** Without one the code is shown by the engine's own mnemonics. */
  readonly disassemble?: Disassembler | undefined;
}

const LEFT_WIDTH = 72;
const BYTES_SHOWN = 8;

/** The lines of the report. */
export function inspectionText(inspection: Inspection, context: InspectionContext): string[] {
  const { address, mfn, long, compiled, block } = inspection;
  const mode = long ? '64-bit' : 'compatibility mode';
  const lines = [
    `${place(address, context)}: frame ${hex(mfn)}, ${mode}; its page was decoded to ${count(inspection.blocks, 'block')} ` +
      `of ${count(inspection.instructions, 'instruction')}, ${count(inspection.functions, 'function')} compiled`,
  ];
  for (const found of compiled) lines.push('', ...functionLines(found, inspection, context));
  if (compiled.length === 0) {
    lines.push(
      '',
      'interpreted only; the decoded block:',
      ...block.map((at) => `  ${guestText(at, inspection, context)}`),
    );
    if (block.length === 0) lines.push('  no instruction was decoded at this address');
  }
  return lines;
}

function functionLines(
  found: CompiledFunction,
  inspection: Inspection,
  context: InspectionContext,
): string[] {
  const { region, place: number, misses, together } = found;
  const base = pageOf(inspection.address);
  const body = disassembleWasm(region.body, context.calls!);
  const links = body.statements.filter(
    ({ node }) => /^(return_)?call_indirect$/.test(node.name) && node.index === 0,
  );
  const module = together === 0 ? 'a module' : `a module with ${count(together, 'function')}`;
  return [
    `function ${number} at ${place(base + region.offset, context)}: ${region.long ? 'long' : 'short'} form, ` +
      `${count(region.instructions, 'instruction')}, ${region.body.length} bytes of WebAssembly, ` +
      `${count(body.locals, 'local')}, ${count(links.length, 'link')} to other functions`,
    `${module}; left ${count(misses, 'time')} because the TLB did not know an address`,
    '',
    ...sideBySide(body.statements, region.notes ?? [], inspection, context),
  ];
}

/** Each instruction beside the statements that begin at its note; what comes before the first note is the prologue. */
function sideBySide(
  statements: readonly Statement[],
  notes: readonly CodeNote[],
  inspection: Inspection,
  context: InspectionContext,
): string[] {
  const names = localNames(statements);
  const lines: string[] = [];
  const line = (left: string, right: string): void => {
    lines.push(`  ${left.padEnd(LEFT_WIDTH)} │ ${right}`.trimEnd());
  };
  let next = 0;
  for (const { at, depth, node } of statements) {
    const passed: string[] = [];
    for (; next < notes.length && notes[next]!.at <= at; next++) {
      const instruction = inspection.at(notes[next]!.offset);
      passed.push(instruction === undefined ? 'dropped since' : guestText(instruction, inspection, context));
    }
    for (const instruction of passed.slice(0, -1)) line(instruction, '');
    const remark = remarkOn(node);
    const shown = `${'  '.repeat(depth)}${text(node, { local: (index) => names.get(index) })}`;
    line(passed.at(-1) ?? '', remark === '' ? shown : `${shown}  ;; ${remark}`);
  }
  return lines;
}

function guestText(
  { offset, bytes, mnemonic, heat, entry, linked, run }: InspectedInstruction,
  { address, long }: Inspection,
  { disassemble }: InspectionContext,
): string {
  const at = pageOf(address) + offset;
  const shown = [...bytes.subarray(0, BYTES_SHOWN)].map((byte) => digits(byte, 2)).join(' ');
  const decoded = long ? disassemble?.(bytes, at)[0] : undefined;
  const meaning = decoded === undefined || decoded.invalid ? mnemonic.toLowerCase() : decoded.text;
  const marks = [
    ...(entry ? ['entry'] : []),
    ...(heat > 0 ? [`heat ${heat}, run ${run}`] : []),
    ...(linked ? ['linked'] : []),
  ];
  const code = `${at === address ? '=>' : '  '}${hex64(at)}  ${meaning}`;
  return marks.length === 0 && bytes.length <= BYTES_SHOWN && code.length < 40
    ? `${code.padEnd(40)} ${shown}`
    : `${code}${marks.length > 0 ? `  [${marks.join('; ')}]` : ''}`;
}

const pageOf = (address: Gva): Gva => Math.floor(address / 4096) * 4096;

function place(address: Gva, { symbols }: InspectionContext): string {
  const near = symbols.nearest(address);
  return near === undefined
    ? hex64(address)
    : `${hex64(address)} <${printable(near.name)}+${hex(near.offset)}>`;
}

function count(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? '' : 's'}`;
}

// -------------------------------------------------------------- names

const PARAMETERS: readonly string[] = ['page', 'left', 'depth'];

/** Names of locals: the parameters, and those that are loaded from one register's place and written back to no other. */
function localNames(statements: readonly Statement[]): Map<number, string> {
  const found = new Map<number, Set<string>>();
  const note = (local: number | undefined, at: number | undefined): void => {
    const name = registerAt(at);
    if (local === undefined || name === undefined) return;
    found.set(local, (found.get(local) ?? new Set()).add(name));
  };
  for (const { node } of statements) {
    const value = node.operands.at(-1);
    if (/^i(32|64)\.store$/.test(node.name) && value?.name === 'local.get')
      note(value.index, stateOffset(node));
    if (node.name === 'local.set' && /^i(32|64)\.load$/.test(value?.name ?? ''))
      note(node.index, stateOffset(value!));
  }
  const names = new Map<number, string>(PARAMETERS.map((name, index) => [index, name]));
  for (const [local, candidates] of found) {
    const [name] = candidates;
    if (candidates.size === 1 && ![...names.values()].includes(name!)) names.set(local, name!);
  }
  return names;
}

/** Where in the vCPU's state a load or store with a constant address goes. */
function stateOffset({ name, index, operands }: Node): number | undefined {
  if (!isMemoryAccess(name) || index === undefined) return undefined;
  const [base] = operands;
  if (base?.name !== 'i32.const') return undefined;
  const offset = index + Number(base.rest) - layout.CPU;
  return offset >= 0 && offset < layout.CPU_SIZE ? offset : undefined;
}

/** What lives in a local for the length of a function: registers, the words that flags follow from, the TLB's bank. */
function registerAt(offset: number | undefined): string | undefined {
  if (offset === undefined) return undefined;
  return REGISTER_NAMES[(offset - layout.CPU_REGS) / 8] ?? LASTING.get(offset);
}
const LASTING: ReadonlyMap<number, string> = new Map([
  [layout.CPU_TLB_BANK, 'bank'],
  [layout.CPU_FLAG_RESULT, 'flag_result'],
  [layout.CPU_FLAG_CARRY, 'flag_carry'],
  [layout.CPU_FLAG_META, 'flag_meta'],
]);

/** The words of `layout.ts` by their offset: CPU_TLB_BANK is "tlb bank". Fields of words (EXIT_VECTOR and so on) have their own. */
const STATE_NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(layout)
    .filter(([name]) => name.startsWith('CPU_') && name !== 'CPU_SIZE' && name !== 'CPU_REGS')
    .map(([name, offset]) => [offset, name.slice(4).toLowerCase().replaceAll('_', ' ')] as const)
    .reverse(),
);

/** Names of the state that a statement touches, each once. */
function remarkOn(node: Node): string {
  const names = new Set<string>();
  const visit = (at: Node): void => {
    const offset = stateOffset(at);
    if (offset !== undefined)
      names.add(registerAt(offset) ?? STATE_NAMES.get(offset) ?? `state ${hex(offset)}`);
    for (const operand of at.operands) visit(operand);
  };
  visit(node);
  return [...names].join(', ');
}
