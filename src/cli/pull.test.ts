/** Pulling guests, against an apt of the test's own: three small scripts that stand first in PATH. */

import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { addCacheEntry, cacheEntries, defaultCacheDirectory, withCacheLock } from './cache.ts';
import { debianKernel, PullError, pullDebian } from './pull.ts';

let directory: string;
let cacheDir: string;
const savedPath = process.env.PATH;

/** Packages known to the fake apt-cache, NAME=VERSION each. */
const archive = [
  'linux-image-6.1.0-9-cloud-amd64-unsigned=6.1.100-1',
  'linux-image-6.1.0-10-cloud-amd64-unsigned=6.1.120-1',
  'linux-image-6.1.0-11-cloud-amd64-dbg=6.1.130-1',
  'linux-image-6.1.0-12-amd64-unsigned=6.1.140-1',
  'linux-image-6.1.0-13-cloud-amd64-unsigned=(none)',
  'busybox-static=1:1.35.0-4',
];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'ringone-pull-'));
  cacheDir = join(directory, 'cache');
  await mkdir(join(directory, 'bin'));
  process.env.PATH = `${join(directory, 'bin')}:${savedPath}`;
  await writeFile(join(directory, 'archive'), `${archive.join('\n')}\n`);
  await program(
    'apt-cache',
    `case $1 in
      pkgnames) sed 's/=.*//' '${directory}/archive' | grep "^$2" || true;;
      policy) echo "$2:"; echo "  Candidate: $(sed -n "s/^$2=//p" '${directory}/archive')";;
    esac`,
  );
  await program(
    'apt-get',
    `echo "$@" >> '${directory}/calls'
    while [ "$1" != download ] && [ "$1" != update ]; do shift; done
    [ "$1" = download ] || exit 0
    shift
    echo 'dlstatus:1:50.0:Retrieving file 1 of 2' >&3
    for item; do echo x > "\${item%%=*}_version_amd64.deb"; done`,
  );
  await program(
    'dpkg-deb',
    `case $2 in
      */linux-image-*)
        release=\${2##*/linux-image-}; release=\${release%%-unsigned*}
        mkdir -p "$3/boot" "$3/lib/modules/$release"; echo kernel > "$3/boot/vmlinuz-$release";;
      */busybox*) mkdir -p "$3/bin"; echo busybox > "$3/bin/busybox";;
    esac`,
  );
});

afterEach(async () => {
  process.env.PATH = savedPath;
  await rm(directory, { recursive: true, force: true });
});

async function program(name: string, script: string): Promise<void> {
  const path = join(directory, 'bin', name);
  await writeFile(path, `#!/bin/sh\n${script}\n`);
  await chmod(path, 0o755);
}

async function calls(): Promise<string[]> {
  const text = await readFile(join(directory, 'calls'), 'utf8').catch(() => '');
  return text.split('\n').filter((line) => line !== '');
}

test('the newest kernel of its kind is brought, with modules and busybox', async () => {
  const entry = join(cacheDir, 'linux-image-6.1.0-10-cloud-amd64-unsigned_6.1.120-1');
  const pulled = await pullDebian('cloud', { cacheDir });
  assert.deepEqual(pulled, {
    name: 'debian:cloud',
    version: '6.1.120-1',
    kernel: join(entry, 'boot/vmlinuz-6.1.0-10-cloud-amd64'),
    modules: join(entry, 'lib/modules/6.1.0-10-cloud-amd64'),
    busybox: join(cacheDir, 'busybox-static_1%3a1.35.0-4', 'bin/busybox'),
  });
  assert.equal(await readFile(pulled.kernel, 'utf8'), 'kernel\n');
});

test('what is in the cache is not fetched again', async () => {
  await pullDebian('cloud', { cacheDir });
  await pullDebian('cloud', { cacheDir });
  assert.equal((await calls()).length, 1);
  await pullDebian('6.1', { cacheDir });
  assert.match(
    (await calls())[1],
    /download linux-image-6\.1\.0-12-amd64-unsigned=6\.1\.140-1$/,
    'busybox is there already',
  );
});

test('pulls at the same time fetch each package once', async () => {
  const all = await Promise.all([1, 2, 3].map(() => pullDebian('cloud', { cacheDir })));
  assert.deepEqual(all[0], all[2]);
  assert.equal((await calls()).length, 1);
});

test('progress is shown as apt reports it', async () => {
  const shown: string[] = [];
  const progress = {
    show: (label: string, fraction?: number) => shown.push(`${label} ${fraction}`),
    clear: () => shown.push('clear'),
  };
  await pullDebian('cloud', { cacheDir, progress });
  const fetching = 'fetching linux-image-6.1.0-10-cloud-amd64-unsigned, busybox-static';
  assert.deepEqual(shown, [
    'looking for the newest packages undefined',
    `${fetching} 0`,
    `${fetching} 0.5`,
    'unpacking linux-image-6.1.0-10-cloud-amd64-unsigned undefined',
    'unpacking busybox-static undefined',
    'clear',
  ]);
});

test('a failed download leaves the cache empty and is one line that says what to pass instead', async () => {
  await program('apt-get', "echo 'E: Failed to fetch x  Could not resolve host' >&2; exit 100");
  await assert.rejects(pullDebian('cloud', { cacheDir }), (error: unknown) => {
    assert.ok(error instanceof PullError);
    assert.match(
      error.message,
      /^cannot pull debian:cloud: .*Could not resolve host; with a kernel .*--kernel FILE --ramdisk FILE$/,
    );
    return true;
  });
  assert.deepEqual(await readdir(cacheDir), []);
});

test('a package that does not unpack leaves no entry', async () => {
  await program('dpkg-deb', 'mkdir "$3/boot"; echo half > "$3/boot/vmlinuz"; exit 2');
  await assert.rejects(pullDebian('cloud', { cacheDir }), PullError);
  assert.deepEqual(await readdir(cacheDir), []);
});

test('without a network the newest copy in the cache serves, with a notice', async () => {
  const first = await pullDebian('cloud', { cacheDir });
  await program('apt-get', 'exit 100');
  await writeFile(join(directory, 'archive'), `${archive.join('\n').replaceAll('6.1.120-1', '6.1.121-1')}\n`);
  const notices: string[] = [];
  assert.deepEqual(await pullDebian('cloud', { cacheDir, notice: (line) => notices.push(line) }), first);
  assert.equal(notices.length, 1);
  assert.match(
    notices[0],
    /^using the copy of debian:cloud in .*, which may not be the newest: apt-get failed/,
  );
});

test('where there is no apt, it says so', async () => {
  process.env.PATH = join(directory, 'nowhere');
  await assert.rejects(
    pullDebian('cloud', { cacheDir }),
    /cannot pull debian:cloud: there is no apt-cache on this machine; /,
  );
});

test('where apt knows no such package, it says so', async () => {
  await writeFile(join(directory, 'archive'), 'busybox-static=1:1.35.0-4\n');
  await assert.rejects(pullDebian('6.12', { cacheDir }), /apt knows no package linux-image-6\.12\.\*/);
});

test('an aborted pull leaves nothing behind', async () => {
  await program('apt-get', 'exec sleep 100');
  const aborter = new AbortController();
  const progress = { show: (_: string, fraction?: number) => fraction === 0 && aborter.abort(), clear() {} };
  await assert.rejects(pullDebian('cloud', { cacheDir, progress, signal: aborter.signal }), {
    name: 'AbortError',
  });
  assert.deepEqual(await readdir(cacheDir), []);
});

/** Runs `action` without the rights of root, if it is root that runs the test. */
async function withoutPrivileges(action: () => Promise<void>): Promise<void> {
  const user = process.geteuid!();
  if (user === 0) {
    await chmod(directory, 0o755);
    process.seteuid!(65534);
  }
  try {
    await action();
  } finally {
    process.seteuid!(user);
  }
}

/** Raised without a look at apt's archive: what apt knows would be of no use. */
async function assertUnusable(
  cache: string,
  reason: string,
  kernel: '6.1' | 'cloud' = 'cloud',
): Promise<void> {
  const shown: string[] = [];
  const progress = { show: (label: string) => shown.push(label), clear() {} };
  await assert.rejects(pullDebian(kernel, { cacheDir: cache, progress }), (error: unknown) => {
    assert.ok(error instanceof PullError, `${error}`);
    const expected = `cannot pull debian:${kernel}: the cache ${cache} cannot be written: ${reason} `;
    assert.equal(error.message.slice(0, expected.length), expected);
    return true;
  });
  assert.deepEqual(shown, []);
}

test('a cache that cannot be is one line that names it', async () => {
  const file = join(directory, 'file');
  await writeFile(file, '');
  await assertUnusable(file, `${file} is no directory`);
  await assertUnusable(join(file, 'below/it'), 'a part of the path is no directory');
  const dangling = join(directory, 'dangling');
  await symlink(join(directory, 'nowhere'), dangling);
  await assertUnusable(dangling, `${dangling} is no directory`);
});

test(
  'a cache below a directory that takes none is one line that names it',
  {
    skip: process.platform === 'linux' ? false : 'there is no /proc',
  },
  () => assertUnusable('/proc/ringone/cache', '/proc takes no directory'),
);

test('a cache that one may not write to is one line that names it, unless everything is there', async () => {
  await mkdir(cacheDir);
  await withoutPrivileges(async () => {
    await assertUnusable('/ringone-cache', 'permission denied');
  });
  const first = await pullDebian('cloud', { cacheDir });
  await chmod(cacheDir, 0o555);
  const notices: string[] = [];
  const notice = (line: string) => notices.push(line);
  await withoutPrivileges(async () => {
    assert.deepEqual(await pullDebian('cloud', { cacheDir, notice }), first);
    assert.deepEqual(notices, []);
    await assertUnusable(cacheDir, 'permission denied', '6.1');
  });
  await writeFile(join(directory, 'archive'), `${archive.join('\n').replaceAll('6.1.120-1', '6.1.121-1')}\n`);
  await withoutPrivileges(async () => {
    assert.deepEqual(await pullDebian('cloud', { cacheDir, notice }), first);
  });
  assert.equal(notices.length, 1);
  assert.match(
    notices[0],
    /^using the copy of debian:cloud in .*, which may not be the newest: the cache .* cannot be written: permission denied/,
  );
  // Or its owner, who is not root, could not take it away.
  await chmod(cacheDir, 0o755);
});

test('what a killed process left is cleared away, and is never an entry', async () => {
  await mkdir(join(cacheDir, '.incoming-dead', 'entry'), { recursive: true });
  assert.deepEqual(await cacheEntries(cacheDir), []);
  await withCacheLock(cacheDir, async () => {});
  assert.deepEqual(await readdir(cacheDir), []);
});

test('an entry that has come up meanwhile is kept', async () => {
  await addCacheEntry(cacheDir, 'entry', (entry) => writeFile(join(entry, 'file'), 'first'));
  const path = await addCacheEntry(cacheDir, 'entry', (entry) => writeFile(join(entry, 'file'), 'second'));
  assert.equal(await readFile(join(path, 'file'), 'utf8'), 'first');
});

test('guests are named debian:KERNEL', () => {
  assert.equal(debianKernel('debian:6.12'), '6.12');
  assert.equal(debianKernel('debian'), 'cloud');
  for (const name of ['debian:5.10', 'debian:toString', 'ubuntu', '/boot/debian:6.1'])
    assert.equal(debianKernel(name), undefined);
});

test('the cache is where RINGONE_CACHE says, else under XDG_CACHE_HOME, else under ~/.cache', () => {
  const saved = { ...process.env };
  try {
    process.env.RINGONE_CACHE = '/a';
    process.env.XDG_CACHE_HOME = '/b';
    assert.equal(defaultCacheDirectory(), '/a');
    delete process.env.RINGONE_CACHE;
    assert.equal(defaultCacheDirectory(), '/b/ringone');
    delete process.env.XDG_CACHE_HOME;
    assert.match(defaultCacheDirectory(), /\/\.cache\/ringone$/);
  } finally {
    process.env = saved;
  }
});
