/**
 * The test page's server, on a port of the loopback device that nobody else has, and what it serves: the
 * library as one file, the page and its worker, and whatever the test adds.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { build } from 'esbuild';

const JAVASCRIPT = 'text/javascript';
const LIBRARY = '/ringone.js';

export interface Site {
  readonly url: string;
  /** More to serve, by path. */
  readonly files: Map<string, Uint8Array>;
  close(): Promise<void>;
}

export interface Bundle {
  readonly content: Uint8Array;
  /** What the file still imports. */
  readonly imports: readonly string[];
}

/**
 * The library as one module, out of src/index.ts and the packages that it needs. A module of Node's cannot be
 * resolved for a browser, so one anywhere in the core would fail here.
 */
export function bundleLibrary(): Promise<Bundle> {
  return bundle('src/index.ts');
}

/** `ringone` in a page's scripts is the library's file, not a second copy of it. */
async function bundle(entry: string, alias: Readonly<Record<string, string>> = {}): Promise<Bundle> {
  const { outputFiles, metafile } = await build({
    entryPoints: [entry],
    bundle: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    alias: { ...alias },
    external: Object.values(alias),
    // Without the project's paths, which lead to the library's sources.
    tsconfigRaw: '{}',
    outdir: 'out',
    write: false,
    metafile: true,
    logLevel: 'silent',
  });
  const [output] = Object.values(metafile.outputs);
  return { content: outputFiles[0]!.contents, imports: output!.imports.map(({ path }) => path) };
}

export async function openSite(): Promise<Site> {
  const page =
    '<!doctype html><title>ringone</title><pre></pre><script type="module" src="/page.js"></script>';
  const scripts = await Promise.all([
    bundleLibrary(),
    bundle('test/browser/page.ts'),
    bundle('test/browser/worker.ts', { ringone: LIBRARY }),
  ]);
  const files = new Map<string, Uint8Array>([
    ['/', new TextEncoder().encode(page)],
    ...[LIBRARY, '/page.js', '/worker.js'].map((path, i) => [path, scripts[i]!.content] as const),
  ]);
  const server = createServer(({ url }, response) => {
    const content = files.get(url!);
    if (content === undefined) return void response.writeHead(404).end();
    const type = url === '/' ? 'text/html' : url!.endsWith('.js') ? JAVASCRIPT : 'application/octet-stream';
    response.writeHead(200, { 'content-type': type }).end(content);
  });
  await new Promise<void>((resolve, reject) => {
    server.on('error', reject).listen(0, '127.0.0.1', resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    files,
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
