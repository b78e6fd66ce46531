/**
 * The bare test page: a console that is a `<pre>`, keys that go to the guest, and what the test calls by the
 * debugger's means, as `testPage`.
 */
import type { Ended, Order, Report } from './worker.ts';

const screen = document.querySelector('pre')!;
const watchers = new Set<() => void>();

/** A worker, and what it says, to the end that `take` sees. */
function work<T>(
  order: Order,
  take: (report: Report) => T | undefined,
): { worker: Worker; done: Promise<T> } {
  const worker = new Worker('/worker.js', { type: 'module' });
  const done = new Promise<T>((resolve, reject) => {
    worker.onerror = ({ message }) => reject(new Error(message || 'the worker did not load'));
    worker.onmessage = ({ data }: MessageEvent<Report>) => {
      if ('failed' in data) reject(new Error(data.failed));
      const result = take(data);
      if (result !== undefined) resolve(result);
    };
  });
  worker.postMessage(order);
  return { worker, done: done.finally(() => worker.terminate()) };
}

let conversation: { worker: Worker; done: Promise<Ended> } | undefined;

addEventListener('keydown', ({ key }) => {
  const text = key === 'Enter' ? '\r' : key;
  conversation?.worker.postMessage({ order: 'type', text } satisfies Order);
});

const testPage = {
  /** Starts the built-in guest. */
  talk(options: Omit<Extract<Order, { order: 'talk' }>, 'order'>): void {
    conversation = work({ order: 'talk', ...options }, (report) => {
      if ('printed' in report) screen.append(report.printed);
      for (const watcher of watchers) watcher();
      return 'ended' in report ? report.ended : undefined;
    });
  },

  /** What is on the screen, once it is like the pattern. */
  shows(pattern: RegExp): Promise<string> {
    const shown = new Promise<string>((resolve) => {
      const look = () => {
        if (!pattern.test(screen.textContent!)) return;
        watchers.delete(look);
        resolve(screen.textContent!);
      };
      watchers.add(look);
      look();
    });
    // A guest that has failed or ended will not show it any more.
    return Promise.race([shown, conversation!.done.then(() => screen.textContent!)]);
  },

  ended(): Promise<Ended> {
    return conversation!.done;
  },

  observe(inputs: Extract<Order, { order: 'observe' }>['inputs']) {
    return work({ order: 'observe', inputs }, (report) =>
      'observed' in report ? report.observed : undefined,
    ).done;
  },
};

export type TestPage = typeof testPage;

Object.assign(globalThis, { testPage });
