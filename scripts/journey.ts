/**
 * Runs the examples of docs/journey and prints what they print; with --write the chapters get it.
 *
 *     node --import tsx scripts/journey.ts [--write]
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { chapterNames, chapterText, folder, renewed } from '../test/journey/chapters.ts';
import { runExamples } from '../test/journey/examples.ts';

const outputs = await runExamples();
if (process.argv.includes('--write')) {
  for (const chapter of chapterNames()) {
    const text = chapterText(chapter);
    const next = renewed(text, outputs);
    if (next === text) continue;
    writeFileSync(join(folder, chapter), next);
    console.log(`renewed ${chapter}`);
  }
} else {
  for (const [name, lines] of outputs) console.log(`--- ${name}\n${lines.join('\n')}`);
}
