import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import type { HypercallFamily } from '../xen/hypercalls/dispatch.ts';
import { hypercallName } from '../xen/hypercalls/names.ts';
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
