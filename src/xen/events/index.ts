/** Event channels: `two-level.ts` is what the guest sees in memory, `channels.ts` the ports, `host-channel.ts` the toolstack's end. */

export {
  type ChannelStatus,
  DEFAULT_MAX_PORT,
  EventChannels,
  type EventRegistry,
  HOST_DOMAIN,
  NR_PIRQS,
  virqIsGlobal,
} from './channels.ts';
export { EventChannelError, HostChannel } from './host-channel.ts';
export * from './two-level.ts';
