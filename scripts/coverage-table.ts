/**
 * Writes `docs/coverage.md`: every hypercall and command of the Xen interface, and whether a guest gets more than an
 * error from it.
 *
 *     node --import tsx scripts/coverage-table.ts [--check]
 *
 * The list comes from the public headers' numbers in `src/abi/xen`. A hypercall counts as there if a table of handlers
 * in `src/xen` has it, and a command if the code behind it names it. If it is not for guests, all that the code does is
 * to refuse it, as Xen would; `src/toolstack/xen-hypercalls.test.ts` asks. With --check nothing is written, and it is an
 * error if the file is not what would be written.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type CommandDescription,
  HYPERCALLS,
  type HypercallDescription,
} from '../src/abi/xen/hypercall-table.ts';

const FILE = 'docs/coverage.md';
const HOST = 'src/xen';
/** Short names, in which the headers' prefixes do not repeat. */
const AUDIENCE = { guest: 'guests', control: 'control domain', hvm: 'HVM guests', nobody: 'nobody' } as const;

/** Named for the answer of a Xen that lacks them. */
const ABSENT = /^EVTCHNOP_(init_control|expand_array|set_priority)$/;

const code = readdirSync(HOST, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts') && !/\.test\.ts$|^testing\//.test(name))
  .map((name) => readFileSync(join(HOST, name), 'utf8').replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*/g, ''))
  // What is imported is not used yet.
  .map((text) => text.replace(/^import [\s\S]*?;$/gm, ''))
  .join('\n');

const isHandled = ({ name }: HypercallDescription) => code.includes(`[__HYPERVISOR_${name}]`);
const isNamed = (name: string) => !ABSENT.test(name) && new RegExp(`\\b${name}\\b`).test(code);

function commandsText(hypercall: HypercallDescription): string {
  const { commands } = hypercall;
  // What is refused as a whole is refused in all its parts.
  if (commands.length === 0 || stateOf(hypercall) !== 'yes') return '';
  const prefix = commonPrefix(commands.map(({ name }) => name));
  const list = (chosen: readonly CommandDescription[], title: string) =>
    chosen.length === 0
      ? []
      : [`${title}${chosen.map(({ name }) => `\`${name.slice(prefix.length)}\``).join(' ')}`];
  const named = commands.filter(({ name }) => isNamed(name));
  return [
    ...list(
      named.filter(({ audience }) => audience === 'guest'),
      '',
    ),
    ...list(
      named.filter(({ audience }) => audience !== 'guest'),
      '**refused:** ',
    ),
    ...list(
      commands.filter(({ name, audience }) => !isNamed(name) && audience === 'guest'),
      '**not yet:** ',
    ),
  ].join('; ');
}

function stateOf(hypercall: HypercallDescription): 'yes' | 'refused' | 'no' {
  if (!isHandled(hypercall)) return 'no';
  return hypercall.audience === 'guest' ? 'yes' : 'refused';
}

/** Up to and with an underscore. */
function commonPrefix(names: readonly string[]): string {
  let prefix = names[0]!;
  while (!names.every((name) => name.startsWith(prefix) && name !== prefix)) prefix = prefix.slice(0, -1);
  return prefix.slice(0, prefix.lastIndexOf('_') + 1);
}

function row(hypercall: HypercallDescription): string {
  const { number, name, audience } = hypercall;
  const state = stateOf(hypercall);
  const shown = state === 'no' && audience === 'guest' ? '**no**' : state;
  return `| ${number} | \`${name}\` | ${AUDIENCE[audience]} | ${shown} | ${commandsText(hypercall)} |`;
}

const guests = HYPERCALLS.filter(({ audience }) => audience === 'guest');
const table = `# Coverage of the Xen interface

Made by \`npm run coverage-table\` from \`src/abi/xen\` and \`src/xen\`; do not edit.

Of ${guests.length} hypercalls that a PV guest may use, ${guests.filter(isHandled).length} are there. One that is not returns -ENOSYS, as on a Xen that
lacks it, and is counted (\`--stats\`). What only a control domain, an HVM guest or nobody may use is listed for completeness:
*refused* is what gives the error with which Xen refuses it to a guest, and commands that nothing names are left out.

| number | hypercall | for | there | commands |
| --- | --- | --- | --- | --- |
${HYPERCALLS.map(row).join('\n')}
`;

if (!process.argv.includes('--check')) {
  writeFileSync(FILE, table);
} else if (readFileSync(FILE, 'utf8') !== table) {
  console.error(`${FILE} is not up to date: run "npm run coverage-table"`);
  process.exitCode = 1;
}
