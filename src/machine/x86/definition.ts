/**
 * How an instruction is defined: an encoding in the manual's notation, operands in the manual's letters, and a meaning.
 *
 *     define('ADD', '01', 'Ev Gv', arithmetic(addition), { lock: true });
 *     define('POPCNT', 'F3 0F B8', 'Gv Ev', …);
 *     define('INVLPG', '0F 01 /7', 'M', …);
 *
 * **Encoding**: an optional mandatory prefix (`NP`, `66`, `F3`, `F2`), an optional escape (`0F`, `0F 38`, `0F 3A`), the
 * opcode byte (`+r`: its low three bits name a register), then `/n` (ModRM.reg must be n) or `=nn` (ModRM is that byte).
 *
 * **Operands** (Intel SDM 2, appendix A.2): `E` ModRM.rm, register or memory; `M` memory only; `R` register only; `G`
 * ModRM.reg; `Z` the opcode's register; `I` immediate; `J` relative target; `O` moffs; `V` XMM by reg, `W` XMM or memory,
 * `U` XMM only; `P` MMX by reg, `Q` MMX or memory, `N` MMX only; `S`, `C`, `D` segment, control, debug register; `F` ST(i).
 * The second letter is the size: `b` 1, `w` 2, `d` 4, `q` 8, `o` 16, `t` 10, `v` operand size, `y` 4 or 8, `z` an
 * immediate of 2 or 4, `s` a sign-extended byte, `p` a far pointer, nothing: none.
 */
import type { Semantics } from './emitter.ts';

export interface DefinitionOptions {
  /** A LOCK prefix is legal on the memory form. */
  readonly lock?: boolean;
  /** Only in 64-bit mode, or only outside it. */
  readonly mode?: 'long' | 'legacy';
  /** The operand size defaults to 64 bits in 64-bit mode (Intel SDM 2, 2.2.1.7). */
  readonly default64?: boolean;
  /** In 64-bit mode the operand size is always 64 bits, whatever the prefixes say (near branches). */
  readonly force64?: boolean;
  /** The meaning depends on the mode: separate handlers for 64-bit and compatibility mode. */
  readonly modal?: boolean;
  /** The address size matters beyond the memory operand (string instructions, LOOP). */
  readonly addressed?: boolean;
  /** REP / REPE and REPNE have a meaning. */
  readonly repeatable?: boolean;
  /** Flags that it does not set stay as they are: it reads flags only to keep them. */
  readonly keepsFlags?: boolean;
  /** Ends a run: control does not simply go on with the next instruction. */
  readonly ends?: boolean;
  /** Leaves for a decision that may be taken while compiled code waits (`Engine.onExit`). */
  readonly settles?: boolean;
  /** Needs `budgetLeft` or the clock. */
  readonly budget?: boolean;
  /** Stands inline in the interpreter's main loop, for these operand sizes (bytes). */
  readonly hot?: readonly number[];
  /** A near branch, relative: its target is known when it is decoded. */
  readonly branch?: boolean;
  /** Operand sizes the instruction exists in, where not what its operands say. */
  readonly sizes?: readonly number[];
  /** Operand size is `size`, whatever the prefixes. */
  readonly size?: number;
}

export interface Definition {
  readonly mnemonic: string;
  readonly encoding: string;
  readonly operands: readonly string[];
  readonly semantics: Semantics;
  readonly options: DefinitionOptions;
  /** 0 one-byte, 1 `0F`, 2 `0F 38`, 3 `0F 3A`. */
  readonly map: number;
  readonly opcode: number;
  /** Mandatory prefix: 'NP', '66', 'F3', 'F2', or undefined: none is looked at. */
  readonly prefix: string | undefined;
  readonly plusRegister: boolean;
  /** ModRM.reg must be this, or -1. */
  readonly digit: number;
  /** ModRM must be this byte, or -1. */
  readonly exact: number;
  readonly hasModrm: boolean;
  /** The form of ModRM.rm: 'register', 'memory', 'both', or 'none'. */
  readonly rm: 'register' | 'memory' | 'both' | 'none';
}

const MODRM_LETTERS = /^[EMRGVWUPQNSCDF]/;
const EITHER = /^[EWQ]/;
const MEMORY_ONLY = /^M/;
const REGISTER_ONLY = /^[RUNCDF]/;

export class InstructionSet {
  readonly definitions: Definition[] = [];

  define(
    mnemonic: string,
    encoding: string,
    operands: string,
    semantics: Semantics,
    options: DefinitionOptions = {},
  ): void {
    const tokens = encoding.split(' ');
    let prefix: string | undefined;
    if (
      tokens[0] === 'NP' ||
      (tokens.length > 1 && /^(66|F3|F2)$/.test(tokens[0]!) && /^[0-9A-F]/.test(tokens[1]!))
    ) {
      prefix = tokens.shift();
    }
    let map = 0;
    if (tokens[0] === '0F' && tokens.length > 1) {
      tokens.shift();
      map = 1;
      const second: string = tokens.at(0) ?? '';
      if (/^3[8A]$/.test(second) && /^[0-9A-F]{2}/.test(tokens[1] ?? '')) {
        tokens.shift();
        map = second === '38' ? 2 : 3;
      }
    }
    const opcodeToken = tokens.shift()!;
    const plusRegister = opcodeToken.endsWith('+r');
    const opcode = Number.parseInt(opcodeToken, 16);
    let digit = -1;
    let exact = -1;
    for (const token of tokens) {
      if (token.startsWith('/')) digit = Number(token.slice(1));
      else if (token.startsWith('=')) exact = Number.parseInt(token.slice(1), 16);
      else throw new Error(`${mnemonic}: encoding token ${token} is not known`);
    }
    if (Number.isNaN(opcode)) throw new Error(`${mnemonic}: opcode ${opcodeToken} is not known`);
    const list = operands === '' ? [] : operands.split(' ');
    const rm = list.some((o) => EITHER.test(o))
      ? 'both'
      : list.some((o) => MEMORY_ONLY.test(o))
        ? 'memory'
        : list.some((o) => REGISTER_ONLY.test(o))
          ? 'register'
          : 'none';
    const hasModrm = digit >= 0 || exact >= 0 || list.some((o) => MODRM_LETTERS.test(o));
    this.definitions.push({
      mnemonic,
      encoding,
      operands: list,
      semantics,
      options,
      map,
      opcode,
      prefix,
      plusRegister,
      digit,
      exact,
      hasModrm,
      rm,
    });
  }
}

/** True where an operand takes its size from the operand-size attribute. */
export function usesOperandSize(definition: Definition): boolean {
  return definition.operands.some((o) => /[vyz]$/.test(o));
}

const FIXED_SIZES: Readonly<Record<string, number>> = { b: 1, w: 2, d: 4, q: 8, o: 16, t: 10 };

/** The operand sizes that a definition is emitted for. */
export function operandSizes(definition: Definition): readonly number[] {
  const { options, operands } = definition;
  if (options.size !== undefined) return [options.size];
  if (options.sizes !== undefined) return options.sizes;
  if (operands.some((o) => /[vz]$/.test(o))) return [2, 4, 8];
  if (operands.some((o) => /y$/.test(o))) return [4, 8];
  const first = operands[0];
  return [first === undefined ? 4 : (FIXED_SIZES[first[1] ?? ''] ?? 4)];
}
