/** Pictures of odd spots: the spot of the part on the left, then the most similar ones of good parts. */

/** Side of each of the squares in them. */
export const SPOT_PX = 240;

/**
 * Say whether a picture has spots of good parts, once it has come.
 * @param {HTMLImageElement} image
 * @param {(hasGood: boolean) => void} told
 */
export function whenCome(image, told) {
  const tell = () => image.naturalWidth && told(image.naturalWidth > SPOT_PX);
  if (image.complete) tell();
  image.addEventListener("load", tell);
}
