/** Why a domain could not be built. */
export class DomainBuildError extends Error {
  override readonly name = 'DomainBuildError';
}

/** The plan does not fit into the domain's memory. */
export class TooLittleMemoryError extends DomainBuildError {}
