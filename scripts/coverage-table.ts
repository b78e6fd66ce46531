/**
 * Writes `docs/coverage.md`: every hypercall and command of the Xen interface, and whether a guest gets more than
 * -ENOSYS from it.
 *
 *     node --import tsx scripts/coverage-table.ts [--check]
 *
 * The list comes from the public headers' numbers in `src/abi/xen`. A hypercall counts as there if a table of handlers
 * in `src/xen` has it, and a command if the code behind it names it. With --check nothing is written, and it is an error
 * if the file is not what would be written.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HYPERCALLS, type HypercallDescription } from '../src/abi/xen/hypercall-table.ts';

const FILE = 'docs/coverage.md';
const HOST = 'src/xen';
/** Short names, in which the headers' prefixes do not repeat. */
const AUDIENCE = { guest: 'guests', control: 'control domain', hvm: 'HVM guests', nobody: 'nobody' } as const;

const code = readdirSync(HOST, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts') && !/\.test\.ts$|^testing\//.test(name))
  .map((name) => readFileSync(join(HOST, name), 'utf8').replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*/g, ''))
  // What is imported is not used yet.
  .map((text) => text.replace(/^import [\s\S]*?;$/gm, ''))
  .join('\n');

const isHandled = ({ name }: HypercallDescription) => code.includes(`[__HYPERVISOR_${name}]`);
const isNamed = (name: string) => new RegExp(`\\b${name}\\b`).test(code);

function commandsText(hypercall: HypercallDescription): string {
  const { commands } = hypercall;
  if (commands.length === 0) return '';
  const prefix = commonPrefix(commands.map(({ name }) => name));
  const short = (name: string) => `\`${name.slice(prefix.length)}\``;
  const there = commands.filter(({ name }) => isNamed(name));
  const missing = commands.filter(({ name, audience }) => !isNamed(name) && audience === 'guest');
  const parts = [];
  if (there.length > 0 && isHandled(hypercall)) parts.push(there.map(({ name }) => short(name)).join(' '));
  if (missing.length > 0 && isHandled(hypercall)) {
    parts.push(`**not yet:** ${missing.map(({ name }) => short(name)).join(' ')}`);
  }
  return parts.join('; ');
}

/** Up to and with an underscore. */
function commonPrefix(names: readonly string[]): string {
  let prefix = names[0]!;
  while (!names.every((name) => name.startsWith(prefix) && name !== prefix)) prefix = prefix.slice(0, -1);
  return prefix.slice(0, prefix.lastIndexOf('_') + 1);
}

function row(hypercall: HypercallDescription): string {
  const { number, name, audience } = hypercall;
  const state = isHandled(hypercall) ? 'yes' : audience === 'guest' ? '**no**' : 'no';
  return `| ${number} | \`${name}\` | ${AUDIENCE[audience]} | ${state} | ${commandsText(hypercall)} |`;
}

const guests = HYPERCALLS.filter(({ audience }) => audience === 'guest');
const table = `# Coverage of the Xen interface

Made by \`npm run coverage-table\` from \`src/abi/xen\` and \`src/xen\`; do not edit.

Of ${guests.length} hypercalls that a PV guest may use, ${guests.filter(isHandled).length} are there. One that is not returns -ENOSYS, as on a Xen that
lacks it, and is counted (\`--stats\`). What only a control domain, an HVM guest or nobody may use is listed for completeness.
Commands that only a control domain may use are refused to a guest, and left out here where nothing names them.

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
