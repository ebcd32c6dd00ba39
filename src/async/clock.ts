/**
 * Milliseconds as the wall clock would show them had nobody set it since this process began. What is measured by it lasts as long as it
 * should, whatever happens to the wall clock; times that people read are `Date.now()`.
 */
export function steadyNow(): number {
  return Math.round(performance.timeOrigin + performance.now());
}
