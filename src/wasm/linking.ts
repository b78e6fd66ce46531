/**
 * Direct calls where indirect ones stand: a call through a table by a number that is usually the same becomes a comparison and
 * a call by name, which a processor sees coming, with the call through the table behind it for all other numbers.
 *
 *     (call_indirect … operands, n)   →   (if (i32.ne n NUMBER) (call_indirect … operands, n) (call FUNCTION operands))
 *
 * That is done to finished bodies, when they are put together to a module: only then is it known who is there.
 */
import { ByteWriter } from './bytes.ts';

/** A call through a table, as `FunctionBuilder` noted it. Offsets count from the declarations of the locals. */
export interface CallSite {
  /** What its builder knows the callee by. */
  readonly callee: number;
  /** Where its operands begin, where the table's entry does, where the call does, and where its results have been taken. */
  readonly operands: number;
  readonly entry: number;
  readonly call: number;
  readonly end: number;
}

/** What a call site leads to: the number in the table, and the function in the module. */
export interface Callee {
  readonly entry: number;
  readonly index: number;
}

/** A body as the code section wants it, and where in it branches stand that are hardly ever taken. */
export interface Body {
  readonly body: Uint8Array;
  readonly hints: readonly number[];
}

const IF = 0x04;
const ELSE = 0x05;
const END = 0x0b;
const CALL = 0x10;
const CALL_INDIRECT = 0x11;
const RETURN_CALL = 0x12;
const CONST = 0x41;
const NOT_EQUAL = 0x47;
const EMPTY_BLOCK = 0x40;

/** The body with a direct call at each site whose callee is found; the sites are in the order of the code. */
export function linkCalls(
  { body, hints }: Body,
  sites: readonly CallSite[],
  find: (callee: number) => Callee | undefined,
): Body {
  const start = lengthOfNumber(body);
  const code = body.subarray(start);
  const out = new ByteWriter(code.length + 24 * sites.length);
  const moved: number[] = [];
  let done = 0;
  let hint = 0;
  const copyTo = (end: number): void => {
    const by = out.length - done;
    out.append(code.subarray(done, end));
    for (; hint < hints.length && hints[hint]! < end; hint++) moved.push(hints[hint]! + by);
    done = end;
  };
  for (const site of sites) {
    const callee = find(site.callee);
    if (callee === undefined) continue;
    copyTo(site.operands);
    out.append(code.subarray(site.entry, site.call));
    out.byte(CONST);
    out.signed(callee.entry);
    out.byte(NOT_EQUAL);
    moved.push(out.length);
    out.byte(IF);
    out.byte(EMPTY_BLOCK);
    copyTo(site.end);
    out.byte(ELSE);
    out.append(code.subarray(site.operands, site.entry));
    out.byte(code[site.call] === CALL_INDIRECT ? CALL : RETURN_CALL);
    out.unsigned(callee.index);
    out.append(code.subarray(afterCall(code, site.call), site.end));
    out.byte(END);
  }
  if (done === 0) return { body, hints };
  copyTo(code.length);
  const linked = new ByteWriter(out.length + 5);
  linked.unsigned(out.length);
  linked.append(out.bytes.subarray(0, out.length));
  return { body: linked.take(), hints: moved };
}

/** Behind the call at an offset: opcode, type, table. */
function afterCall(code: Uint8Array, call: number): number {
  const type = call + 1;
  const table = type + lengthOfNumber(code.subarray(type));
  return table + lengthOfNumber(code.subarray(table));
}

/** Bytes of the LEB128 number that begins here. */
function lengthOfNumber(bytes: Uint8Array): number {
  return bytes.findIndex((byte) => byte < 0x80) + 1;
}
