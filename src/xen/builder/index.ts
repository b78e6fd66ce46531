/** The domain builder. Reading order: `plan.ts` (with `mappings.ts`), `page-tables.ts`, `start-info.ts`, `build.ts`. */

export {
  type BuildableKernel,
  type BuiltDomain,
  buildDomain,
  type DomainConfig,
} from './build.ts';
export { DomainBuildError, TooLittleMemoryError } from './errors.ts';
export { type DomainPlan, leastMebibytes, type PlanRequest, planDomain, type Segment } from './plan.ts';
export type { Ring } from './start-info.ts';
