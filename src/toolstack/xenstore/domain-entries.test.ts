import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { removeDomainEntries, writeDomainEntries } from './domain-entries.ts';
import { Xenstored } from './xenstored.ts';

const entries = {
  domid: 1,
  name: 'guest',
  uuid: '11111111-2222-3333-4444-555555555555',
  memoryKib: 524288,
  vcpus: 2,
  onlineVcpus: 1,
  store: { frame: 1001, port: 1 },
  console: { frame: 1002, port: 2 },
  kernel: '/boot/vmlinuz',
  commandLine: 'console=hvc0',
  startTime: 1700000000.129,
};

function setUp() {
  const xenstored = new Xenstored();
  writeDomainEntries(xenstored, entries);
  return { xenstored, control: xenstored.client(), guest: xenstored.client(1) };
}

/** All paths below one, with values and permissions, as `xenstore-ls -f -p` prints them. */
function list(xenstored: Xenstored, path: string): string[] {
  const client = xenstored.client();
  const line = `${path} = "${client.readText(path)}" (${client.getPermissions(path).join(',')})`;
  return [line, ...client.directory(path).flatMap((name) => list(xenstored, `${path}/${name}`))];
}

describe('the entries of a new domain', () => {
  it('are those that xl leaves, with their permissions', () => {
    const { xenstored } = setUp();
    assert.deepEqual(list(xenstored, '/local/domain/1'), [
      '/local/domain/1 = "" (n0,r1)',
      '/local/domain/1/vm = "/vm/11111111-2222-3333-4444-555555555555" (n0,r1)',
      '/local/domain/1/name = "guest" (n0,r1)',
      '/local/domain/1/cpu = "" (n0,r1)',
      '/local/domain/1/cpu/0 = "" (n0,r1)',
      '/local/domain/1/cpu/0/availability = "online" (n0,r1)',
      '/local/domain/1/cpu/1 = "" (n0,r1)',
      '/local/domain/1/cpu/1/availability = "offline" (n0,r1)',
      '/local/domain/1/memory = "" (n0,r1)',
      '/local/domain/1/memory/static-max = "524288" (n0,r1)',
      '/local/domain/1/memory/target = "524288" (n0,r1)',
      '/local/domain/1/memory/videoram = "0" (n0,r1)',
      '/local/domain/1/device = "" (n0,r1)',
      '/local/domain/1/device/suspend = "" (n0,r1)',
      '/local/domain/1/device/suspend/event-channel = "" (n1)',
      '/local/domain/1/control = "" (n0,r1)',
      '/local/domain/1/control/shutdown = "" (n1)',
      '/local/domain/1/control/feature-poweroff = "" (n1)',
      '/local/domain/1/control/feature-reboot = "" (n1)',
      '/local/domain/1/control/feature-suspend = "" (n1)',
      '/local/domain/1/control/sysrq = "" (n1)',
      '/local/domain/1/control/platform-feature-multiprocessor-suspend = "1" (n0,r1)',
      '/local/domain/1/control/platform-feature-xs_reset_watches = "1" (n0,r1)',
      '/local/domain/1/data = "" (n1)',
      '/local/domain/1/drivers = "" (n1)',
      '/local/domain/1/feature = "" (n1)',
      '/local/domain/1/attr = "" (n1)',
      '/local/domain/1/error = "" (n1)',
      '/local/domain/1/domid = "1" (n0,r1)',
      '/local/domain/1/store = "" (n0,r1)',
      '/local/domain/1/store/port = "1" (n0,r1)',
      '/local/domain/1/store/ring-ref = "1001" (n0,r1)',
      '/local/domain/1/console = "" (n0,r1)',
      '/local/domain/1/console/backend = "/local/domain/0/backend/console/1/0" (n0,r1)',
      '/local/domain/1/console/backend-id = "0" (n1,r0)',
      '/local/domain/1/console/limit = "1048576" (n0,r1)',
      '/local/domain/1/console/type = "xenconsoled" (n0,r1)',
      '/local/domain/1/console/output = "pty" (n0,r1)',
      '/local/domain/1/console/tty = "" (n0,r1)',
      '/local/domain/1/console/port = "2" (n0,r1)',
      '/local/domain/1/console/ring-ref = "1002" (n0,r1)',
    ]);
    assert.deepEqual(list(xenstored, '/vm'), [
      '/vm = "" (n0)',
      '/vm/11111111-2222-3333-4444-555555555555 = "" (n0,r1)',
      '/vm/11111111-2222-3333-4444-555555555555/uuid = "11111111-2222-3333-4444-555555555555" (n0,r1)',
      '/vm/11111111-2222-3333-4444-555555555555/name = "guest" (n0,r1)',
      '/vm/11111111-2222-3333-4444-555555555555/image = "" (n0,r1)',
      '/vm/11111111-2222-3333-4444-555555555555/image/ostype = "linux" (n0,r1)',
      '/vm/11111111-2222-3333-4444-555555555555/image/kernel = "/boot/vmlinuz" (n0,r1)',
      '/vm/11111111-2222-3333-4444-555555555555/image/cmdline = "console=hvc0" (n0,r1)',
      '/vm/11111111-2222-3333-4444-555555555555/start_time = "1700000000.13" (n0,r1)',
    ]);
    assert.deepEqual(list(xenstored, '/local/domain/0/backend/console/1/0'), [
      '/local/domain/0/backend/console/1/0 = "" (n0,r1)',
      '/local/domain/0/backend/console/1/0/frontend = "/local/domain/1/console" (n0,r1)',
      '/local/domain/0/backend/console/1/0/frontend-id = "1" (n0,r1)',
      '/local/domain/0/backend/console/1/0/online = "1" (n0,r1)',
      '/local/domain/0/backend/console/1/0/state = "1" (n0,r1)',
      '/local/domain/0/backend/console/1/0/protocol = "vt100" (n0,r1)',
    ]);
  });

  it('let the guest do what its kernel does at boot and nothing beyond', () => {
    const { guest } = setUp();
    assert.equal(guest.readText('memory/target'), '524288');
    assert.deepEqual(guest.directory('device'), ['suspend']);
    guest.write('control/shutdown', '');
    guest.write('control/feature-poweroff', '1');
    guest.write('data/anything', 'x');
    guest.write('device/suspend/event-channel', '5');
    for (const path of [
      'name',
      'memory/target',
      'control/new',
      'new',
      '/libxl/1/type',
      '/vm/x',
      'console/tty',
    ]) {
      assert.throws(() => guest.write(path, 'x'), /EACCES/, path);
    }
  });

  it('can be written again, and removed without a trace', () => {
    const { xenstored, control, guest } = setUp();
    guest.write('data/old', 'x');
    writeDomainEntries(xenstored, { ...entries, maxMemoryKib: 1048576, ramdisk: '/boot/initrd' });
    assert.equal(control.findText('/local/domain/1/data/old'), undefined);
    assert.equal(control.readText('/local/domain/1/memory/static-max'), '1048576');
    assert.equal(control.readText(`/vm/${entries.uuid}/image/ramdisk`), '/boot/initrd');
    xenstored.destroyDomain(1);
    removeDomainEntries(control, entries);
    for (const path of ['/local/domain/1', '/vm/11111111-2222-3333-4444-555555555555', '/libxl/1']) {
      assert.equal(control.findText(path), undefined, path);
    }
    assert.deepEqual(control.directory('/local/domain/0/backend/console'), []);
    assert.equal(control.readText('/local/domain/0/name'), 'Domain-0');
    assert.deepEqual(xenstored.audit(), []);
    removeDomainEntries(control, entries);
  });

  it('are not written at all if one of them cannot be', () => {
    const xenstored = new Xenstored();
    assert.throws(() => writeDomainEntries(xenstored, { ...entries, uuid: 'not a uuid' }), /EINVAL/);
    assert.deepEqual(xenstored.client().directory('/'), ['tool']);
  });
});
