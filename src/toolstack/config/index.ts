/**
 * Domain configuration: `xl-syntax.ts` reads xl's files and `key=value` words, `domain-config.ts` knows what the keys
 * mean, `error.ts` is what both raise.
 */
export {
  DEFAULT_MEMORY_MIB,
  DEFAULT_NAME,
  type DomainConfig,
  EXIT_ACTIONS,
  type ExitAction,
  readDomainConfig,
} from './domain-config.ts';
export { ConfigError } from './error.ts';
export { parseXlFile, parseXlOverride, type XlSetting, type XlSettings, type XlValue } from './xl-syntax.ts';
