/**
 * What a profile is made of: samples in the order in which they were taken, each a node of a tree of calls.
 *
 * Both are bounded, however long the guest runs and whatever it does to its stacks: when there are too many samples, every
 * second one goes and the distance between two of them doubles, so they still weigh the same; and a tree that is full takes
 * no new nodes: a stack then ends where the tree does.
 */

/** One function, or what else is known of a place. */
export interface Frame {
  readonly name: string;
  readonly kernel: boolean;
}

export interface CallNode {
  readonly frame: Frame;
  readonly parent: CallNode | undefined;
}

interface TreeNode extends CallNode {
  readonly parent: TreeNode | undefined;
  readonly children: Map<string, TreeNode>;
}

export const MOST_SAMPLES = 1 << 18;
export const MOST_NODES = 1 << 18;

export class CallTree {
  /** Instructions between two samples. */
  interval: number;
  private roots = new Map<string, TreeNode>();
  private nodes = 0;
  private taken: TreeNode[] = [];
  /** A sample is kept after so many that are not. */
  private stride = 1;
  private skipped = 0;

  constructor(interval: number) {
    this.interval = interval;
  }

  /** The deepest frame of each sample, oldest first. */
  get samples(): readonly CallNode[] {
    return this.taken;
  }

  /** Adds a sample: its frames, outermost first, at least one. */
  add(stack: readonly Frame[]): void {
    if (++this.skipped < this.stride) return;
    this.skipped = 0;
    const node = this.nodeOf(stack);
    if (node === undefined) return;
    this.taken.push(node);
    if (this.taken.length >= MOST_SAMPLES) this.thin();
  }

  private nodeOf(stack: readonly Frame[]): TreeNode | undefined {
    let node: TreeNode | undefined;
    for (const frame of stack) {
      const siblings: Map<string, TreeNode> = node === undefined ? this.roots : node.children;
      const key = `${frame.kernel ? 'k' : 'u'}${frame.name}`;
      let next = siblings.get(key);
      if (next === undefined) {
        if (this.nodes >= MOST_NODES) return node ?? this.roots.values().next().value;
        next = { frame, parent: node, children: new Map() };
        siblings.set(key, next);
        this.nodes++;
      }
      node = next;
    }
    return node;
  }

  private thin(): void {
    const kept = this.taken.filter((_, i) => i % 2 === 1).map(stackOf);
    this.stride *= 2;
    this.interval *= 2;
    this.roots = new Map();
    this.nodes = 0;
    this.taken = [];
    for (const stack of kept) this.taken.push(this.nodeOf(stack)!);
  }
}

/** The frames from the outermost to a node's. */
export function stackOf(node: CallNode): Frame[] {
  const frames: Frame[] = [];
  for (let at: CallNode | undefined = node; at !== undefined; at = at.parent) frames.push(at.frame);
  return frames.reverse();
}
