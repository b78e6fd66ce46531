/** What the table of hypercalls and docs/coverage.md say of them must be so. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { HYPERCALLS } from '../abi/xen/hypercall-table.ts';
import { HypercallArguments } from '../xen/hypercalls/arguments.ts';
import { CONTINUE, type HypercallFamily } from '../xen/hypercalls/dispatch.ts';
import { hypercallName } from '../xen/hypercalls/names.ts';
import { TestWorld, WINDOW } from '../xen/hypercalls/test-world.ts';
import { xenHypercalls } from './xen-hypercalls.ts';

test('no family of hypercalls that exists is left out of the table', async () => {
  const xen = join(process.cwd(), 'src/xen');
  const files = readdirSync(xen, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
    .filter((name) => /^export const handlers\b/m.test(readFileSync(join(xen, name), 'utf8')));
  assert.ok(files.length > 10);
  const table = xenHypercalls();
  for (const file of files) {
    const { handlers } = (await import(pathToFileURL(join(xen, file)).href)) as { handlers: HypercallFamily };
    for (const number of Object.keys(handlers).map(Number)) {
      assert.ok(table.has(number), `${hypercallName(number)} of ${file}`);
    }
  }
});

/** Rows of docs/coverage.md: name, whether it is there, and the short names of commands behind each word. */
function coverage() {
  const text = readFileSync('docs/coverage.md', 'utf8');
  return [...text.matchAll(/^\| \d+ \| `(\w+)` \| [^|]+ \| ([^|]+) \|(.*)\|$/gm)].map(
    ([, name, there, cell]) => ({
      name: name!,
      there: there!.trim(),
      commands: cell!.split(';').map((part) => ({
        state: /\*\*(.*):\*\*/.exec(part)?.[1] ?? 'there',
        names: [...part.matchAll(/`(\w+)`/g)].map(([, short]) => short!),
      })),
    }),
  );
}

/** What a hypercall answers whose argument is all zeros. */
function answer(name: string, first: number): number {
  const world = new TestWorld([]);
  const args = new HypercallArguments();
  args.set(0, first);
  for (const i of [1, 2, 3]) args.set(i, WINDOW);
  // As vcpu_op has its vCPU there, and grant_table_op its count behind.
  if (name === 'vcpu_op') args.set(1, 0);
  if (name === 'grant_table_op') args.set(2, 1);
  const { number } = HYPERCALLS.find((known) => known.name === name)!;
  return xenHypercalls().call(world.vcpu, number, args);
}

test('the page on coverage calls refused what is refused, and nothing else that only others may use', () => {
  const rows = coverage();
  assert.equal(rows.length, HYPERCALLS.length);
  for (const { name, there } of rows) {
    const { audience } = HYPERCALLS.find((known) => known.name === name)!;
    if (audience === 'guest') assert.notEqual(there, 'refused', name);
    else assert.notEqual(there, 'yes', name);
    if (there !== 'refused') continue;
    const result = answer(name, 0);
    assert.ok(result < 0, `${name}: ${result}`);
  }
  for (const name of ['platform_op', 'sysctl', 'domctl', 'kexec_op', 'arch_0']) {
    assert.equal(rows.find((row) => row.name === name)!.there, 'refused', name);
  }
});

test('commands that the page calls refused, or missing, give an error', () => {
  let seen = 0;
  for (const { name, there, commands } of coverage()) {
    const hypercall = HYPERCALLS.find((known) => known.name === name)!;
    // Those have their command in memory, and these want a memory that a guest has: their own tests see to them.
    if (hypercall.commandMask === 0 || name === 'memory_op' || there !== 'yes') continue;
    for (const { state, names } of commands) {
      if (state === 'there') continue;
      for (const short of names) {
        const command = hypercall.commands.find((known) => known.name.endsWith(`_${short}`))!;
        const result = answer(name, command.number);
        assert.ok(result < 0 && result !== CONTINUE, `${command.name}: ${result}`);
        seen++;
      }
    }
  }
  assert.ok(seen > 20, `${seen}`);
});

test('what nobody has done anything for is not called there', () => {
  const row = coverage().find(({ name }) => name === 'event_channel_op')!;
  const missing = row.commands.find(({ state }) => state === 'not yet')?.names;
  assert.deepEqual(missing, ['init_control', 'expand_array', 'set_priority']);
});
