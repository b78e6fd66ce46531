/** The initramfs that boots to a busybox shell. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CpioEntry, cpio, readCpio } from './cpio.ts';
import { buildBusyboxInitramfs } from './initramfs.ts';

const busybox = Uint8Array.of(1, 2, 3);
const byPath = (archive: Uint8Array) =>
  new Map<string, CpioEntry>(readCpio(archive).map((entry) => [entry.path, entry]));
const textOf = (entry: CpioEntry | undefined) => new TextDecoder().decode(entry?.data);

test('it holds what Linux needs to reach a shell', () => {
  const files = byPath(buildBusyboxInitramfs({ busybox }));
  assert.deepEqual(files.get('bin/busybox')?.data, busybox);
  assert.equal(files.get('bin/busybox')?.mode, 0o100755);
  assert.equal(textOf(files.get('bin/sh')), 'busybox');
  assert.equal(files.get('init')?.mode, 0o100755);
  assert.deepEqual(files.get('dev/console')?.device, { major: 5, minor: 1 });
  assert.equal(files.get('dev/console')?.mode, 0o020600);
  for (const path of ['proc', 'sys', 'dev', 'tmp', 'root', 'usr/bin', 'usr/sbin', 'sbin']) {
    assert.equal((files.get(path)?.mode ?? 0) & 0o170000, 0o040000, path);
  }
});

test('its init mounts before it starts the shell, and powers off after', () => {
  const lines = textOf(byPath(buildBusyboxInitramfs({ busybox })).get('init')).split('\n');
  assert.equal(lines[0], '#!/bin/sh');
  const order = ['mount -t proc', 'mount -t devtmpfs', 'setsid cttyhack sh', 'poweroff -f'].map((start) =>
    lines.findIndex((line) => line.startsWith(start)),
  );
  assert.ok(order[0] > 0);
  assert.deepEqual(
    order,
    [...order].sort((a, b) => a - b),
  );
});

test('an init and files of the caller take the place of its own', () => {
  const init = new TextEncoder().encode('#!/bin/sh\necho mine\n');
  const archive = buildBusyboxInitramfs({
    busybox,
    init,
    files: [cpio.file('etc/passwd', Uint8Array.of(7)), cpio.file('extra/file', init)],
  });
  const files = byPath(archive);
  assert.deepEqual(files.get('init')?.data, init);
  assert.deepEqual(files.get('etc/passwd')?.data, Uint8Array.of(7));
  assert.deepEqual(files.get('extra/file')?.data, init);
});

test('its own files go where links of the caller lead', () => {
  const links = { bin: 'usr/bin', etc: '/config', mnt: '../elsewhere', root: '/' };
  const files = byPath(
    buildBusyboxInitramfs({
      busybox,
      files: [
        ...Object.entries(links).map(([path, target]) => cpio.symlink(path, target)),
        cpio.file('usr/bin/sh', Uint8Array.of(7)),
      ],
    }),
  );
  for (const [path, target] of Object.entries(links)) assert.equal(textOf(files.get(path)), target);
  assert.deepEqual(files.get('usr/bin/busybox')?.data, busybox);
  assert.deepEqual(files.get('usr/bin/sh')?.data, Uint8Array.of(7));
  assert.match(textOf(files.get('config/passwd')), /^root:/);
});

test('the same files make the same bytes', () => {
  assert.deepEqual(buildBusyboxInitramfs({ busybox }), buildBusyboxInitramfs({ busybox }));
});
