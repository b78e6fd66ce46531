/**
 * `ringone run`: boots a guest, joins its console to this terminal, and sees it through to its end: power-off, reboot,
 * crash, or whatever comes from outside first (a signal, the timeout, Ctrl-], an output that nobody reads any more).
 */

import type { Writable } from 'node:stream';
import { MemoryError } from '../machine/memory.ts';
import {
  ABIS,
  type AbiName,
  CLOCKS,
  type Domain,
  type DomainExit,
  type DomainOptions,
  ENGINES,
  type HostOptions,
  type HostStatistics,
  type ProfileFormat,
  TRACE_KINDS,
  type TraceKind,
} from '../toolstack/api.ts';
import type { DomainConfig, ExitAction } from '../toolstack/config/index.ts';
import { crashText } from '../toolstack/crash-text.ts';
import { pcMemoryMap } from '../toolstack/memory-map.ts';
import { loadDisassembler } from './disassemble.ts';
import { ExitStatus, UsageError } from './errors.ts';
import { type ConfigOptions, findGuest, type Guest } from './guest-files.ts';
import { INSPECT_SIGNAL, inspect, placesIn } from './inspect.ts';
import { type ProfileCommandOptions, profileOptions, profileText } from './profile.ts';
import { ReportFile } from './report-file.ts';
import { delivered, type Input, patience, pump, Terminal } from './terminal.ts';

/** The options of `run`, as written on the command line. */
export interface RunOptions extends ConfigOptions, ProfileCommandOptions {
  readonly abi?: string | undefined;
  readonly timeout?: string | undefined;
  readonly clock?: string | undefined;
  readonly engine?: string | undefined;
  /** False: `--no-reboot`. */
  readonly reboot?: boolean | undefined;
  readonly stats?: string | undefined;
  readonly inspect?: string | undefined;
  readonly trace?: string | undefined;
}

/** What `run` asks of a host; `Host` of the library is one. */
export interface RunHost {
  createDomain(options: DomainOptions): Promise<Domain>;
  run(): Promise<void>;
  stop(): void;
  statistics(): HostStatistics;
  memoryHash(): string;
  profile(format: ProfileFormat): string | undefined;
}

/** What `run` asks of the process around it. */
export interface RunSurroundings {
  readonly stdin: Input;
  readonly stdout: Writable;
  readonly stderr: Writable;
  readonly createHost: (options: HostOptions) => Promise<RunHost>;
  /** Calls `then` at each of these signals; returns what stops that. */
  readonly onSignal: (
    signals: readonly NodeJS.Signals[],
    then: (signal: NodeJS.Signals) => void,
  ) => () => void;
  /** Seconds since the command was started. */
  readonly seconds: () => number;
  /** Called when a guest has been built: what that took may go. */
  readonly onBuilt?: () => void;
  /** Called when a run ends from outside: a reader that does not read shall not hold the process. */
  readonly onInterrupted?: () => void;
}

const NEWLINE = 10;
const SIGNAL_STATUS = {
  SIGINT: ExitStatus.interrupted,
  SIGTERM: ExitStatus.terminated,
  SIGHUP: 129,
} as const;

/** A guest, and the interface that it was built for. */
interface GuestOfAbi extends Guest {
  readonly abi: AbiName;
}

/** Why a run ends although the guest goes on. */
interface Interruption {
  readonly status: number;
  /** What is said about it, if anything. */
  readonly message?: string;
}

/** Boots the guest that the words and options describe and returns the exit status. Raises the user's errors. */
export async function run(
  words: readonly string[],
  options: RunOptions,
  surroundings: RunSurroundings,
): Promise<number> {
  const abi = oneOf('--abi', options.abi ?? ABIS[0], ABIS);
  const clock = oneOf('--clock', options.clock ?? 'host', CLOCKS);
  const engine = oneOf('--engine', options.engine ?? ENGINES[0], ENGINES);
  const kinds = options.trace === undefined ? [] : traceKinds(options.trace);
  const timeoutSeconds = options.timeout === undefined ? undefined : positive('--timeout', options.timeout);
  const places = options.inspect === undefined ? [] : placesIn(options.inspect);
  const profile = await profileOptions(options);
  const guest = await findGuest(words, options);
  const { stderr, createHost } = surroundings;
  if (guest.isDefault) stderr.write('ringone: no kernel is named: this is the built-in guest\n');
  const onLine = (line: string) => stderr.write(`trace: ${line}\n`);
  const host = await hostFor(guest, createHost, {
    clock,
    engine,
    ...(kinds.length > 0 && { trace: { kinds, onLine } }),
    ...(profile !== undefined && { profile }),
    ...(places.length > 0 && { inspects: true }),
  });
  const session = new Session(host, { ...guest, abi }, options.reboot !== false, surroundings);
  session.readsAhead = clock === 'virtual' && surroundings.stdin.isTTY !== true;
  session.places = places;
  const reports: { file: ReportFile; text: () => string }[] = [];
  for (const [path, text] of [
    [options.profile, () => profileText(options.profile!, host)],
    [options.stats, () => session.statisticsText()],
  ] as const) {
    if (path !== undefined) reports.push({ file: await ReportFile.open(path), text });
  }
  let unwritten = false;
  let status: number;
  try {
    status = await session.run(timeoutSeconds);
  } finally {
    for (const { file, text } of reports) {
      const error = await file.write(text());
      if (error === undefined) continue;
      unwritten = true;
      session.say(error.message);
    }
  }
  return unwritten && status === ExitStatus.ok ? ExitStatus.usage : status;
}

/** A host with memory for this guest, and no more. Raises UsageError if there cannot be so much. */
export async function hostFor(
  { config, memoryWhere }: Guest,
  createHost: RunSurroundings['createHost'],
  options: Omit<HostOptions, 'memoryMib'> = {},
): Promise<RunHost> {
  try {
    return await createHost({ memoryMib: config.maxMemoryMib, ...options });
  } catch (error) {
    if (error instanceof MemoryError) throw new UsageError(`${memoryWhere}: ${error.message}`);
    throw error;
  }
}

/** What the guest's console holds for a guest that does not read yet. */
const TYPED_AHEAD_BYTES = 65536;

/**
 * All of a piped standard input. Under the virtual clock it enters before the guest's first instruction, so that the
 * run does not depend on when it arrives.
 */
async function readTypedAhead(stdin: Input): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stdin as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > TYPED_AHEAD_BYTES) {
      throw new UsageError(
        `standard input: expected at most ${TYPED_AHEAD_BYTES} bytes under --clock virtual, found more`,
      );
    }
  }
  return Buffer.concat(chunks);
}

class Session {
  private readonly host: RunHost;
  private readonly guest: GuestOfAbi;
  private readonly mayReboot: boolean;
  private readonly surroundings: RunSurroundings;
  private settleInterrupted!: (interruption: Interruption) => void;
  private readonly interrupted = new Promise<Interruption>((resolve) => {
    this.settleInterrupted = resolve;
  });
  private loadSeconds: number | undefined;
  private firstOutputSeconds: number | undefined;
  /** The guest's last output did not end its line. */
  private midLine = false;

  /** What is to be reported on when the guest ends, or when INSPECT_SIGNAL asks for it. */
  places: readonly string[] = [];
  private stopInspecting = () => {};

  /** Input is read to its end and enters before the guest's first instruction. */
  readsAhead = false;
  private typedAhead: Uint8Array | undefined;

  constructor(host: RunHost, guest: GuestOfAbi, mayReboot: boolean, surroundings: RunSurroundings) {
    this.host = host;
    this.guest = guest;
    this.mayReboot = mayReboot;
    this.surroundings = surroundings;
  }

  /** Runs the guest, as often as its configuration says, and returns the exit status. */
  async run(timeoutSeconds: number | undefined): Promise<number> {
    const { stdin, stdout, onSignal } = this.surroundings;
    const stopListening = onSignal(['SIGINT', 'SIGTERM', 'SIGHUP'], (signal) =>
      this.interrupt({ status: SIGNAL_STATUS[signal as keyof typeof SIGNAL_STATUS] }),
    );
    const timer =
      timeoutSeconds === undefined
        ? undefined
        : setTimeout(
            () =>
              this.interrupt({ status: ExitStatus.timeout, message: `timed out after ${timeoutSeconds} s` }),
            timeoutSeconds * 1000,
          );
    // Signals alone do not keep Node going while a guest that has ended is preserved.
    const hold = setInterval(() => {}, 0x7fffffff);
    const gone = () => this.interrupt({ status: ExitStatus.crashed });
    stdout.on('error', gone);
    let terminal: Terminal | undefined;
    try {
      if (this.readsAhead) {
        const input = await Promise.race([readTypedAhead(stdin), this.interrupted]);
        if ('status' in input) return this.told(input);
        this.typedAhead = input;
      }
      for (;;) {
        const domain = await this.host.createDomain(domainOptions(this.guest));
        this.loadSeconds ??= this.surroundings.seconds();
        this.surroundings.onBuilt?.();
        // The terminal is taken only now: an image that cannot run leaves it alone.
        terminal ??= new Terminal(stdin, () =>
          this.interrupt({ status: ExitStatus.crashed, message: 'left the console; the guest is gone' }),
        );
        const status = await this.runOnce(domain, terminal);
        if (status !== undefined) return status;
      }
    } finally {
      terminal?.close();
      clearTimeout(timer);
      clearInterval(hold);
      stopListening();
      stdout.off('error', gone);
    }
  }

  private interrupt(interruption: Interruption): void {
    this.surroundings.onInterrupted?.();
    this.settleInterrupted(interruption);
  }

  /** One life of the domain; undefined if it shall be started again. */
  private async runOnce(domain: Domain, terminal: Terminal): Promise<number | undefined> {
    const writer = domain.console.writable.getWriter();
    terminal.onInput = (bytes) => writer.write(bytes);
    if (this.typedAhead !== undefined && this.typedAhead.length > 0) {
      await writer.ready;
      void writer.write(this.typedAhead).catch(() => {});
    }
    const { onSignal, stderr } = this.surroundings;
    if (this.places.length > 0) {
      this.stopInspecting = onSignal([INSPECT_SIGNAL], () => void inspect(this.places, domain, stderr));
    }
    const outputs = this.joinOutputs(domain);
    const running = this.host.run();
    const failed = running.then(() => new Promise<never>(() => {}));
    const end = await Promise.race([domain.exited.then((exit) => ({ exit })), this.interrupted, failed]);
    if ('exit' in end) {
      await this.report(end.exit, domain);
      if (this.actionFor(end.exit) === 'preserve') {
        this.say(`the guest has ended (${end.exit.reason}) and is kept; interrupt to end it`);
        return this.conclude(await this.interrupted, domain, outputs, running);
      }
      const interruption = await this.finish(domain, outputs, running);
      if (interruption !== undefined) return this.told(interruption);
      return this.actionFor(end.exit) === 'restart' ? undefined : statusOf(end.exit);
    }
    return this.conclude(end, domain, outputs, running);
  }

  private async conclude(
    interruption: Interruption,
    domain: Domain,
    outputs: Promise<unknown>,
    running: Promise<void>,
  ): Promise<number> {
    await this.finish(domain, outputs, running);
    return this.told(interruption);
  }

  /** Says what is to be said about an interruption, and gives its status. */
  private told({ status, message }: Interruption): number {
    if (message !== undefined) this.say(message);
    return status;
  }

  /**
   * Ends the domain and delivers its output, all of it, unless an interruption comes first: then what a reader has not taken
   * soon after is given up, and the interruption is returned.
   */
  private async finish(
    domain: Domain,
    outputs: Promise<unknown>,
    running: Promise<void>,
  ): Promise<Interruption | undefined> {
    this.stopInspecting();
    await inspect(this.places, domain, this.surroundings.stderr);
    domain.destroy();
    this.host.stop();
    await running;
    const { stdout, stderr } = this.surroundings;
    return Promise.race([
      outputs.then(() => delivered(stdout, stderr)).then(() => undefined),
      this.interrupted.then((interruption) => patience().then(() => interruption)),
    ]);
  }

  private joinOutputs(domain: Domain): Promise<unknown> {
    const { stdout, stderr, seconds } = this.surroundings;
    const onFirst = () => {
      this.firstOutputSeconds ??= seconds();
    };
    const prefix = `(d${domain.id}) `;
    const noteLine = (chunk: Uint8Array) => {
      this.midLine = chunk.at(-1) !== NEWLINE;
      return chunk;
    };
    const lines = (chunk: Uint8Array) =>
      Buffer.from(
        Buffer.from(chunk)
          .toString('latin1')
          .replace(/^(?=.)/gm, prefix),
        'latin1',
      );
    return Promise.all([
      pump(domain.console.readable, stdout, onFirst, noteLine),
      pump(domain.emergencyConsole, stderr, onFirst, lines),
    ]);
  }

  private actionFor({ reason }: DomainExit): ExitAction {
    if (reason === 'reboot' && !this.mayReboot) return 'destroy';
    const key = ACTIONS[reason];
    return key === undefined ? 'destroy' : (this.guest.config[key] as ExitAction);
  }

  /** Says what a person should know of how the guest ended; nothing about an orderly end. */
  private async report({ reason, report }: DomainExit, domain: Domain): Promise<void> {
    if (report !== undefined) {
      const lines = crashText(report, domain.symbols, await loadDisassembler());
      for (const line of lines) this.say(line);
    } else if (ENDINGS[reason] !== undefined) {
      this.say(`d${domain.id} (${domain.name}) ${ENDINGS[reason]}`);
    }
  }

  say(line: string): void {
    const { stdout, stderr } = this.surroundings;
    // On a terminal the guest may have left the cursor behind its prompt.
    if (this.midLine && (stdout as { isTTY?: boolean }).isTTY === true) stderr.write('\n');
    this.midLine = false;
    stderr.write(`ringone: ${line}\n`);
  }

  /** For `--stats`. */
  statisticsText(): string {
    const { instructions, hypercalls, exits, engine } = this.host.statistics();
    const statistics = {
      instructions,
      wallSeconds: this.surroundings.seconds(),
      loadSeconds: this.loadSeconds ?? null,
      firstOutputSeconds: this.firstOutputSeconds ?? null,
      rssBytes: process.resourceUsage().maxRSS * 1024,
      hypercalls,
      exits,
      memoryHash: this.host.memoryHash(),
      engine,
    };
    return `${JSON.stringify(statistics, undefined, 2)}\n`;
  }
}

/** The key of the configuration that says what becomes of a domain that ended so. */
const ACTIONS: Readonly<Partial<Record<DomainExit['reason'], keyof DomainConfig>>> = {
  poweroff: 'onPoweroff',
  reboot: 'onReboot',
  crash: 'onCrash',
  watchdog: 'onWatchdog',
};

/** What is said about ends that come without a report; those that are not here go without saying. */
const ENDINGS: Readonly<Partial<Record<DomainExit['reason'], string>>> = {
  crash: 'crashed: its kernel said so',
  watchdog: 'was stopped by its watchdog',
  suspend: 'suspended itself, and nothing can resume it yet',
  soft_reset: 'asked for a soft reset, which is not supported yet',
};

function statusOf({ reason }: DomainExit): number {
  return reason === 'poweroff' || reason === 'reboot' ? ExitStatus.ok : ExitStatus.crashed;
}

/** What the library is asked for. */
export function domainOptions({
  abi,
  config,
  kernel,
  kernelName,
  ramdisk,
  ramdiskName,
}: GuestOfAbi): DomainOptions {
  const { name, uuid, commandLine, memoryMib, maxMemoryMib, e820Host } = config;
  const files = { kernel, kernelName, ramdisk, ramdiskName };
  const memoryMap = e820Host ? pcMemoryMap(maxMemoryMib) : undefined;
  return { abi, ...files, name, uuid, commandLine, memoryMib, maxMemoryMib, memoryMap };
}

function oneOf<T extends string>(option: string, value: string, choices: readonly T[]): T {
  const choice = choices.find((known) => known === value);
  if (choice !== undefined) return choice;
  throw new UsageError(`${option} ${value}: expected ${alternatives(choices)}`);
}

/** `a`, `a or b`, `a, b or c`. */
function alternatives(choices: readonly string[]): string {
  const last = choices.slice(-1).join();
  return choices.length < 2 ? last : `${choices.slice(0, -1).join(', ')} or ${last}`;
}

/** setTimeout counts milliseconds in 31 bits. */
const MOST_SECONDS = 2147483;

/** A number of seconds as an option gives it. */
export function positive(option: string, value: string): number {
  const number = Number(value);
  if (!(Number.isFinite(number) && number > 0))
    throw new UsageError(`${option} ${value}: expected a positive number of seconds`);
  if (number < MOST_SECONDS) return number;
  throw new UsageError(`${option} ${value}: expected fewer than ${MOST_SECONDS} seconds`);
}

function traceKinds(list: string): TraceKind[] {
  if (list === 'all') return [...TRACE_KINDS];
  return list.split(',').map((word) => {
    const kind = TRACE_KINDS.find((known) => known === word);
    if (kind !== undefined) return kind;
    throw new UsageError(`--trace ${list}: expected all, or some of ${TRACE_KINDS.join(',')}`);
  });
}
