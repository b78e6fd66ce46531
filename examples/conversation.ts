/**
 * Boots a guest, talks to it on its console, and waits for its end.
 *
 *     node --import tsx examples/conversation.ts
 *
 * The guest is the one that is built in; with a Linux of your own, pass its kernel to `createDomain` instead, and a
 * ramdisk made by `buildBusyboxInitramfs`.
 */
import { buildTinyGuest, Host } from 'ringone';

const host = await Host.create({ memoryMib: 64, clock: 'virtual' });
const domain = await host.createDomain({ kernel: buildTinyGuest(), name: 'tiny', memoryMib: 64 });

// Domains make progress while the host runs.
const running = host.run();

const printed = domain.console.readable.pipeThrough(new TextDecoderStream()).getReader();
const typed = domain.console.writable.getWriter();

/** Reads the console up to the guest's prompt. */
async function answer(): Promise<string> {
  for (let text = ''; ; ) {
    const { value, done } = await printed.read();
    text += value ?? '';
    if (done || text.endsWith('> ')) return text;
  }
}

/** Types a line, and returns what the guest has to say about it. */
async function ask(question: string): Promise<string> {
  await typed.write(new TextEncoder().encode(`${question}\r`));
  return answer();
}

console.log(await answer());
console.log(await ask('memory'));
console.log(await ask('halt'));

const { reason } = await domain.exited;
await running;
console.log(`The guest has ended: ${reason}. It took ${host.statistics().instructions} instructions.`);
