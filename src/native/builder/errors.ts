/** Why a bare machine could not be built: the image does not fit, or there is not enough memory. One line. */
export class MachineBuildError extends Error {
  override readonly name = 'MachineBuildError';
}
