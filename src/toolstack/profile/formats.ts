/**
 * A profile as text, in forms that the usual viewers open.
 *
 * - `collapsed`: a line for each stack, outermost first, and how often it was seen: what flamegraph.pl, inferno and speedscope
 *   take. Frames of the kernel end in `_[k]`, as stackcollapse-perf.pl marks them.
 * - `speedscope`: the file format of speedscope.app, with the samples in their order.
 * - `cpuprofile`: V8's format, which Chrome's DevTools, Visual Studio Code, speedscope and the Firefox Profiler open.
 *
 * The unit is the instruction. Formats that know nothing but time get it as nanoseconds: an instruction is one under the virtual
 * clock.
 */
import { type CallNode, type CallTree, type Frame, stackOf } from './call-tree.ts';

export const PROFILE_FORMATS = ['collapsed', 'speedscope', 'cpuprofile'] as const;
export type ProfileFormat = (typeof PROFILE_FORMATS)[number];

/** The text of a profile. `title` names it where the format has room for that. */
export function formatProfile(tree: CallTree, format: ProfileFormat, title: string): string {
  return FORMATS[format](tree, title);
}

const FORMATS: Readonly<Record<ProfileFormat, (tree: CallTree, title: string) => string>> = {
  collapsed,
  speedscope,
  cpuprofile,
};

function collapsed({ samples }: CallTree): string {
  const counts = new Map<CallNode, number>();
  for (const node of samples) counts.set(node, (counts.get(node) ?? 0) + 1);
  const lines = [...counts].map(([node, count]) => {
    const names = stackOf(node).map(({ name, kernel }) => name.replaceAll(';', ':') + (kernel ? '_[k]' : ''));
    return `${names.join(';')} ${count}\n`;
  });
  return lines.sort().join('');
}

function speedscope({ samples, interval }: CallTree, title: string): string {
  const frames: { name: string; file: string }[] = [];
  const numbers = new Map<string, number>();
  const numberOf = ({ name, kernel }: Frame): number => {
    const key = `${kernel} ${name}`;
    let number = numbers.get(key);
    if (number === undefined) {
      number = frames.push({ name, file: kernel ? 'kernel' : 'user' }) - 1;
      numbers.set(key, number);
    }
    return number;
  };
  const stacks = new Map<CallNode, number[]>();
  const sampled = samples.map((node) => {
    let stack = stacks.get(node);
    if (stack === undefined) stacks.set(node, (stack = stackOf(node).map(numberOf)));
    return stack;
  });
  return JSON.stringify({
    $schema: 'https://www.speedscope.app/file-format-schema.json',
    name: title,
    exporter: 'ringone',
    shared: { frames },
    profiles: [
      {
        type: 'sampled',
        name: title,
        unit: 'none',
        startValue: 0,
        endValue: samples.length * interval,
        samples: sampled,
        weights: samples.map(() => interval),
      },
    ],
  });
}

interface ProfileNode {
  readonly id: number;
  readonly callFrame: {
    readonly functionName: string;
    readonly scriptId: string;
    readonly url: string;
    readonly lineNumber: number;
    readonly columnNumber: number;
  };
  hitCount: number;
  readonly children: number[];
}

function cpuprofile({ samples, interval }: CallTree): string {
  const nodes: ProfileNode[] = [];
  const newNode = (functionName: string, url: string): ProfileNode => {
    const callFrame = { functionName, scriptId: '0', url, lineNumber: -1, columnNumber: -1 };
    const node = { id: nodes.length + 1, callFrame, hitCount: 0, children: [] };
    nodes.push(node);
    return node;
  };
  const root = newNode('(root)', '');
  const known = new Map<CallNode, ProfileNode>();
  const nodeOf = (call: CallNode): ProfileNode => {
    let node = known.get(call);
    if (node === undefined) {
      const parent = call.parent === undefined ? root : nodeOf(call.parent);
      node = newNode(call.frame.name, call.frame.kernel ? 'kernel' : 'user');
      parent.children.push(node.id);
      known.set(call, node);
    }
    return node;
  };
  const ids = samples.map((call) => {
    const node = nodeOf(call);
    node.hitCount++;
    return node.id;
  });
  const microseconds = interval / 1000;
  return JSON.stringify({
    nodes,
    startTime: 0,
    endTime: Math.round(samples.length * microseconds),
    samples: ids,
    timeDeltas: ids.map((_, i) => Math.round((i + 1) * microseconds) - Math.round(i * microseconds)),
  });
}
