/**
 * The programs of Debian's package xenstore-utils, unmodified, against our daemon: their socket is served
 * over `Connection`, byte for byte. Without the programs the tests are skipped, or fail if
 * RINGONE_REQUIRE_GUESTS is 1.
 */

import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { Xenstored } from '../src/toolstack/xenstore/xenstored.ts';

const missing = spawnSync('xenstore-ls', ['-h']).error !== undefined;
const required = process.env.RINGONE_REQUIRE_GUESTS === '1';
const reason = 'xenstore-ls is not installed (package xenstore-utils)';

const run = promisify(execFile);

if (missing && required) {
  it('the clients of xenstore-utils are installed', () => assert.fail(reason));
}

describe('the clients of xenstore-utils', { skip: missing ? reason : false }, () => {
  let directory: string;
  let path: string;
  let server: Server;
  let xenstored: Xenstored;

  const xenstore = async (command: string, ...parameters: string[]): Promise<string> => {
    const env = { ...process.env, XENSTORED_PATH: path };
    return (await run(`xenstore-${command}`, parameters, { env })).stdout;
  };

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'ringone-xenstore-'));
    path = join(directory, 'socket');
    xenstored = new Xenstored();
    server = createServer((socket) => serve(xenstored, socket)).listen(path);
    await once(server, 'listening');
  });

  after(() => {
    server?.close();
    if (directory) rmSync(directory, { recursive: true });
  });

  it('write a value and read it back', async () => {
    await xenstore('write', '/test/answer', '42', '/test/name', 'ring one');
    assert.equal(await xenstore('read', '/test/answer'), '42\n');
    assert.equal(await xenstore('read', '/test/answer', '/test/name'), '42\nring one\n');
    assert.equal(xenstored.client().readText('/test/name'), 'ring one');
  });

  it('list a directory and print the tree with permissions', async () => {
    await xenstore('write', '/tree/b/c', 'deep');
    await xenstore('write', '/tree/a', 'shallow');
    assert.equal(await xenstore('list', '/tree'), 'b\na\n');
    assert.equal(await xenstore('ls', '/tree'), 'b = ""\n c = "deep"\na = "shallow"\n');
    assert.equal(
      await xenstore('ls', '-f', '-p', '/tree'),
      ['/tree/b = ""   (n0)', '/tree/b/c = "deep"   (n0)', '/tree/a = "shallow"   (n0)', ''].join('\n'),
    );
  });

  it('say whether a node exists, and remove it', async () => {
    await xenstore('write', '/gone/soon', '1');
    await xenstore('exists', '/gone/soon');
    await xenstore('rm', '/gone/soon');
    await assert.rejects(xenstore('exists', '/gone/soon'));
    await assert.rejects(xenstore('read', '/gone/soon'), /couldn't read path \/gone\/soon/);
  });

  it('change permissions for a domain that exists', async () => {
    xenstored.createDomain(7);
    await xenstore('write', '/shared', 'x');
    await xenstore('chmod', '/shared', 'n0', 'b7');
    assert.deepEqual(xenstored.client().getPermissions('/shared'), ['n0', 'b7']);
    assert.equal(xenstored.client(7).readText('/shared'), 'x');
  });

  it('list a directory that is longer than a payload', async () => {
    const client = xenstored.client();
    const names = Array.from({ length: 600 }, (_, index) => `a-name-of-some-length-${index}`);
    for (const name of names) client.write(`/long/${name}`, '');
    assert.equal(await xenstore('list', '/long'), `${names.join('\n')}\n`);
  });

  it('wait for a change', async () => {
    const env = { ...process.env, XENSTORED_PATH: path };
    const watcher = spawn('xenstore-watch', ['-n', '2', '/watched'], {
      env,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const output = collect(watcher);
    await once(watcher.stdout, 'data'); // the first event comes at once
    await xenstore('write', '/watched/below', 'now');
    assert.equal(await output, '/watched\n/watched/below\n');
  });
});

/** Carries the bytes between a socket and a new connection of the control domain. */
function serve(xenstored: Xenstored, socket: Socket): void {
  const connection = xenstored.connect();
  const buffer = new Uint8Array(65536);
  let full = false;
  connection.onOutput = () => {
    while (connection.pending && !full) full = !socket.write(buffer.slice(0, connection.pull(buffer)));
  };
  connection.onFault = () => socket.destroy();
  socket.on('drain', () => {
    full = false;
    connection.resumeOutput();
  });
  socket.on('data', (bytes) => connection.receive(bytes));
  socket.on('error', () => socket.destroy());
  socket.on('close', () => connection.close());
}

async function collect(process: ChildProcess): Promise<string> {
  let text = '';
  process.stdout!.on('data', (bytes) => {
    text += bytes;
  });
  await once(process, 'close');
  return text;
}
