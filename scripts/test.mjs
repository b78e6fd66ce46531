/**
 * Runs the tests and says at the end how many passed and failed, which failed, and which were skipped and why.
 *
 *     node --import tsx scripts/test.mjs [unit] [system] [PART-OF-A-FILE-NAME…]
 *
 * Unit tests stand beside the sources, in `src/` and `bench/`, and run several at a time. System tests stand in `test/`
 * and run two at a time, for some boot whole guests; those that start the command use what was built. Files are listed
 * here because Node 20's own test runner takes no patterns, and all run through tsx, which this process and its children
 * load at the start.
 *
 * With RINGONE_REQUIRE_GUESTS=1 a skipped test counts as a failure: nothing may be missing.
 */
import { readdir } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const strict = process.env.RINGONE_REQUIRE_GUESTS === '1';
const words = process.argv.slice(2);
const kinds = words.filter((word) => word === 'unit' || word === 'system');
const parts = words.filter((word) => !kinds.includes(word));

/** No file takes half as long, on a busy machine. */
const FILE_TIMEOUT_MS = 900_000;

const KINDS = {
  unit: { folders: ['src', 'bench'], concurrency: Math.max(1, availableParallelism() - 1) },
  system: { folders: ['test'], concurrency: 2 },
};

async function filesOf({ folders }) {
  const names = [];
  for (const folder of folders) {
    const inside = await readdir(join(root, folder), { recursive: true });
    names.push(...inside.map((name) => join(folder, name)));
  }
  return names
    .filter(
      (name) =>
        name.endsWith('.test.ts') && (parts.length === 0 || parts.some((part) => name.includes(part))),
    )
    .sort()
    .map((name) => join(root, name));
}

const failed = [];
const skipped = [];
let passed = 0;

/** Counts single tests, not the suites around them, unless a whole suite was skipped. */
function count({ type, data }) {
  if (type !== 'test:pass' && type !== 'test:fail') return;
  const place = data.file ? `${relative(root, data.file)}: ` : '';
  const isSkipped = data.skip !== undefined && data.skip !== false;
  if (data.details?.type === 'suite' && !isSkipped) return;
  if (isSkipped) {
    const reason = typeof data.skip === 'string' && data.skip !== '' ? ` (${data.skip})` : '';
    skipped.push(`${place}${data.name}${reason}`);
  } else if (type === 'test:fail' && data.todo === undefined) {
    // A test whose parts failed is not one more failure.
    if (data.details?.error?.failureType !== 'subtestsFailed') failed.push(`${place}${data.name}`);
  } else {
    passed++;
  }
}

async function runKind(kind) {
  const files = await filesOf(KINDS[kind]);
  if (files.length === 0) return;
  // One that hangs fails with its name.
  const events = run({ files, concurrency: KINDS[kind].concurrency, timeout: FILE_TIMEOUT_MS });
  events.on('test:pass', (data) => count({ type: 'test:pass', data }));
  events.on('test:fail', (data) => count({ type: 'test:fail', data }));
  // spec is a class in some versions of Node and made by a call in others.
  const reporter = new spec();
  for await (const text of events.compose(reporter)) process.stdout.write(text);
}

for (const kind of kinds.length > 0 ? kinds : Object.keys(KINDS)) await runKind(kind);

if (skipped.length > 0) console.log(`\nskipped:\n${skipped.map((line) => `  ${line}`).join('\n')}`);
if (strict) failed.push(...skipped.map((line) => `skipped, but RINGONE_REQUIRE_GUESTS=1: ${line}`));
if (failed.length > 0) console.log(`\nfailed:\n${failed.map((line) => `  ${line}`).join('\n')}`);
if (passed + failed.length === 0) failed.push('no test was found');
console.log(
  `\n${passed} passed, ${failed.length} failed${skipped.length > 0 ? `, ${skipped.length} skipped` : ''}`,
);
process.exitCode = failed.length > 0 ? 1 : 0;
