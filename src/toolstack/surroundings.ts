/** The event loop around a host, by what Node and browsers both have. */
import type { Surroundings } from '../hypervisor/host.ts';

export const eventLoop: Surroundings = {
  monotonicNs: () => performance.now() * 1e6,

  // A message arrives in the event loop's next turn. setTimeout would wait a millisecond or, nested, four.
  giveWay: () =>
    new Promise((resolve) => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => {
        port1.close();
        resolve();
      };
      port2.postMessage(undefined);
    }),

  after(ms, then) {
    const timer = setTimeout(then, ms);
    return () => clearTimeout(timer);
  },
};
