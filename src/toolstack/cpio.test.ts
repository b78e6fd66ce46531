/** Archives: what is packed can be read back, by this reader and by others. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { bytesOfPath, CpioError, cpio, fileTypes, pathOfBytes, readCpio, writeCpio } from './cpio.ts';

const text = (value: string) => new TextEncoder().encode(value);

const entries = [
  cpio.directory('etc'),
  cpio.file('etc/motd', text('hello\n')),
  cpio.file('etc/empty', text(''), 0o600),
  cpio.symlink('etc/message', 'motd'),
  cpio.directory('dev', 0o700),
  cpio.characterDevice('dev/console', 5, 1),
  cpio.file('odd name ü', text('x'), 0o755),
];

test('what is packed comes back, sorted by path', () => {
  const read = readCpio(writeCpio(entries));
  const expected = [...entries].sort((a, b) => (a.path < b.path ? -1 : 1));
  assert.deepEqual(
    read.map(({ path, mode, device }) => ({ path, mode, device })),
    expected.map(({ path, mode, device }) => ({ path, mode, device })),
  );
  assert.deepEqual(
    read.map(({ data }) => new TextDecoder().decode(data)),
    expected.map(({ data }) => new TextDecoder().decode(data)),
  );
});

test('the order of the entries makes no difference to the bytes', () => {
  assert.deepEqual(writeCpio([...entries].reverse()), writeCpio(entries));
});

test('a member is laid out as the kernel documents it', () => {
  const archive = writeCpio([cpio.file('init', text('abcde'), 0o755)]);
  const fields = ['00000001', '000081ed', '00000000', '00000000', '00000001', '00000000', '00000005'];
  const rest = ['00000000', '00000000', '00000000', '00000000', '00000005', '00000000'];
  const expected = `070701${[...fields, ...rest].join('')}init\0\0abcde\0\0${'\0'}070701`;
  assert.equal(Buffer.from(archive.subarray(0, expected.length)).toString('latin1'), expected);
  assert.equal(archive.length % 512, 0);
});

test('a missing parent directory is added and a later entry replaces an earlier one', () => {
  const read = readCpio(writeCpio([cpio.file('a/b/c', text('1')), cpio.file('a/b/c', text('2'))]));
  assert.deepEqual(
    read.map(({ path, mode }) => `${path} ${mode.toString(8)}`),
    ['a 40755', 'a/b 40755', 'a/b/c 100644'],
  );
  assert.equal(new TextDecoder().decode(read[2].data), '2');
});

test('a path that leads out of the root, or through a file, is refused', () => {
  for (const path of ['/etc', 'a/../b', '..', './a', 'a//b', 'a/', '', 'TRAILER!!!']) {
    assert.throws(() => writeCpio([cpio.file(path, text(''))]), CpioError, path);
  }
  assert.throws(
    () => writeCpio([cpio.file('a', text('')), cpio.file('a/b', text(''))]),
    /"a" is not a directory/,
  );
});

test('a path that is no UTF-8 comes back as the same bytes', () => {
  for (const bytes of ['a', 'ü/€/💀', '\xff', 'ü/\x80\xfe/€'].map((name, i) =>
    Buffer.from(name, i < 2 ? 'utf8' : 'latin1'),
  )) {
    assert.deepEqual(Buffer.from(bytesOfPath(pathOfBytes(bytes))), bytes);
    const [entry] = readCpio(writeCpio([cpio.file(pathOfBytes(Buffer.from('\xff', 'latin1')), bytes)]));
    assert.deepEqual(Buffer.from(bytesOfPath(entry.path)), Buffer.of(0xff));
  }
  assert.equal(pathOfBytes(Buffer.from('ü/€/💀')), 'ü/€/💀');
});

test('a path of any number of names that are no UTF-8 can be read', () => {
  const bytes = new Uint8Array(40_000).fill(0x2f);
  for (let i = 1; i < bytes.length; i += 2) bytes[i] = 0xff;
  assert.deepEqual(bytesOfPath(pathOfBytes(bytes)), bytes);
  assert.equal(pathOfBytes(text('/a//b/')), '/a//b/');
  assert.equal(pathOfBytes(text('\ufeffa')), '\ufeffa');
  assert.equal(pathOfBytes(text('')), '');
});

/** The archive with one of its first header's fields, of which each has eight digits, changed. */
function withField(archive: Uint8Array, field: number, value: number): Uint8Array {
  const changed = archive.slice();
  changed.set(text(value.toString(16).padStart(8, '0').toUpperCase()), 6 + field * 8);
  return changed;
}

test('a member whose path or data is as long as no archive can have it is refused', () => {
  const [filesize, namesize] = [6, 11];
  const archive = writeCpio([cpio.file('a'.repeat(4095), new Uint8Array(3000))]);
  assert.equal(readCpio(archive)[0].path.length, 4095);
  assert.deepEqual(readCpio(withField(archive, namesize, 4096)), readCpio(archive), 'digits in upper case');
  assert.throws(() => readCpio(withField(archive, namesize, 4097)), /a path of 4097 bytes at 0/);
  assert.throws(() => readCpio(withField(archive, namesize, 0)), /no path at 0/);
  assert.throws(() => readCpio(withField(archive, namesize, archive.length)), /no path at 0/);
  assert.throws(() => readCpio(archive.subarray(0, 110 + 4095)), /no path at 0/);
  const dataAt = 110 + 4096 + 2;
  const rest = archive.length - dataAt;
  assert.throws(() => readCpio(withField(archive, filesize, rest + 1)), /"a+.*" does not end/);
  assert.throws(() => readCpio(withField(archive, filesize, rest)), /no trailer/);
});

test('an archive keeps a path apart from what would end it', () => {
  assert.throws(() => writeCpio([cpio.file('a\0b', text(''))]), CpioError);
  assert.throws(() => writeCpio([cpio.file('TRAILER!!!', text(''))]), CpioError);
});

test('a directory counts as two links, and devices keep their numbers', () => {
  const device = { path: 'disk', mode: fileTypes.block | 0o660, device: { major: 202, minor: 1 } };
  const archive = writeCpio([cpio.directory('etc'), device, cpio.characterDevice('tty', 4, 64)]);
  assert.deepEqual(readCpio(archive), [
    device,
    { path: 'etc', mode: fileTypes.directory | 0o755 },
    { path: 'tty', mode: fileTypes.character | 0o600, device: { major: 4, minor: 64 } },
  ]);
  const nlinkOf = (path: string) =>
    Buffer.from(archive)
      .toString('latin1', Buffer.from(archive).indexOf(`${path}\0`) - 110)
      .slice(38, 46);
  assert.deepEqual(['disk', 'etc', 'tty'].map(nlinkOf), ['00000001', '00000002', '00000001']);
});

test('an archive that is cut before its trailer is refused', () => {
  const archive = writeCpio(entries);
  const trailer = Buffer.from(archive).lastIndexOf('TRAILER!!!');
  for (let length = 0; length < trailer + 10; length += 7) {
    assert.throws(() => readCpio(archive.subarray(0, length)), CpioError, `cut to ${length}`);
  }
  assert.throws(() => readCpio(text('070707'.padEnd(200, '0'))), /not a newc archive/);
});

/** A program on this machine that lists newc archives, or undefined. */
const lister = [
  ['cpio', '-t'],
  ['busybox', 'cpio', '-t'],
  ['bsdtar', '-tf', '-'],
].find(([program, ...args]) => {
  try {
    execFileSync(program, args, { input: writeCpio([]), stdio: ['pipe', 'ignore', 'ignore'] });
    return true;
  } catch {
    return false;
  }
});

test("the system's own cpio lists the same paths", {
  skip: lister ? false : 'no cpio on this machine',
}, () => {
  const [program, ...args] = lister!;
  const listed = execFileSync(program, args, {
    input: writeCpio(entries),
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const paths = readCpio(writeCpio(entries)).map(({ path }) => path);
  assert.deepEqual(listed.toString().trim().split('\n').slice(0, -1), paths.slice(0, -1));
});
