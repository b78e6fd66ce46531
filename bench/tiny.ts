/**
 * What a host and a guest cost before they do anything: the smallest guest, from nothing to its first words and
 * back.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { EngineName } from '../src/toolstack/api.ts';
import { addFigure, type Figure } from './results.ts';

const TINY = fileURLToPath(new URL('peers/ringone-tiny.mjs', import.meta.url));

/** One figure for each part and engine and round, in processes of their own. */
export function measureTinyGuest(
  engines: readonly EngineName[],
  rounds: number,
  say: (line: string) => void,
): Figure[] {
  const figures: Figure[] = [];
  for (let round = 1; round <= rounds; round++) {
    for (const engine of engines) {
      say(`round ${round} of ${rounds}: the smallest guest, ${engine}`);
      const { stdout, stderr, status } = spawnSync(process.execPath, [TINY, engine], { encoding: 'utf8' });
      if (status !== 0) throw new Error(`the smallest guest failed: ${stderr.trim().split('\n').at(-1)}`);
      for (const [what, value] of Object.entries(JSON.parse(stdout) as Record<string, number>)) {
        addFigure(figures, engine, { what, value, unit: 'ms' });
      }
    }
  }
  return figures;
}
