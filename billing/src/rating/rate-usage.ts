/** Which function rates which shape. */
import type { Fraction } from '@poolmeter/domain';
import { rateBurst } from './committed-hours.js';
import { rateFlat } from './flat.js';
import { rateGraduated } from './graduated.js';
import type { RatedShape, Rating } from './price-shape.js';
import { rateVolume } from './volume.js';

/** The exact charge for the GPU-hours that one price covers in one period. */
export function rateUsage(gpuHours: Fraction, shape: RatedShape): Rating {
  switch (shape.kind) {
    case 'flat':
      return rateFlat(gpuHours, shape);
    case 'graduated':
      return rateGraduated(gpuHours, shape);
    case 'volume':
      return rateVolume(gpuHours, shape);
    case 'committed_hours':
      return rateBurst(gpuHours, shape);
  }
}
