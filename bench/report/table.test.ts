import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PeerName } from '../peers/peer.ts';
import { addFigure, differingAnswers, type Figure, headlineRatio, type Results, ratio } from '../results.ts';
import type { Sample } from '../stopwatch.ts';
import { timesChart, wrap } from './chart.ts';
import { reportPage, reportText } from './document.ts';
import { markdownTable, rateTable, significant, timesTable, unsteadyFigures, valuesTable } from './table.ts';

function samples(seconds: number[], more: Partial<Sample> = {}): Sample[] {
  return seconds.map((value) => ({ seconds: value, answer: 'x', ...more }));
}

function row(name: string, headline: boolean, times: Partial<Record<PeerName, Sample[]>>) {
  return { name, title: `the row ${name}`, headline, samples: times };
}

const RESULTS: Results = {
  date: '2026-01-02',
  machine: 'a processor <of some kind> & more',
  load: { start: 2.51, end: 1.2 },
  rounds: 3,
  memoryMib: 512,
  peers: [
    { name: 'auto', title: 'ringone, auto', description: 'ours' },
    { name: 'v86', title: 'v86', description: 'theirs, 32-bit' },
    { name: 'native', title: 'native', description: 'no guest' },
  ],
  rows: [
    row('a', true, {
      auto: samples([1, 2, 3], { instructions: 1e9 }),
      v86: samples([8, 8, 8]),
      native: samples([0.01]),
    }),
    row('b', true, { auto: samples([4]), v86: samples([4]) }),
    row('c', false, { auto: samples([5]) }),
  ],
  memory: [{ what: 'the row a', unit: 'MiB', values: { auto: [100], v86: [-1] } }],
  boot: [{ what: 'to init', unit: 's', values: { auto: [4.5678] } }],
  tiny: [],
  paths: [{ what: 'xen_version', unit: 'ns', values: { auto: [312.4, 300, 400], interpreter: [500] } }],
  notes: ['qemu is left out: no qemu here'],
};

test('columns of a table are as wide as their widest cell, figures to the right', () => {
  assert.equal(
    markdownTable(
      ['', 'x'],
      [
        ['one', '1'],
        ['seven', '7.25'],
      ],
    ),
    ['|       |    x |', '| ----- | ---: |', '| one   |    1 |', '| seven | 7.25 |'].join('\n'),
  );
});

test('ratios are of medians, and their geometric mean is over the headline rows', () => {
  assert.equal(ratio(RESULTS.rows[0]!, 'auto', 'v86'), 0.25);
  assert.equal(headlineRatio(RESULTS.rows, 'auto', 'v86'), 0.5);
});

test('there is no mean where a headline row is missing', () => {
  assert.equal(headlineRatio(RESULTS.rows, 'auto', 'native'), undefined);
  assert.equal(headlineRatio([], 'auto', 'v86'), undefined);
});

test('the table of times has medians, ratios and the mean, and a dash for what was not run', () => {
  const lines = timesTable(RESULTS).split('\n');
  assert.match(lines[0]!, /ringone, auto \| +v86 \| +native \| auto \/ v86 \|$/);
  assert.match(lines[2]!, /\*\*the row a\*\* +\| +2\.00 s ± \| +8\.00 s \| +0\.010 s \| +0\.250 \|$/);
  assert.match(lines[4]!, /^\| the row c +\| +5\.00 s \| +– \| +– \| +– \|$/);
  assert.match(lines[5]!, /geometric mean.* 0\.500 \|$/);
});

test('instruction rates are shown for machines that count', () => {
  assert.match(rateTable(RESULTS)!, /the row a +\| +500 \|/);
  assert.equal(rateTable({ ...RESULTS, rows: RESULTS.rows.slice(1) }), undefined);
});

test('figures by peer have a column for each peer that has one, with the median', () => {
  assert.match(
    valuesTable(RESULTS.paths, RESULTS.peers)!,
    /^\| +\| ringone, auto \| interpreter \|\n.*\n\| xen_version \| +312 ns \| +500 ns \|$/,
  );
  assert.equal(valuesTable([], RESULTS.peers), undefined);
});

test('a figure by peer is marked in the same way', () => {
  const figure = { what: 'a', unit: 'ns', values: { auto: [100, 101, 300] } };
  assert.match(valuesTable([figure], [])!, /101 ns ± \|$/);
});

test('values of one name are gathered in one figure', () => {
  const figures: Figure[] = [];
  for (const value of [1, 2]) addFigure(figures, 'auto', { what: 'a', unit: 's', value });
  addFigure(figures, 'interpreter', { what: 'a', unit: 's', value: 3 });
  assert.deepEqual(figures, [{ what: 'a', unit: 's', values: { auto: [1, 2], interpreter: [3] } }]);
});

test('a figure whose rounds lie far apart is marked, and listed with its range', () => {
  assert.match(timesTable(RESULTS), /the row a\*\* +\| +2\.00 s ± \| +8\.00 s \|/);
  assert.deepEqual(unsteadyFigures(RESULTS), ['ringone, auto, unsteady: a 1.00 to 3.00 s']);
});

test('the mean of the fastest rounds stands beside that of the medians', () => {
  // 1/8 and 4/4
  assert.match(timesTable(RESULTS), /fastest round\* +\| +\| +\| +\| +0\.354 \|$/);
});

test('a row on which machines disagree is reported with what each said', () => {
  const wrong = row('d', false, { auto: samples([1]), v86: samples([1], { answer: 'y' }) });
  assert.deepEqual(differingAnswers([wrong]), ['d: the answers differ: auto says "x", v86 says "y"']);
  assert.deepEqual(differingAnswers(RESULTS.rows), []);
});

test('the report has a section for each table that has figures, and for the notes', () => {
  const titles = (text: string) => text.match(/^## .*$/gm);
  assert.deepEqual(titles(reportText(RESULTS)), [
    '## Times',
    '## Million guest instructions per second',
    "## Memory: MiB resident beyond the guest's 512",
    '## The boot in its parts',
    '## Paths of the hypervisor',
    '## Left out, or to be known',
  ]);
  const nothing = { ...RESULTS, peers: [], rows: [], memory: [], boot: [], notes: [] };
  assert.deepEqual(titles(reportText(nothing)), ['## Paths of the hypervisor']);
});

test('the page names machine, date, rounds and every peer', () => {
  const page = reportPage(RESULTS);
  assert.match(page, /Measured on 2026-01-02: a processor/);
  assert.match(page, /Medians of 3 rounds/);
  assert.match(page, /load average of 2\.5 at the start and 1\.2 at the end\./);
  for (const { title, description } of RESULTS.peers)
    assert.ok(page.includes(`**${title}**: ${description}.`));
});

test('the chart is well-formed: every element is closed and text is escaped', () => {
  const svg = timesChart(RESULTS);
  const open: string[] = [];
  for (const [, close, name, rest] of svg.matchAll(/<(\/?)([a-z]+)([^>]*)>/g)) {
    if (close === '/') assert.equal(open.pop(), name);
    else if (!rest!.endsWith('/')) open.push(name!);
  }
  assert.deepEqual(open, []);
  assert.ok(svg.includes('a processor &lt;of some kind&gt; &amp; more'));
});

test('in the chart a bar is the longer the more time it stands for', () => {
  const bars = [...timesChart(RESULTS).matchAll(/<rect x='230' y='\d+' width='([\d.]+)'/g)].map((match) =>
    Number(match[1]),
  );
  assert.equal(bars.length, 6);
  const [ours, theirs, native] = bars;
  assert.ok(native! < ours! && ours! < theirs!);
});

test('labels are broken at spaces', () => {
  assert.deepEqual(wrap('one two three', 7), ['one two', 'three']);
  assert.deepEqual(wrap('unbreakable', 3), ['unbreakable']);
});

test('figures have three digits that mean something and no exponent', () => {
  assert.deepEqual([0.25, 1.234, 12.34, 123.4, 12345].map(significant), [
    '0.250',
    '1.23',
    '12.3',
    '123',
    '12345',
  ]);
});
