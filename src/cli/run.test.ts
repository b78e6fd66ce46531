import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { MemoryError } from '../machine/memory.ts';
import type { Domain, DomainExit, DomainOptions, EngineStatistics, HostOptions } from '../toolstack/api.ts';
import { InputStream, OutputStream } from '../toolstack/console/streams.ts';
import { UsageError } from './errors.ts';
import { type RunHost, type RunOptions, run } from './run.ts';

const encode = (text: string) => new TextEncoder().encode(text);
const ENGINE: EngineStatistics = {
  kind: 'auto',
  instructions: { interpreter: 1000, compiled: 230, system: 4 },
  share: { interpreter: 0.8, compiled: 0.2 },
  modules: 1,
  functions: 2,
  wasmBytes: 3,
  compileMilliseconds: 0.5,
  regions: { requested: 2, compiled: 2, merged: 0, evicted: 0, invalidated: 1 },
};
const noSymbols = { size: 0, addressOf: () => undefined, nearest: () => undefined };

/** A guest whose life a test writes: it sees what is typed, prints, and ends. */
class FakeDomain implements Domain {
  readonly id: number;
  readonly name: string;
  readonly options: DomainOptions;
  readonly symbols = noSymbols;
  readonly exited: Promise<DomainExit>;
  typed = '';
  destroyed = false;
  onTyped: (text: string) => void = () => {};
  private settle!: (exit: DomainExit) => void;
  private readonly output = new OutputStream();
  private readonly emergency = new OutputStream();
  private readonly input: InputStream;

  constructor(id: number, options: DomainOptions) {
    this.id = id;
    this.name = options.name ?? '';
    this.options = options;
    this.exited = new Promise((resolve) => {
      this.settle = resolve;
    });
    this.input = new InputStream(
      (bytes) => {
        this.typed += Buffer.from(bytes).toString('latin1');
        this.onTyped(this.typed);
        return bytes.length;
      },
      (action) => action(),
    );
  }
  get console() {
    return { readable: this.output.readable, writable: this.input.writable };
  }
  get emergencyConsole() {
    return this.emergency.readable;
  }
  print(text: string): void {
    this.output.push(encode(text));
  }
  cry(text: string): void {
    this.emergency.push(encode(text));
  }
  end(exit: DomainExit): void {
    this.output.close();
    this.emergency.close();
    this.input.close();
    this.settle(exit);
  }
  p2m(): string[] {
    return [];
  }
  inspect(place: string): string[] {
    return [`${place}: a report`, this.destroyed ? 'too late' : 'in time'];
  }
  pause(): void {}
  unpause(): void {}
  destroy(): void {
    this.destroyed = true;
    this.end({ reason: 'destroyed' });
  }
}

/** Each life of a guest, in turn; the last one is repeated. */
type Life = (domain: FakeDomain) => void;
const powerOff: Life = (domain) => domain.end({ reason: 'poweroff' });

class FakeHost implements RunHost {
  readonly domains: FakeDomain[] = [];
  options: HostOptions | undefined;
  private readonly lives: readonly Life[];

  constructor(lives: readonly Life[]) {
    this.lives = lives;
  }
  createDomain(options: DomainOptions): Promise<Domain> {
    const domain = new FakeDomain(this.domains.length + 1, options);
    this.domains.push(domain);
    return Promise.resolve(domain);
  }
  async run(): Promise<void> {
    const domain = this.domains.at(-1)!;
    (this.lives[this.domains.length - 1] ?? this.lives.at(-1))!(domain);
    await domain.exited;
  }
  stop(): void {}
  profile(format: string) {
    return `a profile, ${format}`;
  }
  memoryHash() {
    return '0123456789abcdef0123456789abcdef';
  }
  statistics() {
    return { instructions: 1234, hypercalls: { iret: 5 }, exits: { syscall: 6 }, engine: ENGINE };
  }
}

interface Outcome {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly host: FakeHost;
}

class Fixture {
  readonly stdin = Object.assign(new PassThrough(), { isTTY: false, raw: [] as boolean[] });
  readonly host: FakeHost;
  private readonly listeners = new Set<(signal: NodeJS.Signals) => void>();
  private readerComes: Promise<unknown> | undefined;
  /** Seconds since the command was started. */
  now = 1.5;
  /** Stdout is a terminal. */
  shownOnTerminal = false;
  /** There can be no host, for this reason. */
  noHost: Error | undefined;

  constructor(...lives: Life[]) {
    this.host = new FakeHost(lives);
  }

  /** Makes stdin a terminal that records its modes. */
  asTerminal(): this {
    const { stdin } = this;
    Object.assign(stdin, { isTTY: true, setRawMode: (raw: boolean) => stdin.raw.push(raw) });
    return this;
  }

  /** Has nobody read stdout before `until` settles. */
  withStalledReader(until: Promise<unknown> = new Promise(() => {})): this {
    this.readerComes = until;
    return this;
  }

  signal(signal: NodeJS.Signals): void {
    for (const listener of this.listeners) listener(signal);
  }

  async run(words: readonly string[] = ['tiny'], options: RunOptions = {}): Promise<Outcome> {
    const { host } = this;
    const outputs = [
      Object.assign(new PassThrough(), { isTTY: this.shownOnTerminal }),
      new PassThrough(),
    ] as const;
    const texts = ['', ''];
    const read = (i: 0 | 1) => outputs[i].on('data', (chunk) => (texts[i] += chunk));
    read(1);
    if (this.readerComes === undefined) read(0);
    else void this.readerComes.then(() => read(0));
    const status = await run(words, options, {
      stdin: this.stdin,
      stdout: outputs[0],
      stderr: outputs[1],
      createHost: (hostOptions) => {
        host.options = hostOptions;
        if (this.noHost !== undefined) return Promise.reject(this.noHost);
        return Promise.resolve(host);
      },
      onSignal: (signals, then) => {
        const listener = (signal: NodeJS.Signals) => signals.includes(signal) && then(signal);
        this.listeners.add(listener);
        return () => this.listeners.delete(listener);
      },
      seconds: () => this.now,
    });
    return { status, stdout: texts[0], stderr: texts[1], host };
  }
}

const scratch = mkdtempSync(join(tmpdir(), 'ringone-run-'));
function file(name: string, content: string | Uint8Array): string {
  const path = join(scratch, name);
  writeFileSync(path, content);
  return path;
}

describe('ringone run', () => {
  it('shows what the guest prints, and ends with status 0 when it powers off', async () => {
    const outcome = await new Fixture((domain) => {
      domain.print('hello\r\n');
      powerOff(domain);
    }).run();
    assert.deepEqual([outcome.status, outcome.stdout, outcome.stderr], [0, 'hello\r\n', '']);
  });

  it('types what comes from stdin, and lets the guest live on when stdin ends', async () => {
    const fixture = new Fixture((domain) => {
      domain.onTyped = (typed) => {
        if (typed === 'halt\n') setTimeout(() => domain.end({ reason: 'poweroff' }), 20);
      };
    });
    fixture.stdin.end('halt\n');
    const { status, host } = await fixture.run();
    assert.equal(status, 0);
    assert.equal(host.domains[0].typed, 'halt\n');
  });

  it('marks the lines of the emergency console with the domain, on stderr', async () => {
    const { stderr, stdout } = await new Fixture((domain) => {
      domain.cry('one\ntwo\n');
      powerOff(domain);
    }).run();
    assert.equal(stderr, '(d1) one\n(d1) two\n');
    assert.equal(stdout, '');
  });

  it('starts a guest again that reboots, unless --no-reboot or on_reboot says otherwise', async () => {
    const reboot: Life = (domain) => domain.end({ reason: 'reboot' });
    const twice = await new Fixture(reboot, powerOff).run();
    assert.deepEqual([twice.status, twice.host.domains.length], [0, 2]);
    assert.ok(twice.host.domains[0].destroyed);
    const once = await new Fixture(reboot, powerOff).run(['tiny'], { reboot: false });
    assert.deepEqual([once.status, once.host.domains.length], [0, 1]);
    const configured = await new Fixture(reboot, powerOff).run(['tiny', 'on_reboot=destroy']);
    assert.deepEqual([configured.status, configured.host.domains.length], [0, 1]);
    const afterPowerOff = await new Fixture(powerOff, reboot).run(['tiny', 'on_poweroff=restart'], {
      reboot: false,
    });
    assert.deepEqual([afterPowerOff.status, afterPowerOff.host.domains.length], [0, 2]);
  });

  it('does after each kind of end what the key for that kind says', async () => {
    const keys = { poweroff: 'on_poweroff', reboot: 'on_reboot', crash: 'on_crash', watchdog: 'on_watchdog' };
    for (const [reason, key] of Object.entries(keys)) {
      const lives = async (own: string, others: string) => {
        const words = Object.values(keys).map((each) => `${each}=${each === key ? own : others}`);
        const ends: Life = (domain) => domain.end({ reason: reason as keyof typeof keys });
        // The second life ends otherwise, by what no key is for.
        const suspends: Life = (domain) => domain.end({ reason: 'suspend' });
        return (await new Fixture(ends, suspends).run(['tiny', ...words])).host.domains.length;
      };
      assert.deepEqual(
        [await lives('restart', 'destroy'), await lives('destroy', 'restart')],
        [2, 1],
        reason,
      );
    }
  });

  it('ends with status 1 when the guest suspends itself or asks for a soft reset, and says so', async () => {
    for (const [reason, line] of [
      ['suspend', 'ringone: d1 (guest) suspended itself, and nothing can resume it yet\n'],
      ['soft_reset', 'ringone: d1 (guest) asked for a soft reset, which is not supported yet\n'],
    ] as const) {
      const { status, stderr } = await new Fixture((domain) => domain.end({ reason })).run();
      assert.deepEqual([status, stderr], [1, line]);
    }
  });

  it('ends with status 1 when the guest crashes or its watchdog bites, and says so', async () => {
    const crash = await new Fixture((domain) => domain.end({ reason: 'crash' })).run(['tiny', 'name=web']);
    assert.deepEqual([crash.status, crash.stderr], [1, 'ringone: d1 (web) crashed: its kernel said so\n']);
    const watchdog = await new Fixture((domain) => domain.end({ reason: 'watchdog' })).run();
    assert.deepEqual(
      [watchdog.status, watchdog.stderr],
      [1, 'ringone: d1 (guest) was stopped by its watchdog\n'],
    );
  });

  it('prints the report of a crash that the hypervisor saw', async () => {
    const word = { low: 1, high: 0 };
    const segment = { selector: 0xe033, base: 0 };
    const report = {
      reason: 'page fault with no handler',
      domainId: 1,
      domainName: 'guest',
      vcpuId: 0,
      kernelMode: true,
      rip: -0x7ffffff0,
      rflags: 0x246,
      registers: new Array(16).fill(word),
      segments: new Array(6).fill(segment),
      gsBaseInactive: 0,
      cr0: 0x80050033,
      cr2: 0x1000,
      cr3: 0x5000,
      cr4: 0x2660,
      stack: [word],
      code: Uint8Array.of(0x90, 0x0f, 0x0b, 0xf4),
      codeStart: -0x7ffffff1,
      retired: 99,
      hypercalls: [{ number: 29, name: 'sched_op', arguments: [1, 0], result: 0 }],
    };
    const { stderr } = await new Fixture((domain) => domain.end({ reason: 'crash', report })).run();
    const lines = stderr.trimEnd().split('\n');
    assert.equal(lines[0], 'ringone: d1 (guest) crashed: page fault with no handler');
    assert.ok(lines.every((line) => line.startsWith('ringone: ')));
    assert.ok(
      lines.some((line) => /=> ffffffff80000010 {2}0f 0b +ud2/.test(line)),
      stderr,
    );
    assert.ok(lines.includes('ringone:   sched_op(SCHEDOP_block, 0x0) = 0'), stderr);
  });

  it('keeps a guest that shall be preserved until it is interrupted', async () => {
    const fixture = new Fixture((domain) => {
      domain.end({ reason: 'crash' });
      setTimeout(() => fixture.signal('SIGINT'), 20);
    });
    const { status, stderr } = await fixture.run(['tiny', 'on_crash=preserve']);
    assert.equal(status, 130);
    assert.match(stderr, /is kept/);
  });

  it('ends the guest at the timeout with status 124', async () => {
    const { status, stderr, host } = await new Fixture(() => {}).run(['tiny'], { timeout: '0.02' });
    assert.deepEqual([status, stderr], [124, 'ringone: timed out after 0.02 s\n']);
    assert.ok(host.domains[0].destroyed);
  });

  for (const [signal, expected] of [
    ['SIGHUP', 129],
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    it(`ends the guest at ${signal} with status ${expected}`, async () => {
      const fixture = new Fixture(() => setTimeout(() => fixture.signal(signal), 5));
      const { status, host } = await fixture.run();
      assert.equal(status, expected);
      assert.ok(host.domains[0].destroyed);
    });
  }

  const LONG = 'x'.repeat(200_000);

  it('delivers all output of a guest that ends by itself, however late its reader comes', async () => {
    const { status, stdout } = await new Fixture((domain) => {
      domain.print(LONG);
      powerOff(domain);
    })
      .withStalledReader(sleep(100))
      .run();
    assert.equal(status, 0);
    assert.equal(stdout.length, LONG.length);
  });

  it('gives output up that nobody reads when the timeout comes, though the guest has ended', async () => {
    const lives: Record<string, Life> = { goesOn: () => {}, ended: powerOff };
    for (const [name, life] of Object.entries(lives)) {
      const outcome = new Fixture((domain) => {
        domain.print(LONG);
        life(domain);
      })
        .withStalledReader()
        .run(['tiny'], { timeout: '0.02' });
      const { status, stderr } = await outcome;
      assert.deepEqual([status, stderr], [124, 'ringone: timed out after 0.02 s\n'], name);
    }
  });

  it('gives output up that nobody reads at a signal', async () => {
    const fixture = new Fixture((domain) => {
      domain.print(LONG);
      setTimeout(() => fixture.signal('SIGTERM'), 5);
    }).withStalledReader();
    assert.equal((await fixture.run()).status, 143);
  });

  it('minds the timeout and signals while it reads input to its end under the virtual clock', async () => {
    const late = new Fixture(powerOff);
    late.stdin.write('halt');
    const { status, stderr, host } = await late.run(['tiny'], { clock: 'virtual', timeout: '0.02' });
    assert.deepEqual([status, stderr], [124, 'ringone: timed out after 0.02 s\n']);
    assert.equal(host.domains.length, 0);
    const signalled = new Fixture(powerOff);
    setTimeout(() => signalled.signal('SIGTERM'), 20);
    assert.equal((await signalled.run(['tiny'], { clock: 'virtual' })).status, 143);
  });

  it('puts a terminal into raw mode, takes Ctrl-] as the way out, and restores it', async () => {
    const fixture = new Fixture(() => {}).asTerminal();
    fixture.stdin.write('ls\x03\x1dnever');
    const { status, stderr, host } = await fixture.run();
    assert.equal(status, 1);
    assert.match(stderr, /left the console/);
    assert.equal(host.domains[0].typed, 'ls\x03');
    assert.deepEqual(fixture.stdin.raw, [true, false]);
  });

  it('reads a terminal as it is typed to, under the virtual clock too', async () => {
    const fixture = new Fixture((domain) => {
      domain.onTyped = () => powerOff(domain);
    }).asTerminal();
    fixture.stdin.write('x');
    const { status } = await fixture.run(['tiny'], { clock: 'virtual', timeout: '10' });
    assert.equal(status, 0);
  });

  it('takes 64 KiB of piped input under the virtual clock, and says when there is more', async () => {
    for (const bytes of [65536, 65537]) {
      const fixture = new Fixture(powerOff);
      fixture.stdin.end('x'.repeat(bytes));
      const outcome = fixture.run(['tiny'], { clock: 'virtual' });
      if (bytes === 65536) assert.equal((await outcome).host.domains[0].typed.length, bytes);
      else {
        await assert.rejects(outcome, {
          name: 'UsageError',
          message: 'standard input: expected at most 65536 bytes under --clock virtual, found more',
        });
      }
    }
  });

  it('begins a line for what it says where the guest has left one open on a terminal', async () => {
    for (const [printed, open, terminal] of [
      ['> ', '\n', true],
      ['done\r\n', '', true],
      ['> ', '', false],
    ] as const) {
      const fixture = new Fixture((domain) => {
        domain.print(printed);
        setImmediate(() => domain.end({ reason: 'suspend' }));
      });
      fixture.shownOnTerminal = terminal;
      assert.match((await fixture.run()).stderr, new RegExp(`^${open}ringone: `));
    }
  });

  it('passes Ctrl-] on when stdin is no terminal', async () => {
    const fixture = new Fixture((domain) => {
      domain.onTyped = () => powerOff(domain);
    });
    fixture.stdin.write('a\x1db');
    const { host } = await fixture.run();
    assert.equal(host.domains[0].typed, 'a\x1db');
  });

  it('writes counters and times as JSON, however the run ends', async () => {
    const path = join(scratch, 'stats.json');
    const outcome = await new Fixture((domain) => {
      domain.print('x');
      setTimeout(() => domain.end({ reason: 'crash' }), 5);
    }).run(['tiny'], { stats: path });
    assert.equal(outcome.status, 1);
    const { rssBytes, ...rest } = JSON.parse(readFileSync(path, 'utf8'));
    assert.ok(rssBytes > 1e6);
    assert.deepEqual(rest, {
      instructions: 1234,
      wallSeconds: 1.5,
      loadSeconds: 1.5,
      firstOutputSeconds: 1.5,
      hypercalls: { iret: 5 },
      exits: { syscall: 6 },
      memoryHash: '0123456789abcdef0123456789abcdef',
      engine: ENGINE,
    });
  });

  it('times the first guest that was built, the first that was printed, and the whole run', async () => {
    const path = join(scratch, 'times.json');
    const printing =
      (printsAt: number, endsAt: number, reason: DomainExit['reason']): Life =>
      (domain) => {
        fixture.now = printsAt;
        domain.print('x');
        setImmediate(() => {
          fixture.now = endsAt;
          domain.end({ reason });
        });
      };
    const fixture = new Fixture(printing(2, 3, 'reboot'), printing(4, 5, 'poweroff'));
    fixture.now = 1;
    await fixture.run(['tiny'], { stats: path });
    const { loadSeconds, firstOutputSeconds, wallSeconds } = JSON.parse(readFileSync(path, 'utf8'));
    assert.deepEqual([loadSeconds, firstOutputSeconds, wallSeconds], [1, 2, 5]);
  });

  it('makes a host with room for all that the guest may grow to', async () => {
    const { host } = await new Fixture(powerOff).run(['tiny', 'memory=64', 'maxmem=128']);
    assert.equal(host.options!.memoryMib, 128);
    const { memoryMib, maxMemoryMib } = host.domains[0].options;
    assert.deepEqual([memoryMib, maxMemoryMib], [64, 128]);
  });

  it('has the PC’s memory map of e820_host reach as far as the guest may grow', async () => {
    const words = ['tiny', 'memory=64', 'maxmem=128', 'e820_host=1'];
    const { host } = await new Fixture(powerOff).run(words);
    assert.deepEqual(host.domains[0].options.memoryMap, [
      { start: 0, bytes: 128 * 2 ** 20, type: 1 },
      { start: 3 * 2 ** 30, bytes: 2 ** 30, type: 2 },
    ]);
  });

  it('traces everything for --trace all', async () => {
    const { host } = await new Fixture(powerOff).run(['tiny'], { trace: 'all' });
    assert.deepEqual(host.options!.trace!.kinds, ['hypercalls', 'traps', 'events', 'page-tables']);
  });

  it('passes clock, engine, memory and traces on to the host', async () => {
    const fixture = new Fixture(powerOff);
    fixture.stdin.end(); // under the virtual clock input is read to its end first
    const { host } = await fixture.run(['tiny'], {
      clock: 'virtual',
      engine: 'interpreter',
      memory: '64',
      trace: 'traps,events',
    });
    const { trace, ...rest } = host.options!;
    assert.deepEqual(rest, { memoryMib: 64, clock: 'virtual', engine: 'interpreter' });
    assert.deepEqual(trace!.kinds, ['traps', 'events']);
  });
});

describe('the guest of ringone run', () => {
  const kernel = file('kernel', Uint8Array.of(0x7f, 0x45, 0x4c, 0x46, 0));
  const ramdisk = file('ramdisk', 'files');

  it('is described by a configuration file, which words and options override', async () => {
    const config = file(
      'web.cfg',
      `kernel = "${kernel}"\nramdisk = "${ramdisk}"\nname = "web"\nmemory = 64\nextra = "a"\n`,
    );
    const { host } = await new Fixture(powerOff).run([config, 'memory=128', 'extra=b'], { extra: 'c' });
    const { options } = host.domains[0];
    assert.equal(options.kernelName, kernel);
    assert.equal(options.kernel.length, 5);
    assert.equal(Buffer.from(options.ramdisk!).toString(), 'files');
    assert.equal(options.name, 'web');
    assert.equal(options.memoryMib, 128);
    assert.equal(options.commandLine, 'c');
  });

  it('is a kernel if the file is no text', async () => {
    const { host } = await new Fixture(powerOff).run([kernel], { ramdisk });
    assert.equal(host.domains[0].options.kernelName, kernel);
    assert.equal(host.domains[0].options.ramdiskName, ramdisk);
  });

  it('is a kernel, if one that cannot run, when the file is empty', async () => {
    const empty = file('empty', '');
    const { host } = await new Fixture(powerOff).run([empty]);
    assert.equal(host.domains[0].options.kernelName, empty);
  });

  it('is named by --kernel alone', async () => {
    const { host } = await new Fixture(powerOff).run([], { kernel });
    assert.equal(host.domains[0].options.kernelName, kernel);
  });

  const missing = join(scratch, 'missing');
  const text = file('text.cfg', 'memory = 64\ndisk = ["x"]\n');
  const plain = file('plain.cfg', 'memory = 64\n');
  const nameless = file('nameless.cfg', 'memory = 64\nkernel = ""\n');
  for (const [words, options, message] of [
    [[missing], {}, `${missing}: no such file`],
    [['tiny'], { ramdisk: missing }, `${missing}: no such file`],
    [[scratch], {}, `${scratch}: is a directory`],
    [[text], {}, `${text}:2: disk: not supported yet`],
    [[plain], {}, `${plain}: no kernel: expected kernel = "FILE"`],
    [[nameless], {}, `${nameless}:2: kernel: expected the path of a file, found ""`],
    [['kernel='], {}, 'kernel=: expected the path of a file, found ""'],
    [[nameless, 'kernel='], {}, 'kernel=: expected the path of a file, found ""'],
    [['tiny'], { ramdisk: '' }, '--ramdisk: expected the path of a file, found ""'],
    [[''], {}, 'IMAGE: expected the path of a file or the name of a guest, found ""'],
    [['tiny', kernel], {}, `expected one IMAGE or CONFIG, found tiny and ${kernel}`],
    [['tiny'], { kernel }, 'tiny is a kernel, and --kernel names another; expected one'],
    [['tiny'], { vcpus: '2' }, '--vcpus: 2 vCPUs are not supported yet; expected 1'],
    [['tiny'], { memory: 'lots' }, '--memory: expected a positive whole number, found "lots"'],
    [['tiny', 'vif=[""]'], {}, 'vif=[""]: not supported yet'],
    [['tiny'], { abi: 'lguest' }, '--abi lguest: expected xen or native'],
    [['tiny'], { clock: 'sun' }, '--clock sun: expected host or virtual'],
    [['tiny'], { engine: 'steam' }, '--engine steam: expected auto, interpreter or compiler'],
    [['tiny'], { timeout: '-1' }, '--timeout -1: expected a positive number of seconds'],
    [['tiny'], { timeout: '2147483.9' }, '--timeout 2147483.9: expected fewer than 2147483 seconds'],
    [['tiny'], { profileEvery: '5000' }, '--profile-every: expected --profile FILE with it'],
    [['tiny'], { symbols: ['System.map'] }, '--symbols: expected --profile FILE with it'],
    [
      ['tiny'],
      { trace: 'hypercalls,x' },
      '--trace hypercalls,x: expected all, or some of hypercalls,traps,events,page-tables',
    ],
    [['debian:4'], {}, 'debian:4: no such guest; expected debian:6.1, debian:6.12, debian:cloud'],
  ] as [string[], RunOptions, string][]) {
    it(`is refused in one line: ${message.replaceAll(scratch, '…')}`, async () => {
      await assert.rejects(new Fixture(powerOff).run(words, options), { message });
    });
  }

  it('says which setting asks for more memory than there can be', async () => {
    const config = file('big.cfg', `kernel = "${kernel}"\nmaxmem = 9000\n`);
    const small = file('small.cfg', `kernel = "${kernel}"\nmemory = 64\n`);
    for (const [words, options, where] of [
      [['tiny'], { memory: '9000' }, '--memory'],
      [['tiny', 'memory=9000'], {}, 'memory=9000'],
      [[config], { memory: '64' }, `${config}:2: maxmem`],
      [[small], { memory: '9000' }, '--memory'],
      [['tiny'], {}, '--memory 512 (the default)'],
    ] as [string[], RunOptions, string][]) {
      const fixture = new Fixture(powerOff);
      fixture.noHost = new MemoryError('too much');
      await assert.rejects(fixture.run(words, options), {
        name: 'UsageError',
        message: `${where}: too much`,
      });
    }
  });

  for (const [name, format] of [
    ['p.folded', 'collapsed'],
    ['p.txt', 'collapsed'],
    ['p.speedscope.json', 'speedscope'],
    ['p.cpuprofile', 'cpuprofile'],
  ] as const) {
    it(`writes a profile to ${name} as ${format}, however the run ends`, async () => {
      const path = join(scratch, name);
      const fixture = new Fixture((domain) => domain.end({ reason: 'crash' }));
      const { host } = await fixture.run(['tiny'], { profile: path });
      assert.equal(readFileSync(path, 'utf8'), `a profile, ${format}`);
      assert.deepEqual(host.options!.profile, { symbolFiles: [] });
    });
  }

  it('passes the distance between samples, and files of symbols, on to the host', async () => {
    const map = file('System.map', 'ffffffff81000000 T _text\n');
    const options = { profile: join(scratch, 'p.txt'), profileEvery: '5000', symbols: [map] };
    const { host } = await new Fixture(powerOff).run(['tiny'], options);
    const { interval, symbolFiles } = host.options!.profile!;
    assert.equal(interval, 5000);
    assert.deepEqual(
      symbolFiles!.map(({ name, bytes }) => [name, Buffer.from(bytes).toString()]),
      [[map, 'ffffffff81000000 T _text\n']],
    );
  });

  it('takes 100 instructions between samples, and no fewer', async () => {
    const profile = join(scratch, 'p.txt');
    const { host } = await new Fixture(powerOff).run(['tiny'], { profile, profileEvery: '100' });
    assert.equal(host.options!.profile!.interval, 100);
    await assert.rejects(new Fixture(powerOff).run(['tiny'], { profile, profileEvery: '99' }), UsageError);
  });

  it('refuses a profile that cannot be made, before anything runs', async () => {
    const profile = join(scratch, 'p.txt');
    for (const options of [
      { profile, profileEvery: '0' },
      { profile, profileEvery: '1e9x' },
      { profile, symbols: [join(scratch, 'no-such-file')] },
    ]) {
      const fixture = new Fixture(powerOff);
      await assert.rejects(fixture.run(['tiny'], options), UsageError);
      assert.equal(fixture.host.domains.length, 0);
    }
  });

  it('reports on the places of --inspect while the guest is still there', async () => {
    const fixture = new Fixture(powerOff);
    const { stderr, host } = await fixture.run(['tiny'], { inspect: 'rip,memcpy+0x10' });
    assert.equal(stderr, 'rip: a report\nin time\n\nmemcpy+0x10: a report\nin time\n\n');
    assert.equal(host.options!.inspects, true);
  });

  it('reports on them at SIGUSR2, and the guest goes on', async () => {
    const fixture = new Fixture((domain) => {
      fixture.signal('SIGUSR2');
      setTimeout(() => domain.end({ reason: 'poweroff' }), 50);
    });
    const { status, stderr } = await fixture.run(['tiny'], { inspect: 'rip' });
    assert.equal(status, 0);
    assert.equal(stderr, 'rip: a report\nin time\n\n'.repeat(2));
  });

  it('reports at SIGUSR2 on the guest that runs, not on one that was there before', async () => {
    const reboot: Life = (domain) => domain.end({ reason: 'reboot' });
    const fixture = new Fixture(reboot, (domain) => {
      fixture.signal('SIGUSR2');
      setTimeout(() => domain.end({ reason: 'poweroff' }), 50);
    });
    const { stderr } = await fixture.run(['tiny'], { inspect: ' rip ' });
    // At the end of the first, at the signal, and at the end of the second.
    assert.equal(stderr, 'rip: a report\nin time\n\n'.repeat(3));
  });

  it('refuses an empty place', async () => {
    for (const inspect of ['', 'a,,b', ',']) {
      await assert.rejects(new Fixture(powerOff).run(['tiny'], { inspect }), UsageError);
    }
  });

  for (const option of ['stats', 'profile'] as const) {
    it(`refuses a file for --${option} that cannot be opened, before anything runs`, async () => {
      for (const path of [join(scratch, 'no', 'such', 'folder'), scratch]) {
        const fixture = new Fixture(powerOff);
        await assert.rejects(fixture.run(['tiny'], { [option]: path }), (error: unknown) => {
          assert.ok(error instanceof UsageError);
          return error.message.startsWith(`${path}: `);
        });
        assert.equal(fixture.host.domains.length, 0);
      }
    });

    it(`says that the file of --${option} could not be written, and keeps a status that tells more`, {
      skip: existsSync('/dev/full') ? false : 'there is no /dev/full',
    }, async () => {
      const line = 'ringone: /dev/full: no space left\n';
      const good = await new Fixture(powerOff).run(['tiny'], { [option]: '/dev/full' });
      assert.deepEqual([good.status, good.stderr], [2, line]);
      const late = await new Fixture(() => {}).run(['tiny'], { [option]: '/dev/full', timeout: '0.02' });
      assert.deepEqual([late.status, late.stderr], [124, `ringone: timed out after 0.02 s\n${line}`]);
    });
  }
});
