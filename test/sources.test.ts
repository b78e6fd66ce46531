/**
 * Holds docs/sources.md to the repository: its tables may claim nothing that is not there. What a row says in words is
 * for people to judge; files, tests, numbers and completeness are judged here.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { HYPERCALLS } from '../src/abi/xen/hypercall-table.ts';
import { xenHypercalls } from '../src/toolstack/xen-hypercalls.ts';

const STATUSES = ['done', 'partial', 'missing'];

/** The HYPERVISOR_ wrappers that Linux's asm/xen/hypercall.h defines, without their prefix, in its order. */
const WRAPPERS = `
  set_trap_table mmu_update mmuext_op set_gdt stack_switch set_callbacks callback_op fpu_taskswitch sched_op
  set_timer_op set_debugreg get_debugreg update_descriptor memory_op multicall update_va_mapping event_channel_op
  xen_version console_io physdev_op grant_table_op update_va_mapping_otherdomain vm_assist vcpu_op suspend nmi_op`
  .trim()
  .split(/\s+/);

/** Its MULTI_ builders. */
const BUILDERS = `
  update_va_mapping grant_table_op update_va_mapping_otherdomain update_descriptor memory_op mmu_update mmuext_op
  set_gdt stack_switch`
  .trim()
  .split(/\s+/);

/** The wrapper whose name is not its hypercall's. */
const ISSUES: Readonly<Record<string, string>> = { suspend: 'sched_op' };

interface Row {
  readonly part: string;
  /** "host", "guest", or the number of a hypercall. */
  readonly side: string;
  readonly files: readonly string[];
  readonly tests: readonly string[];
  readonly status: string;
}

const page = readFileSync('docs/sources.md', 'utf8');
const rows = page.split('\n').flatMap((line): Row[] => {
  const cells = line.split('|').slice(1, -1);
  if (cells.length !== 5 || /^[\s-]*$/.test(cells.join(''))) return [];
  const [part, side, files, tests, status] = cells.map((cell) => cell.trim()) as [
    string,
    string,
    string,
    string,
    string,
  ];
  return status === 'status' ? [] : [{ part, side, files: names(files), tests: names(tests), status }];
});

/** What stands between backticks. */
function names(cell: string): string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name!);
}

/** Where a name on the page leads. */
function path(name: string): string {
  return name.startsWith('test/') ? name : join('src', name);
}

/** The wrapper that a row is about. */
function wrapper({ part }: Row): string | undefined {
  return /`HYPERVISOR_(\w+)`/.exec(part)?.[1];
}

test('the page has rows, and each has one of the three states', () => {
  assert.ok(rows.length > 80, `${rows.length} rows`);
  assert.deepEqual(
    rows.filter(({ status }) => !STATUSES.includes(status)),
    [],
  );
});

test('no line that looks like a row escapes the reader', () => {
  const lines = page.split('\n').filter((line) => /\| *(done|partial|missing) *\|$/.test(line));
  assert.equal(lines.length, rows.length);
});

test('every file and test that is named exists', () => {
  const wrong = rows
    .flatMap(({ files, tests }) => [...files, ...tests])
    .filter((name) => !existsSync(path(name)));
  assert.deepEqual(wrong, []);
});

test('so does every other file that the page speaks of', () => {
  const prose = page.split('\n').filter((line) => !/\| *(done|partial|missing) *\|$/.test(line));
  const wrong = names(prose.join('\n'))
    .filter((name) => /^(?:abi|guest|machine|toolstack|xen|test)\/.*\.ts$/.test(name))
    .filter((name) => !existsSync(path(name)));
  assert.deepEqual(wrong, []);
});

test('what is done names a file and a test, what is partial a file, what is missing neither', () => {
  const complaint = ({ status, files, tests }: Row): boolean => {
    if (tests.some((name) => !name.endsWith('.test.ts')) || files.some((name) => name.endsWith('.test.ts'))) {
      return true;
    }
    if (status === 'missing') return files.length + tests.length > 0;
    return files.length === 0 || (status === 'done' && tests.length === 0);
  };
  assert.deepEqual(rows.filter(complaint), []);
});

test('every wrapper of the hypercall header has one row', () => {
  const found = rows.map(wrapper).filter((name) => name !== undefined);
  assert.deepEqual(found.sort(), [...WRAPPERS].sort());
});

test('every builder of multicall entries is named', () => {
  const found = [...page.matchAll(/`MULTI_(\w+)`/g)].map(([, name]) => name!);
  assert.deepEqual(found.sort(), [...BUILDERS].sort());
});

test('the numbers are those of the public headers, and a row claims a handler where there is one', () => {
  const table = xenHypercalls();
  for (const row of rows.filter(({ side }) => /^\d+$/.test(side))) {
    const number = Number(row.side);
    const name = wrapper(row);
    const hypercall = HYPERCALLS.find((known) => known.number === number);
    assert.ok(hypercall !== undefined, row.part);
    if (name !== undefined) assert.equal(hypercall.name, ISSUES[name] ?? name);
    assert.equal(table.has(number), row.status !== 'missing', row.part);
  }
});
