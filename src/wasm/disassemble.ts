/**
 * From a function's body back to text, for people who want to see what the compiler made: folded, as the text format of
 * WebAssembly writes it, one statement a line.
 *
 *     disassemble(body, signatures)  →  statements, each with its place in the code and its nesting
 *     text(statement, names)         →  (local.set $rax (i64.add (local.get $rax) (i64.const 1)))
 *
 * It reads what `function.ts` writes, and the rest of the instruction set as far as `opcodes.ts` names it. Blocks leave no values
 * on the stack in the code that it is for; where something is left over at a statement, it is shown as a line of its own.
 */
import { F32, F64, I32, I64, V128 } from './expression.ts';
import { type Immediate, opcodeOf, PREFIX_MISC, PREFIX_SIMD } from './opcodes.ts';

/** An instruction with its operands. */
export interface Node {
  readonly name: string;
  /** Local, global, function, type or label numbers; the offset of a memory access; a constant that fits. */
  readonly index?: number | undefined;
  /** Further immediates, as text. */
  readonly rest?: string;
  readonly operands: readonly Node[];
}

export interface Statement {
  /** Offset of its first byte, counted from the first instruction of the body. */
  readonly at: number;
  /** Blocks around it. */
  readonly depth: number;
  readonly node: Node;
}

export interface Signature {
  readonly name?: string;
  readonly operands: number;
  readonly results: number;
}

/** What calls take and give. */
export interface Signatures {
  function(index: number): Signature;
  type(index: number): Signature;
}

export interface Body {
  /** Bytes of the whole body, and of its instructions. */
  readonly bytes: number;
  readonly codeBytes: number;
  readonly locals: number;
  readonly statements: readonly Statement[];
}

export class DisassemblyError extends Error {
  override readonly name = 'DisassemblyError';
}

const TYPES: Readonly<Record<number, string>> = {
  [I32]: 'i32',
  [I64]: 'i64',
  [F32]: 'f32',
  [F64]: 'f64',
  [V128]: 'v128',
};
const EMPTY_BLOCK = 0x40;
/** Stands for one of several results of the call before. */
const RESULT = 'result';

/** Disassembles a body as it stands in the code section, length first. Raises DisassemblyError where it is no such thing. */
export function disassemble(body: Uint8Array, signatures: Signatures): Body {
  return new Disassembler(body, signatures).body();
}

class Disassembler {
  private readonly bytes: Uint8Array;
  private readonly view: DataView;
  private readonly signatures: Signatures;
  private at = 0;
  private start = 0;
  private depth = 0;
  private readonly statements: Statement[] = [];
  private stack: { node: Node; at: number }[] = [];

  constructor(bytes: Uint8Array, signatures: Signatures) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.signatures = signatures;
  }

  body(): Body {
    const length = this.unsigned();
    const end = this.at + length;
    if (end !== this.bytes.length) {
      throw new DisassemblyError(`a body of ${end} bytes expected, ${this.bytes.length} found`);
    }
    let locals = 0;
    for (let runs = this.unsigned(); runs > 0; runs--) {
      locals += this.unsigned();
      this.byte();
    }
    this.start = this.at;
    while (this.at < end) this.instruction();
    if (this.depth !== -1) throw new DisassemblyError('the body ends inside a block');
    return { bytes: end, codeBytes: end - this.start, locals, statements: this.statements };
  }

  // -------------------------------------------------------------- bytes

  private byte(): number {
    const byte = this.bytes[this.at++];
    if (byte === undefined) throw new DisassemblyError('the body ends inside an instruction');
    return byte;
  }
  private unsigned(): number {
    return Number(this.leb(false));
  }
  private leb(signed: boolean): bigint {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = this.byte();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return signed ? BigInt.asIntN(Number(shift) + 7, value) : value;
    }
  }

  // -------------------------------------------------------------- the stack of operands

  private pop(count: number): Node[] {
    if (count > this.stack.length) {
      throw new DisassemblyError(
        `${count} operands expected at ${this.at - this.start}, ${this.stack.length} found`,
      );
    }
    return this.stack.splice(this.stack.length - count).map(({ node }) => node);
  }

  /** Where an instruction with its operands begins. */
  private beginning(operands: number, own: number): number {
    return operands === 0 ? own : (this.stack[this.stack.length - operands]?.at ?? own);
  }

  private operation(own: number, operands: number, result: boolean, node: Omit<Node, 'operands'>): void {
    const at = this.beginning(operands, own);
    const full = { ...node, operands: this.pop(operands) };
    if (result) this.stack.push({ node: full, at });
    else this.statement(at, full);
  }

  private statement(at: number, node: Node): void {
    // Further results of a call are still to be taken; anything else that waits has been evaluated before this.
    const results = this.stack.filter((entry) => entry.node.name === RESULT);
    for (const entry of this.stack) if (!results.includes(entry)) this.line(entry.at, entry.node);
    this.stack = results;
    this.line(at, node);
  }
  private line(at: number, node: Node): void {
    this.statements.push({ at: at - this.start, depth: this.depth, node });
  }

  // -------------------------------------------------------------- instructions

  private instruction(): void {
    const own = this.at;
    const first = this.byte();
    if (this.control(own, first) || this.constant(own, first)) return;
    const prefixed = first === PREFIX_MISC || first === PREFIX_SIMD;
    const code = prefixed ? first * 0x10000 + this.unsigned() : first;
    const opcode = opcodeOf(code);
    if (opcode === undefined) {
      throw new DisassemblyError(`unknown instruction 0x${code.toString(16)} at ${own - this.start}`);
    }
    const { name, operands, result, immediate } = opcode;
    this.operation(own, operands, result, { name, ...this.immediates(immediate) });
  }

  private immediates(immediate: Immediate): { index?: number; rest?: string } {
    switch (immediate) {
      case 'none':
        return {};
      case 'index':
        return { index: this.unsigned() };
      case 'memory':
        this.unsigned();
        return { index: this.unsigned() };
      case 'memory lane': {
        this.unsigned();
        const index = this.unsigned();
        return { index, rest: `${this.byte()}` };
      }
      case 'lane':
        return { rest: `${this.byte()}` };
      case 'zero':
        this.byte();
        return {};
      case 'two zeros':
        this.at += 2;
        return {};
      case 'bytes':
        return { rest: Array.from({ length: 16 }, () => this.byte()).join(' ') };
    }
  }

  private constant(own: number, first: number): boolean {
    let text: string;
    if (first === 0x41 || first === 0x42) text = `${this.leb(true)}`;
    else if (first === 0x43) {
      text = `${this.view.getFloat32(this.at, true)}`;
      this.at += 4;
    } else if (first === 0x44) {
      text = `${this.view.getFloat64(this.at, true)}`;
      this.at += 8;
    } else return false;
    const type = ['i32', 'i64', 'f32', 'f64'][first - 0x41]!;
    this.stack.push({ node: { name: `${type}.const`, rest: text, operands: [] }, at: own });
    return true;
  }

  private control(own: number, first: number): boolean {
    switch (first) {
      case 0x00:
        this.statement(own, { name: 'unreachable', operands: [] });
        return true;
      case 0x02:
      case 0x03:
      case 0x04: {
        const operands = first === 0x04 ? 1 : 0;
        const at = this.beginning(operands, own);
        this.statement(at, {
          name: ['block', 'loop', 'if'][first - 2]!,
          ...this.blockType(),
          operands: this.pop(operands),
        });
        this.depth++;
        return true;
      }
      case 0x05:
      case 0x0b:
        this.depth--;
        // The end of the body itself is no statement.
        if (this.depth >= 0) this.statement(own, { name: first === 0x05 ? 'else' : 'end', operands: [] });
        if (first === 0x05) this.depth++;
        return true;
      case 0x0c:
      case 0x0d:
        this.operation(own, first - 0x0c, false, {
          name: first === 0x0c ? 'br' : 'br_if',
          index: this.unsigned(),
        });
        return true;
      case 0x0e: {
        const targets = Array.from({ length: this.unsigned() + 1 }, () => this.unsigned());
        this.operation(own, 1, false, { name: 'br_table', rest: targets.join(' ') });
        return true;
      }
      case 0x0f:
        this.operation(own, this.stack.length, false, { name: 'return' });
        return true;
      case 0x10:
      case 0x12: {
        const index = this.unsigned();
        this.call(own, first === 0x12 ? 'return_call' : 'call', index, this.signatures.function(index), 0);
        return true;
      }
      case 0x11:
      case 0x13: {
        const type = this.unsigned();
        const table = this.unsigned();
        const name = first === 0x13 ? 'return_call_indirect' : 'call_indirect';
        this.call(own, name, table, this.signatures.type(type), 1, `(type ${type})`);
        return true;
      }
      default:
        return false;
    }
  }

  private blockType(): { rest?: string } {
    const type = this.bytes[this.at]!;
    if (type === EMPTY_BLOCK || TYPES[type] !== undefined) {
      this.at++;
      return type === EMPTY_BLOCK ? {} : { rest: `(result ${TYPES[type]})` };
    }
    return { rest: `(type ${this.leb(true)})` };
  }

  private call(
    own: number,
    kind: string,
    index: number,
    called: Signature,
    extra: number,
    rest?: string,
  ): void {
    const operands = called.operands + extra;
    const name = called.name === undefined ? kind : `${kind} $${called.name}`;
    const at = this.beginning(operands, own);
    const node: Node = {
      name,
      index: called.name === undefined ? index : undefined,
      ...(rest !== undefined && { rest }),
      operands: this.pop(operands),
    };
    const results = kind.startsWith('return') ? 0 : called.results;
    if (results === 1) this.stack.push({ node, at });
    else {
      this.statement(at, node);
      for (let n = 0; n < results; n++) {
        this.stack.push({ node: { name: RESULT, rest: `${n}`, operands: [] }, at: this.at });
      }
    }
  }
}

/** Names and remarks that the reader may know better. */
export interface Names {
  /** Of a local; by default its number. */
  local?(index: number): string | undefined;
}

/** A statement as one line of text, without its nesting. */
export function text({ name, index, rest, operands }: Node, names: Names = {}): string {
  const parts = [name];
  if (index !== undefined) {
    const local = name.startsWith('local.') ? names.local?.(index) : undefined;
    if (local !== undefined) parts.push(`$${local}`);
    else if (!isMemoryAccess(name)) parts.push(`${index}`);
    else if (index !== 0) parts.push(`offset=0x${index.toString(16)}`);
  }
  if (rest !== undefined) parts.push(rest);
  for (const operand of operands) parts.push(text(operand, names));
  return `(${parts.join(' ')})`;
}

/** Whether an instruction's index is the offset of a memory access. */
export function isMemoryAccess(name: string): boolean {
  return name.includes('.load') || name.includes('.store');
}
