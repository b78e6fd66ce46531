/**
 * Which encodings of every defined instruction the vectors try: each operand size, the register and the memory form,
 * 64-bit and compatibility mode, LOCK, high-byte and REX registers, repeat prefixes. Addressing forms and registers
 * are sampled by the form's name, so that the whole covers them all.
 */
import { type Definition, operandSizes } from '../definition.ts';
import { CODE, type Form, MIDDLE, WINDOW } from './inputs.ts';

/** Instructions that vectors do not try, and why. */
const EXCLUDED: Readonly<Record<string, string>> = {
  ...because('answers differ from machine to machine', 'CPUID RDTSC RDTSCP RDPMC SGDT SIDT SLDT STR SMSW'),
  ...because('asks the operating system', 'INT INT1 SYSCALL SYSENTER VMCALL VMMCALL'),
  ...because(
    'tried with descriptor tables, in segments.ts',
    'LES LDS LSS LFS LGS JMPF CALLF RETF IRET LAR LSL VERR VERW ARPL',
  ),
  ...because(
    'each processor rounds in its own way',
    'RCPPS RCPSS RSQRTPS RSQRTSS F2XM1 FYL2X FYL2XP1 FPTAN FPATAN FSIN FCOS FSINCOS',
  ),
  ...because('this processor has other instructions in the place of undefined ones', 'UD0 UD1'),
};
function because(reason: string, mnemonics: string): Record<string, string> {
  return Object.fromEntries(mnemonics.split(' ').map((m) => [m, reason]));
}

/** Why a definition has no vectors, or undefined. */
export function exclusion(d: Definition): string | undefined {
  const segmentPop = d.mnemonic === 'POP' && d.operands.length === 0;
  if (segmentPop || (d.mnemonic === 'MOV' && d.opcode === 0x8e))
    return 'tried with descriptor tables, in segments.ts';
  return EXCLUDED[d.mnemonic];
}

const CF = 1;
const PF = 4;
const AF = 0x10;
const ZF = 0x40;
const SF = 0x80;
const OF = 0x800;
const ALL = CF | PF | AF | ZF | SF | OF | 0x400;

/** Flags that the manual leaves undefined (Intel SDM 2, each instruction's "Flags affected"). */
const UNDEFINED: Readonly<Record<string, number>> = {
  AND: AF,
  OR: AF,
  XOR: AF,
  TEST: AF,
  MUL: SF | ZF | AF | PF,
  IMUL: SF | ZF | AF | PF,
  DIV: ALL & ~0x400,
  IDIV: ALL & ~0x400,
  BT: OF | SF | AF | PF,
  BTS: OF | SF | AF | PF,
  BTR: OF | SF | AF | PF,
  BTC: OF | SF | AF | PF,
  BSF: ALL & ~ZF & ~0x400,
  BSR: ALL & ~ZF & ~0x400,
  DAA: OF,
  DAS: OF,
  AAA: OF | SF | ZF | PF,
  AAS: OF | SF | ZF | PF,
  AAM: OF | AF | CF,
  AAD: OF | AF | CF,
  SHL: AF,
  SAL: AF,
  SHR: AF,
  SAR: AF,
};
const SHIFT_CLASS: Readonly<Record<string, string>> = {
  SHL: 's',
  SAL: 's',
  SHR: 's',
  SAR: 'a',
  ROL: 'r',
  ROR: 'r',
  RCL: 'r',
  RCR: 'r',
  SHLD: 'd',
  SHRD: 'd',
};

/** A string's hash, to sample by. */
function sample(text: string, count: number): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  h ^= h >>> 15;
  return (h >>> 0) % count;
}
const hex = (n: number, bytes = 1): string => {
  let text = '';
  for (let i = 0; i < bytes; i++) text += ((n >> (8 * i)) & 0xff).toString(16).padStart(2, '0');
  return text;
};

/** One addressing form of a memory operand. */
interface Addressing {
  readonly mod: number;
  readonly rm: number;
  readonly rex?: number;
  readonly tail?: string;
  readonly prefix?: string;
  /** Register number → letter. */
  readonly kinds: Readonly<Record<number, string>>;
  /** RIP-relative: the displacement is counted from the instruction's end. */
  readonly relative?: boolean;
}
const LONG_ADDRESSING: readonly Addressing[] = [
  { mod: 0, rm: 3, kinds: { 3: 'p' } }, // [rbx]
  { mod: 1, rm: 5, tail: '10', kinds: { 5: 'p' } }, // [rbp+16]
  { mod: 1, rm: 4, tail: '24f0', kinds: { 4: 'p' } }, // [rsp-16]
  { mod: 0, rm: 4, rex: 1, tail: '24', kinds: { 12: 'p' } }, // [r12]
  { mod: 1, rm: 5, rex: 1, tail: '00', kinds: { 13: 'p' } }, // [r13]
  { mod: 1, rm: 4, tail: 'f308', kinds: { 3: 'p', 6: 'i' } }, // [rbx+rsi*8+8]
  { mod: 2, rm: 4, rex: 3, tail: '5120000000', kinds: { 9: 'p', 10: 'i' } }, // [r9+r10*2+32]
  { mod: 0, rm: 5, kinds: {}, relative: true }, // [rip+…]
  { mod: 0, rm: 4, tail: `25${hex(MIDDLE - 3, 4)}`, kinds: {} }, // [absolute]
  { mod: 0, rm: 4, tail: 'b3', prefix: '67', kinds: { 3: 'P', 6: 'i' } }, // [ebx+esi*4]
  { mod: 2, rm: 3, rex: 1, tail: 'e0ffffff', kinds: { 11: 'p' } }, // [r11-32]
  { mod: 0, rm: 4, tail: `75${hex(MIDDLE + 8, 4)}`, kinds: { 6: 'i' } }, // [rsi*2+absolute]
  { mod: 0, rm: 7, prefix: '3e', kinds: { 7: 'p' } }, // ds:[rdi]
];
const COMPATIBLE_ADDRESSING: readonly Addressing[] = [
  { mod: 0, rm: 3, kinds: { 3: 'p' } },
  { mod: 1, rm: 5, tail: '10', kinds: { 5: 'p' } },
  { mod: 1, rm: 4, tail: '24f0', kinds: { 4: 'p' } },
  { mod: 1, rm: 4, tail: 'f308', kinds: { 3: 'p', 6: 'i' } },
  { mod: 0, rm: 5, tail: hex(MIDDLE - 5, 4), kinds: {} },
  { mod: 2, rm: 7, tail: 'e0ffffff', prefix: '26', kinds: { 7: 'p' } },
];

/** Sixteen-bit offsets, in 16-bit code. */
const NARROW_ADDRESSING: readonly Addressing[] = [
  { mod: 0, rm: 7, kinds: { 3: 'q' } }, // [bx]
  { mod: 1, rm: 6, tail: '10', kinds: { 5: 'q' } }, // [bp+16]
  { mod: 0, rm: 0, kinds: { 3: 'q', 6: 'c' } }, // [bx+si]
  { mod: 2, rm: 5, tail: 'f0ff', kinds: { 7: 'q' } }, // [di-16]
  { mod: 0, rm: 6, tail: hex(MIDDLE - WINDOW - 5, 2), kinds: {} }, // [absolute]
  { mod: 2, rm: 2, tail: '0800', kinds: { 5: 'q', 6: 'c' } }, // [bp+si+8]
];
/** Prefixes that a form with limits may have. */
const OVERRIDES = ['', '', '26', '2e', '36', '3e', '64', '65'];

interface Choice {
  readonly size: number;
  readonly memory: boolean;
  readonly long: boolean;
  readonly repeat?: number;
  readonly narrowAddress?: boolean;
  readonly lock?: boolean;
  /** Force a REX prefix on byte registers. */
  readonly rexBytes?: boolean;
  readonly addressing?: number;
  /** `Form.limits`; with `h` in it, the form is 16-bit code. */
  readonly limits?: string;
}

const STACK = /^(PUSH|POP|CALL|RET|ENTER|PUSHA|POPA|PUSHF|POPF)$/;
/** Loads and stores of whole FPU states. */
const IMAGE = /^(FXSAVE|FXRSTOR|FNSTENV|FLDENV|FNSAVE|FRSTOR)$/;
/** CMPXCHG16B is none in compatibility mode; PREFETCH may do what it wants. */
const NOT_LIMITED = /^(CMPXCHG16B|PREFETCHW?|NOP|CLFLUSH)$/;
const STRING = /^(MOVS|CMPS|STOS|LODS|SCAS)B?$/;

function makeForm(d: Definition, c: Choice): Form {
  const { size, long } = c;
  const variant = [
    c.repeat ? hex(c.repeat) : '',
    c.narrowAddress ? 'a32' : '',
    c.lock ? 'lock' : '',
    c.rexBytes ? 'rex' : '',
    c.limits ?? '',
  ];
  const narrow = c.limits?.includes('h') === true;
  const place = d.rm === 'none' ? '' : c.memory ? 'm' : 'r';
  const tail = c.addressing === undefined ? '' : `#${c.addressing}`;
  const words = [
    d.mnemonic,
    d.encoding,
    d.operands.join(','),
    `${size}${place}`,
    ...variant,
    long ? '64' : '32',
  ];
  const name = words.filter((w) => w !== '').join(' ') + tail;

  const kinds: string[] = new Array(16).fill('r');
  const fixed = needsPlainPointer(d);
  const list = long ? LONG_ADDRESSING : narrow ? NARROW_ADDRESSING : COMPATIBLE_ADDRESSING;
  const addressing = c.memory ? list[fixed ? 0 : (c.addressing ?? sample(name, list.length))]! : undefined;

  // ---- prefixes
  let prefixes = c.lock ? 'f0' : '';
  let rex = 0;
  const usesSize = d.options.size === undefined && operandSizes(d).length > 1;
  if (usesSize) {
    if (size === (narrow ? 4 : 2) && operandSizes(d).includes(2)) prefixes += '66';
    const always64 = d.options.default64 === true || d.options.force64 === true;
    if (size === 8 && !(always64 && long)) rex |= 0x48;
  }
  if (c.narrowAddress) prefixes += '67';
  if (addressing?.prefix !== undefined) prefixes += addressing.prefix;
  else if (c.limits !== undefined && !long) prefixes += OVERRIDES[sample(`${name}segment`, OVERRIDES.length)];
  if (c.repeat) prefixes += hex(c.repeat);
  if (d.prefix !== undefined && d.prefix !== 'NP') prefixes += d.prefix.toLowerCase();
  if (addressing?.rex !== undefined) rex |= 0x40 | addressing.rex;
  if (c.rexBytes) rex |= 0x40;

  // ---- registers: low ones, and with a REX prefix the upper ones too
  const high = (salt: string): number => (long && sample(name + salt, 3) === 0 ? 8 : 0);
  const noRex = !long || (bytesWithoutRex(d) && !c.rexBytes && rex === 0);
  const pick = (salt: string, letter: string): number => {
    if (letter === 'S') return sample(name + salt, 6);
    const n = sample(name + salt, 8);
    return noRex || /[PQNFCD]/.test(letter) ? n : n + high(`${salt}+`);
  };
  const regLetter = d.operands.find((o) => /^[GVPSCD]/.test(o))?.[0] ?? 'G';
  const rmLetter = d.operands.find((o) => /^[EMRWUQNF]/.test(o))?.[0] ?? 'E';
  let reg = d.digit >= 0 ? d.digit : pick('reg', regLetter);
  if (regLetter === 'C') reg = 3;
  let rm = d.exact >= 0 ? d.exact & 7 : pick('rm', rmLetter);
  if (d.mnemonic === 'CMPXCHG') rm = 3;
  // The bit number must not be the pointer.
  if (isBitString(d) && c.memory && (reg & 7) === 3) reg = 2;
  if (/^(JMP|CALL)$/.test(d.mnemonic) && !c.memory) rm = 1;
  if (reg >= 8) rex |= 0x44;
  if (!c.memory && rm >= 8) rex |= 0x41;
  let opcode = d.opcode;
  if (d.plusRegister) {
    const n = pick('z', 'Z');
    opcode += n & 7;
    if (n >= 8) rex |= 0x41;
  }

  // ---- code
  let code = prefixes + (rex !== 0 ? hex(rex) : '') + ['', '0f', '0f38', '0f3a'][d.map]! + hex(opcode);
  if (d.exact >= 0) code += hex(d.exact);
  else if (d.hasModrm) {
    if (addressing === undefined) code += hex(0xc0 | ((reg & 7) << 3) | (rm & 7));
    else code += hex((addressing.mod << 6) | ((reg & 7) << 3) | addressing.rm) + (addressing.tail ?? '');
  }
  const immediates = immediateBytes(d, size, long, c);
  if (addressing?.relative) {
    const end = CODE + code.length / 2 + 4 + immediates.length / 2;
    code += hex(MIDDLE - 6 - end, 4);
  }
  code += immediates;

  // ---- operands
  const fpu = registersUsed(d);
  for (const [n, kind] of Object.entries(addressing?.kinds ?? {})) {
    // x87 memory holds a value at each multiple of sixteen.
    kinds[Number(n)] = kind === 'p' && fpu[1] === 'x' && c.limits === undefined ? 'a' : kind;
  }
  const fixups = implicitOperands(d, c, kinds);
  if (narrow) for (const n of [3, 4, 5, 6, 7]) if (kinds[n] === 'p') kinds[n] = 'q';
  const shift = SHIFT_CLASS[d.mnemonic];
  let count = '-';
  if (shift !== undefined && !/^D[01]$/.test(hex(d.opcode).toUpperCase())) {
    count = `${shift}${d.operands.some((o) => o.startsWith('I')) ? 'i' : 'c'}${size * 8}`;
    if (count[1] === 'c' && kinds[1] === 'r') kinds[1] = shift === 'd' && size === 2 ? 'm' : 'n';
  }
  const flags = count === '-' ? ALL & ~(UNDEFINED[d.mnemonic] ?? 0) : ALL;
  return {
    name,
    long,
    code,
    registers: kinds.join(''),
    memory: fpu === '--' ? (STRING.test(d.mnemonic) ? 'z' : 'r') : floatMemory(d),
    fixups,
    fpu,
    flags: flags,
    count,
    direction: STRING.test(d.mnemonic) || /^(CLD|STD|PUSHF|POPF)$/.test(d.mnemonic),
    status: fpu[1] === '-' ? 0 : 0xffff,
    ...(c.limits === undefined ? {} : { limits: c.limits }),
  };
}

/** Byte registers 4–7 mean AH … BH without a REX prefix, SPL … DIL with one. */
function bytesWithoutRex(d: Definition): boolean {
  return d.operands.some((o) => /^[EGZ]b/.test(o));
}
function needsPlainPointer(d: Definition): boolean {
  return (
    IMAGE.test(d.mnemonic) ||
    d.mnemonic === 'LDMXCSR' ||
    /^(CMPXCHG|CMPXCHG8B|CMPXCHG16B|JMP|CALL)$/.test(d.mnemonic) ||
    isBitString(d)
  );
}
/** BT and its kin with a bit number from a register: memory then is a string of bits. */
function isBitString(d: Definition): boolean {
  return /^BT[SRC]?$/.test(d.mnemonic) && d.operands[1] === 'Gv';
}

/** The letters for the XMM and the x87 or MMX registers that a definition touches: see `Form.fpu`. */
function registersUsed(d: Definition): string {
  const { operands, mnemonic: m, map, opcode } = d;
  const image = /^FX(SAVE|RSTOR)$/.test(m);
  let xmm = '-';
  if (operands.some((o) => /^[VWU]/.test(o)) || image || /^(LD|ST)MXCSR$/.test(m)) {
    if (/^PCMP[EI]STR/.test(m)) xmm = 'c';
    else xmm = (operands.some((o) => /^[VWU]/.test(o)) ? floatSource(m) : undefined) ?? 'i';
    if (xmm === 'i' && /^CVT/.test(m)) xmm = 'I';
    if (/MXCSR$/.test(m)) xmm = 's';
  }
  let x87 = '-';
  if (operands.some((o) => /^[PQN]/.test(o)) || m === 'EMMS') x87 = 'm';
  else if ((map === 0 && opcode >= 0xd8 && opcode <= 0xdf) || m === 'FWAIT' || image) x87 = 'x';
  return xmm + x87;
}

/** 's' or 'd' for an SSE instruction whose source holds floating-point numbers. */
function floatSource(mnemonic: string): string | undefined {
  const conversion = /^CVTT?([PS][SD])2/.exec(mnemonic)?.[1];
  if (/^CVT/.test(mnemonic) && conversion === undefined) return undefined;
  const type = conversion ?? /([PS][SD])$/.exec(mnemonic)?.[1];
  if (type === undefined || /^P/.test(mnemonic)) return undefined;
  return type[1] === 'S' ? 's' : 'd';
}

/** What memory holds for an SSE or x87 instruction. */
function floatMemory(d: Definition): string {
  const { operands, mnemonic: m } = d;
  if (operands.some((o) => /^[VWUPQN]/.test(o))) return floatSource(m) ?? 'r';
  if (/^FB/.test(m)) return 'b';
  const operand = operands.find((o) => o.startsWith('M'));
  if (operand === undefined || /^FI|CW$|SW$|ENV$|SAVE$|RSTOR$|MXCSR$/.test(m)) return 'r';
  return operand === 'Mt' ? 'x' : operand === 'Mq' ? 'd' : 's';
}

/** What an instruction uses without naming it, and what must hold for it to work. */
function implicitOperands(d: Definition, c: Choice, kinds: string[]): string {
  const m = d.mnemonic;
  if (STACK.test(m) || m === 'LEAVE') kinds[4] = 'p';
  if (m === 'ENTER' || m === 'LEAVE') kinds[5] = 'p';
  if (m === 'DIV' || m === 'IDIV') kinds[2] = 'd';
  if (m === 'XLAT') kinds[3] = 'p';
  if (m === 'CMPXCHG16B') kinds[3] = 'a';
  if (STRING.test(m)) {
    kinds[6] = kinds[7] = c.narrowAddress ? 'P' : 'p';
    kinds[1] = c.repeat ? (c.narrowAddress ? 'C' : 'c') : 'r';
    kinds[0] = 'z';
  }
  if (/^LOOP|^JRCXZ/.test(m)) kinds[1] = 'c';
  if (/^MASKMOV/.test(m)) kinds[7] = c.narrowAddress ? 'P' : 'p';
  if (/^PCMPESTR/.test(m)) [kinds[0], kinds[2]] = ['i', 'c'];
  if (IMAGE.test(m)) {
    kinds[3] = 'w';
    if (/^FX/.test(m)) return m === 'FXSAVE' ? 'X' : 'M';
    return /^FN/.test(m) ? (c.size === 2 ? 'e' : 'E') : '-';
  }
  if (m === 'LDMXCSR') return 'm';
  if (m === 'CMPXCHG') {
    if (!c.memory) kinds[3] = '=';
    return c.memory ? 'x' : '-';
  }
  if (m === 'CMPXCHG8B') return 'y';
  if (m === 'CMPXCHG16B') return 'z';
  if (m === 'JMP' || m === 'CALL') {
    if (d.rm !== 'none' && !c.memory) kinds[1] = 'j';
    return c.memory ? 'J' : '-';
  }
  if (m === 'RET') return 'R';
  if (m === 'POPF') return 'F';
  if (isBitString(d) && c.memory) for (let n = 0; n < 16; n++) if (kinds[n] === 'r') kinds[n] = 'b';
  return '-';
}

function immediateBytes(d: Definition, size: number, long: boolean, c: Choice): string {
  let text = '';
  const narrow = c.limits?.includes('h') === true;
  const addressSize = narrow ? 2 : c.narrowAddress ? 4 : long ? 8 : 4;
  for (const operand of d.operands) {
    const width = operand[1] ?? '';
    switch (operand[0]) {
      case 'I': {
        const bytes = width === 'w' ? 2 : width === 'z' ? (size === 2 ? 2 : 4) : width === 'v' ? size : 1;
        if (d.mnemonic === 'ENTER')
          text += bytes === 2 ? '2000' : hex([0, 1, 2, 5, 29][sample(`${size}${long}`, 5)]!);
        else if (SHIFT_CLASS[d.mnemonic] === 'd' && size === 2) text += hex(sample(d.encoding, 15) + 1);
        else text += '??'.repeat(bytes);
        break;
      }
      case 'J':
        text +=
          width === 'b'
            ? hex(sample(d.encoding, 200) - 100)
            : hex(sample(d.encoding, 3000) - 1500, size === 2 ? 2 : 4);
        break;
      case 'O':
        text += narrow
          ? hex(MIDDLE - WINDOW - sample(d.encoding, 8), 2)
          : hex(MIDDLE - sample(d.encoding, 8), 4) + (addressSize === 8 ? '00000000' : '');
        break;
      default:
        break;
    }
  }
  return text;
}

/** What may touch memory, or leads elsewhere: with limits, and where accesses must be aligned. */
export function limitedFormsOf(d: Definition): Form[] {
  const forms = new Map<string, Form>();
  const put = (c: Choice): void => {
    const form = makeForm(d, c);
    forms.set(`${form.limits} ${form.code}`, form);
  };
  const { options, mnemonic: m } = d;
  const wide = operandSizes(d).length > 1;
  const branch = options.branch === true || /^(JMP|CALL|RET)$/.test(m);
  const implicit = STACK.test(m) || STRING.test(m) || /^(LEAVE|XLAT|MASKMOV.*)$/.test(m);
  const memory = d.rm === 'both' || d.rm === 'memory';
  const touches = memory || implicit || d.operands.some((o) => o.startsWith('O'));
  for (const size of operandSizes(d)) {
    const repeats = options.repeatable === true ? [0, 0xf3, 0xf2] : [0];
    if (NOT_LIMITED.test(m) || (m === 'MOVSXD' && size === 2)) continue;
    for (const repeat of repeats) {
      const choice = { size, memory, repeat };
      const longOnly = size === 8 && wide;
      if (!longOnly && options.mode !== 'long') {
        // A 16-bit jump would leave the code page, unless that begins at zero.
        const limits = IMAGE.test(m) ? 'ca' : 'dca';
        if (branch ? size !== 2 : touches) put({ ...choice, long: false, limits });
        if ((branch || touches) && !IMAGE.test(m)) put({ ...choice, long: false, limits: 'wha' });
      }
      if (options.mode === 'legacy' || !touches) continue;
      if ((options.force64 === true && size !== 8) || (options.default64 === true && size === 4)) continue;
      put({ ...choice, long: true, limits: 'a' });
    }
  }
  return [...forms.values()];
}

/** The forms of one definition, without duplicates. */
export function formsOf(d: Definition): Form[] {
  const forms = new Map<string, Form>();
  const put = (c: Choice): void => {
    const form = makeForm(d, c);
    forms.set(`${form.long} ${form.code}`, form);
  };
  const modes = d.options.mode === 'long' ? [true] : d.options.mode === 'legacy' ? [false] : [true, false];
  const { force64, default64 } = d.options;
  for (const long of modes) {
    const vector = registersUsed(d) !== '--';
    for (const size of operandSizes(d)) {
      const wide = operandSizes(d).length > 1;
      if (size === 8 && wide && !long) continue;
      if (long && force64 === true && size !== 8) continue;
      if (long && default64 === true && size === 4) continue;
      // A 16-bit jump would leave the code page.
      if (!long && size === 2 && (d.options.branch === true || /^(JMP|CALL|RET)$/.test(d.mnemonic))) continue;
      if (d.mnemonic === 'BSWAP' && size === 2) continue; // undefined by the manual
      // One form will do for SSE in compatibility mode.
      const both = vector && !long ? [true] : [false, true];
      for (const memory of d.rm === 'both' ? both : [d.rm === 'memory']) {
        if (d.mnemonic === 'PREFETCHW' && !memory) continue; // a NOP at Intel, #UD at AMD
        put({ size, memory, long });
        if (long && bytesWithoutRex(d)) put({ size, memory, long, rexBytes: true });
        if (memory && d.options.lock === true) put({ size, memory, long, lock: true });
        const everyAddress = memory && /^(8A|8B|LEA|01)$/.test(d.mnemonic === 'LEA' ? 'LEA' : d.encoding);
        const list = long ? LONG_ADDRESSING : COMPATIBLE_ADDRESSING;
        if (everyAddress) for (const i of list.keys()) put({ size, memory, long, addressing: i });
      }
      if (d.options.addressed === true && long) put({ size, memory: false, long, narrowAddress: true });
      if (d.options.repeatable === true) {
        for (const repeat of [0xf3, 0xf2]) {
          put({ size, memory: false, long, repeat });
          if (long) put({ size, memory: false, long, repeat, narrowAddress: true });
        }
      }
    }
  }
  return [...forms.values()];
}
