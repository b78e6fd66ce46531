/**
 * SSE4.2: string comparisons, CRC32 and PCMPGTQ. Comparing and checksumming are support functions
 * (`assembly/string-compare.ts`, `assembly/crc32.ts`).
 */
import { type Expression, extendS, i32, load32, load128 } from '../../../wasm/expression.ts';
import { CPU_XMM } from '../../layout.ts';
import type { InstructionSet } from '../definition.ts';
import { callSupport, type Emitter, type Semantics } from '../emitter.ts';
import { RAX, RCX, RDX } from '../registers.ts';
import { XMM, xmmBinary } from './packed-forms.ts';
import { sourceAddress, sse, wide } from './sse-operands.ts';
import { i64x2 } from './vector.ts';

/** A length register, signed. */
function length(c: Emitter, register: number): Expression {
  return c.size === 8 ? c.gpr(register, 8) : extendS(c.gpr(register, 4));
}

/** The four string comparisons: lengths from rAX and rDX or from null characters, result to rCX or to xmm0. */
function compareStrings(explicit: boolean, mask: boolean): Semantics {
  return sse((c) => {
    const { f } = c;
    const second = f.let(load128(sourceAddress(c, 16, true)));
    f.store128(wide(c), load128(c.xmmReg()));
    f.store128(wide(c, 16), second);
    const control = c.immediate(1);
    const wantMask = i32(mask ? 1 : 0);
    const flags = f.let(
      explicit
        ? callSupport(c.support, 'compareStringsExplicit', control, length(c, RAX), length(c, RDX), wantMask)
        : callSupport(c.support, 'compareStringsImplicit', control, wantMask),
    );
    if (mask) f.store128(c.stateAddress(CPU_XMM), load128(wide(c, 32)));
    else c.setGpr(RCX, load32(wide(c, 32)), 4);
    c.setArithmeticFlags(flags);
  });
}

/** CRC32: a general-register instruction, whatever CR0 and CR4 say about SSE. */
function checksum(bytes?: number): Semantics {
  return (c) => {
    const size = bytes ?? c.size;
    const data = c.load(size);
    c.setReg(callSupport(c.support, 'crc32', c.reg(4), c.widened(data), i32(size)), 4);
  };
}

export function defineSse42(set: InstructionSet): void {
  // The lengths are 32 or 64 bits wide, as REX.W says.
  set.define('PCMPESTRM', '66 0F 3A 60', 'Vo Wo Ib', compareStrings(true, true), { sizes: [4, 8] });
  set.define('PCMPESTRI', '66 0F 3A 61', 'Vo Wo Ib', compareStrings(true, false), { sizes: [4, 8] });
  set.define('PCMPISTRM', '66 0F 3A 62', 'Vo Wo Ib', compareStrings(false, true), XMM);
  set.define('PCMPISTRI', '66 0F 3A 63', 'Vo Wo Ib', compareStrings(false, false), XMM);
  set.define('PCMPGTQ', '66 0F 38 37', 'Vo Wo', xmmBinary(i64x2.gtS), XMM);
  set.define('CRC32', 'F2 0F 38 F0', 'Gy Eb', checksum(1));
  set.define('CRC32', 'F2 0F 38 F1', 'Gy Ev', checksum());
}
