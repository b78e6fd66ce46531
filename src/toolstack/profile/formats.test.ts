import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CallTree, type Frame } from './call-tree.ts';
import { formatProfile } from './formats.ts';

const user = (name: string): Frame => ({ name, kernel: false });
const kernel = (name: string): Frame => ({ name, kernel: true });

function tree(): CallTree {
  const calls = new CallTree(1500);
  calls.add([user('sh'), user('main'), kernel('sys_read')]);
  calls.add([user('sh'), user('main')]);
  calls.add([user('a;b'), kernel('idle')]);
  calls.add([user('sh'), user('main'), kernel('sys_read')]);
  return calls;
}

test('collapsed stacks have a line for each, with a mark on the frames of the kernel', () => {
  assert.equal(
    formatProfile(tree(), 'collapsed', 't'),
    'a:b;idle_[k] 1\nsh;main 1\nsh;main;sys_read_[k] 2\n',
  );
});

test('a speedscope file holds the samples in their order, and their weights in instructions', () => {
  const file = JSON.parse(formatProfile(tree(), 'speedscope', 'title'));
  const [profile] = file.profiles;
  const names = file.shared.frames.map(({ name }: { name: string }) => name);
  assert.equal(file.$schema, 'https://www.speedscope.app/file-format-schema.json');
  assert.deepEqual(
    profile.samples.map((sample: number[]) => sample.map((frame) => names[frame])),
    [
      ['sh', 'main', 'sys_read'],
      ['sh', 'main'],
      ['a;b', 'idle'],
      ['sh', 'main', 'sys_read'],
    ],
  );
  assert.deepEqual(profile.weights, [1500, 1500, 1500, 1500]);
  assert.deepEqual([profile.type, profile.unit, profile.endValue], ['sampled', 'none', 6000]);
  assert.deepEqual(
    file.shared.frames.map((frame: { file: string }) => frame.file),
    ['user', 'user', 'kernel', 'user', 'kernel'],
  );
});

test('a cpuprofile is a tree with numbered nodes, whose hits and times add up', () => {
  const { nodes, samples, timeDeltas, startTime, endTime } = JSON.parse(
    formatProfile(tree(), 'cpuprofile', 't'),
  );
  assert.equal(nodes[0].callFrame.functionName, '(root)');
  const parents = new Map<number, { id: number; callFrame: { functionName: string } }>();
  for (const node of nodes) for (const child of node.children) parents.set(child, node);
  const path = (id: number): string[] => {
    const names: string[] = [];
    for (let node = nodes[id - 1]; node !== undefined; node = parents.get(node.id)) {
      names.unshift(node.callFrame.functionName);
    }
    return names;
  };
  assert.deepEqual(path(samples[0]), ['(root)', 'sh', 'main', 'sys_read']);
  assert.equal(samples[3], samples[0]);
  assert.equal(nodes[samples[0] - 1].hitCount, 2);
  assert.equal(
    timeDeltas.reduce((sum: number, delta: number) => sum + delta),
    endTime - startTime,
  );
  assert.equal(endTime, 6);
});
