/**
 * From instruction bytes to a record.
 *
 * The decoder has no knowledge of single instructions: it parses prefixes, opcode, ModRM, SIB, displacement and
 * immediates, and picks the definition whose encoding fits (Intel SDM 2, chapter 2). An encoding that none fits is #UD.
 */
import {
  MODE_CHECKED,
  MODE_CHECKED_FS,
  MODE_CHECKED_GS,
  MODE_CODE16,
  MODE_LONG,
  REG_PAGE,
  REG_ZERO,
  SEG_SLOT_SIZE,
} from '../layout.ts';
import { type Definition, type InstructionSet, operandSizes } from './definition.ts';
import {
  PSEUDO_TOO_LONG,
  PSEUDO_UNDEFINED,
  REC_DISPLACEMENT,
  REC_EXTRA,
  REC_HANDLER,
  REC_IMMEDIATE,
  REC_INDEX,
  REC_LENGTH,
  REC_LINK,
  REC_MASK,
  REC_OFFSET,
  REC_REG,
  REC_RM,
  REC_RUN,
  REC_SCALE,
  REC_SEGMENT,
} from './record.ts';
import { CS, DS, FS, GS, RSP, SS } from './registers.ts';
import { normalized, type VariantTable, variantKey } from './variants.ts';

/** How decoding ended. */
export const Decoding = {
  /** A record was written. */
  Done: 0,
  /** The bytes at hand end before the instruction does. */
  NeedMore: 1,
} as const;

const MAX_LENGTH = 15;

interface Candidate {
  readonly definition: Definition;
  readonly sizes: readonly number[];
  /** Size that the operand-size attribute does not change, or 0. */
  readonly fixedSize: number;
  /** An opcode without a register in it that shares its byte with one that has: NOP and XCHG rAX. */
  readonly excludesRexB: boolean;
  /** ModRM.mod does not matter: MOV to and from control and debug registers. */
  readonly ignoresMod: boolean;
}

/** Bit n set: there is a control register n. */
const CONTROL_REGISTERS = 0x11d;

/** A prefix-constrained, a fully specified encoding is tried before a general one. */
function specificity(d: Definition): number {
  return (
    (d.exact >= 0 ? 8 : 0) +
    (d.prefix !== undefined ? 4 : 0) +
    (d.digit >= 0 ? 2 : 0) +
    (d.plusRegister ? 0 : 1)
  );
}

export class Decoder {
  private readonly table: (Candidate[] | undefined)[] = new Array(1024).fill(undefined);
  private readonly variants: VariantTable;
  private readonly u8: Uint8Array;
  private readonly view: DataView;
  /** Called with the number of each checked handler that a record gets. */
  onChecked: (handler: number) => void = () => {};
  /** The mode of the instruction being decoded. */
  private mode = MODE_LONG;
  /** Of the last instruction decoded. */
  length = 0;
  /** It ends a run. */
  ends = false;
  definition: Definition | undefined;

  /** `memory` is where both code bytes and records lie. */
  constructor(set: InstructionSet, variants: VariantTable, memory: { u8: Uint8Array; view: DataView }) {
    this.variants = variants;
    this.u8 = memory.u8;
    this.view = memory.view;
    for (const definition of set.definitions) {
      for (let r = 0; r < (definition.plusRegister ? 8 : 1); r++) {
        const slot = definition.map * 256 + definition.opcode + r;
        const list = this.table[slot] ?? [];
        this.table[slot] = list;
        const fixed =
          definition.options.size ??
          (definition.operands.some((o) => /[vyz]$/.test(o)) || definition.options.sizes !== undefined
            ? 0
            : operandSizes(definition)[0]!);
        list.push({
          definition,
          sizes: operandSizes(definition),
          fixedSize: fixed,
          excludesRexB: false,
          ignoresMod: definition.operands.some((o) => /^[CD]/.test(o)),
        });
      }
    }
    for (const list of this.table)
      list?.sort((a, b) => specificity(b.definition) - specificity(a.definition));
    const nops = this.table[0x90];
    if (nops !== undefined) {
      this.table[0x90] = nops.map((c) => ({ ...c, excludesRexB: !c.definition.plusRegister }));
    }
  }

  /**
   * Decodes the instruction at host address `at`, of which `available` bytes are at hand, and writes its record to host
   * address `record`. `offset` is its offset in the page; `mode` are bits of MODE_*.
   */
  decode(at: number, available: number, offset: number, mode: number, record: number): number {
    const { u8, view } = this;
    const long = (mode & MODE_LONG) !== 0;
    const code16 = (mode & MODE_CODE16) !== 0;
    this.mode = mode;
    const limit = Math.min(available, MAX_LENGTH);
    let p = 0;
    let opsize = false;
    let adsize = false;
    let lock = false;
    let rep = 0;
    let segment = -1;
    let rex = 0;
    const short = (): number => {
      if (available < MAX_LENGTH) return Decoding.NeedMore;
      this.finish(record, PSEUDO_TOO_LONG, offset, 1);
      return Decoding.Done;
    };
    // ---- prefixes
    prefixes: for (;;) {
      if (p >= limit) return short();
      const byte = u8[at + p]!;
      switch (byte) {
        case 0x66:
          opsize = true;
          break;
        case 0x67:
          adsize = true;
          break;
        case 0xf0:
          lock = true;
          break;
        case 0xf2:
        case 0xf3:
          rep = byte;
          break;
        case 0x26:
        case 0x2e:
        case 0x36:
        case 0x3e:
          if (!long) segment = (byte >> 3) & 3;
          break;
        case 0x64:
          segment = FS;
          break;
        case 0x65:
          segment = GS;
          break;
        default:
          if (long && (byte & 0xf0) === 0x40) {
            rex = byte;
            p++;
            if (p >= limit) return short();
            // A REX prefix counts only right before the opcode.
            if (isPrefix(u8[at + p]!)) {
              rex = 0;
              continue prefixes;
            }
          }
          break prefixes;
      }
      p++;
    }
    // ---- opcode
    let map = 0;
    let opcode = u8[at + p++]!;
    if (opcode === 0x0f) {
      if (p >= limit) return short();
      opcode = u8[at + p++]!;
      map = 1;
      if (opcode === 0x38 || opcode === 0x3a) {
        map = opcode === 0x38 ? 2 : 3;
        if (p >= limit) return short();
        opcode = u8[at + p++]!;
      }
    }
    const candidates = this.table[map * 256 + opcode];
    const undefinedHere = (): number => {
      this.finish(record, PSEUDO_UNDEFINED, offset, p);
      return Decoding.Done;
    };
    if (candidates === undefined) return undefinedHere();
    let modrm = -1;
    if (candidates[0]!.definition.hasModrm || candidates.some((c) => c.definition.hasModrm)) {
      if (p >= limit) return short();
      modrm = u8[at + p]!;
    }
    let chosen: Candidate | undefined;
    let size = 0;
    for (const candidate of candidates) {
      const d = candidate.definition;
      if (d.options.mode !== undefined && (d.options.mode === 'long') !== long) continue;
      if (d.exact >= 0 && d.exact !== modrm) continue;
      if (d.digit >= 0 && d.digit !== ((modrm >> 3) & 7)) continue;
      if (d.rm === 'memory' && modrm >= 0xc0) continue;
      if (d.rm === 'register' && modrm < 0xc0 && !candidate.ignoresMod) continue;
      if (candidate.excludesRexB && (rex & 1) !== 0) continue;
      const { prefix } = d;
      if (prefix !== undefined) {
        if (
          prefix === 'NP'
            ? opsize || rep !== 0
            : prefix === '66'
              ? !opsize || rep !== 0
              : Number.parseInt(prefix, 16) !== rep
        ) {
          continue;
        }
      }
      const narrow = prefix === '66' ? code16 : opsize !== code16;
      if (candidate.fixedSize !== 0) size = candidate.fixedSize;
      else if (long && d.options.force64 === true) size = 8;
      else if (long && d.options.default64 === true) size = narrow && (rex & 8) === 0 ? 2 : 8;
      else size = (rex & 8) !== 0 ? 8 : narrow && candidate.sizes.includes(2) ? 2 : 4;
      if (!candidate.sizes.includes(size)) continue;
      chosen = candidate;
      break;
    }
    if (chosen === undefined) return undefinedHere();
    const d = chosen.definition;

    // ---- ModRM, SIB, displacement
    view.setInt32(record + REC_DISPLACEMENT, 0, true);
    view.setInt32(record + REC_IMMEDIATE, 0, true);
    view.setInt32(record + REC_IMMEDIATE + 4, 0, true);
    view.setInt32(record + REC_LINK, 0, true);
    view.setUint16(record + REC_EXTRA, 0, true);
    u8[record + REC_REG] = REG_ZERO;
    u8[record + REC_RM] = REG_ZERO;
    u8[record + REC_INDEX] = REG_ZERO;
    u8[record + REC_SCALE] = 0;
    const addressSize = long ? (adsize ? 4 : 8) : adsize !== code16 ? 2 : 4;
    let base = -1;
    let index = -1;
    let scale = 0;
    let displacement = 0;
    let ripRelative = false;
    let defaultSegment = DS;
    const memory = d.rm !== 'none' && modrm >= 0 && modrm < 0xc0 && !chosen.ignoresMod;
    if (d.hasModrm) {
      p++;
      if (memory) {
        const mod = modrm >> 6;
        const rm = modrm & 7;
        if (addressSize === 2) {
          base = [3, 3, 5, 5, 6, 7, 5, 3][rm]!;
          index = [6, 7, 6, 7, -1, -1, -1, -1][rm]!;
          if (mod === 0 && rm === 6) base = -1;
          if (base === 5) defaultSegment = SS;
          const bytes = mod === 1 ? 1 : mod === 2 || (mod === 0 && rm === 6) ? 2 : 0;
          if (p + bytes > limit) return short();
          if (bytes === 1) displacement = view.getInt8(at + p);
          else if (bytes === 2) displacement = view.getInt16(at + p, true);
          p += bytes;
        } else {
          let bytes = mod === 1 ? 1 : mod === 2 ? 4 : 0;
          if (rm === 4) {
            if (p >= limit) return short();
            const sib = u8[at + p++]!;
            scale = sib >> 6;
            index = ((sib >> 3) & 7) | ((rex & 2) << 2);
            if (index === 4) index = -1;
            base = (sib & 7) | ((rex & 1) << 3);
            if ((sib & 7) === 5 && mod === 0) {
              base = -1;
              bytes = 4;
            }
          } else if (rm === 5 && mod === 0) {
            bytes = 4;
            ripRelative = long;
          } else {
            base = rm | ((rex & 1) << 3);
          }
          if (base === RSP || base === 5) defaultSegment = SS;
          if (p + bytes > limit) return short();
          if (bytes === 1) displacement = view.getInt8(at + p);
          else if (bytes === 4) displacement = view.getInt32(at + p, true);
          p += bytes;
        }
      }
    }
    const effectiveSegment = segment >= 0 ? segment : defaultSegment;
    const slot = long ? (effectiveSegment >= FS ? 1 + effectiveSegment : 0) : 1 + effectiveSegment;

    // ---- operands
    let immediates = 0;
    for (const operand of d.operands) {
      const letter = operand[0]!;
      const width = operand[1] ?? '';
      switch (letter) {
        case 'G':
          u8[record + REC_REG] = registerOffset(((modrm >> 3) & 7) | ((rex & 4) << 1), width === 'b', rex);
          break;
        case 'V':
          u8[record + REC_REG] = (((modrm >> 3) & 7) | ((rex & 4) << 1)) * 8;
          break;
        case 'P':
          u8[record + REC_REG] = ((modrm >> 3) & 7) * 8;
          break;
        case 'S':
          view.setUint16(record + REC_EXTRA, (modrm >> 3) & 7, true);
          if (((modrm >> 3) & 7) > 5) return undefinedHere();
          break;
        case 'C':
        case 'D': {
          const n = ((modrm >> 3) & 7) | ((rex & 4) << 1);
          if (letter === 'C' ? ((CONTROL_REGISTERS >> n) & 1) === 0 : n > 7) return undefinedHere();
          view.setUint16(record + REC_EXTRA, n, true);
          break;
        }
        case 'F':
          view.setUint16(record + REC_EXTRA, modrm & 7, true);
          break;
        case 'E':
        case 'R':
          if (!memory) {
            u8[record + REC_RM] = registerOffset((modrm & 7) | ((rex & 1) << 3), width === 'b', rex);
          }
          break;
        case 'W':
        case 'U':
          if (!memory) u8[record + REC_RM] = ((modrm & 7) | ((rex & 1) << 3)) * 8;
          break;
        case 'Q':
        case 'N':
          if (!memory) u8[record + REC_RM] = (modrm & 7) * 8;
          break;
        case 'Z':
          u8[record + REC_RM] = registerOffset((opcode & 7) | ((rex & 1) << 3), width === 'b', rex);
          break;
        case 'I':
        case 'J': {
          let bytes = 1;
          if (width === 'w') bytes = 2;
          else if (width === 'z') bytes = size === 2 ? 2 : 4;
          else if (width === 'v') bytes = size;
          if (p + bytes > limit) return short();
          let low = 0;
          let high = 0;
          if (bytes === 1) low = view.getInt8(at + p);
          else if (bytes === 2) low = view.getInt16(at + p, true);
          else low = view.getInt32(at + p, true);
          high = bytes === 8 ? view.getInt32(at + p + 4, true) : low >> 31;
          p += bytes;
          if (immediates++ === 0) {
            view.setInt32(record + REC_IMMEDIATE, low, true);
            view.setInt32(record + REC_IMMEDIATE + 4, high, true);
          } else {
            view.setUint16(record + REC_EXTRA, low & 0xff, true);
          }
          break;
        }
        case 'O': {
          if (p + addressSize > limit) return short();
          if (addressSize === 2) view.setInt32(record + REC_IMMEDIATE, view.getUint16(at + p, true), true);
          else view.setInt32(record + REC_IMMEDIATE, view.getInt32(at + p, true), true);
          if (addressSize === 8) {
            view.setInt32(record + REC_IMMEDIATE + 4, view.getInt32(at + p + 4, true), true);
          }
          p += addressSize;
          break;
        }
        case 'A': {
          const bytes = size === 2 ? 2 : 4;
          if (p + bytes + 2 > limit) return short();
          const offsetValue = bytes === 2 ? view.getUint16(at + p, true) : view.getInt32(at + p, true);
          view.setInt32(record + REC_IMMEDIATE, offsetValue, true);
          view.setUint16(record + REC_EXTRA, view.getUint16(at + p + bytes, true), true);
          p += bytes + 2;
          break;
        }
        default:
          break;
      }
    }
    if (lock && !(d.options.lock === true && memory)) return undefinedHere();
    if (d.options.branch === true) {
      const relative = view.getInt32(record + REC_IMMEDIATE, true);
      const target = relative + offset + p;
      view.setInt32(record + REC_IMMEDIATE, target | 0, true);
      view.setInt32(record + REC_IMMEDIATE + 4, Math.floor(target / 4294967296), true);
    }
    if (memory) {
      u8[record + REC_RM] = ripRelative ? REG_PAGE : base < 0 ? REG_ZERO : base * 8;
      u8[record + REC_INDEX] = index < 0 ? REG_ZERO : index * 8;
      u8[record + REC_SCALE] = scale;
      if (ripRelative) displacement += offset + p;
      // POP computes its address with the stack pointer already moved.
      if (base === RSP && d.mnemonic === 'POP') displacement += size;
      view.setInt32(record + REC_DISPLACEMENT, displacement | 0, true);
    }
    u8[record + REC_SEGMENT] = slot * SEG_SLOT_SIZE;
    u8[record + REC_MASK] = addressSize === 8 ? 0 : addressSize === 4 ? 8 : 16;
    const plain = memory && long && addressSize === 8 && slot === 0 && index < 0;
    const shape = normalized(d, { size, memory, plain, addressSize, long, repeat: rep });
    const handler = this.variants.find(d, variantKey(shape));
    if (handler < 0) return undefinedHere();
    this.definition = d;
    this.ends = d.options.ends === true || shape.repeat !== 0;
    this.length = p;
    this.setHandler(record, handler, this.isChecked(effectiveSegment, segment));
    view.setUint16(record + REC_OFFSET, offset, true);
    u8[record + REC_LENGTH] = p;
    u8[record + REC_RUN] = 1;
    return Decoding.Done;
  }

  /** Whether an instruction with this segment of its operand, and this override (or −1), takes its checked handler. */
  private isChecked(segment: number, override: number): boolean {
    const { mode } = this;
    if ((mode & (MODE_LONG | MODE_CHECKED)) !== 0) return (mode & MODE_CHECKED) !== 0;
    if (segment === FS) return (mode & MODE_CHECKED_FS) !== 0;
    if (segment === GS) return (mode & MODE_CHECKED_GS) !== 0;
    // A code segment is never written to, and need not be readable.
    return override === CS;
  }

  private setHandler(record: number, handler: number, checked: boolean): void {
    const number = checked ? handler + this.variants.count : handler;
    if (checked) this.onChecked(number);
    this.view.setUint16(record + REC_HANDLER, number, true);
  }

  private finish(record: number, handler: number, offset: number, length: number): void {
    this.u8.fill(0, record, record + 32);
    this.setHandler(record, handler, (this.mode & MODE_CHECKED) !== 0);
    this.view.setUint16(record + REC_OFFSET, offset, true);
    this.u8[record + REC_LENGTH] = length;
    this.u8[record + REC_RUN] = 1;
    this.length = length;
    this.ends = true;
    this.definition = undefined;
  }
}

function isPrefix(byte: number): boolean {
  switch (byte) {
    case 0x66:
    case 0x67:
    case 0xf0:
    case 0xf2:
    case 0xf3:
    case 0x26:
    case 0x2e:
    case 0x36:
    case 0x3e:
    case 0x64:
    case 0x65:
      return true;
    default:
      return (byte & 0xf0) === 0x40;
  }
}

function registerOffset(n: number, byte: boolean, rex: number): number {
  return byte && rex === 0 && n >= 4 ? (n - 4) * 8 + 1 : n * 8;
}
