/** What stands around a domain that was launched, with the tiny guest: entries in the store, both rings, its end. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { __HYPERVISOR_console_io } from '../abi/xen/numbers/index.ts';
import { shared_info } from '../abi/xen/structures/index.ts';
import { buildTinyGuest } from '../guest/tiny/guest.ts';
import { DomainBuildError } from '../xen/builder/index.ts';
import type { XenDomain } from '../xen/domain.ts';
import { HypercallArguments } from '../xen/hypercalls/arguments.ts';
import { testHost, WINDOW } from '../xen/hypercalls/test-world.ts';
import { ConsoleOffset } from './console/console.ts';
import { loadKernelImage } from './images/index.ts';
import { type LaunchOptions, launch } from './launch.ts';
import { MachinePage } from './machine-page.ts';
import { xenHypercalls } from './xen-hypercalls.ts';
import { Xenstored } from './xenstore/xenstored.ts';

const kernel = await loadKernelImage(buildTinyGuest(), 'tiny');
const hypercalls = xenHypercalls();

/** A host and its store. */
function setUp() {
  const machine = testHost(16384);
  const store = new Xenstored();
  const seen = { printed: '', said: '' };
  const options: LaunchOptions = {
    name: 'web',
    kernel,
    commandLine: 'one two',
    memoryMib: 16,
    maxMemoryMib: 24,
    wallClockMs: 1_700_000_000_250,
    hypercalls,
    onOutput: (bytes) => {
      seen.printed += Buffer.from(bytes).toString('latin1');
    },
    onDrain: () => {},
    onEmergencyOutput: (line) => {
      seen.said += Buffer.from(line).toString('latin1');
    },
  };
  const launched = (other: Partial<LaunchOptions> = {}) => {
    const result = launch(machine.host, store, { ...options, ...other });
    return { ...result, domain: result.domain as XenDomain };
  };
  return { ...machine, store, seen, launched, read: (path: string) => store.client().findText(path) };
}

test('a domain has in the store what it was given, and owns a megabyte more than it may grow to', () => {
  const { launched, read } = setUp();
  const uuid = '01234567-89ab-cdef-0123-456789abcdef';
  const { domain } = launched({ uuid, ramdiskName: 'initrd' });
  const found = ['name', 'vm', 'domid', 'memory/target', 'memory/static-max', 'cpu/0/availability'].map(
    (path) => read(`/local/domain/1/${path}`),
  );
  assert.deepEqual(found, ['web', `/vm/${uuid}`, '1', '16384', '24576', 'online']);
  const image = ['kernel', 'ramdisk', 'cmdline'].map((path) => read(`/vm/${uuid}/image/${path}`));
  assert.deepEqual(image, ['tiny', 'initrd', 'one two']);
  assert.equal(domain.maxPages, 25 * 256);
  assert.equal(Buffer.from(domain.handle).toString('hex'), uuid.replaceAll('-', ''));
  assert.equal(domain.state, 'running');
});

test('a domain without a uuid has one of its own, in the form of a random one', () => {
  const { launched, read } = setUp();
  const handles = [launched(), launched()].map(({ domain }) => Buffer.from(domain.handle).toString('hex'));
  assert.notEqual(handles[0], handles[1]);
  for (const [i, handle] of handles.entries()) {
    assert.match(handle, /^.{12}4.{3}[89ab].{15}$/);
    assert.equal(read(`/local/domain/${i + 1}/vm`)!.replaceAll('-', ''), `/vm/${handle}`);
  }
});

test('a domain’s wall clock begins with the host’s, to the millisecond', () => {
  const { launched, host } = setUp();
  const { sharedInfo } = launched().domain;
  const { wc_sec, wc_nsec } = shared_info.x64.offset;
  const [seconds, nanoseconds] = [wc_sec, wc_nsec].map((offset) => host.memory.read32(sharedInfo + offset));
  assert.deepEqual([seconds, nanoseconds], [1_700_000_000, 250_000_000]);
});

test('a domain’s start time is the wall clock’s when it was built, not when its host was', () => {
  const { launched, read, clock } = setUp();
  const startOf = (domid: number) => read(`${read(`/local/domain/${domid}/vm`)}/start_time`);
  launched();
  clock.advanceIdle(90e9);
  launched();
  assert.deepEqual([startOf(1), startOf(2)], ['1700000000.25', '1700000090.25']);
});

for (const held of [true, false])
  test(`the end of a domain brings its last words, its console held back or not, and is told once: ${held}`, () => {
    const { launched, read, store, seen, host, processor } = setUp();
    const { domain, console, conclude } = launched();
    const told: string[] = [];
    store.client().watch('@releaseDomain', (path) => told.push(path));
    told.length = 0;

    if (held) console.pauseOutput();
    const page = new MachinePage(host.memory, Number(read('/local/domain/1/console/ring-ref')));
    page.writeBytes(ConsoleOffset.OUT, Buffer.from('bye'));
    page.write32(ConsoleOffset.OUT_PROD, 3);
    // A line that has not ended, on the emergency console.
    const mfn = host.frames.tryAllocate();
    processor.frames = [mfn];
    host.memory.writeBytes(mfn * 4096, Buffer.from('well'));
    const args = new HypercallArguments();
    for (const [i, value] of [0, 4, WINDOW].entries()) args.set(i, value);
    assert.equal(hypercalls.call(domain.vcpus[0]!, __HYPERVISOR_console_io, args), 0);
    assert.deepEqual(seen, { printed: '', said: '' });

    domain.shutdown('poweroff');
    conclude();
    conclude();
    assert.deepEqual(seen, { printed: 'bye', said: 'well\n' });
    assert.deepEqual(told, ['@releaseDomain']);
    assert.equal(read('/local/domain/1/name'), 'web');
  });

test('a destroyed domain leaves no frame and no entry behind', () => {
  const { launched, read, store, host } = setUp();
  launched().destroy();
  const { available } = host.frames;
  const { domain, destroy } = launched();
  const vm = read('/local/domain/2/vm')!;
  destroy();
  destroy();
  assert.equal(domain.state, 'destroyed');
  assert.equal(host.frames.available, available);
  assert.equal(store.domainExists(2), false);
  for (const path of ['/local/domain/2', vm, '/libxl/2']) assert.equal(read(path), undefined, path);
});

test('a domain that the store cannot take is refused in one line, and nothing of it is left', () => {
  const { launched, store, host } = setUp();
  launched().destroy();
  const { available } = host.frames;
  for (const wrong of [{ name: 'x'.repeat(5000) }, { ramdiskName: 'y'.repeat(5000) }]) {
    assert.throws(
      () => launched(wrong),
      (error: unknown) => {
        assert.ok(error instanceof DomainBuildError);
        return /^[^\n]*at most 4096 fit$/.test(error.message);
      },
    );
  }
  assert.deepEqual([host.domains.size, host.frames.available], [0, available]);
  assert.deepEqual(
    [2, 3].map((domid) => store.domainExists(domid)),
    [false, false],
  );
});
