/**
 * Holds the rules of the house about imports: they run one way, the core is free of Node and of the browser's page, and
 * nothing goes round in a circle. docs/architecture.md says why.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { test } from 'node:test';

/** Tests run from the project's folder; what is compiled lies elsewhere than its source. */
const source = join(process.cwd(), 'src');

/** For each folder of `src`, the folders that it may import; itself always. The entry `index.ts` is a folder here. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  wasm: [],
  abi: [],
  machine: ['wasm'],
  hypervisor: ['machine'],
  xen: ['abi', 'hypervisor', 'machine'],
  lguest: ['abi', 'hypervisor', 'machine'],
  native: ['abi', 'hypervisor', 'machine'],
  // A host tool that knows WebAssembly and the notes of a Xen kernel.
  translator: ['wasm', 'abi'],
  // The guest's side meets the host's in `abi` only.
  guest: ['abi'],
  toolstack: ['abi', 'xen', 'lguest', 'native', 'hypervisor', 'machine', 'wasm'],
  'index.ts': ['toolstack', 'guest', 'abi', 'xen', 'native', 'hypervisor', 'machine'],
  cli: ['index.ts', 'toolstack', 'guest', 'abi', 'xen', 'lguest', 'native', 'hypervisor', 'machine'],
  web: ['index.ts', 'toolstack', 'guest', 'abi', 'xen', 'lguest', 'native', 'hypervisor', 'machine'],
};

/** These may use Node or the browser's page. */
const SHELLS = ['cli', 'web'];

/** What only Node or only a page has; what both have (TextDecoder, MessageChannel, setTimeout, …) is welcome. */
const PLATFORM_GLOBALS =
  /(?<![.\w])(?:process|Buffer|__dirname|__filename|document|window|navigator|localStorage)\s*[.[(]/;

interface SourceFile {
  /** Below `src`. */
  readonly name: string;
  readonly folder: string;
  /** Tests and what only tests use. */
  readonly isTest: boolean;
  /** Without comments and strings, except those of imports. */
  readonly code: string;
  readonly imports: readonly { readonly specifier: string; readonly typeOnly: boolean }[];
}

function readSource(name: string): SourceFile {
  const text = readFileSync(join(source, name), 'utf8');
  const withoutComments = text.replace(/\/\*[\s\S]*?\*\/|(?<![:'"`\\])\/\/[^\n]*/g, '');
  const statements =
    /^(?:import|export)\s+(type\s)?[^'";]*?from\s*'([^']+)'|^import\s*'([^']+)'|\bimport\(\s*'([^']+)'/gm;
  const imports = [...withoutComments.matchAll(statements)].map(([, type, from, bare, dynamic]) => ({
    specifier: (from ?? bare ?? dynamic)!,
    typeOnly: type !== undefined,
  }));
  return {
    name,
    folder: name.split('/')[0]!,
    isTest: /\.test\.ts$|(?:^|\/)(?:test-[^/]*\.ts$|(?:testing|vectors)\/)/.test(name),
    code: withoutComments.replace(/'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"/g, "''"),
    imports,
  };
}

const files = readdirSync(source, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts') && !name.endsWith('.generated.ts'))
  .sort()
  .map(readSource);
const product = files.filter(({ isTest }) => !isTest);

/** The file below `src` that a relative specifier names; AssemblyScript leaves the extension out. */
function target(file: SourceFile, specifier: string): string {
  const path = join(source, dirname(file.name), specifier);
  return relative(source, existsSync(path) ? path : `${path}.ts`);
}

function relativeImports(file: SourceFile) {
  return file.imports
    .filter(({ specifier }) => specifier.startsWith('.'))
    .map(({ specifier, typeOnly }) => ({ name: target(file, specifier), typeOnly }));
}

test('there are sources, and their imports are found', () => {
  assert.ok(product.length > 50, `${product.length} files`);
  assert.ok(product.flatMap(relativeImports).length > product.length);
});

test('imports run one way between the folders', () => {
  const wrong = product.flatMap((file) => {
    const allowed = MAY_IMPORT[file.folder];
    if (allowed === undefined) return [`${file.name} stands in a folder that has no rule yet`];
    return relativeImports(file)
      .map(({ name }) => name.split('/')[0]!)
      .filter((folder) => folder !== file.folder && !allowed.includes(folder))
      .map((folder) => `${file.name} imports ${folder}`);
  });
  assert.deepEqual(wrong, []);
});

test('only the shells use Node', () => {
  const wrong = product
    .filter(({ folder }) => !SHELLS.includes(folder))
    .flatMap((file) =>
      file.imports.filter(({ specifier }) => specifier.startsWith('node:')).map(() => file.name),
    );
  assert.deepEqual(wrong, []);
});

test('only the shells use what Node or a page alone has', () => {
  const wrong = product
    .filter(({ folder, code }) => !SHELLS.includes(folder) && PLATFORM_GLOBALS.test(code))
    .map(({ name, code }) => `${name}: ${PLATFORM_GLOBALS.exec(code)![0]}`);
  assert.deepEqual(wrong, []);
});

test('nothing but tests imports tests', () => {
  const tests = new Set(files.filter(({ isTest }) => isTest).map(({ name }) => name));
  const wrong = product.flatMap((file) =>
    relativeImports(file)
      .filter(({ name }) => tests.has(name))
      .map(({ name }) => `${file.name} imports ${name}`),
  );
  assert.deepEqual(wrong, []);
});

test('nothing is imported in a circle, types apart', () => {
  const edges = new Map(
    product.map((file) => [
      file.name,
      relativeImports(file)
        .filter(({ typeOnly }) => !typeOnly)
        .map(({ name }) => name),
    ]),
  );
  const finished = new Set<string>();
  const circles: string[] = [];
  const visit = (name: string, path: readonly string[]) => {
    if (path.includes(name)) circles.push([...path.slice(path.indexOf(name)), name].join(' -> '));
    if (finished.has(name) || path.includes(name)) return;
    for (const next of edges.get(name) ?? []) visit(next, [...path, name]);
    finished.add(name);
  };
  for (const name of edges.keys()) visit(name, []);
  assert.deepEqual(circles, []);
});

test('there are no default exports', () => {
  const wrong = product.filter(({ code }) => /^export default\b/m.test(code)).map(({ name }) => name);
  assert.deepEqual(wrong, []);
});
