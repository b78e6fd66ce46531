import assert from 'node:assert/strict';
import { it } from 'node:test';
import { RandomNumbers } from '../testing/random-numbers.ts';
import { orderMoves } from './moves.ts';

it('moves to several registers at once lose no value, whatever circles they form', () => {
  const random = new RandomNumbers(1);
  for (let round = 0; round < 2000; round++) {
    const targets = Array.from({ length: 8 }, (_, i) => i).filter(() => random.below(3) > 0);
    const moves = targets.map((to) => ({ to, from: random.below(8) }));
    const registers = Array.from({ length: 8 }, (_, i) => i);
    for (const move of orderMoves(moves)) {
      if (move.kind === 'move') registers[move.to] = registers[move.from]!;
      else [registers[move.left], registers[move.right]] = [registers[move.right]!, registers[move.left]!];
    }
    for (const { to, from } of moves) assert.equal(registers[to], from, JSON.stringify(moves));
  }
});
