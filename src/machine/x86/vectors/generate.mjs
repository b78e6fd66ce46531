/**
 * Makes `processor.jsonl`: compiles `generate.c`, hands it every form, and keeps what the processor answered. Run it on
 * an x86-64-v2 (or later) machine with Linux and gcc after defining an instruction:
 *
 *     node --import tsx src/machine/x86/vectors/generate.mjs
 *     node --import tsx src/machine/x86/vectors/generate.mjs --explain 'TEXT'
 *
 * The second line generates nothing: it compares the engine with this processor, record by record, for the forms whose
 * names contain TEXT, and prints the inputs and both outcomes of the first records that differ.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { instructionSet } from '../instructions/index.ts';
import { exclusion, formsOf, limitedFormsOf } from './forms.ts';
import { formLine } from './inputs.ts';
import { SEGMENT_FORMS } from './segments.ts';
import { PROGRAMS } from './sequences.ts';
import { RECORDS, Replay, SHOWN } from './replay.ts';

const here = dirname(fileURLToPath(import.meta.url));
const forms = [
  ...instructionSet()
    .definitions.filter((d) => exclusion(d) === undefined)
    .flatMap((d) => [...formsOf(d), ...limitedFormsOf(d)]),
  ...PROGRAMS,
  ...SEGMENT_FORMS,
];

/** The processor's answers, a list of fields for each form. */
function ask(asked, shown) {
  const folder = mkdtempSync(join(tmpdir(), 'ringone-vectors-'));
  try {
    const program = join(folder, 'generate');
    execFileSync('gcc', ['-O1', '-fno-stack-protector', '-o', program, join(here, 'generate.c')], { stdio: 'inherit' });
    const input = asked.map((form) => `${formLine(form)}\n`).join('');
    const output = execFileSync(program, [String(RECORDS), String(shown)], {
      input,
      encoding: 'utf8',
      maxBuffer: 1 << 30,
    });
    return output
      .trimEnd()
      .split('\n')
      .map((line) => line.split('\t'));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function explain(text) {
  const chosen = forms.filter((form) => form.name.includes(text));
  const replay = await Replay.create();
  const answers = ask(chosen, RECORDS);
  let wrong = 0;
  for (const [i, form] of chosen.entries()) {
    let differences = 0;
    const lines = [];
    replay.run(form, RECORDS, (record, ours) => {
      const theirs = answers[i][1 + record].replace(/^\d+/, '');
      if (theirs === ours) return;
      if (++differences <= 2) lines.push([record, theirs, ours]);
    });
    if (differences === 0) continue;
    wrong++;
    console.log(`${form.name} [${form.code}]: ${differences} of ${RECORDS} records differ`);
    for (const [record, theirs, ours] of lines) {
      console.log(`  record ${record}: ${replay.describe(form, record)}`);
      console.log(`    processor:${theirs}\n    engine:   ${ours}`);
    }
  }
  console.log(`${chosen.length} forms, ${wrong} differ`);
}

if (process.argv[2] === '--explain') await explain(process.argv[3] ?? '');
else {
  const lines = ask(forms, SHOWN).map((fields, i) => {
    const shown = fields.slice(1, 1 + SHOWN).map((field) => field.replace(/^\d+/, ''));
    const [hash, groups] = fields.slice(1 + SHOWN);
    return JSON.stringify({ form: formLine(forms[i]), hash, groups, shown });
  });
  writeFileSync(join(here, 'processor.jsonl'), `${lines.join('\n')}\n`);
  console.log(`${lines.length} forms`);
}
