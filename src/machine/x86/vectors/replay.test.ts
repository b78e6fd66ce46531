import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { instructionSet } from '../instructions/index.ts';
import { exclusion, formsOf, limitedFormsOf } from './forms.ts';
import { type Form, formLine } from './inputs.ts';
import { type Answer, RECORDS, Replay } from './replay.ts';
import { SEGMENT_FORMS } from './segments.ts';
import { PROGRAMS } from './sequences.ts';

interface Line extends Answer {
  readonly form: string;
}

const file = join(dirname(fileURLToPath(import.meta.url)), 'processor.jsonl');
const answers = new Map(
  readFileSync(file, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line)
    .map((line) => [line.form, line]),
);
const definitions = instructionSet().definitions;
const forms = [
  ...definitions
    .filter((d) => exclusion(d) === undefined)
    .flatMap((d) => [...formsOf(d), ...limitedFormsOf(d)]),
  ...PROGRAMS,
  ...SEGMENT_FORMS,
];

test('every defined instruction was tried on a real processor', () => {
  const missing = forms.filter((form) => !answers.has(formLine(form))).map((form) => form.name);
  assert.deepEqual(missing, [], 'run src/machine/x86/vectors/generate.mjs');
});

/** One line about a form whose outcomes differ: where, and what the first kept record shows. */
function complaint(form: Form, expected: Answer, actual: Answer, replay: Replay): string {
  const wrong: number[] = [];
  for (let i = 0; i < expected.groups.length; i += 4) {
    if (expected.groups.slice(i, i + 4) !== actual.groups.slice(i, i + 4)) wrong.push((i / 4) * 10);
  }
  const first = expected.shown.findIndex((text, i) => text !== actual.shown[i]);
  const detail =
    first < 0
      ? 'the first records agree; see generate.mjs --explain'
      : `record ${first}: ${replay.describe(form, first)}\n    processor:${expected.shown[first]}\n    engine:   ${actual.shown[first]}`;
  return `${form.name} [${form.code}]: records differ in the tens at ${wrong.join(', ')}\n    ${detail}`;
}

test('the interpreter leaves what the processor leaves, for every form and its random operands', async () => {
  const replay = await Replay.create();
  const complaints: string[] = [];
  for (const form of forms) {
    const expected = answers.get(formLine(form));
    if (expected === undefined) continue;
    const actual = replay.run(form, RECORDS);
    if (actual.hash !== expected.hash) complaints.push(complaint(form, expected, actual, replay));
  }
  const list = complaints.slice(0, 20).join('\n');
  assert.equal(complaints.length, 0, `${complaints.length} of ${forms.length} forms differ:\n${list}`);
});

/** Records of a form that are tried under page faults; the processor's answer has a mark for each ten. */
const FAULTED = 20;
/** Of the forms with limits one in eight will do there. */
const fewer = forms.filter((form, i) => form.limits === undefined || i % 8 === 0);
/** Records that are tried compiled: each is a module of its own. */
const COMPILED = 10;

for (const [kind, mapping, records] of [
  ['interpreter', 'absent', FAULTED],
  ['interpreter', 'read-only', FAULTED],
  ['compiler', 'flat', COMPILED],
  ['compiler', 'absent', COMPILED],
] as const) {
  const how =
    mapping === 'flat'
      ? 'does what the processor does'
      : `whose operands are ${mapping} faults, and does the same when they are mended`;
  test(`${kind}: an instruction ${how}`, async () => {
    const replay = await Replay.create(mapping, kind);
    const wrong: string[] = [];
    for (const form of fewer) {
      const expected = answers.get(formLine(form));
      if (expected === undefined) continue;
      const actual = replay.run(form, records);
      if (actual.groups !== expected.groups.slice(0, (records / 10) * 4))
        wrong.push(complaint(form, expected, actual, replay));
    }
    if (mapping !== 'flat') assert.ok(replay.faults > 10000, `${replay.faults} faults`);
    assert.equal(wrong.length, 0, `${wrong.length} forms differ:\n${wrong.slice(0, 20).join('\n')}`);
  });
}
