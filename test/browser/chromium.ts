/**
 * Debian's Chromium without a screen, as far as a test needs it: open a page, evaluate in it, press keys. It
 * listens on a pair of pipes (`--remote-debugging-pipe`), so there is no port that another could use;
 * messages are JSON, each ended by a zero byte. Methods and events are those of the Chrome DevTools Protocol
 * (chromedevtools.github.io/devtools-protocol).
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';

const COMMAND = 'chromium';
/** What it takes to end by itself once it is asked to. */
const FAREWELL_MS = 5000;
/** Enough of what it says to see why it ended. */
const KEPT_CHARACTERS = 4000;

const OPTIONS = [
  '--headless',
  '--remote-debugging-pipe',
  // Root has no sandbox, nor has a container that may not make user namespaces. The pages are our own.
  '--no-sandbox',
  '--disable-gpu',
  '--no-first-run',
  '--disable-extensions',
  // A test talks to its own server and to nobody else.
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-proxy-server',
];

/** False where Chromium is installed, else why a test is skipped, as `node:test` takes it. */
export function skipChromium(): string | false {
  return spawnSync(COMMAND, ['--version']).status === 0 ? false : `${COMMAND} is not installed`;
}

type Parameters = Readonly<Record<string, unknown>>;
/** What the protocol's answers have in them, of what is read here. */
interface Answer {
  readonly targetId?: string;
  readonly sessionId?: string;
  readonly result?: { readonly value?: unknown };
  readonly exceptionDetails?: {
    readonly text: string;
    readonly exception?: { readonly description?: string };
  };
}
interface Message {
  readonly id?: number;
  readonly result?: Answer;
  readonly error?: { readonly message: string };
}

/** One browser process, with a profile of its own that goes with it. */
export class Chromium {
  private readonly process: ChildProcess;
  private readonly profile: string;
  private readonly ended: Promise<void>;
  private readonly requests: Writable;
  private readonly waiting = new Map<number, { resolve(answer: Answer): void; reject(error: Error): void }>();
  private lastId = 0;
  private said = '';

  private constructor(profile: string) {
    this.profile = profile;
    this.process = spawn(COMMAND, [...OPTIONS, `--user-data-dir=${profile}`], {
      // What it keeps beside its profile lies in the home folder.
      env: { ...process.env, HOME: profile, XDG_CONFIG_HOME: profile, XDG_CACHE_HOME: profile },
      stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe'],
    });
    const [, , stderr, requests, answers] = this.process.stdio;
    this.requests = requests as Writable;
    // The end of the process says that a pipe has broken, and better.
    this.requests.on('error', () => {});
    this.listen(answers as Readable);
    (stderr as Readable).setEncoding('utf8').on('data', (text: string) => {
      this.said = (this.said + text).slice(-KEPT_CHARACTERS);
    });
    this.ended = new Promise((resolve) => {
      const end = (how: string) => {
        for (const { reject } of this.waiting.values()) reject(new Error(`${COMMAND} ${how}:\n${this.said}`));
        this.waiting.clear();
        resolve();
      };
      this.process.on('error', ({ message }) => end(`did not start: ${message}`));
      this.process.on('close', (status, signal) => end(`ended with ${status ?? signal}`));
    });
  }

  static async start(): Promise<Chromium> {
    return new Chromium(await mkdtemp(join(tmpdir(), 'ringone-chromium-')));
  }

  async openPage(url: string): Promise<Page> {
    const { targetId } = await this.send('Target.createTarget', { url: 'about:blank' });
    const { sessionId } = await this.send('Target.attachToTarget', { targetId, flatten: true });
    const page = new Page((method, parameters) => this.send(method, parameters, sessionId));
    await page.load(url);
    return page;
  }

  /** Ends the process that `start` started, and removes its profile. */
  async close(): Promise<void> {
    this.send('Browser.close').catch(() => {});
    const timer = setTimeout(() => this.process.kill('SIGKILL'), FAREWELL_MS);
    await this.ended;
    clearTimeout(timer);
    await rm(this.profile, { recursive: true, force: true, maxRetries: 5 });
  }

  private send(method: string, params: Parameters = {}, sessionId?: string): Promise<Answer> {
    const id = ++this.lastId;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject: (error) => reject(new Error(`${method}: ${error.message}`)) });
      this.requests.write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    });
  }

  private listen(answers: Readable): void {
    let rest = '';
    answers.setEncoding('utf8').on('data', (text: string) => {
      const messages = (rest + text).split('\0');
      rest = messages.pop()!;
      for (const message of messages) this.take(JSON.parse(message));
    });
  }

  /** Events have no `id` and are not needed. */
  private take({ id, result, error }: Message): void {
    const request = id !== undefined && this.waiting.get(id);
    if (!request) return;
    this.waiting.delete(id);
    if (error === undefined) request.resolve(result!);
    else request.reject(new Error(error.message));
  }
}

/** One tab. */
export class Page {
  private readonly send: (method: string, parameters?: Parameters) => Promise<Answer>;

  constructor(send: (method: string, parameters?: Parameters) => Promise<Answer>) {
    this.send = send;
  }

  /** Settles when the page and its modules have run. */
  async load(url: string): Promise<void> {
    await this.send('Page.navigate', { url });
    await this.evaluate(
      `new Promise((done) => document.readyState === 'complete' ? done() : addEventListener('load', done))
        .then(() => undefined)`,
    );
  }

  /**
   * What a JavaScript expression gives in the page, waited for if it is a promise: anything that JSON can
   * carry.
   */
  async evaluate<T>(expression: string): Promise<T> {
    const { result, exceptionDetails } = await this.send('Runtime.evaluate', {
      expression,
      awaitPromise: true,
      returnByValue: true,
    });
    if (exceptionDetails === undefined) return result?.value as T;
    throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
  }

  /** Presses the keys that write a text; a newline is Enter. */
  async type(text: string): Promise<void> {
    for (const character of text) {
      const key = character === '\n' ? { key: 'Enter', text: '\r' } : { key: character, text: character };
      await this.send('Input.dispatchKeyEvent', { type: 'keyDown', ...key });
      await this.send('Input.dispatchKeyEvent', { type: 'keyUp', key: key.key });
    }
  }
}
