/** Packing an initramfs from files on this machine. */

import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { readCpio } from '../toolstack/cpio.ts';
import { userMessage } from './errors.ts';
import { InitramfsError, makeInitramfs } from './initramfs.ts';

const BUSYBOX = '\x7fELF busybox';
let directory: string;
const at = (name: string) => join(directory, name);

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'ringone-initramfs-'));
  await writeFile(at('busybox'), BUSYBOX);
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
  assert.equal(files.get('bin/busybox'), BUSYBOX);
  assert.match(files.get('init')!, /^#!\/bin\/sh/);
  assert.equal(files.get('etc/motd'), 'hello');
  assert.equal(files.get('etc/message'), 'motd');
  assert.equal(size, (await readFile(at('out'))).length);
});

test('an output named .gz is packed with gzip', async () => {
  await makeInitramfs({ output: at('out.gz'), busybox: at('busybox') });
  assert.equal((await packed('out.gz')).get('bin/busybox'), BUSYBOX);
});

test('a directory with an init of its own needs no busybox', async () => {
  await writeFile(at('tree/init'), 'mine');
  await makeInitramfs({ output: at('out'), directories: [at('tree')] });
  const files = await packed('out');
  assert.equal(files.get('init'), 'mine');
  assert.equal(files.has('bin/busybox'), false);
});

test('a busybox that is asked for is packed beside a directory’s own init', async () => {
  await writeFile(at('tree/init'), 'mine');
  await makeInitramfs({ output: at('out'), busybox: at('busybox'), directories: [at('tree')] });
  const files = await packed('out');
  assert.deepEqual([files.get('init'), files.get('bin/busybox')], ['mine', BUSYBOX]);
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

/** The line for the user about an initramfs of these directories. */
async function refused(directories: readonly string[], options: object = {}): Promise<string> {
  const making = makeInitramfs({ output: at('out'), busybox: at('busybox'), directories, ...options });
  const error: unknown = await making.then(
    () => assert.fail('it was packed'),
    (reason: unknown) => reason,
  );
  const line = userMessage(error);
  assert.ok(line !== undefined && !line.includes('\n'), `${error}`);
  return line;
}

test('busybox goes where the links of a merged /usr lead, with an init of any kind', async () => {
  await mkdir(at('tree/usr/bin'), { recursive: true });
  await symlink('usr/bin', at('tree/bin'));
  await symlink('/usr/sbin', at('tree/sbin'));
  await symlink('bin', at('tree/usr/sbin'));
  await writeFile(at('tree/usr/bin/program'), 'program');
  await writeFile(at('my-init'), 'mine');
  for (const [init, found] of [
    [undefined, /^#!\/bin\/sh/],
    [at('my-init'), /^mine$/],
  ] as const) {
    await makeInitramfs({ output: at('out'), busybox: at('busybox'), init, directories: [at('tree')] });
    const files = await packed('out');
    assert.equal(files.get('bin'), 'usr/bin');
    assert.equal(files.get('sbin'), '/usr/sbin');
    assert.equal(files.get('usr/sbin'), 'bin');
    assert.equal(files.get('usr/bin/busybox'), BUSYBOX);
    assert.equal(files.get('usr/bin/sh'), 'busybox');
    assert.equal(files.get('usr/bin/program'), 'program');
    assert.match(files.get('init')!, found);
  }
});

test('a link that leads out of the tree, or round in a circle, is one line that names it', async () => {
  await symlink('../outside', at('tree/bin'));
  assert.equal(
    await refused([at('tree')]),
    `${at('tree')}: bad link in an archive: "bin" leads out of it, to "../outside"`,
  );
  await rm(at('tree/bin'));
  await symlink('sbin', at('tree/bin'));
  await symlink('bin', at('tree/sbin'));
  assert.match(await refused([at('tree')]), /tree: bad link in an archive: "\w+" leads round in a circle$/);
});

test('a file where a directory is needed is one line that names the directory that brought it', async () => {
  await writeFile(at('tree/bin'), '');
  assert.match(
    await refused([at('tree')]),
    /tree: bad path in an archive: "bin\/\w+", but "bin" is not a dir/,
  );
  await rm(at('tree/bin'));
  await mkdir(at('tree/init'));
  await writeFile(at('tree/init/x'), '');
  await writeFile(at('my-init'), 'mine');
  assert.match(
    await refused([at('tree')], { init: at('my-init') }),
    /tree: bad path in an archive: "init\/x"/,
  );
});

test('a busybox that is no program is one line that names it', async () => {
  await writeFile(at('empty'), '');
  await writeFile(at('text'), '#!/bin/sh\n');
  for (const [name, found] of [
    ['empty', 'an empty file'],
    ['text', 'something else'],
  ]) {
    const line = `${at(name)}: expected busybox as a static program (ELF), found ${found}`;
    assert.equal(await refused([], { busybox: at(name) }), line);
  }
});

test('names and targets of links that are no UTF-8 are packed byte for byte', async (t) => {
  const bytes = (text: string) => Buffer.from(text, 'latin1');
  const folder = bytes(`${at('tree')}/f\xfc`);
  try {
    await mkdir(folder);
  } catch {
    return t.skip('this file system takes no such names');
  }
  await writeFile(Buffer.concat([folder, bytes('/\xff')]), 'content');
  await symlink(bytes('f\xfc/\xff'), bytes(`${at('tree')}/link`));
  await makeInitramfs({ output: at('out'), busybox: at('busybox'), directories: [at('tree')] });
  const archive = await readFile(at('out'));
  assert.ok(archive.includes(bytes('f\xfc/\xff\0')));
  const link = readCpio(archive).find(({ path }) => path === 'link');
  assert.deepEqual(Buffer.from(link!.data!), bytes('f\xfc/\xff'));
});
