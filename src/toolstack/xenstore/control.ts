/**
 * The CONTROL message: commands to the daemon itself, for `xenstore-control`. What makes sense here of
 * xenstored's commands: `check`, `help`, `print`, `quota`. Logging, live update and memory reports belong to
 * a process.
 */

import { quoted } from '../quoted.ts';
import type { Account, Quota } from './quota.ts';
import { decodeNumber, XenstoreError } from './wire.ts';

export interface ControlHost {
  readonly quota: Quota;
  audit(): string[];
  log(line: string): void;
  /** The account of a domain that exists, else undefined. */
  accountOf(domid: number): Account | undefined;
}

/** xenstored's names of the quotas, in its order. */
const QUOTAS: readonly (readonly [name: string, key: keyof Quota, meaning: string])[] = [
  ['nodes', 'nodes', 'nodes that a domain owns'],
  ['watches', 'watches', 'watches of a domain'],
  ['transactions', 'transactions', 'open transactions of a domain'],
  ['outstanding', 'outstanding', 'undelivered requests of a domain'],
  ['transaction-nodes', 'transactionNodes', 'nodes touched by a transaction'],
  ['memory', 'memory', 'bytes held for a domain'],
  ['node-size', 'nodeSize', 'bytes of a node'],
  ['path-max', 'pathLength', 'bytes of a path'],
  ['permissions', 'permissions', 'permissions of a node'],
];

const COMMANDS: Readonly<Record<string, readonly [usage: string, run: Command]>> = {
  check: ['', check],
  print: ['<string>', print],
  quota: ['[set <name> <val>|<domid>]', quota],
  help: ['', help],
};

type Command = (host: ControlHost, parameters: readonly string[]) => string;

/**
 * Runs one command and gives its text. Raises EINVAL for what it does not understand, EIO if a check fails.
 */
export function runControl(host: ControlHost, command: string, parameters: readonly string[]): string {
  const entry = Object.hasOwn(COMMANDS, command) ? COMMANDS[command] : undefined;
  if (!entry) throw new XenstoreError('EINVAL', `${quoted(command)} is no control command`);
  return entry[1](host, parameters);
}

function check(host: ControlHost): string {
  const faults = host.audit();
  for (const fault of faults) host.log(`xenstore: ${fault}`);
  if (faults.length > 0) throw new XenstoreError('EIO', `the store has ${faults.length} faults`);
  return 'OK';
}

function print(host: ControlHost, parameters: readonly string[]): string {
  if (parameters.length !== 1) throw new XenstoreError('EINVAL', 'print takes one string');
  host.log(`control: ${parameters[0]}`);
  return 'OK';
}

function quota(host: ControlHost, parameters: readonly string[]): string {
  if (parameters.length === 0) {
    const lines = QUOTAS.map(([name, key, meaning]) => line(name, 17, host.quota[key], ` ${meaning}`));
    return `Quota settings:\n${lines.join('')}`;
  }
  if (parameters[0] === 'set' && parameters.length === 3) {
    const known = QUOTAS.find(([name]) => name === parameters[1]);
    const value = decodeNumber(parameters[2]!, 0x7fffffff);
    if (!known || value < 1)
      throw new XenstoreError('EINVAL', 'expected the name of a quota and a value above 0');
    host.quota[known[1]] = value;
    return 'OK';
  }
  if (parameters.length !== 1)
    throw new XenstoreError('EINVAL', 'quota takes nothing, a domain, or set, name and value');
  const domid = decodeNumber(parameters[0]!, 0xffff);
  const account = host.accountOf(domid);
  if (!account) throw new XenstoreError('ENOENT', `domain ${domid} does not exist`);
  const keys = ['nodes', 'watches', 'transactions', 'outstanding', 'memory'] as const;
  return `Domain ${domid}:\n${keys.map((key) => line(key, 16, account[key], '')).join('')}`;
}

function help(): string {
  return Object.entries(COMMANDS)
    .map(([name, [usage]]) => `${name}\t${usage}\n`)
    .join('');
}

function line(name: string, width: number, value: number, rest: string): string {
  return `${name.padEnd(width)}: ${String(value).padStart(8)}${rest}\n`;
}
