/** Packing an initramfs from files on this machine. */

import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { readCpio } from '../toolstack/cpio.ts';
import { InitramfsError, makeInitramfs } from './initramfs.ts';

let directory: string;
const at = (name: string) => join(directory, name);

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'ringone-initramfs-'));
  await writeFile(at('busybox'), 'busybox');
  await mkdir(at('tree/etc'), { recursive: true });
  await writeFile(at('tree/etc/motd'), 'hello');
  await symlink('motd', at('tree/etc/message'));
});

afterEach(() => rm(directory, { recursive: true, force: true }));

async function packed(name: string): Promise<Map<string, string>> {
  const bytes = await readFile(at(name));
  const archive = name.endsWith('.gz') ? gunzipSync(bytes) : bytes;
  return new Map(readCpio(archive).map(({ path, data }) => [path, new TextDecoder().decode(data)]));
}

test('busybox, its init and the contents of directories are packed', async () => {
  const size = await makeInitramfs({ output: at('out'), busybox: at('busybox'), directories: [at('tree')] });
  const files = await packed('out');
  assert.equal(files.get('bin/busybox'), 'busybox');
  assert.match(files.get('init')!, /^#!\/bin\/sh/);
  assert.equal(files.get('etc/motd'), 'hello');
  assert.equal(files.get('etc/message'), 'motd');
  assert.equal(size, (await readFile(at('out'))).length);
});

test('an output named .gz is packed with gzip', async () => {
  await makeInitramfs({ output: at('out.gz'), busybox: at('busybox') });
  assert.equal((await packed('out.gz')).get('bin/busybox'), 'busybox');
});

test('a directory with an init of its own needs no busybox', async () => {
  await writeFile(at('tree/init'), 'mine');
  await makeInitramfs({ output: at('out'), directories: [at('tree')] });
  const files = await packed('out');
  assert.equal(files.get('init'), 'mine');
  assert.equal(files.has('bin/busybox'), false);
});

test('--init wins over an init in a directory', async () => {
  await writeFile(at('tree/init'), 'theirs');
  await writeFile(at('my-init'), 'mine');
  await makeInitramfs({ output: at('out'), init: at('my-init'), directories: [at('tree')] });
  assert.equal((await packed('out')).get('init'), 'mine');
});

test('a missing file is one line that names it', async () => {
  const options = { output: at('out'), busybox: at('busybox') };
  for (const wrong of [{ busybox: at('none') }, { init: at('none') }, { directories: [at('none')] }]) {
    await assert.rejects(makeInitramfs({ ...options, ...wrong }), (error: unknown) => {
      assert.ok(error instanceof InitramfsError);
      assert.equal(error.message, `${at('none')}: no such file or directory`);
      return true;
    });
  }
  await assert.rejects(
    makeInitramfs({ ...options, output: at('none/out') }),
    /none\/out: no such file or directory/,
  );
});
