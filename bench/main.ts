/**
 * `npm run bench`: how fast it is, reported and never asserted. Machines are shared and noisy, so compare only figures of
 * one sitting. Each measurement is a file beside this one that gives rows.
 *
 *     npm run bench [PART-OF-A-NAME…]
 */
import { boot } from './boot.ts';
import { tiny } from './tiny.ts';

/** One figure. */
export interface Row {
  readonly what: string;
  readonly value: number;
  readonly unit: string;
}

interface Measurement {
  readonly name: string;
  readonly measure: () => Promise<Row[]>;
}

const MEASUREMENTS: readonly Measurement[] = [
  { name: 'tiny guest', measure: tiny },
  { name: 'boot', measure: boot },
];

const words = process.argv.slice(2);
for (const { name, measure } of MEASUREMENTS) {
  if (words.length > 0 && !words.some((word) => name.includes(word))) continue;
  console.log(`\n${name}`);
  for (const { what, value, unit } of await measure()) {
    console.log(`  ${what.padEnd(40)} ${value.toPrecision(4).padStart(10)} ${unit}`);
  }
}
