/**
 * MMX, SSE, SSE2, SSE3, SSSE3, SSE4.1 and SSE4.2, in reading order: how operands are found (`sse-operands.ts`), vectors
 * (`vector.ts`), packed integers (`packed-…`), moves, floating point (`float-format.ts`, `sse-float.ts`, `sse-convert.ts`),
 * then the extensions. AES, PCLMULQDQ, SHA and AVX are not part of x86-64-v2 and stay undefined.
 */
import type { InstructionSet } from '../definition.ts';
import { defineMmx } from './mmx.ts';
import { definePackedInteger } from './packed-integer.ts';
import { definePackedShuffle } from './packed-shuffle.ts';
import { defineSseConvert } from './sse-convert.ts';
import { defineSseFloat } from './sse-float.ts';
import { defineSseMoves } from './sse-moves.ts';
import { defineSseState } from './sse-state.ts';
import { defineSse41 } from './sse41.ts';
import { defineSse42 } from './sse42.ts';
import { defineSsse3 } from './ssse3.ts';

export function defineSse(set: InstructionSet): void {
  defineSseMoves(set);
  defineMmx(set);
  definePackedInteger(set);
  definePackedShuffle(set);
  defineSseFloat(set);
  defineSseConvert(set);
  defineSseState(set);
  defineSsse3(set);
  defineSse41(set);
  defineSse42(set);
}
