import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CallNode, CallTree, type Frame, MOST_NODES, MOST_SAMPLES, stackOf } from './call-tree.ts';

const frame = (name: string): Frame => ({ name, kernel: false });
const stack = (...names: string[]): Frame[] => names.map(frame);

test('keeps samples in their order, and equal stacks once', () => {
  const tree = new CallTree(1000);
  tree.add(stack('a', 'b'));
  tree.add(stack('a', 'c'));
  tree.add(stack('a', 'b'));
  const { samples } = tree;
  assert.deepEqual(
    samples.map((node) => stackOf(node).map(({ name }) => name)),
    [
      ['a', 'b'],
      ['a', 'c'],
      ['a', 'b'],
    ],
  );
  assert.equal(samples[0], samples[2]);
  assert.equal(samples[0]!.parent, samples[1]!.parent);
});

test('a name of the kernel is not the same name of a user', () => {
  const tree = new CallTree(1000);
  tree.add([{ name: 'read', kernel: true }]);
  tree.add([{ name: 'read', kernel: false }]);
  assert.notEqual(tree.samples[0], tree.samples[1]);
});

test('when there are too many samples, every second one goes and the interval doubles', () => {
  const tree = new CallTree(10);
  for (let i = 0; i < MOST_SAMPLES + 4; i++) tree.add(stack('a', i % 4 < 2 ? 'b' : 'c'));
  assert.equal(tree.interval, 20);
  assert.equal(tree.samples.length, MOST_SAMPLES / 2 + 2);
  const share = tree.samples.filter((node) => node.frame.name === 'b').length / tree.samples.length;
  assert.equal(share, 0.5);
});

test('a guest cannot make the tree grow without end: a stack then ends where the tree does', () => {
  const tree = new CallTree(10);
  const count = MOST_NODES / 2;
  for (let i = 0; i < count; i++) tree.add(stack('process', `a${i}`, `b${i}`, `c${i}`));
  assert.equal(tree.samples.length, count, 'no sample is lost');
  const nodes = new Set<CallNode>();
  for (const sample of tree.samples) {
    for (let node: CallNode | undefined = sample; node !== undefined; node = node.parent) nodes.add(node);
  }
  assert.equal(nodes.size, MOST_NODES);
  assert.equal(tree.samples[0]!.frame.name, 'c0');
  assert.equal(tree.samples.at(-1)!.frame.name, 'process');
  tree.add(stack('another process'));
  assert.equal(tree.samples.at(-1)!.frame.name, 'process', 'there is no room for another root');
});

test('when samples go, the tree has room again', () => {
  const tree = new CallTree(10);
  for (let i = 0; i < MOST_SAMPLES; i++) tree.add(stack(`a${i}`));
  assert.equal(tree.samples.length, MOST_SAMPLES / 2);
  tree.add(stack('skipped'));
  tree.add(stack('later'));
  assert.equal(tree.samples.at(-1)!.frame.name, 'later');
});
