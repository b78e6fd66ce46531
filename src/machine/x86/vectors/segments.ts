/**
 * Vectors for what touches segment registers: loads, far transfers, IRET, descriptor look-ups. The tables are those of
 * a Linux process: its three flat segments in the GDT, and an LDT that `generate.c` fills with one of each kind.
 */
import type { Form } from './inputs.ts';

/** A descriptor's low and high word. */
interface Descriptor {
  readonly low: number;
  readonly high: number;
}

/** Flat 32-bit code, flat data, 64-bit code: selectors 0x23, 0x2b, 0x33. */
const GDT: Readonly<Record<number, Descriptor>> = {
  4: { low: 0xffff, high: 0xcffb00 },
  5: { low: 0xffff, high: 0xcff300 },
  6: { low: 0xffff, high: 0xaffb00 },
};
/** Linux sets the accessed bit and DPL 3 in each. */
const LDT: readonly Descriptor[] = [
  { low: 0, high: 0 },
  { low: 0xffff, high: 0xcff300 }, // data
  { low: 0xffff, high: 0xcff100 }, // data, read-only
  { low: 0x0fff, high: 0xc0f700 }, // data, expanding downwards
  { low: 0xffff, high: 0xcffb00 }, // code
  { low: 0xffff, high: 0xcff900 }, // code, execute-only
  { low: 0xffff, high: 0xcf7300 }, // data, not present
  { low: 0x56781234, high: 0x1200f334 }, // data, 16-bit, with a base and a limit in bytes
  { low: 0, high: 0 },
  { low: 0xffff, high: 0xcf7b00 }, // code, not present
  { low: 0x0110, high: 0xc0f300 }, // data that ends in the middle of the window
  { low: 0x0110, high: 0xc0f700 }, // data that begins there
  { low: 0x100110, high: 0xc0f300 }, // the same with a base of 16
  { low: 0xfff00110 | 0, high: 0xffc0f7ff | 0 }, // and of −16
  { low: 0x0f000103, high: 0x00f311 }, // 16-bit data: the window but for its end
  { low: 0x0f0000fb, high: 0x00f711 }, // but for its beginning
  { low: 0x0f0001ff, high: 0x00f311 }, // all of it
  { low: 0x0f0001ff, high: 0x40f311 }, // the same with a wide stack pointer
  { low: 0x0f0001ff, high: 0x00f111 }, // read-only
  { low: 0x0f0001ff, high: 0x00fb11 }, // code
  { low: 0x0100, high: 0xc0fb00 }, // code without a base
  { low: 0x087f, high: 0x40fb10 }, // with one, and a limit soon after the code
  { low: 0x0802, high: 0x40fb10 }, // within it
  { low: 0x09ff, high: 0x40f910 }, // far away; execute-only
  { low: 0xffff, high: 0x00fb10 }, // 16-bit code
  { low: 0x087f, high: 0x00fb10 }, // with a limit
];

/** What the tables hold, undefined beyond their ends. */
export function readDescriptor(selector: number): Descriptor | undefined {
  const index = selector >> 3;
  if ((selector & 4) !== 0) return LDT[index];
  return index < 16 ? (GDT[index] ?? { low: 0, high: 0 }) : undefined;
}

/** Segments of a form with the fix-up `G` are compared too. */
function form(
  name: string,
  long: boolean,
  code: string,
  fixups: string,
  registers = 'rSrprrrrrrrrrrrr',
  limits?: string,
): Form {
  const flags = 0xcd5;
  const rest = { memory: 'r', fpu: '--', count: '-', direction: false, status: 0, flags };
  const known = {
    name: `${name} ${long ? '64' : '32'}`,
    long,
    code,
    registers,
    fixups: `G${fixups}`,
    ...rest,
  };
  return limits === undefined ? known : { ...known, name: `${known.name} ${limits}`, limits };
}

const NAMES = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'];
const STACK = 'rrrppprrrrrrrrrr';

function* everyForm(): Generator<Form> {
  const hex = (n: number): string => n.toString(16).padStart(2, '0');
  for (const long of [true, false]) {
    for (const [n, name] of NAMES.entries()) {
      yield form(`MOV ${name},cx`, long, `8e${hex(0xc1 | (n << 3))}`, '');
      yield form(`MOV ${name},[rbx]`, long, `8e${hex(0x03 | (n << 3))}`, 'k');
      yield form(`MOV ecx,${name}`, long, `8c${hex(0xc1 | (n << 3))}`, '');
      yield form(`MOV [rbx],${name}`, long, `8c${hex(0x03 | (n << 3))}`, '');
    }
    const pops = long ? ['0fa1', '0fa9'] : ['0fa1', '0fa9', '07', '17', '1f'];
    for (const code of pops) {
      yield form(`POP ${code}`, long, code, 'K', STACK);
      yield form(`POP ${code} 2`, long, `66${code}`, 'K', STACK);
    }
    const loads = long ? ['0fb2', '0fb4', '0fb5'] : ['0fb2', '0fb4', '0fb5', 'c4', 'c5'];
    for (const code of loads) {
      yield form(`LxS ${code}`, long, `${code}13`, 't');
      yield form(`LxS ${code} 2`, long, `66${code}13`, 'u');
    }
    for (const [name, code] of [
      ['LAR', '0f02'],
      ['LSL', '0f03'],
    ] as const) {
      for (const prefix of long ? ['', '66', '48'] : ['', '66']) {
        yield form(`${name} ${prefix} edx,ecx`, long, `${prefix}${code}d1`, '');
        yield form(`${name} ${prefix} edx,[rbx]`, long, `${prefix}${code}13`, 'k');
      }
    }
    for (const [name, modrm] of [
      ['VERR', 0x20],
      ['VERW', 0x28],
    ] as const) {
      yield form(`${name} cx`, long, `0f00${hex(0xc1 | modrm)}`, '');
      yield form(`${name} [rbx]`, long, `0f00${hex(0x03 | modrm)}`, 'k');
    }
    yield form('JMPF [rbx]', long, 'ff2b', 'T');
    yield form('CALLF [rbx]', long, 'ff1b', 'T', STACK);
    yield form('RETF', long, 'cb', 'V', STACK);
    yield form('RETF 8', long, 'ca0800', 'V', STACK);
    yield form('IRET', long, 'cf', long ? 'i' : 'o', STACK);
  }
  yield form('RETF 8', true, '48cb', 'W', STACK);
  yield form('RETF 16 8', true, '48ca1000', 'W', STACK);
  yield form('IRET 8', true, '48cf', 'I', STACK);
  yield form('ARPL cx,dx', false, '63d1', '');
  yield form('ARPL [rbx],dx', false, '6313', 'k');
  for (const selector of ['2300', '3300', '2700', '2b00', '0f00', '4f00', '0000', '2400']) {
    yield form(`JMPF ${selector}`, false, `ea20091000${selector}`, '');
    yield form(`CALLF ${selector}`, false, `9a20091000${selector}`, '', STACK);
  }
}

/** Those that touch memory, where segments have limits: `dca` is 32-bit code, `wha` 16-bit code, `a` 64-bit code. */
function* limitedForms(): Generator<Form> {
  for (const limits of ['dca', 'wha', 'a']) {
    const narrow = limits === 'wha';
    const long = limits === 'a';
    const registers = narrow ? 'rSrqrrrrrrrrrrrr' : 'rSrprrrrrrrrrrrr';
    const stack = narrow ? 'rrrqqrrrrrrrrrrr' : STACK;
    /** ModRM of [rbx] or [bx], with a digit. */
    const at = (digit: number): string =>
      ((narrow ? 0x07 : 0x03) | (digit << 3)).toString(16).padStart(2, '0');
    const put = (name: string, code: string, fixups: string, kinds = registers): Form =>
      form(name, long, code, fixups, kinds, limits);
    const wide = narrow ? '66' : '';
    const short = narrow ? '' : '66';
    for (const [n, name] of NAMES.entries()) {
      yield put(`MOV ${name},[rbx]`, `8e${at(n)}`, 'k');
      yield put(`MOV [rbx],${name}`, `8c${at(n)}`, '');
    }
    for (const code of long ? ['0fa1', '0fa9'] : ['0fa1', '0fa9', '07', '17', '1f']) {
      yield put(`POP ${code}`, wide + code, 'K', stack);
      yield put(`POP ${code} 2`, short + code, 'K', stack);
    }
    for (const code of long ? ['0fb2', '0fb4', '0fb5'] : ['0fb2', '0fb4', '0fb5', 'c4', 'c5']) {
      yield put(`LxS ${code}`, wide + code + at(2), 't');
      yield put(`LxS ${code} 2`, short + code + at(2), 'u');
    }
    yield put('LAR edx,[rbx]', `0f02${at(2)}`, 'k');
    yield put('LSL edx,[rbx]', `0f03${at(2)}`, 'k');
    yield put('VERR [rbx]', `0f00${at(4)}`, 'k');
    yield put('VERW [rbx]', `0f00${at(5)}`, 'k');
    yield put('JMPF [rbx]', `${wide}ff${at(5)}`, 'T');
    // With a narrow stack the upper half of RSP is not what it was set to: 64-bit code must not be called with it.
    if (narrow) for (const to of ['2300', '2700']) yield put(`CALLF ${to}`, `669a20091000${to}`, '', stack);
    else yield put('CALLF [rbx]', `${wide}ff${at(3)}`, 'T', stack);
    yield put('RETF', `${wide}cb`, 'V', stack);
    yield put('RETF 8', `${wide}ca0800`, 'V', stack);
    yield put('IRET', `${wide}cf`, long ? 'i' : 'o', stack);
    if (!long) yield put('ARPL [rbx],dx', `63${at(2)}`, 'k');
  }
}

export const SEGMENT_FORMS: readonly Form[] = [...everyForm(), ...limitedForms()];
