/** The command as a person runs it: the built program, in a process of its own. */
import assert from 'node:assert/strict';
import { type SpawnOptions, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { buildTinyGuest } from '../src/index.ts';

const COMMAND = 'bin/ringone.cjs';
const SMALL = 'memory=32';
const scratch = mkdtempSync(join(tmpdir(), 'ringone-command-'));

interface Outcome {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface Running {
  readonly outcome: Promise<Outcome>;
  type(text: string): void;
  endInput(): void;
  kill(signal: NodeJS.Signals): void;
  /** Settles when stdout has got this text. */
  shows(text: string): Promise<void>;
}

function start(...args: string[]): Running {
  return startProgram(process.execPath, [COMMAND, ...args]);
}

function startProgram(program: string, args: readonly string[], options: SpawnOptions = {}): Running {
  const child = spawn(program, args, { ...options, stdio: ['pipe', 'pipe', 'pipe'] });
  const texts = { stdout: '', stderr: '' };
  const waiting: { text: string; settle: () => void }[] = [];
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    texts.stdout += chunk;
    for (const { text, settle } of waiting) if (texts.stdout.includes(text)) settle();
  });
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (texts.stderr += chunk));
  child.stdin.on('error', () => {});
  const outcome = new Promise<Outcome>((resolve) => {
    child.on('close', (status, signal) => {
      for (const { settle } of waiting) settle();
      resolve({ status, signal, ...texts });
    });
  });
  return {
    outcome,
    type: (text) => child.stdin.write(text),
    endInput: () => child.stdin.end(),
    kill: (signal) => child.kill(signal),
    shows: (text) =>
      new Promise((settle) => {
        waiting.push({ text, settle });
        if (texts.stdout.includes(text)) settle();
      }),
  };
}

function ringone(...args: string[]): Promise<Outcome> {
  return start(...args).outcome;
}

/** Runs the tiny guest and types to it at its prompt. */
async function tiny(input: string, ...args: string[]): Promise<Outcome> {
  const running = start('run', 'tiny', SMALL, ...args);
  await running.shows('> ');
  running.type(input);
  return running.outcome;
}

describe('ringone run', () => {
  it('gives the console to stdin and stdout, and status 0 when the guest powers off', async () => {
    const { status, stdout, stderr } = await tiny('memory\nhalt\n');
    assert.deepEqual([status, stderr], [0, '']);
    assert.match(stdout, /hello from the tiny guest[\s\S]*32 MiB[\s\S]*halt/);
  });

  it('starts the guest that is built in when no kernel is named, on either interface, and says so', async () => {
    for (const [words, greeting] of [
      [[], /paravirtualized above Xen[\s\S]*hello from a program; hello you\r\n/],
      [['--abi', 'native'], /on the bare machine[\s\S]*hello from a program; hello you\r\n/],
    ] as const) {
      const running = start('run', ...words);
      await running.shows('> ');
      running.type('run hello you\nhalt\n');
      const { status, stdout, stderr } = await running.outcome;
      assert.deepEqual([status, stderr], [0, 'ringone: no kernel is named: this is the built-in guest\n']);
      assert.match(stdout, greeting);
    }
  });

  it('lets the guest live on when stdin ends', async () => {
    const running = start('run', 'tiny', SMALL);
    running.endInput();
    await running.shows('> ');
    // A process that has nothing left to wait for would end here by itself, with status 0.
    await setTimeout(300);
    running.kill('SIGTERM');
    assert.equal((await running.outcome).status, 143);
  });

  it('ends the guest at the timeout with status 124', async () => {
    const { status, stderr } = await ringone('run', 'tiny', SMALL, '--timeout', '0.5');
    assert.deepEqual([status, stderr], [124, 'ringone: timed out after 0.5 s\n']);
  });

  it('shows the emergency console on stderr, marked with the domain', async () => {
    const { stderr } = await tiny('log\nhalt\n');
    assert.equal(stderr, '(d1) the tiny guest is well\n');
  });

  it('reports a crash, with status 1', async () => {
    const { status, stderr } = await tiny('crash\n');
    assert.equal(status, 1);
    assert.match(stderr, /^ringone: d1 \(guest\) crashed: .*#UD/);
    assert.match(stderr, /=> [0-9a-f]{16} {2}0f 0b +ud2 <do_crash\+0x0>/);
  });

  it('starts a guest again that reboots, and not under --no-reboot', async () => {
    const again = start('run', 'tiny', SMALL);
    await again.shows('> ');
    again.type('reboot\n');
    await again.shows('reboot\r\nringone: hello');
    again.type('halt\n');
    assert.equal((await again.outcome).status, 0);
    const once = await tiny('reboot\n', '--no-reboot');
    assert.equal(once.status, 0);
    assert.equal(once.stdout.match(/hello/g)?.length, 1);
  });

  for (const [signal, expected] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    it(`ends with status ${expected} at ${signal}`, async () => {
      const running = start('run', 'tiny', SMALL);
      await running.shows('> ');
      running.kill(signal);
      const { status, signal: killedBy } = await running.outcome;
      assert.deepEqual([status, killedBy], [expected, null]);
    });
  }

  it('ends at the timeout under the virtual clock though stdin goes on', async () => {
    const { status, stdout } = await ringone('run', 'tiny', SMALL, '--clock', 'virtual', '--timeout', '0.5');
    assert.deepEqual([status, stdout], [124, '']);
  });

  describe('whose output nobody reads', () => {
    /** Has the guest print for ever, and reads none of it; gives the exit status. */
    async function stalled(signal: NodeJS.Signals | undefined, ...args: string[]): Promise<number | null> {
      const child = spawn(process.execPath, [COMMAND, 'run', 'tiny', SMALL, ...args], {
        timeout: 60_000,
        killSignal: 'SIGKILL',
      });
      const exited = new Promise<number | null>((resolve) => child.on('exit', resolve));
      child.stdin.on('error', () => {});
      child.stderr.resume();
      // Begun to print is soon followed by stalled: a pipe holds 64 KiB. What comes too early ends the run all the same.
      await new Promise((resolve) => child.stdout.once('readable', resolve));
      child.stdin.write('help\n'.repeat(100_000));
      if (signal !== undefined) {
        await setTimeout(1000);
        child.kill(signal);
      }
      return exited;
    }

    it('ends at the timeout with status 124', async () => {
      assert.equal(await stalled(undefined, '--timeout', '2'), 124);
    });

    it('ends with status 143 at SIGTERM', async () => {
      assert.equal(await stalled('SIGTERM'), 143);
    });
  });

  it('delivers everything to a reader that comes after the end', async () => {
    const child = spawn(process.execPath, [COMMAND, 'run', 'tiny', SMALL]);
    child.stderr.resume();
    child.stdin.end(`${'help\n'.repeat(500)}halt\n`);
    await setTimeout(2000);
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    const status = await new Promise((resolve) => child.on('close', resolve));
    assert.equal(status, 0);
    assert.equal(text.match(/> help\r\n/g)?.length, 500);
    assert.match(text, /> halt\r\n/);
  });

  it('writes --stats', async () => {
    const file = join(scratch, 'stats.json');
    await tiny('halt\n', '--stats', file);
    const stats = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
    assert.deepEqual(Object.keys(stats), [
      'instructions',
      'wallSeconds',
      'loadSeconds',
      'firstOutputSeconds',
      'rssBytes',
      'hypercalls',
      'exits',
      'memoryHash',
      'engine',
    ]);
    const seconds = ['loadSeconds', 'firstOutputSeconds', 'wallSeconds'].map((key) => stats[key] as number);
    assert.deepEqual(
      seconds,
      [...seconds].sort((a, b) => a - b),
    );
  });

  it('tells in --stats by a hash what the guest left in memory', async () => {
    const file = join(scratch, 'memory.json');
    const hashOf = async (input: string, engine: string): Promise<unknown> => {
      const running = start('run', 'tiny', SMALL, '--clock', 'virtual', '--engine', engine, '--stats', file);
      running.type(input);
      running.endInput();
      await running.outcome;
      return (JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>).memoryHash;
    };
    const halted = await hashOf('halt\n', 'interpreter');
    assert.equal(await hashOf('halt\n', 'compiler'), halted);
    assert.notEqual(await hashOf('help\nhalt\n', 'interpreter'), halted);
  });

  it('writes --profile', async () => {
    const file = join(scratch, 'tiny.folded');
    await tiny('halt\n', '--profile', file, '--profile-every', '100');
    assert.match(readFileSync(file, 'utf8'), /^\w+;put_\[k\] \d+$/m);
  });

  it('prints --inspect on stderr', async () => {
    const { stderr } = await tiny('halt\n', '--inspect', 'put');
    assert.match(stderr, /^\w{16} <put\+0x0>: frame 0x\w+, 64-bit[\s\S]*mov/m);
  });

  it('prints --trace on stderr', async () => {
    const { stderr } = await tiny('halt\n', '--trace', 'hypercalls');
    assert.match(stderr, /^trace: d1v0 event_channel_op\(EVTCHNOP_send, /m);
    assert.match(stderr, /^trace: d1v0 sched_op\(SCHEDOP_shutdown, /m);
  });

  it('takes a configuration file', async () => {
    const image = join(scratch, 'tiny.elf');
    const config = join(scratch, 'tiny.cfg');
    writeFileSync(image, buildTinyGuest());
    writeFileSync(config, `# a guest\nkernel = "${image}"\nmemory = 32\nextra = "from the file"\n`);
    const running = start('run', config);
    await running.shows('> ');
    running.type('args\nhalt\n');
    const { status, stdout } = await running.outcome;
    assert.equal(status, 0);
    assert.match(stdout, /from the file/);
  });
});

const noScript = spawnSync('script', ['--version']).error ? 'there is no `script` to make a terminal' : false;

describe('a terminal', { skip: noScript }, () => {
  it('gives every key to the guest, leaves at Ctrl-], and is restored', async () => {
    const modes = "stty -a | grep -o -e '-\\?icanon' -e '-\\?isig' | sort | tr '\\n' ' '";
    const shell = `"${process.execPath}" ${COMMAND} run tiny ${SMALL}; echo status $?; ${modes}`;
    const running = startProgram('script', ['-qec', shell, join(scratch, 'typescript')]);
    await running.shows('> ');
    running.type('a\x03b\r');
    await running.shows('a\x03b\r\r\n> ');
    running.type('\x1d');
    const { stdout } = await running.outcome;
    assert.match(stdout, /> \r\nringone: left the console/);
    assert.match(stdout, /status 1\r\nicanon isig/);
  });
});

describe('npm start', () => {
  it('says in one line that nothing can be downloaded, and runs the guest that is built in', async () => {
    const env = { PATH: '/nowhere', RINGONE_CACHE: join(scratch, 'cache') };
    const running = startProgram(process.execPath, [COMMAND, 'start'], { env });
    await running.shows('> ');
    running.type('halt\n');
    const { status, stdout, stderr } = await running.outcome;
    assert.equal(status, 0);
    assert.match(stdout, /^ringone: a small kernel/);
    const lines = stderr
      .trimEnd()
      .split('\n')
      .filter((line) => line.startsWith('ringone: '));
    assert.equal(lines.length, 1, stderr);
    assert.match(lines[0]!, /cannot pull debian:cloud: .*; this is the built-in guest instead$/);
  });

  it('does so, too, where the cache cannot be', async () => {
    const env = { ...process.env, RINGONE_CACHE: '/dev/null/cache' };
    const running = startProgram(process.execPath, [COMMAND, 'start'], { env });
    await running.shows('> ');
    running.type('halt\n');
    const { status, stderr } = await running.outcome;
    assert.equal(status, 0);
    assert.match(
      stderr,
      /^ringone: cannot pull debian:cloud: the cache \/dev\/null\/cache cannot be written: [^\n]*; this is the built-in guest instead\n$/,
    );
  });
});

describe('a mistake', () => {
  const truncated = join(scratch, 'truncated');
  writeFileSync(truncated, buildTinyGuest().subarray(0, 5000));
  const foreign = join(scratch, 'foreign');
  writeFileSync(foreign, readFileSync(process.execPath).subarray(0, 100_000));
  const config = join(scratch, 'bad.cfg');
  writeFileSync(config, 'kernel = "x"\nmemory = \n');

  for (const [name, args, message] of [
    ['no command', [], /command/],
    ['an unknown command', ['fly'], /fly/],
    ['an unknown option', ['run', 'tiny', '--wings'], /--wings/],
    ['an option without its value', ['run', 'tiny', '--memory'], /--memory/],
    ['a missing file', ['run', join(scratch, 'missing')], /missing: no such file/],
    ['a truncated image', ['run', truncated], /truncated/],
    ['an image of something else', ['run', foreign], /foreign: /],
    ['a bad line of a configuration', ['run', config], /bad\.cfg:2: /],
    ['a key that is not supported', ['run', 'tiny', 'disk=["x"]'], /disk/],
    ['two vCPUs', ['run', 'tiny', '--vcpus', '2'], /vcpus/],
    ['too little memory', ['run', 'tiny', 'memory=1'], /too little memory/],
    [
      'more memory than a host can have',
      ['run', 'tiny', '--memory', '4096'],
      /--memory: 4096 MiB [^\n]* at most \d+ MiB/,
    ],
    ['statistics for no file', ['run', 'tiny', '--stats', ''], /--stats/],
    ['an initramfs for no file', ['initramfs', '--output', ''], /--output/],
    ['an initramfs of no directory', ['initramfs', '--output', 'x', ''], /DIR/],
    ['a guest that cannot be pulled', ['pull', 'plan9'], /plan9/],
    ['initramfs without --output', ['initramfs'], /--output/],
  ] as [string, string[], RegExp][]) {
    it(`is one line on stderr and status 2: ${name}`, async () => {
      const { status, stdout, stderr } = await ringone(...args);
      assert.equal(stdout, '');
      assert.match(stderr, /^ringone: [^\n]+\n$/);
      assert.match(stderr, message);
      assert.equal(status, 2);
    });
  }
});

describe('a cache that cannot be', () => {
  it('is one line on stderr and status 2', async () => {
    const file = join(scratch, 'no-directory');
    writeFileSync(file, '');
    for (const args of [
      ['pull', 'debian'],
      ['run', 'debian'],
    ]) {
      const env = { ...process.env, RINGONE_CACHE: file };
      const { outcome } = startProgram(process.execPath, [COMMAND, ...args], { env });
      const { status, stdout, stderr } = await outcome;
      assert.deepEqual([status, stdout], [2, '']);
      assert.match(
        stderr,
        /^ringone: cannot pull debian:cloud: the cache [^\n]*no-directory cannot be written[^\n]*\n$/,
      );
    }
  });
});

describe('ringone', () => {
  it('explains itself', async () => {
    const help = await ringone('--help');
    assert.equal(help.status, 0);
    for (const command of ['run', 'pull', 'initramfs'])
      assert.match(help.stdout, new RegExp(`^  ${command} `, 'm'));
    const run = await ringone('run', '--help');
    for (const option of ['--kernel', '--timeout', '--clock', '--no-reboot', '--stats', '--trace']) {
      assert.match(run.stdout, new RegExp(`^  ${option}\\b`, 'm'));
    }
  });

  it('knows its version', async () => {
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
    assert.deepEqual(await ringone('--version'), {
      status: 0,
      signal: null,
      stdout: `${version}\n`,
      stderr: '',
    });
  });

  it('says in one line that an older Node is too old', async () => {
    // An older Node reads the same first file; only the version that it reports is made up here.
    const older = join(scratch, 'older.cjs');
    writeFileSync(
      older,
      `Object.defineProperty(process.versions, 'node', { value: '12.22.0' });
       Object.defineProperty(process, 'version', { value: 'v12.22.0' });
       require(${JSON.stringify(join(process.cwd(), COMMAND))});`,
    );
    const child = spawn(process.execPath, [older]);
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk));
    const status = await new Promise((resolve) => child.on('close', resolve));
    assert.equal(stderr, 'ringone: Node.js 20 or later is needed, and this is v12.22.0\n');
    assert.equal(status, 2);
  });

  it('keeps its first file in JavaScript of 2009, which any Node can read', () => {
    const code = readFileSync(COMMAND, 'utf8').replace(/\/\/[^\n]*|^#![^\n]*/g, '');
    assert.doesNotMatch(code, /=>|\b(?:const|let|class|import|async|await)\b|`|\?\./);
  });
});
